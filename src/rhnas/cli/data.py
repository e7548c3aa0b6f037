"""``rhnas data``: fetch a data set and check it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from rhnas.cli.output import Json, emit, stderr


def data(
    name: Annotated[str, typer.Argument(help="cifar10 (170 MB); digits needs no files.")],
    folder: Annotated[Path, typer.Argument(help="Where its folder will lie; then set RHNAS_DATA to it.")],
    url: Annotated[str | None, typer.Option(help="A mirror or file:// address of the same archive.")] = None,
    json_output: Json = False,
) -> None:
    """Fetch a data set with its published checksum; continues where it stopped, checks what is there.

    Example: rhnas data cifar10 ~/data && export RHNAS_DATA=~/data
    """
    from rhnas.errors import SettingsError
    from rhnas.nas.data.fetch import ARCHIVES, fetch

    if name not in ARCHIVES:
        raise SettingsError(
            f"a data set that can be fetched must be one of {', '.join(ARCHIVES)}",
            got=repr(name),
            fix="digits comes with scikit-learn; image folders are used where they lie",
        )
    with _bar() as bar:
        task = bar.add_task(name, total=None, start=False)

        def show(done: int, total: int) -> None:
            bar.start_task(task)
            bar.update(task, completed=done, total=total or None)

        fetched = fetch(ARCHIVES[name], folder, url=url, progress=show)
    target = folder / ARCHIVES[name].folder
    state = "fetched and checked" if fetched else "was there already and is complete"
    emit(
        {"name": name, "folder": str(target), "fetched": fetched, "md5": ARCHIVES[name].md5},
        json_output,
        lambda console: console.print(f"{target} {state}; use it with RHNAS_DATA={folder}", soft_wrap=True),
    )


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=stderr, transient=True)
