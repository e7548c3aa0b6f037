"""``rhnas report``: a run directory as one page, or as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rhnas.cli.output import Json, emit, stderr


def report(
    directory: Annotated[Path, typer.Argument(help="A search's directory.", metavar="DIR")],
    card: Annotated[bool, typer.Option("--card", help="Write one picture for a slide as well.")] = False,
    json_output: Json = False,
) -> None:
    """Render a search as one self-contained page, finished or not.

    Example: rhnas report runs/demo --card
    """
    from rhnas.report.card import render_card
    from rhnas.report.render import render

    page = render(directory)
    pictures = render_card(directory) if card else []
    if card and len(pictures) < 2:
        stderr.print("card.png needs Chromium (apt-get install chromium); card.svg is written")
    written = [page, *pictures]

    def show(console: Console) -> None:
        for path in written:
            console.print(str(path), markup=False, soft_wrap=True)

    named = {path.suffix[1:]: str(path) for path in pictures}
    emit({"schema": 1, "report": str(page), "card": named or None}, json_output, show)
