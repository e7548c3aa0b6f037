"""``rhnas build``: a finished search as program, ONNX model and Verilog."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rhnas.cli.output import Json, emit, stderr
from rhnas.errors import SettingsError

Scheme = Annotated[
    str,
    typer.Option(
        help="found, baseline, hardware_only, two_stage, one asked for beside them, or all.", metavar="NAME"
    ),
]


Schedule = Annotated[
    str | None,
    typer.Option(help="Compile by another schedule than the search's (VTA: best, upstream).", metavar="NAME"),
]


def schemes_of(name: str, directory: Path) -> tuple[str, ...]:
    """The schemes of a search that a name stands for.

    Raises:
        SettingsError: It is none.
    """
    from rhnas.build import SCHEMES, Design

    if name == "all":
        return Design.schemes_in(directory)
    if name not in SCHEMES:
        raise SettingsError(f"--scheme must be one of {', '.join(SCHEMES)} or all", got=name)
    return (name,)


def tell(text: str) -> None:
    """Progress, on stderr."""
    stderr.print(text, markup=False, soft_wrap=True)


def build(
    directory: Annotated[Path, typer.Argument(help="A finished search's directory.", metavar="DIR")],
    scheme: Scheme = "found",
    schedule: Schedule = None,
    json_output: Json = False,
) -> None:
    """Build what a search found: program, weights, memory map, ONNX model, Verilog, in DIR/build.

    Example: rhnas build runs/demo
    """
    from rhnas.build import Design
    from rhnas.build import build as build_design

    built: dict[str, dict[str, Any]] = {}
    for name in schemes_of(scheme, directory):
        design = Design.of(directory, name, schedule)
        manifest = build_design(design, tell)
        kept = {key: manifest[key] for key in ("label", "instructions", "cycles", "files", "skipped")}
        built[name] = {"folder": str(design.folder), **kept}

    def text(console: Console) -> None:
        for name, what in built.items():
            size = sum(file["bytes"] for file in what["files"].values())
            console.print(
                f"{name}: {what['label']}, {what['instructions']:,} instructions, "
                f"{what['cycles']['modelled']:,} cycles modelled",
                soft_wrap=True,
                markup=False,
            )
            console.print(f"  {what['folder']}: {len(what['files'])} files, {size:,} bytes", soft_wrap=True)
            for left_out, why in what["skipped"].items():
                console.print(f"  without {left_out}: {why}", soft_wrap=True, markup=False)

    emit({"schema": 1, "schemes": built}, json_output, text)
