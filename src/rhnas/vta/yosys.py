"""Tools of the open FPGA flow as programs: Yosys and nextpnr, from wheels or from the system."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from rhnas.errors import MissingToolError, ToolFailedError

TAIL_LINES = 15
FIX = "pip install 'rhnas[hardware]'"
STARTERS = {"yosys": "run_yosys", "nextpnr-ecp5": "run_nextpnr_ecp5"}
"""Function of each tool's wheel that runs it."""


@cache
def find_tool(name: str) -> tuple[tuple[str, ...], str]:
    """Command and version of ``yosys`` or ``nextpnr-ecp5``: the wheel's, else the system's.

    Raises:
        MissingToolError: There is none.
    """
    wheel = f"yowasp_{name.replace('-', '_')}"
    if find_spec(wheel) is not None:
        start = f"import sys, {wheel}; sys.exit({wheel}.{STARTERS[name]}(sys.argv[1:]))"
        return (sys.executable, "-c", start), f"{wheel.replace('_', '-')} {version(wheel)}"
    system = shutil.which(name)
    if system is None:
        raise MissingToolError(f"{name} must be installed", fix=FIX)
    done = subprocess.run([system, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return (system,), (done.stdout + done.stderr).strip().splitlines()[0]


def run_tool(name: str, arguments: list[str], folder: Path) -> str:
    """Run a tool in a folder; returns what it printed.

    Raises:
        MissingToolError: It is not installed.
        ToolFailedError: It fails; carries its last lines.
    """
    command, _ = find_tool(name)
    done = subprocess.run(  # noqa: S603
        [*command, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    printed = done.stdout + done.stderr
    if done.returncode:
        tail = "\n".join(printed.strip().splitlines()[-TAIL_LINES:])
        raise ToolFailedError(f"{name} must succeed", got=f"exit {done.returncode}:\n{tail}")
    return printed
