"""How functions are compiled: without Python's lock, kept on disk for just these sources.

numba recompiles a function when its own file changes, but not when a function that it calls changes in
another file. What it keeps lies therefore in a folder named by all sources of the package: an update never
runs old code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import config, njit

from rhnas.files import cache_folder

Function = TypeVar("Function", bound=Callable[..., Any])


def sources_hash(folder: Path) -> str:
    """Identity of all Python sources under a folder, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


KEPT = Path(config.CACHE_DIR or cache_folder() / "compiled") / sources_hash(Path(__file__).parent)
"""Where compiled functions are kept; ``NUMBA_CACHE_DIR`` moves it."""


def compiled(function: Function) -> Function:
    """Compile a function that only compiled code calls; without wrappers that is several times faster."""
    return _compile(function, no_cpython_wrapper=True)


def inlined(function: Function) -> Function:
    """Compile a function into each place that calls it: for those that a search runs millions of times."""
    return _compile(function, no_cpython_wrapper=True, forceinline=True)


def entry(function: Function) -> Function:
    """Compile a function that Python calls."""
    return _compile(function)


def _compile(function: Function, **options: bool) -> Function:
    """Compile with C's division: divisors are positive, so that they need no check."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(KEPT)
    try:
        made: Function = njit(cache=True, nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)(
            function
        )
    finally:
        config.CACHE_DIR = before
    return made
