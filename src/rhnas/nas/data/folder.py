"""Image folders: one folder per class, or the layout of Tiny ImageNet; only what is used is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from rhnas.errors import DataError
from rhnas.nas.data.augment import Augmentation
from rhnas.nas.data.dataset import DataSet, Part, channel_statistics, permutation, split
from rhnas.nas.data.store import decoded
from rhnas.seeds import Seeds
from rhnas.workload import IntArray

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".ppm"})
_RESIZE_MARGIN = 256 / 224
"""Resize the short side to 256 and crop 224, as is the custom for ImageNet (Krizhevsky et al. 2012)."""
_LARGE = 64
"""Pixels from which on pictures are treated as ImageNet's are."""
_CROP = 0.08
"""Least share of a large picture that training sees of it (Szegedy et al. 2015)."""


@dataclass(frozen=True, kw_only=True)
class PictureFormat:
    """How files become pixels: resize, centre crop, number of channels.

    Attributes:
        shape: (channels, height, width) of every picture; 1 channel for grey, 3 for RGB.
        skip_broken: Leave out files that cannot be decoded instead of refusing the data set.
    """

    shape: tuple[int, int, int]
    skip_broken: bool = False

    def decode(self, path: Path) -> np.ndarray:
        """One file as uint8 (C, H, W).

        Raises:
            DataError: The file is not a picture, or it ends too early.
        """
        channels, height, width = self.shape
        try:
            with Image.open(path) as image:
                picture = image.convert("L" if channels == 1 else "RGB")
        except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(
                f"{path} must be a picture that can be decoded", got=error, fix="replace or delete it"
            ) from error
        if picture.size != (width, height):
            picture = self._resized(picture)
        pixels = np.asarray(picture)
        return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)

    def _resized(self, picture: Image.Image) -> Image.Image:
        """Short side resized with a margin for large pictures, then the centre."""
        _, height, width = self.shape
        margin = _RESIZE_MARGIN if min(height, width) >= _LARGE else 1.0
        scale = max(round(height * margin) / picture.height, round(width * margin) / picture.width)
        size = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
        resized = picture.resize(size, Image.Resampling.BILINEAR)
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        return resized.crop((left, top, left + width, top + height))

    def read(self, files: Sequence[Path], labels: IntArray) -> Part:
        """Decode files into one part.

        Raises:
            DataError: A file is broken and broken ones are not to be skipped, or all are.
        """
        return decoded(files, labels, self.shape, self.decode, skip_broken=self.skip_broken)


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """Files with their labels, int64 (N,)."""

    files: list[Path]
    labels: IntArray

    def read(self, indices: torch.Tensor, form: PictureFormat) -> Part:
        chosen = indices.numpy()
        return form.read([self.files[i] for i in chosen], self.labels[chosen])


def image_folder(
    root: Path,
    form: PictureFormat,
    seeds: Seeds,
    *,
    train: int | None = None,
    validation: int,
    test: int | None = None,
) -> DataSet:
    """Pictures in folders by class.

    The layouts understood: ``train/CLASS/...`` with ``test/CLASS/...`` or ``val/CLASS/...``; Tiny
    ImageNet's ``train/CLASS/images/*`` with ``val/images/*`` and ``val/val_annotations.txt``; and
    ``CLASS/...`` alone, of which a fixed fifth becomes the test part. A labelled ``val`` is the test part:
    our validation part comes from the training pictures.

    Args:
        root: The folder.
        form: Picture shape and what to do with broken files.
        seeds: Of the split and of the choice of fewer pictures.
        train: Training pictures to decode; all beyond the validation part if None.
        validation: Training pictures set aside.
        test: Test pictures to decode, a fixed choice; all if None.

    Raises:
        DataError: The layout is none of these, a class is missing, or a picture is broken.
    """
    training, testing, classes = _list(root)
    kept, held = split(
        len(training.files), validation, seeds.child("data").child("validation"), what="the validation part"
    )
    kept = _some(kept, train, seeds.child("subset"), "training")
    tested = _some(torch.arange(len(testing.files)), test, Seeds(root=0).child("test"), "test")
    learnt = training.read(kept, form)
    large = min(form.shape[1:]) >= _LARGE
    mean, std = channel_statistics(learnt)
    return DataSet(
        name=root.name,
        classes=classes,
        train=learnt,
        validation=training.read(held, form),
        mean=mean,
        std=std,
        augmentation=Augmentation(
            shift=0 if large else form.shape[1] // 8, crop=_CROP if large else 1.0, flip=True
        ),
        test_loader=partial(testing.read, tested, form),
    )


def _some(indices: torch.Tensor, count: int | None, seeds: Seeds, what: str) -> torch.Tensor:
    if count is None:
        return indices
    if not 1 <= count <= len(indices):
        raise DataError(f"there must be as many {what} pictures as asked for, {len(indices)}", got=count)
    return indices[permutation(len(indices), seeds)[:count]]


def _list(root: Path) -> tuple[_Listing, _Listing, tuple[str, ...]]:
    """Training files, test files, class names."""
    if not root.is_dir():
        raise DataError(f"the image folder {root} must exist", fix="give a path or set RHNAS_DATA")
    if not (root / "train").is_dir():
        classes = _classes(root)
        whole = _by_class(root, classes)
        fixed = Seeds(root=0).child("folder").child("test")
        parts = split(len(whole.files), max(1, len(whole.files) // 5), fixed, what="the test part")
        training, testing = (
            _Listing(files=[whole.files[i] for i in part], labels=whole.labels[part.numpy()])
            for part in parts
        )
        return training, testing, classes
    classes = _classes(root / "train")
    training = _by_class(root / "train", classes)
    annotations = root / "val" / "val_annotations.txt"
    if annotations.is_file():
        return training, _annotated(annotations, classes), classes
    for name in ("test", "val"):
        if (root / name).is_dir():
            return training, _by_class(root / name, classes), classes
    raise DataError(
        f"{root} must have a folder test or val beside train", fix="add one with labelled pictures"
    )


def _classes(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    if len(names) < 2:
        raise DataError(
            f"{folder} must have a folder per class",
            got=f"{len(names)} folders",
            fix="put pictures into FOLDER/CLASS/",
        )
    return names


def _by_class(folder: Path, classes: Sequence[str]) -> _Listing:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not found:
            raise DataError(f"class folder {folder / name} must hold pictures", got="none")
        files += found
        labels += [label] * len(found)
    return _Listing(files=files, labels=np.array(labels, dtype=np.int64))


def _annotated(annotations: Path, classes: Sequence[str]) -> _Listing:
    """Tiny ImageNet's list: file name, class and a box, separated by tabs."""
    rows = [line.split("\t") for line in annotations.read_text(encoding="utf-8").splitlines() if line]
    label = {name: index for index, name in enumerate(classes)}
    unknown = [row for row in rows if len(row) < 2 or row[1] not in label]
    if unknown or not rows:
        raise DataError(
            f"every line of {annotations} must name a file and a class",
            got=unknown[0] if unknown else "no lines",
        )
    return _Listing(
        files=[annotations.parent / "images" / row[0] for row in rows],
        labels=np.array([label[row[1]] for row in rows], dtype=np.int64),
    )
