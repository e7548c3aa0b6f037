"""Augmentation against a plain loop over pictures, and its draws against their distribution."""

import pytest
import torch

from rhnas.nas.data.augment import Augmentation


def pictures(count: int = 64, channels: int = 3, height: int = 6, width: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(1, 256, (count, channels, height, width), generator=generator).byte()


def every_crop(picture: torch.Tensor, shift: int, flip: bool) -> dict[bytes, tuple[int, int, bool]]:
    """All pictures one picture can become, by explicit slicing."""
    found = {}
    _, height, width = picture.shape
    for mirrored in (False, True) if flip else (False,):
        padded = torch.zeros(picture.shape[0], height + 2 * shift, width + 2 * shift, dtype=torch.uint8)
        source = picture.flip(2) if mirrored else picture
        padded[:, shift : shift + height, shift : shift + width] = source
        for y in range(2 * shift + 1):
            for x in range(2 * shift + 1):
                crop = padded[:, y : y + height, x : x + width].contiguous()
                found[crop.numpy().tobytes()] = (y, x, mirrored)
    return found


@pytest.mark.parametrize(("shift", "flip"), [(0, False), (1, False), (2, True), (0, True)])
def test_every_result_is_a_crop_and_every_crop_comes_up(shift: int, flip: bool) -> None:
    (one,) = pictures(1)
    crops = every_crop(one, shift, flip)
    batch = one.expand(2000, -1, -1, -1)
    result = Augmentation(shift=shift, flip=flip)(batch, torch.Generator().manual_seed(0))
    drawn = [crops[picture.numpy().tobytes()] for picture in result]
    counts = torch.tensor([drawn.count(crop) for crop in crops.values()]).double()
    expected = 2000 / len(crops)
    assert (counts > expected / 3).all()
    assert (counts < expected * 2).all()


def test_each_picture_draws_its_own_and_channels_move_together() -> None:
    batch = pictures()
    result = Augmentation(shift=1, flip=True)(batch, torch.Generator().manual_seed(0))
    drawn = [
        every_crop(before, 1, True)[after.numpy().tobytes()]
        for before, after in zip(batch, result, strict=True)
    ]
    assert len(set(drawn)) == 18
    assert result.dtype == torch.uint8


def test_same_generator_same_pictures_and_the_input_stays() -> None:
    batch = pictures()
    before = batch.clone()
    augment = Augmentation(shift=2, flip=True, cutout=3)
    first = augment(batch, torch.Generator().manual_seed(5))
    assert torch.equal(first, augment(batch, torch.Generator().manual_seed(5)))
    assert not torch.equal(first, augment(batch, torch.Generator().manual_seed(6)))
    assert torch.equal(batch, before)


def test_nothing_asked_nothing_changed() -> None:
    batch = pictures()
    assert torch.equal(Augmentation()(batch, torch.Generator().manual_seed(0)), batch)


def test_cutout_is_one_square_that_may_hang_over_the_edge() -> None:
    batch = pictures(400, height=8, width=8)
    result = Augmentation(cutout=3)(batch, torch.Generator().manual_seed(0))
    sizes = set()
    for before, after in zip(batch, result, strict=True):
        black = (after == 0).all(0)
        rows, columns = black.any(1), black.any(0)
        assert torch.equal(black, rows[:, None] & columns[None])
        assert torch.equal(after[:, ~black], before[:, ~black])
        sizes.add((int(rows.sum()), int(columns.sum())))
    assert sizes == {(height, width) for height in (2, 3) for width in (2, 3)}


def test_random_crops_stay_within_the_picture_and_reach_its_edges() -> None:
    """A ramp along an axis tells, at both ends of a result, where its crop begins and ends."""
    size, count, least = 32, 400, 0.25
    ramp = (8 * torch.arange(size)).byte()
    picture = torch.stack([ramp.expand(size, -1), ramp[:, None].expand(-1, size)])
    batch = picture.expand(count, -1, -1, -1)
    found = Augmentation(crop=least)(batch, torch.Generator().manual_seed(0)).double() / 8
    across, down = found[:, 0, 0], found[:, 1, :, 0]  # (count, size) positions in pixels
    sides = [(line[:, -2] - line[:, 1]) / (size - 3) for line in (across, down)]
    area = sides[0] * sides[1]
    assert found.min() >= 0
    assert found.max() <= size - 1
    assert least * 0.9 < area.min() < least * 1.3
    assert area.max() > 0.9
    ratio = sides[0] / sides[1]
    assert 0.7 < ratio.min() < ratio.max() < 1.43
    assert abs(area.mean() - (1 + least) / 2) < 0.05
    for line in (across, down):
        assert line[:, 0].min() < 1
        assert line[:, -1].max() > size - 2


def test_a_crop_of_everything_changes_nothing() -> None:
    batch = pictures(4)
    assert torch.equal(Augmentation(crop=1.0)(batch, torch.Generator().manual_seed(0)), batch)
