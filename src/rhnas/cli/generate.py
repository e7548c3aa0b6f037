"""``rhnas generate``: an accelerator as Verilog, without any search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rhnas.cli.output import Json, emit, stderr


def generate(
    accelerator: Annotated[
        str, typer.Option(help="default, a vta_config.json, or KEY=VAL,KEY=VAL changes to the default.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files; its earlier ones are replaced.")],
    json_output: Json = False,
) -> None:
    """Write an accelerator as Verilog, with its configuration and a manifest of ports and registers.

    Example: rhnas generate --accelerator LOG_BLOCK=3 --out build/small
    """
    from rhnas.platform import load_platform

    platform = load_platform()
    row = platform.parse(accelerator)
    stderr.print(f"generating {platform.label(row)}", markup=False)
    manifest = platform.generate(row, out)

    def text(console: Console) -> None:
        for name, file in manifest["files"].items():
            console.print(f"{file['bytes']:>12,} bytes  {out / name}", soft_wrap=True, markup=False)
        console.print(f"ports, registers and timing: {out / 'manifest.json'}", soft_wrap=True, markup=False)

    emit(manifest, json_output, text)
