"""Data sets in known formats: scikit-learn's digits, which need no file, and CIFAR-10's binary version."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from rhnas.errors import DataError
from rhnas.files import find_data
from rhnas.nas.data.augment import Augmentation
from rhnas.nas.data.dataset import DataSet, Part, channel_statistics, split
from rhnas.nas.data.fetch import ARCHIVES
from rhnas.seeds import Seeds

DIGITS_TEST_PICTURES = 797

CIFAR10_FOLDER = ARCHIVES["cifar10"].folder
CIFAR10_FILES = tuple(ARCHIVES["cifar10"].files)
CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_RECORD_BYTES = 1 + 3 * 32 * 32
_RECORDS = 10_000


def digits(seeds: Seeds, *, validation: int = 200) -> DataSet:
    """The 1,797 handwritten digits of scikit-learn, 8x8 pixels of 17 grey levels.

    The 797 test pictures are the same for every seed.

    Example:
        >>> data = digits(Seeds(root=0))
        >>> len(data.train), len(data.validation), len(data.read_test())
        (800, 200, 797)
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    pixels = np.rint(source.images * (255 / 16)).astype(np.uint8)[:, None]
    whole = Part(torch.from_numpy(pixels), torch.from_numpy(source.target.astype(np.int64)))
    fixed = Seeds(root=0).child("digits").child("test")
    rest, test = split(len(whole), DIGITS_TEST_PICTURES, fixed, what="the test part")
    return divide(
        "digits",
        tuple(str(digit) for digit in range(10)),
        whole.take(rest),
        partial(whole.take, test),
        seeds,
        validation=validation,
        augmentation=Augmentation(shift=1),
    )


def cifar10(seeds: Seeds, *, validation: int = 5_000, folder: Path | None = None) -> DataSet:
    """CIFAR-10 from the standard binary batches (Krizhevsky 2009).

    Args:
        seeds: Of the split into training and validation part.
        validation: Pictures set aside from the 50,000 training pictures.
        folder: With the six ``.bin`` files; else ``cifar-10-batches-bin`` under ``RHNAS_DATA``.

    Raises:
        DataError: A file is missing, truncated or holds a label above 9.
    """
    folder = find_data(CIFAR10_FOLDER) if folder is None else folder
    if folder is None:
        raise DataError(
            f"CIFAR-10 must lie in a folder {CIFAR10_FOLDER} under an entry of RHNAS_DATA",
            got="none there",
            fix="run `rhnas data cifar10 DIR` and set RHNAS_DATA=DIR",
        )
    for name in CIFAR10_FILES:
        _check_size(folder / name)
    batches = [_read_batch(folder / name) for name in CIFAR10_FILES[:-1]]
    whole = Part(torch.cat([b.pictures for b in batches]), torch.cat([b.labels for b in batches]))
    return divide(
        "cifar10",
        CIFAR10_CLASSES,
        whole,
        partial(_read_batch, folder / CIFAR10_FILES[-1]),
        seeds,
        validation=validation,
        augmentation=Augmentation(shift=4, flip=True),
    )


def divide(
    name: str,
    classes: tuple[str, ...],
    whole: Part,
    test_loader: partial[Part],
    seeds: Seeds,
    *,
    validation: int,
    augmentation: Augmentation,
) -> DataSet:
    """A data set whose validation part is drawn at random from the training set ``whole``."""
    chosen = seeds.child("data").child("validation")
    kept, held = split(len(whole), validation, chosen, what="the validation part")
    train = whole.take(kept)
    mean, std = channel_statistics(train)
    return DataSet(
        name=name,
        classes=classes,
        train=train,
        validation=whole.take(held),
        mean=mean,
        std=std,
        augmentation=augmentation,
        test_loader=test_loader,
    )


def _check_size(path: Path) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size != _RECORDS * _RECORD_BYTES:
        raise DataError(
            f"{path} must have {_RECORDS * _RECORD_BYTES:,} bytes",
            got="no file" if size is None else f"{size:,} bytes",
            fix=f"fetch it again: rhnas data cifar10 {path.parent.parent}",
        )


def _read_batch(path: Path) -> Part:
    """A binary batch: per picture one label byte, then the red, green and blue plane."""
    _check_size(path)
    records = np.fromfile(path, dtype=np.uint8).reshape(_RECORDS, _RECORD_BYTES)
    if records[:, 0].max() >= len(CIFAR10_CLASSES):
        row = int(records[:, 0].argmax())
        raise DataError(f"labels of {path} must be 0 to 9", got=f"{records[row, 0]} at picture {row}")
    pixels = np.ascontiguousarray(records[:, 1:]).reshape(_RECORDS, 3, 32, 32)
    return Part(torch.from_numpy(pixels), torch.from_numpy(records[:, 0].astype(np.int64)))
