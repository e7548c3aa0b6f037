"""Loaders: sizes and splits as published, parts that never meet, broken data that says how to get it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from rhnas.errors import DataError
from rhnas.files import find_data
from rhnas.nas.data.dataset import Part, channel_statistics
from rhnas.nas.data.load import load_data
from rhnas.nas.data.sources import CIFAR10_FILES, CIFAR10_FOLDER, cifar10
from rhnas.seeds import Seeds

SEEDS = Seeds(root=7)
RECORD = 3073


def rows(part: Part) -> set[bytes]:
    return {picture.numpy().tobytes() for picture in part.pictures}


def test_digits_are_scikit_learns_in_three_parts_that_never_meet() -> None:
    data = load_data("digits", SEEDS)
    parts = data.train, data.validation, data.read_test()
    assert [len(part) for part in parts] == [800, 200, 797]
    source = load_digits()
    everything = {np.rint(image * 255 / 16).astype(np.uint8).tobytes() for image in source.images}
    assert set.union(*map(rows, parts)) == everything
    assert sum(len(part) for part in parts) == len(source.images)
    label = {
        np.rint(i * 255 / 16).astype(np.uint8).tobytes(): t for i, t in zip(*_images(source), strict=True)
    }
    for part in parts:
        assert [label[p.numpy().tobytes()] for p in part.pictures] == part.labels.tolist()


def _images(source) -> tuple:  # type: ignore[no-untyped-def, type-arg]
    return source.images, source.target


def test_the_test_part_is_the_same_for_every_seed_and_the_validation_part_is_not() -> None:
    first, second = load_data("digits", Seeds(root=0)), load_data("digits", Seeds(root=1))
    assert torch.equal(first.read_test().pictures, second.read_test().pictures)
    assert not torch.equal(first.validation.labels, second.validation.labels)
    again = load_data("digits", Seeds(root=0))
    assert torch.equal(first.train.pictures, again.train.pictures)


def test_normalised_training_pictures_have_mean_0_and_deviation_1() -> None:
    data = load_data("digits", SEEDS)
    pictures = data.normalise(data.train.pictures)
    assert pictures.dtype == torch.float32
    torch.testing.assert_close(pictures.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(pictures.std(correction=0), torch.tensor(1.0), atol=1e-4, rtol=0)


def test_statistics_are_torchs_per_channel_and_a_flat_channel_can_be_normalised() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (9, 3, 5, 4), generator=generator).byte()
    pictures[:, 2] = 40
    mean, std = channel_statistics(Part(pictures, torch.zeros(9, dtype=torch.int64)))
    fractions = pictures.double() / 255
    expected = fractions.std((0, 2, 3), correction=0)
    expected[2] = 1
    torch.testing.assert_close(torch.tensor(mean).double(), fractions.mean((0, 2, 3)), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.tensor(std).double(), expected, atol=1e-6, rtol=0)


def test_subsets_are_drawn_from_their_part() -> None:
    data = load_data("digits", SEEDS, train=50, test=20)
    whole = load_data("digits", SEEDS)
    assert rows(data.train) <= rows(whole.train)
    assert len(data.train) == 50
    assert rows(data.read_test()) <= rows(whole.read_test())
    assert len(data.read_test()) == 20
    other = load_data("digits", Seeds(root=8), test=20)
    assert torch.equal(other.read_test().labels, data.read_test().labels)
    with pytest.raises(DataError, match="between 1 and 800 pictures; got 801"):
        load_data("digits", SEEDS, train=801)
    with pytest.raises(DataError, match="must leave some of the 1000 pictures to train on; got 1000"):
        load_data("digits", SEEDS, validation=1000)


def test_batches_cover_an_epoch_and_follow_the_generator() -> None:
    part = Part(torch.arange(10).byte()[:, None, None, None], torch.arange(10))
    assert [labels.tolist() for _, labels in part.batches(4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    first = [y.tolist() for _, y in part.batches(4, torch.Generator().manual_seed(1))]
    again = [y.tolist() for _, y in part.batches(4, torch.Generator().manual_seed(1))]
    assert first == again
    assert [len(batch) for batch in first] == [4, 4]
    assert len({label for batch in first for label in batch}) == 8
    for pictures, labels in part.batches(5, torch.Generator().manual_seed(2)):
        assert torch.equal(pictures.flatten().long(), labels)


@pytest.mark.parametrize(
    ("pictures", "labels"),
    [
        (torch.zeros(2, 8, 8, dtype=torch.uint8), torch.zeros(2)),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(3)),
        (torch.zeros(2, 1, 8, 8), torch.zeros(2)),
    ],
)
def test_a_part_refuses_what_is_not_pictures_with_labels(
    pictures: torch.Tensor, labels: torch.Tensor
) -> None:
    with pytest.raises(DataError, match="pictures must"):
        Part(pictures, labels)


def test_a_data_set_that_does_not_fit_the_network_is_refused() -> None:
    with pytest.raises(DataError, match=r"\(3, 32, 32\); got \(1, 8, 8\)"):
        load_data("digits", SEEDS, picture=(3, 32, 32))


def test_cifar10_is_the_published_data_set() -> None:
    if find_data(CIFAR10_FOLDER) is None:
        pytest.skip("needs cifar-10-batches-bin under RHNAS_DATA")
    data = load_data("cifar10", SEEDS, validation=5_000, picture=(3, 32, 32))
    test = data.read_test()
    assert (len(data.train), len(data.validation), len(test)) == (45_000, 5_000, 10_000)
    labels = torch.cat([data.train.labels, data.validation.labels])
    assert labels.bincount().tolist() == [5_000] * 10
    assert test.labels.bincount().tolist() == [1_000] * 10
    # The channel means and deviations everybody uses for CIFAR-10's training set.
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.002)
    assert data.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=0.002)


@pytest.fixture
def no_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the six files, all holes: right in size, every label 0."""
    monkeypatch.setenv("RHNAS_DATA", str(tmp_path))
    folder = tmp_path / CIFAR10_FOLDER
    folder.mkdir()
    for name in CIFAR10_FILES:
        with (folder / name).open("wb") as stream:
            stream.truncate(10_000 * RECORD)
    return folder


def test_absent_cifar_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHNAS_DATA", f"{tmp_path}:{tmp_path / 'b'}")
    with pytest.raises(DataError, match="rhnas data cifar10 DIR"):
        load_data("cifar10", SEEDS)


def test_truncated_cifar_is_found_before_anything_is_trained(no_cifar: Path) -> None:
    (no_cifar / "test_batch.bin").write_bytes(b"\0" * 1000)
    with pytest.raises(
        DataError, match=r"test_batch\.bin must have 30,730,000 bytes; got 1,000 bytes; fetch"
    ):
        load_data("cifar10", SEEDS)
    (no_cifar / "test_batch.bin").unlink()
    with pytest.raises(DataError, match="got no file"):
        load_data("cifar10", SEEDS)


def test_a_record_is_a_label_and_three_planes(no_cifar: Path) -> None:
    with (no_cifar / "test_batch.bin").open("r+b") as stream:
        stream.seek(2 * RECORD)
        stream.write(bytes([9]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes([3]) * 1024)
    with (no_cifar / "data_batch_3.bin").open("r+b") as stream:
        stream.seek(5 * RECORD)
        stream.write(bytes([10]))
    with pytest.raises(DataError, match=r"data_batch_3\.bin must be 0 to 9; got 10 at picture 5"):
        cifar10(SEEDS)
    with (no_cifar / "data_batch_3.bin").open("r+b") as stream:
        stream.truncate(0)
        stream.truncate(10_000 * RECORD)
    test = cifar10(SEEDS, folder=no_cifar).read_test()
    assert test.labels[:4].tolist() == [0, 0, 9, 0]
    assert test.pictures[2].flatten(1).unique(dim=1).flatten().tolist() == [1, 2, 3]


def picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (32, 32)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


COLOURS = {"blue": (0, 0, 200), "green": (0, 200, 0), "red": (200, 0, 0)}


def fill(folder: Path, count: int, size: tuple[int, int] = (32, 32), inner: str = ".") -> None:
    for name, colour in COLOURS.items():
        for index in range(count):
            picture(folder / name / inner / f"{name}_{index}.png", colour, size)


def brightest(part: Part) -> list[int]:
    return part.pictures.float().mean((2, 3)).argmax(1).tolist()


def test_class_folders_with_a_test_part(tmp_path: Path) -> None:
    fill(tmp_path / "train", 6)
    fill(tmp_path / "val", 2)
    data = load_data(str(tmp_path), SEEDS, picture=(3, 32, 32), validation=4, train=10)
    test = data.read_test()
    assert (data.classes, data.picture) == (("blue", "green", "red"), (3, 32, 32))
    assert [len(data.train), len(data.validation), len(test)] == [10, 4, 6]
    for part in (data.train, data.validation, test):
        assert brightest(part) == [2 - label for label in part.labels.tolist()]


def test_class_folders_alone_give_a_fifth_to_the_test_part(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    data = load_data(str(tmp_path), SEEDS, picture=(1, 16, 16), validation=4)
    assert [len(data.train), len(data.validation), len(data.read_test())] == [20, 4, 6]
    assert data.picture == (1, 16, 16)


def test_the_layout_of_tiny_imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "tiny_imagenet32"
    fill(root / "train", 3, inner="images")
    names = list(COLOURS)
    for index in range(5):
        picture(root / "val" / "images" / f"val_{index}.png", COLOURS[names[index % 3]])
    lines = [f"val_{index}.png\t{names[index % 3]}\t0\t0\t9\t9" for index in range(5)]
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("RHNAS_DATA", str(tmp_path))
    test = load_data("tiny_imagenet32", SEEDS, picture=(3, 32, 32), validation=2).read_test()
    assert test.labels.tolist() == [0, 1, 2, 0, 1]
    assert brightest(test) == [2, 1, 0, 2, 1]
    (root / "val" / "val_annotations.txt").write_text("val_0.png\tmauve\n")
    with pytest.raises(DataError, match=r"every line .* must name a file and a class; got .*mauve"):
        load_data("tiny_imagenet32", SEEDS, picture=(3, 32, 32), validation=2)


@pytest.mark.parametrize("size", [(500, 300), (300, 500), (224, 224), (20, 30)])
def test_pictures_are_resized_and_cropped_to_their_centre(size: tuple[int, int], tmp_path: Path) -> None:
    image = Image.new("RGB", size, (0, 0, 0))
    centre = (size[0] * 2 // 5, size[1] * 2 // 5, size[0] * 3 // 5, size[1] * 3 // 5)
    image.paste((250, 250, 250), centre)
    for name in ("a", "b"):
        for index in range(4):
            (tmp_path / name).mkdir(exist_ok=True)
            image.save(tmp_path / name / f"{index}.png")
    pixels = load_data(str(tmp_path), SEEDS, validation=1).train.pictures[0, 0].float()
    assert pixels.shape == (224, 224)
    assert pixels[112, 112] == 250
    columns, rows_ = pixels.sum(0), pixels.sum(1)
    position = torch.arange(224.0)
    assert float((columns * position).sum() / columns.sum()) == pytest.approx(111.5, abs=1.5)
    assert float((rows_ * position).sum() / rows_.sum()) == pytest.approx(111.5, abs=1.5)


def test_broken_pictures_are_named_and_skipped_only_if_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path / "train", 4)
    fill(tmp_path / "val", 2)
    whole = (tmp_path / "train" / "red" / "red_1.png").read_bytes()
    (tmp_path / "train" / "red" / "red_1.png").write_bytes(whole[:40])
    (tmp_path / "train" / "red" / "red_2.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"red_\d\.png must be a picture that can be decoded"):
        load_data(str(tmp_path), SEEDS, picture=(3, 32, 32), validation=3)
    data = load_data(str(tmp_path), SEEDS, picture=(3, 32, 32), validation=3, skip_broken=True)
    assert len(data.train) + len(data.validation) == 10
    assert brightest(data.train) == [2 - label for label in data.train.labels.tolist()]
    assert {"red_1.png", "red_2.png"} <= {Path(record.args[0]).name for record in caplog.records}  # type: ignore[index, arg-type]


def test_folders_that_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one of digits, cifar10, or an image folder.*'no/where'"):
        load_data("no/where", SEEDS)
    with pytest.raises(DataError, match="must have a folder per class; got 0 folders"):
        load_data(str(tmp_path), SEEDS)
    (tmp_path / "train" / "empty").mkdir(parents=True)
    fill(tmp_path / "train", 1)
    (tmp_path / "train" / "empty" / "e.png").write_bytes(b"")
    with pytest.raises(DataError, match="must have a folder test or val"):
        load_data(str(tmp_path), SEEDS)
    (tmp_path / "train" / "empty" / "e.png").unlink()
    with pytest.raises(DataError, match="empty must hold pictures"):
        load_data(str(tmp_path), SEEDS)
