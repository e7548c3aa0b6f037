"""``rhnas space``: how many points a space has, and how many of them can be built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from rhnas.cli.output import Json, PlatformName, emit
from rhnas.errors import SettingsError

if TYPE_CHECKING:
    from rhnas.space import Space


def space(
    name: Annotated[
        str | None, typer.Argument(help="vta-intel (Intel Labs' explorer), vta (the wide one), systolic.")
    ] = None,
    platform: PlatformName = "vta",
    json_output: Json = False,
) -> None:
    """Count the points of an accelerator space, and those that break each rule.

    Example: rhnas space vta-intel

    Example: rhnas space --platform systolic
    """
    from rhnas.platform import load_platform

    if name is None and platform == "vta":
        raise SettingsError("the name of a space must be given", fix="for example rhnas space vta-intel")
    family = load_platform(platform)
    found = family.space(name or family.spaces[0])
    by_rule = found.violations()
    realizable = found.feasible().count
    emit(
        {"points": found.points, "realizable": realizable, "by_rule": by_rule},
        json_output,
        lambda console: _print(console, found, realizable, by_rule),
    )


def _print(console: Console, found: Space, realizable: int, by_rule: dict[str, int]) -> None:
    share = realizable / found.points
    console.print(f"[bold]{found.name}[/]: {found.points:,} points, {realizable:,} realizable ({share:.1%})")
    table = Table("rule", "broken by", "must hold", box=None, pad_edge=False)
    for rule in found.rules:
        table.add_row(rule.name, f"{by_rule[rule.name]:,}", rule.invariant)
    console.print(table)
    console.print("A point may break several rules; rhnas explain gives reasons and sources.", style="dim")
