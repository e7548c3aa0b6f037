"""Decoded pictures: in memory, or in a file mapped into it where they are many; each is decoded once.

What is larger than ``MEMORY_BYTES`` goes to the cache folder. A file there is known by the pictures' paths,
sizes and times, so that a changed data set is decoded anew; a process that was killed goes on where it stood.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from rhnas.errors import DataError, RhnasError
from rhnas.files import cache_folder, locked
from rhnas.nas.data.dataset import Part
from rhnas.workload import IntArray

logger = logging.getLogger(__name__)

MEMORY_BYTES = 1 << 31
"""Pixels of one part that may lie in memory."""

BLOCK = 1024
"""Pictures between two notes of how far decoding is."""

WAITING, BROKEN = -2, -1
"""In place of the label of a picture that has not been decoded, or cannot be."""

Decode = Callable[[Path], np.ndarray]


def decoded(
    files: Sequence[Path], labels: IntArray, shape: tuple[int, int, int], decode: Decode, *, skip_broken: bool
) -> Part:
    """Pictures from files, in their order but for the last ones, which fill the places of broken files.

    Args:
        files: One per picture.
        labels: int64 (N,).
        shape: (channels, height, width) of every picture.
        decode: One file as uint8 of that shape; raises DataError.
        skip_broken: Leave out files that cannot be decoded, each with a warning.

    Raises:
        DataError: A file is broken and broken ones are not to be skipped, or all are.
        RhnasError: The cache folder has no room.
    """
    whole = (len(files), *shape)
    if np.prod(whole, dtype=np.int64) <= MEMORY_BYTES:
        pixels, kept = np.empty(whole, dtype=np.uint8), np.full(len(files), WAITING)
        _decode(files, labels, pixels, kept, decode, skip_broken=skip_broken)
    else:
        pixels, kept = _mapped(files, labels, whole, decode, skip_broken=skip_broken)
    count = int((kept != BROKEN).sum())
    if not count:
        raise DataError("at least one picture must be readable", got=f"{len(files)} broken files")
    return Part(torch.from_numpy(pixels[:count]), torch.from_numpy(np.array(kept[:count])))


def _decode(
    files: Sequence[Path],
    labels: IntArray,
    pixels: np.ndarray,
    kept: IntArray,
    decode: Decode,
    *,
    skip_broken: bool,
) -> None:
    """Decode what is still waiting, then close the gaps that broken files left."""

    def one(index: int) -> None:
        try:
            pixels[index] = decode(files[index])
        except DataError as error:
            if not skip_broken:
                raise
            logger.warning("skipped %s: %s", files[index], error.got)
            kept[index] = BROKEN
        else:
            kept[index] = labels[index]

    waiting = np.flatnonzero(kept == WAITING)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(waiting), BLOCK):
            for _ in pool.map(one, waiting[start : start + BLOCK].tolist()):
                pass
            if len(waiting) > BLOCK:
                logger.info("decoded %d of %d pictures", start + BLOCK, len(waiting))
    _close_gaps(pixels, kept)


def _close_gaps(pixels: np.ndarray, kept: IntArray) -> None:
    last = len(kept) - 1
    for gap in np.flatnonzero(kept == BROKEN):
        while last > gap and kept[last] == BROKEN:
            last -= 1
        if last <= gap:
            break
        pixels[gap] = pixels[last]
        kept[gap], kept[last] = kept[last], BROKEN


def _mapped(
    files: Sequence[Path], labels: IntArray, shape: tuple[int, ...], decode: Decode, *, skip_broken: bool
) -> tuple[np.ndarray, IntArray]:
    """Pixels and labels in files of the cache folder, decoded as far as they are not yet."""
    folder = cache_folder() / "pictures" / _identity(files, labels, shape)
    paths = folder / "pixels.npy", folder / "labels.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if not paths[1].exists():
                logger.info("decoding %d pictures into %s", len(files), folder)
                np.lib.format.open_memmap(paths[0], "w+", np.uint8, shape)
                made = np.lib.format.open_memmap(paths[1], "w+", np.int64, shape[:1])
                made[:] = WAITING
            pixels, kept = (np.lib.format.open_memmap(path, "r+") for path in paths)
            _decode(files, labels, pixels, kept, decode, skip_broken=skip_broken)
    except OSError as error:
        raise RhnasError(
            f"{folder} must take {np.prod(shape, dtype=np.int64):,} bytes of decoded pictures",
            got=error.strerror or error,
            fix="free disk space, or set XDG_CACHE_HOME to a larger disk",
        ) from error
    return pixels, kept


def _identity(files: Sequence[Path], labels: IntArray, shape: tuple[int, ...]) -> str:
    digest = hashlib.sha256(repr(shape).encode())
    for path, label in zip(files, labels.tolist(), strict=True):
        status = path.stat()
        digest.update(f"{path}\0{label}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
