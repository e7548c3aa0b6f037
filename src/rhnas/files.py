"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rhnas.errors import RhnasError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace ``path`` with ``content`` in one step.

    The content goes to a temporary file in the same folder, is flushed to disk, and is renamed over
    ``path``; a crash or a full disk leaves the previous file as it was.

    Raises:
        RhnasError: The disk is full or the folder cannot be written.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> write_atomically(target, "hello")
        >>> target.read_text()
        'hello'
    """
    data = content.encode() if isinstance(content, str) else content
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise RhnasError(
            f"{path} must be writable",
            got=error.strerror or error,
            fix="free disk space or choose another --out; what was there before is untouched",
        ) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only process that works on a folder; a killed one holds nothing."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(folder: Path, keep: Sequence[str] = ()) -> Iterator[Path]:
    """A new folder that takes the place of ``folder`` once all of it is written.

    The block writes into the folder it is given. If it raises or is killed, ``folder`` stays as it was; what
    a killed block left is removed by the next one. One process at a time.

    Args:
        folder: What is replaced, or made.
        keep: Entries that are carried over from the folder before.

    Raises:
        RhnasError: The disk is full or the folder cannot be replaced.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "a"
        >>> with replacing(target) as new:
        ...     _ = (new / "b").write_text("hello")
        >>> (target / "b").read_text()
        'hello'
    """
    new, old = (folder.with_name(f".{folder.name}.{name}") for name in ("new", "old"))
    try:
        for stale in (new, old):
            shutil.rmtree(stale, ignore_errors=True)
        new.mkdir(parents=True)
        yield new
        if folder.exists():
            for entry in keep:
                if (folder / entry).exists():
                    (folder / entry).rename(new / entry)
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise RhnasError(
            f"{folder} must be replaceable",
            got=error.strerror or error,
            fix="free disk space, then try again",
        ) from error
    finally:
        for stale in (new, old):
            shutil.rmtree(stale, ignore_errors=True)


def canonical_json(value: Any) -> str:
    """One fixed text per value: sorted keys, no spaces; what identities are hashed from."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an indented JSON object atomically; NaN is refused, since JSON has none."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RhnasError: The file is absent, not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RhnasError(f"{path} must be readable", got=error.strerror or error) from error
    except ValueError as error:
        raise RhnasError(f"{path} must hold JSON", got=error, fix="write it again or delete it") from error
    if not isinstance(value, dict):
        raise RhnasError(f"{path} must hold one JSON object", got=type(value).__name__)
    return value


def find_data(name: str) -> Path | None:
    """The first file or folder called ``name`` under the entries of ``RHNAS_DATA`` (separated by ``:``).

    Example:
        >>> find_data("no-such-data-set") is None
        True
    """
    entries = [entry for entry in os.environ.get("RHNAS_DATA", "").split(os.pathsep) if entry]
    return next((path for path in (Path(entry) / name for entry in entries) if path.exists()), None)


def cache_folder() -> Path:
    """Where what can be made again is kept: ``$XDG_CACHE_HOME/rhnas``, or ``~/.cache/rhnas``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rhnas"
