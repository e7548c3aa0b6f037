"""Tools of the open FPGA flow, Yosys and nextpnr, run in a folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from rhnas.errors import ToolFailedError
from rhnas.tools import find_tool, tail


def run_tool(
    name: str, arguments: list[str], folder: Path, watch: Callable[[str], None] | None = None
) -> str:
    """Run a tool in a folder; returns what it printed.

    Args:
        name: The tool.
        arguments: Its arguments.
        folder: Where it runs.
        watch: Gets each line as it is printed; the tool is killed when this raises.

    Raises:
        MissingToolError: It is not installed.
        ToolFailedError: It fails; carries its last lines.
    """
    command, _ = find_tool(name)
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603
        [*command, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout is not None  # noqa: S101 - it is a pipe
        try:
            for line in running.stdout:
                lines.append(line)
                if watch is not None:
                    watch(line)
        except BaseException:
            running.kill()
            raise
    printed = "".join(lines)
    if running.returncode:
        raise ToolFailedError(f"{name} must succeed", got=f"exit {running.returncode}:\n{tail(printed)}")
    return printed
