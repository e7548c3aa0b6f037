"""Tools of the open FPGA flow, Yosys and nextpnr, run in a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rhnas.errors import ToolFailedError
from rhnas.tools import find_tool, tail


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
        raise ToolFailedError(f"{name} must succeed", got=f"exit {done.returncode}:\n{tail(printed)}")
    return printed
