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
    fpga: Annotated[
        str | None,
        typer.Option(
            help="Use this part's multipliers: xc7z020, xczu3eg, LFE5U-85F; else text for any tool."
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Write an accelerator as Verilog, with its configuration and a manifest of ports and registers.

    Example: rhnas generate --accelerator LOG_BLOCK=3 --out build/small

    Example: rhnas generate --accelerator default --fpga xc7z020 --out build/zynq
    """
    from rhnas.platform import load_platform

    platform = load_platform()
    row = platform.parse(accelerator)
    stderr.print(f"generating {platform.label(row)}", markup=False)
    manifest = platform.generate(row, out, fpga)

    def text(console: Console) -> None:
        for name, file in manifest["files"].items():
            note = "  (for simulation only)" if name in manifest.get("simulation_only", ()) else ""
            console.print(f"{file['bytes']:>12,} bytes  {out / name}{note}", soft_wrap=True, markup=False)
        console.print(f"ports, registers and timing: {out / 'manifest.json'}", soft_wrap=True, markup=False)

    emit(manifest, json_output, text)
