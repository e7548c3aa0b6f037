"""Decoded pictures: mapped files hold what memory would, survive a kill, and notice changed pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rhnas.errors import DataError
from rhnas.nas.data import store
from rhnas.nas.data.store import decoded

SHAPE = (1, 2, 2)


def decode(path: Path) -> np.ndarray:
    """A file's number in every pixel; an empty one is broken."""
    text = path.read_text()
    if not text:
        raise DataError(f"{path} must be a picture", got="nothing")
    return np.full(SHAPE, int(text), dtype=np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{index}.txt" for index in range(9)]
    for index, path in enumerate(paths):
        path.write_text(str(index))
    return paths


@pytest.fixture(params=["memory", "mapped"])
def read(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "BLOCK", 2)
    if request.param == "mapped":
        monkeypatch.setattr(store, "MEMORY_BYTES", 8)

    def read(files: list[Path], decode: Callable = decode, *, skip_broken: bool = False):
        return decoded(files, 10 + np.arange(len(files)), SHAPE, decode, skip_broken=skip_broken)

    return read


def test_pictures_come_in_order_with_their_labels(files: list[Path], read: Callable) -> None:
    part = read(files)
    assert part.pictures.dtype == torch.uint8
    assert part.pictures[:, 0, 1, 1].tolist() == list(range(9))
    assert part.labels.tolist() == list(range(10, 19))


@pytest.mark.parametrize("broken", [[0], [3, 4], [8], [0, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8]])
def test_broken_pictures_are_left_out_and_labels_stay_with_theirs(
    files: list[Path], read: Callable, broken: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    for index in broken:
        files[index].write_text("")
    with pytest.raises(DataError, match="must be a picture"):
        read(files)
    part = read(files, skip_broken=True)
    assert sorted(part.pictures[:, 0, 0, 0].tolist()) == [i for i in range(9) if i not in broken]
    assert (part.labels - 10).tolist() == part.pictures[:, 0, 0, 0].tolist()
    assert sum("skipped" in message for message in caplog.messages) == len(broken)


def test_nothing_but_broken_pictures_is_no_data_set(files: list[Path], read: Callable) -> None:
    for path in files:
        path.write_text("")
    with pytest.raises(DataError, match="at least one picture must be readable; got 9 broken files"):
        read(files, skip_broken=True)


@pytest.mark.parametrize("read", ["mapped"], indirect=True)
def test_a_kill_loses_nothing_and_a_change_is_noticed(files: list[Path], read: Callable) -> None:
    seen: list[str] = []

    def until_the_sixth(path: Path) -> np.ndarray:
        if path.stem == "6":
            raise KeyboardInterrupt
        seen.append(path.stem)
        return decode(path)

    with pytest.raises(KeyboardInterrupt):
        read(files, until_the_sixth)
    before = set(seen)
    assert {"0", "1", "2", "3", "4", "5"} <= before

    def noting(path: Path) -> np.ndarray:
        seen.append(path.stem)
        return decode(path)

    seen.clear()
    assert read(files, noting).pictures[:, 0, 0, 0].tolist() == list(range(9))
    assert set(seen) == {str(index) for index in range(9)} - before
    seen.clear()
    read(files, noting)
    assert not seen, "decoded once"
    files[2].write_text("77")
    assert read(files, noting).pictures[2, 0, 0, 0] == 77
