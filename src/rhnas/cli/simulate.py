"""``rhnas simulate``: run a program bit for bit and cycle for cycle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rhnas.cli.output import Json, emit, stderr


def simulate(
    program_dir: Annotated[Path, typer.Argument(help="Folder with program.json and the files it names.")],
    timing: Annotated[
        str | None,
        typer.Option(help="Timing profile, public or rhnas; default: the program's own, or public."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Reading what was never written is an error.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Run an accelerator program: its cycles, and whether it leaves the memory it should.

    Example: rhnas simulate runs/demo/build/program --timing public
    """
    from rhnas.platform import load_platform

    result = load_platform().simulate(program_dir, timing=timing, strict=strict)
    for warning in result.warnings:
        stderr.print(f"warning: {warning}", soft_wrap=True, markup=False)

    def text(console: Console) -> None:
        console.print(f"{result.cycles:,} cycles")
        for part, cycles in result.busy_cycles.items():
            console.print(f"  {part:8} busy {cycles:>12,}  {cycles / result.cycles:6.1%}")
        if result.matches:
            console.print("memory is as expected, bit for bit")
        elif result.matches is False:
            console.print(f"memory differs from the expectation, first at byte {result.first_difference:#x}")

    emit({"cycles": result.cycles, "matches": result.matches}, json_output, text)
    if result.matches is False:
        raise typer.Exit(1)
