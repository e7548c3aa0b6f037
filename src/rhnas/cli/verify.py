"""``rhnas verify``: the proof of a design."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rhnas.cli.build import Schedule, Scheme, schemes_of, tell
from rhnas.cli.output import Json, emit


def verify(
    directory: Annotated[Path, typer.Argument(help="A finished search's directory.", metavar="DIR")],
    *,
    scheme: Scheme = "found",
    schedule: Schedule = None,
    images: Annotated[int, typer.Option(help="Test pictures to run.")] = 20,
    rtl: Annotated[bool, typer.Option("--rtl", help="Run them on the generated Verilog too.")] = False,
    synthesize: Annotated[bool, typer.Option("--synthesize", help="Count LUT, FF, DSP, BRAM.")] = False,
    place: Annotated[bool, typer.Option("--place", help="Find the clock after placement.")] = False,
    json_output: Json = False,
) -> None:
    """Prove what a search found: outputs bit for bit, cycles modelled and simulated; writes verify.json.

    Example: rhnas verify runs/demo --images 20
    """
    from rhnas.report.render import render
    from rhnas.verify import Checks, proven
    from rhnas.verify import verify as verify_designs

    asked = schemes_of(scheme, directory)
    checks = Checks(images=images, rtl=rtl, synthesize=synthesize, place=place)
    try:
        result = verify_designs(directory, asked, checks, tell, schedule=schedule)
    finally:
        # A missing tool leaves the steps before it in verify.json.
        if (directory / "verify.json").exists():
            render(directory)
    emit(result, json_output, lambda console: _print(console, {k: result["schemes"][k] for k in asked}))
    if not all(proven(result["schemes"][name]) for name in asked):
        raise typer.Exit(1)


def _print(console: Console, entries: Mapping[str, Mapping[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in (
        "scheme",
        "exact",
        "images",
        "modelled",
        "simulated",
        "error",
        "RTL",
        "ms",
        "int8",
        "MHz",
    ):
        table.add_column(heading, justify="left" if heading == "scheme" else "right", no_wrap=True)
    for name, entry in entries.items():
        table.add_row(name, *_cells(entry))
    console.print("cycles of one launch; exact: scores are the golden model's bit for bit")
    console.print(table)
    for name, entry in entries.items():
        for line in (*_synthesized(entry), *_placed(entry), *_complaints(entry)):
            console.print(f"{name}: {line}", markup=False, soft_wrap=True)


def _cells(entry: Mapping[str, Any]) -> list[str]:
    cycles, clock = entry["cycles"], entry["fmax_mhz"]
    return [
        "yes" if entry["bit_exact"] else "NO",
        str(entry["images"]),
        f"{cycles['modelled']:,}",
        f"{cycles['simulated']:,}",
        f"{entry['cycles_error']:+.2%}",
        "-" if cycles["rtl"] is None else f"{cycles['rtl']:,}",
        f"{entry['latency_ms']:.4f}",
        f"{entry['accuracy_int8']:.2%}",
        "-" if clock is None else f"{clock:.1f}",
    ]


def _synthesized(entry: Mapping[str, Any]) -> list[str]:
    """What the design takes of its part, by synthesis."""
    synthesis = entry.get("synthesis") or {}
    taken = [
        f"{counts['used']:,} of {counts['available']:,} {name.replace('_', ' ')}"
        for name, counts in synthesis.get("budget", {}).items()
    ]
    return [f"{', '.join(taken)} of {synthesis.get('part', 'its part')}, synthesized"] if taken else []


def _placed(entry: Mapping[str, Any]) -> list[str]:
    """Where the clock comes from and what it means."""
    placement = entry.get("placement")
    if not placement:
        return []
    part, modules = placement.get("part", "the platform's part"), placement.get("critical_modules")
    limit = f", limited by {' > '.join(modules)}" if modules else ""
    return [
        f"{entry['fmax_mhz']:.1f} MHz on {part}{limit}; a launch takes "
        f"{entry['latency_ms_at_fmax']:.4f} ms at that clock"
    ]


def _complaints(entry: Mapping[str, Any]) -> list[str]:
    """What does not hold though it must."""
    from rhnas.verify import excess

    lines = [
        f"scores in {how} are not the golden model's" for how, same in entry["exact"].items() if not same
    ]
    if entry.get("cycles_equal") is False:
        lines.append("the Verilog takes other cycles than the simulator")
    if entry["accuracy_int8_equal"] is False:
        lines.append("int8 accuracy is not the one in result.json")
    if entry.get("fits") is False:
        over = [f"{number:,} {name.replace('_', ' ')} too many" for name, number in excess(entry).items()]
        part = entry["synthesis"].get("part", "the run's FPGA")
        lines.append(f"the synthesized design does not fit {part}: {', '.join(over) or 'no budget was told'}")
    return lines
