"""``rhnas cost``: what a network costs on an accelerator, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rhnas.cli.output import Json, PlatformName, emit
from rhnas.errors import SettingsError

if TYPE_CHECKING:
    from rhnas.pricing import NetworkCost


def cost(
    *,
    network: Annotated[str, typer.Option(help="A zoo name such as resnet18, or FILE.onnx.")],
    accelerator: Annotated[
        str, typer.Option(help="default, a vta_config.json, or KEY=VAL,KEY=VAL changes to the default.")
    ] = "default",
    platform: PlatformName = "vta",
    schedule: Annotated[
        str | None, typer.Option(help="best (usual), or upstream: TVM's tilings for convolutions.")
    ] = None,
    timing: Annotated[
        str | None, typer.Option(help="rhnas (usual, our RTL) or public (the published RTL).")
    ] = None,
    technology: Annotated[
        str | None, typer.Option(help="Energy profile: dosa40 (usual) or horowitz45.")
    ] = None,
    objective: Annotated[str, typer.Option(help="What mappings minimise: latency, energy or edp.")] = "edp",
    json_output: Json = False,
) -> None:
    """Price a network on an accelerator, layer by layer, beside its physical bound.

    Example: rhnas cost --network resnet18 --accelerator LOG_BLOCK_IN=5,LOG_WGT_BUFF_SIZE=17

    Example: rhnas cost --network resnet18 --platform systolic --accelerator ROWS=32,WEIGHT_KIB=48
    """
    from rhnas.networks.zoo import load_network
    from rhnas.platform import Objective, load_platform
    from rhnas.pricing import cost_options, price_network

    if objective not in list(Objective):
        raise SettingsError(f"objective must be one of {[str(o) for o in Objective]}", got=objective)
    family = load_platform(platform)
    given = {"technology": technology, "timing": timing, "schedule": schedule}
    model = family.cost_model(**cost_options(family, given))
    row, workload = family.parse(accelerator), load_network(network)
    priced = price_network(family, row, workload, model, Objective(objective))
    emit(priced.to_json(), json_output, lambda console: _print(console, workload.name, priced, family.how))


def _print(console: Console, network: str, priced: NetworkCost, how: str) -> None:
    console.print(f"[bold]{escape(network)}[/] on [bold]{priced.accelerator}[/]", soft_wrap=True)
    console.print(
        f"{priced.cycles:,} cycles, {priced.latency_ms:.3f} ms, {priced.energy_uj:,.1f} uJ, "
        f"EDP {priced.edp_uj_ms:,.1f} uJ ms",
        soft_wrap=True,
    )
    use = priced.bound_cycles / priced.cycles
    console.print(f"{priced.macs:,} MACs; bound {priced.bound_cycles:,} cycles, {use:.1%} of the total\n")
    console.print(_table(priced))
    console.print(f"share: of all cycles; use: bound / cycles. All costs are {how}.", style="dim")


def _table(priced: NetworkCost) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    for title in ("cycles", "share", "use", "uJ"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("mapping")
    for row in priced.layers:
        use = f"{row.utilisation:.0%}" if row.bound_cycles else ""
        share = f"{row.cycles / priced.cycles:.1%}"
        how = escape(row.mapping.get("text", ""))
        table.add_row(row.name, f"{row.cycles:,}", share, use, f"{row.energy_uj:,.1f}", how)
    return table
