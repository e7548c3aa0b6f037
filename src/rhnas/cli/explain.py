"""``rhnas explain``: whether an accelerator can be built, why not, and the smallest fix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rhnas.cli.output import Json, PlatformName, emit

if TYPE_CHECKING:
    from rhnas.explain import Explanation
    from rhnas.workload import Layer

SHOWN = 3
"""Layers without a mapping that are written out; --json has all of them."""


def explain(
    *,
    accelerator: Annotated[
        str, typer.Option(help="default, a vta_config.json, or KEY=VAL,KEY=VAL changes to the default.")
    ],
    platform: PlatformName = "vta",
    space: Annotated[
        str | None, typer.Option(help="Where fixes are sought: vta-intel (usual), vta, systolic.")
    ] = None,
    fpga: Annotated[str | None, typer.Option(help="A part it must fit: xc7z020, xczu3eg, LFE5U-85F.")] = None,
    network: Annotated[
        str | None, typer.Option(help="A network whose layers must run: a zoo name or FILE.onnx.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Say whether an accelerator can be built; if not, which rule it breaks and the nearest fix.

    Example: rhnas explain --accelerator LOG_ACC_BUFF_SIZE=18

    Example: rhnas explain --platform systolic --accelerator ROWS=48 --network resnet18
    """
    from rhnas.explain import explain as judge
    from rhnas.platform import load_platform

    family = load_platform(platform)
    row, within = family.parse(accelerator), family.space(space or family.spaces[0])
    layers = _layers(network)
    found = judge(family, row, within, fpga=fpga, layers=layers)
    emit(found.to_json(), json_output, lambda console: _print(console, found))
    if not found.realizable:
        raise typer.Exit(1)


def _layers(network: str | None) -> tuple[Layer, ...]:
    if network is None:
        return ()
    from rhnas.networks.zoo import load_network

    return load_network(network).layers


def _print(console: Console, found: Explanation) -> None:
    verdict = "[bold green]realizable[/]" if found.realizable else "[bold red]not realizable[/]"
    console.print(f"[bold]{found.label}[/] is {verdict}")
    if found.fix is not None:
        console.print(f"nearest that is: [bold]{found.fix}[/]")
    elif not found.realizable:
        console.print(f"no design of space {found.space} meets all rules asked for")
    for (reason, source), names in _reasons(found).items():
        console.print(f"[red]{_some(names)}[/]: {escape(reason)} [dim]({escape(source)})[/]")
    console.print(_rules(found))
    asked = sum(f.rule.level == "mapping" for f in found.findings)
    if asked:
        console.print(f"mapping: {asked - len(_unmapped(found))} of {asked} layer shapes have one")
    console.print(f"whole networks without the host: {'yes' if found.chainable else 'no'}")
    for part, fits in found.fits.items():
        broken = [f"{name} {slack:,}" for name, slack in found.fpgas[part].items() if slack < 0]
        why = f" ({', '.join(broken)})" if broken else ""
        answer = "fits" if fits else "does not fit" if found.structural else "not realizable"
        console.print(f"{part}: {answer}{why}")


def _reasons(found: Explanation) -> dict[tuple[str, str], list[str]]:
    """Names of the broken rules by reason and source: many layers may lack a mapping for the same one."""
    names: dict[tuple[str, str], list[str]] = {}
    for finding in found.findings:
        if not finding.holds:
            names.setdefault((finding.rule.reason, finding.rule.source), []).append(finding.rule.name)
    return names


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def _rules(found: Explanation) -> Table:
    columns = ["rule", "slack", "must hold"]
    table = Table(*columns, *([] if found.realizable else ["fix"]), box=None, pad_edge=False)
    shown = _unmapped(found)[:SHOWN]
    for finding in found.findings:
        rule = finding.rule
        if rule.level == "mapping" and rule.name not in shown:
            continue
        cells = [rule.name, f"{finding.slack:,}", escape(rule.invariant)]
        fix = [] if found.realizable else [finding.fix or ""]
        table.add_row(*cells, *fix, style=None if finding.holds else "red")
    return table


def _unmapped(found: Explanation) -> list[str]:
    return [f.rule.name for f in found.findings if f.rule.level == "mapping" and not f.holds]
