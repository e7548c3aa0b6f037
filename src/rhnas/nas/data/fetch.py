"""Fetching a data set: resumable, verified before it is unpacked, and in place only when whole."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from rhnas.errors import DataError, SettingsError

Progress = Callable[[int, int], None]
"""Called with bytes present and bytes in all (0 where the server does not say)."""

_CHUNK_BYTES = 1 << 18
_TIMEOUT_SECONDS = 30
_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A published archive.

    Attributes:
        url: Where its authors publish it.
        md5: The checksum they publish with it.
        folder: The folder it unpacks to.
        files: Files in that folder that must be there, with their sizes in bytes.
    """

    url: str
    md5: str
    folder: str
    files: Mapping[str, int]

    def is_whole(self, folder: Path) -> bool:
        """Whether all files lie in ``folder`` in full size."""
        paths = ((folder / name, size) for name, size in self.files.items())
        return all(path.is_file() and path.stat().st_size == size for path, size in paths)


_CIFAR10_NAMES = (*(f"data_batch_{index}.bin" for index in range(1, 6)), "test_batch.bin")

ARCHIVES = {
    # https://www.cs.toronto.edu/~kriz/cifar.html, "CIFAR-10 binary version"
    "cifar10": Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        folder="cifar-10-batches-bin",
        files=dict.fromkeys(_CIFAR10_NAMES, 30_730_000),
    )
}
"""What can be fetched, by name."""


def fetch(
    archive: Archive, folder: Path, *, url: str | None = None, progress: Progress | None = None
) -> bool:
    """Bring an archive's files under ``folder``.

    A download that was cut short is continued; nothing is unpacked before the checksum is right, and the
    data set's folder appears in one step.

    Args:
        archive: What to fetch.
        folder: Where its folder will lie.
        url: A mirror or ``file://`` address of the same archive; the checksum stays the published one.
        progress: Called as bytes arrive.

    Returns:
        False if everything was there already.

    Raises:
        DataError: No network, wrong checksum, not the expected files, or the disk is full.
        SettingsError: The address is neither http, https nor file.
    """
    target = folder / archive.folder
    if archive.is_whole(target):
        return False
    address = archive.url if url is None else url
    partial = folder / f".{archive.folder}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _download(address, partial, progress)
        _verify(partial, archive.md5, address)
        _unpack(archive, partial, target)
        partial.unlink()
    except OSError as error:
        raise DataError(
            f"{folder} must be writable",
            got=error.strerror or error,
            fix="free disk space or choose another folder; run it again to go on where it stopped",
        ) from error
    return True


def _download(address: str, partial: Path, progress: Progress | None) -> None:
    if not address.startswith(("http://", "https://", "file://")):
        raise SettingsError("an address must start with http://, https:// or file://", got=address)
    present = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address)  # noqa: S310  the scheme was checked above
    if present:
        request.add_header("Range", f"bytes={present}-")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            resumed = response.status == _PARTIAL_CONTENT
            present = present if resumed else 0
            total = present + int(response.headers.get("Content-Length", 0))
            with partial.open("ab" if resumed else "wb") as stream:
                while chunk := response.read(_CHUNK_BYTES):
                    stream.write(chunk)
                    present += len(chunk)
                    if progress is not None:
                        progress(present, total)
    except urllib.error.HTTPError as error:
        if error.code == _RANGE_NOT_SATISFIABLE:
            return
        raise _unreachable(address, error) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
        raise _unreachable(address, error) from error
    if present < total:
        raise _unreachable(address, f"the connection ended after {present:,} of {total:,} bytes")


def _unreachable(address: str, reason: object) -> DataError:
    return DataError(
        f"{address} must be reachable",
        got=getattr(reason, "reason", None) or reason,
        fix="run it again, it goes on where it stopped; without a network, fetch the file elsewhere and "
        "give --url file:///PATH",
    )


def _verify(partial: Path, md5: str, address: str) -> None:
    with partial.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        partial.unlink()
        raise DataError(
            f"the checksum of {address} must be {md5}", got=found, fix="run it again; the file was discarded"
        )


def _take_files(archive: Archive, stream: tarfile.TarFile, target: Path) -> None:
    """The files that are wanted and no other; Python's own filter is missing before 3.11.4."""
    (target / archive.folder).mkdir()
    for name in archive.files:
        with suppress(KeyError):
            member = stream.extractfile(f"{archive.folder}/{name}")
            if member is not None:
                with (target / archive.folder / name).open("wb") as file:
                    shutil.copyfileobj(member, file)


def _unpack(archive: Archive, packed: Path, target: Path) -> None:
    """Unpack beside ``target`` and rename; files that were there but not whole are replaced."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{archive.folder}.") as scratch:
        try:
            with tarfile.open(packed) as stream:
                _take_files(archive, stream, Path(scratch))
        except tarfile.TarError as error:
            raise DataError(f"{packed} must be a tar archive", got=error) from error
        unpacked = Path(scratch) / archive.folder
        if not archive.is_whole(unpacked):
            raise DataError(
                f"the archive must hold {', '.join(archive.files)} in a folder {archive.folder}",
                got=sorted(path.name for path in unpacked.glob("*")) or "none of them",
            )
        if target.exists():
            shutil.rmtree(target)
        unpacked.rename(target)
