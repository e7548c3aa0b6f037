"""``rhnas audit``: whether anybody's cycle counts are physically possible."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from rhnas.cli.output import Json, emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rhnas.audit import Claim


def audit(
    file: Annotated[
        Path,
        typer.Argument(help="Columns name,macs,macs_per_cycle,cycles[,dram_bytes,bytes_per_cycle]."),
    ],
    json_output: Json = False,
) -> None:
    """Check a table of cycle counts against MACs / array and bytes / memory port.

    Example: rhnas audit results.csv
    """
    from rhnas.audit import read_claims

    claims = read_claims(file)
    impossible = [claim for claim in claims if not claim.possible]
    found = {
        "possible": not impossible,
        "rows": [claim.to_json() for claim in claims],
        "impossible": [claim.name for claim in impossible],
    }
    emit(found, json_output, lambda console: _print(console, claims, impossible))
    if impossible:
        raise typer.Exit(1)


def _print(console: Console, claims: Sequence[Claim], impossible: Sequence[Claim]) -> None:
    for claim in impossible:
        console.print(
            f"[red]line {claim.line}, {escape(claim.name)}[/]: {claim.cycles:,.12g} cycles, "
            f"but no machine needs fewer than {claim.bound_cycles:,.12g}",
            soft_wrap=True,
        )
    console.print(f"{len(claims) - len(impossible):,} of {len(claims):,} rows are possible")
