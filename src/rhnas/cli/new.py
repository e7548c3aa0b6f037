"""``rhnas new``: start a configuration from a preset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rhnas.cli.output import Json, emit
from rhnas.errors import SettingsError


def new(
    preset: Annotated[str, typer.Argument(help="Name of a preset, for example digits.")],
    file: Annotated[Path, typer.Argument(help="The configuration file to write.", metavar="FILE.toml")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it exists.")] = False,
    json_output: Json = False,
) -> None:
    """Write a preset's commented configuration to a file of your own.

    Example: rhnas new digits mine.toml, then rhnas search mine.toml --out runs/mine
    """
    from rhnas.files import write_atomically
    from rhnas.settings import preset_text

    text = preset_text(preset)
    if file.exists() and not overwrite:
        raise SettingsError(
            "the configuration file must not exist yet",
            got=file,
            fix="choose another name or add --overwrite",
        )
    write_atomically(file, text)

    def show(console: Console) -> None:
        console.print(f"wrote {file}; next: rhnas search {file} --out runs/{file.stem}", markup=False)

    emit({"schema": 1, "preset": preset, "file": str(file)}, json_output, show)
