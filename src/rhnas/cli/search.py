"""``rhnas search``: network and accelerator together, in a directory that survives a kill."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from rhnas.cli.output import Json, emit, stderr

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from rhnas.settings import RunSettings

TITLES = {
    "baseline": "nas_only (baseline)",
    "hardware_only": "hardware_only",
    "two_stage": "two_stage",
    "found": "rhnas (found)",
    "alternation": "alternation",
    "exact": "exact best response",
}


def search(
    configuration: Annotated[str, typer.Argument(metavar="PRESET|CONFIG.toml", help="What to search.")],
    *,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="a.b=v", help="Change one option; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; runs/NAME unless given.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue what is there, or start if nothing is.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Throw away what an earlier run left there.")] = False,
    schemes: Annotated[
        str, typer.Option(help="Beside the four: alternation, exact; short for run.schemes.")
    ] = "",
    effort: Annotated[
        int | None,
        typer.Option(min=0, help="Boxes of designs per proof of the certified gap; short for run.effort."),
    ] = None,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Take over what the same run, or one of another chip, weight or recipe for integers, "
            "has finished; repeatable.",
        ),
    ] = None,
    until: Annotated[
        Literal["search", "train", "quantize"] | None,
        typer.Option(help="Stop after the searches, the trainings, the integers; --resume goes on."),
    ] = None,
    limit_minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop at the first end of an epoch after so long; --resume goes on."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Searches or trainings at a time; cores / run.threads unless given."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Search a network and the accelerator it runs on together, beside three baselines.

    Example: rhnas search digits --out runs/demo --resume
    """
    from rhnas.settings import load_settings
    from rhnas.study import open_study

    short = [] if effort is None else [f"run.effort={effort}"]
    if schemes:
        short.append(f"run.schemes={[name.strip() for name in schemes.split(',')]}")
    settings = load_settings(configuration, [*(overrides or []), *short])
    directory = out if out is not None else Path("runs") / Path(configuration).stem
    study = open_study(directory, settings, resume=resume, overwrite=overwrite)
    if not study.finished:
        from rhnas.codesign.run import run
        from rhnas.codesign.stages import Halt, PausedError

        halt = Halt.after(limit_minutes, until or "")
        try:
            with _Bars() as bars:
                run(study, bars, reuse or (), workers or _workers(settings.run), halt)
        except PausedError as pause:
            _paused(directory, pause.stage, json_output)
    if not (directory / "report.html").exists():
        from rhnas.report.render import render

        render(directory)
    result = study.result()
    emit(result, json_output, lambda console: _print(console, result, directory))


def _workers(run: RunSettings) -> int:
    """As many as the cores carry; a GPU carries one."""
    return 1 if run.device != "cpu" else max(1, len(os.sched_getaffinity(0)) // run.threads)


def _paused(directory: Path, stage: str, json_output: bool) -> NoReturn:
    """Say where the run stands; it is not done, so the exit code is 1."""
    text = f"stopped as asked, nothing is lost: with --resume {directory} goes on at {stage}"
    unfinished = {"schema": 1, "finished": False, "next": stage, "directory": str(directory)}
    emit(unfinished, json_output, lambda console: console.print(text, markup=False, soft_wrap=True))
    raise typer.Exit(1)


def _print(console: Console, result: dict[str, Any], directory: Path) -> None:
    from rich.table import Table

    from rhnas.report.claims import claims

    table = Table(title=f"{result['task']}: accuracy on the test set, cost {result['how']}")
    table.add_column("scheme")
    table.add_column("accelerator")
    for name in ("accuracy", "cycles", "ms", "µJ", "EDP (µJ ms)", "EDP ratio"):
        table.add_column(name, justify="right")
    for key, title in TITLES.items():
        if key not in result:
            continue
        row = result[key]
        table.add_row(
            title,
            row["label"],
            f"{100 * row['accuracy']:.2f}%",
            f"{row['cycles']:,}",
            f"{row['latency_ms']:.4f}",
            f"{row['energy_uj']:.3f}",
            f"{row['edp_uj_ms']:.4g}",
            f"{result['baseline']['edp_uj_ms'] / row['edp_uj_ms']:.2f}x",
        )
    console.print(table)
    gap = result["found"]["gap"]
    optimum = "" if gap is None else f"; its hardware is {100 * gap:.2f}% above the exact optimum"
    console.print(f"{result['feasible_designs']:,} realizable designs{optimum}")
    if result["found"]["cycles_simulated"] is None:
        console.print(f"Platform {result['platform']} has no simulator: every cost is its model's estimate.")
    for claim in claims(result):
        console.print(f"proved: {claim}", soft_wrap=True)
    console.print(f"report: {directory / 'report.html'}", soft_wrap=True)


class _Bars:
    """Progress on stderr: one bar per stage with its time left."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._progress: RichProgress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=stderr,
        )
        self._lines: list[_Line] = [_Line(self._progress)]

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            line.fill()
        self._progress.stop()

    def stage(self, name: str, total: int) -> None:
        """A new bar; the one before is full."""
        self._lines[0].stage(name, total)

    def update(self, done: int, note: str) -> None:
        """Move the bar."""
        self._lines[0].update(done, note)

    def beside(self) -> _Line:
        """Bars that move at the same time."""
        self._lines.append(_Line(self._progress))
        return self._lines[-1]


class _Line:
    """The bars of stages that follow each other."""

    def __init__(self, progress: RichProgress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def fill(self) -> None:
        """The stage has ended."""
        if self._task is not None:
            total = next(task.total for task in self._progress.tasks if task.id == self._task)
            self._progress.update(self._task, completed=total)

    def stage(self, name: str, total: int) -> None:
        """A new bar; the one before is full."""
        self.fill()
        self._task = self._progress.add_task(name, total=total, note="")

    def update(self, done: int, note: str) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, note=note)

    def beside(self) -> _Line:
        """Bars that move at the same time."""
        return _Line(self._progress)
