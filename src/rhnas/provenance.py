"""Where a figure comes from: what stands in every JSON file beside the figures."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import rhnas

SCHEMA = 1
"""Version of the JSON files' layout; raised when a key changes its meaning."""

LIBRARIES = ("numpy", "numba", "torch", "pydantic", "scikit-learn")
"""Libraries whose version may change a figure."""


def provenance(
    *, configuration: str | None = None, seed: int | None = None, threads: int | None = None
) -> dict[str, Any]:
    """What a reader needs to get the same figures again.

    Args:
        configuration: Identity of the settings.
        seed: The run's one seed.
        threads: Threads the run used; the processors of the machine if not given.

    Example:
        >>> sorted(provenance(seed=0))[:3]
        ['commit', 'configuration', 'libraries']
    """
    return {
        "version": rhnas.__version__,
        "commit": commit(),
        "configuration": configuration,
        "seed": seed,
        "threads": threads if threads is not None else os.cpu_count(),
        "machine": machine(),
        "libraries": libraries(),
    }


@functools.cache
def commit() -> str | None:
    """The commit of the source tree, ending in ``+`` if it was changed since.

    Outside of a clone, as in a container, it is what ``RHNAS_COMMIT`` says, else None.
    """
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603
                ["git", "-C", str(here), *arguments],  # noqa: S607
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return os.environ.get("RHNAS_COMMIT")
    head = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", ".")
    return None if head is None else head + ("+" if changed else "")


@functools.cache
def code_identity() -> str:
    """Sixteen hexadecimal digits of the package's source: what other code has made is out of date."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def machine() -> dict[str, Any]:
    """Processor, cores, system and Python; no name of the host."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def libraries() -> dict[str, str]:
    """Installed versions, found without importing anything."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
