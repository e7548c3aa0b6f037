"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rhnas.errors import DataError
from rhnas.files import find_data
from rhnas.nas.data.dataset import DataSet, random_part
from rhnas.nas.data.folder import PictureFormat, image_folder
from rhnas.nas.data.sources import cifar10, digits
from rhnas.seeds import Seeds
from rhnas.settings import Settings

BUILT_IN: dict[str, Callable[..., DataSet]] = {"digits": digits, "cifar10": cifar10}
"""Data sets of known format and picture shape."""


def load_data(
    name: str,
    seeds: Seeds,
    *,
    picture: tuple[int, int, int] | None = None,
    train: int | None = None,
    validation: int = 200,
    test: int | None = None,
    skip_broken: bool = False,
) -> DataSet:
    """A data set by its name, or an image folder by its path.

    Args:
        name: ``digits``, ``cifar10``, or a folder: a path, or a name under ``RHNAS_DATA``
            (``tiny_imagenet32``).
        seeds: Of splits and subsets; the test part does not depend on it.
        picture: The (channels, height, width) the network reads; folders are resized to it.
        train: Training pictures used; all beyond the validation part if None.
        validation: Training pictures that choose and never train.
        test: Test pictures, a fixed choice; all if None.
        skip_broken: In a folder, leave out pictures that cannot be decoded (each is named in the log).

    Raises:
        DataError: The data set is missing, truncated, broken, or does not have the picture's shape.

    Example:
        >>> data = load_data("digits", Seeds(root=0), train=100)
        >>> len(data.train), data.picture
        (100, (1, 8, 8))
    """
    if name not in BUILT_IN:
        form = PictureFormat(shape=picture or (3, 224, 224), skip_broken=skip_broken)
        return image_folder(_folder(name), form, seeds, train=train, validation=validation, test=test)
    data = BUILT_IN[name](seeds, validation=validation)
    if picture is not None and data.picture != picture:
        raise DataError(
            f"the pictures of {name!r} must have the shape the network reads, {picture}",
            got=data.picture,
            fix="choose a network space for this data set",
        )
    if train is not None:
        data = data.subset(train, seeds)
    if test is not None:
        whole = data.test_loader
        fixed = Seeds(root=0).child("test")
        data = replace(data, test_loader=lambda: random_part(whole(), test, fixed))
    return data


def task_data(settings: Settings, picture: tuple[int, int, int]) -> DataSet:
    """The data set of a run, its parts split as the run splits them.

    Args:
        settings: Of the run.
        picture: As ``load_data``.

    Raises:
        DataError: As ``load_data``.
    """
    task = settings.task
    return load_data(
        task.data,
        Seeds(root=settings.run.seed),
        picture=picture,
        train=task.train,
        validation=task.validation,
        test=task.test,
        skip_broken=task.skip_broken,
    )


def _folder(name: str) -> Path:
    path = Path(name)
    found = path if path.is_dir() else find_data(name)
    if found is None or not found.is_dir():
        raise DataError(
            f"a data set must be one of {', '.join(BUILT_IN)}, or an image folder (a path, or a name "
            "under RHNAS_DATA)",
            got=repr(name),
            fix="check the spelling; a folder holds train/CLASS/ and val/CLASS/, or CLASS/",
        )
    return found
