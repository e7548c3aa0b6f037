"""The part of the page that shows what ``rhnas verify`` measured beside what was modelled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from rhnas.report.run import TITLES, Run, number
from rhnas.report.words import THIN, absent, badge, cell, integer, percent, section, significant, table

HEADINGS = (
    "",
    "bit exact",
    f"cycles<br>{badge('modelled')}",
    f"cycles<br>{badge('simulated')}",
    "error of<br>the model",
    f"cycles<br>{badge('rtl')}",
    f"latency, ms,<br>at the run’s clock<br>{badge('simulated')}",
    f"Fmax, MHz<br>{badge('synthesized')}",
    f"latency, ms,<br>at Fmax<br>{badge('synthesized')}",
    "int8 accuracy",
)
NOTE = (
    '<p class="note">Bit exact: the accelerator’s scores equal the integer model’s for every test picture '
    "run. Cycles are of one launch of the whole network’s program, instruction fetch included. Accuracy is "
    "counted anew on the whole test part. Latency at Fmax is of the Verilog’s cycles, else of the simulated "
    "ones. A dash means not run.</p>"
)
LAYERS_NOTE = (
    '<p class="note">An instruction belongs to the layer that issued it, a cycle in which two layers worked '
    "to the earlier one. Launch is what lies before the first and after the last layer.</p>"
)
RESOURCES = {"luts": "look-up tables", "flip_flops": "flip-flops", "dsps": "DSP", "bram_blocks": "block RAMs"}
"""What the page calls what ``rhnas.vta.synthesize`` counts."""


def proof(run: Run) -> str:
    """What was proven, scheme by scheme; layers and synthesis of each."""
    title = "Proof"
    if not run.verify:
        return section("proof", title, absent("Not run: rhnas verify has not been run on this directory."))
    entries = _entries(run.verify)
    rows = [_row(name, values) for name, values in entries.items()]
    details = [part for name, values in entries.items() for part in _details(name, values)]
    return section("proof", title, table(HEADINGS, rows, caption=""), NOTE, *details)


def _entries(verify: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Verified schemes in the order of all tables; a file without ``schemes`` is about the found design."""
    schemes = verify.get("schemes")
    if not isinstance(schemes, Mapping) or not schemes:
        return {"found": verify}
    whole = {"found": verify, **schemes} if verify.get("bit_exact") is not None else schemes
    return {name: whole[name] for name in TITLES if isinstance(whole.get(name), Mapping)}


def _row(name: str, values: Mapping[str, Any]) -> str:
    cycles = {how: number(values, "cycles", how) for how in ("modelled", "simulated", "rtl")}
    modelled, simulated, rtl = cycles.values()
    error = None if modelled is None or not simulated else modelled / simulated - 1
    accuracy = number(values, "accuracy_int8")
    cells = [_counted(modelled), _counted(simulated)]
    cells.append(cell(error, None if error is None else _signed(error)))
    cells.append(_unequal() if values.get("cycles_equal") is False else _counted(rtl))
    cells += [cell(number(values, key)) for key in ("latency_ms", "fmax_mhz", "latency_ms_at_fmax")]
    cells.append(cell(accuracy, None if accuracy is None else percent(accuracy)))
    return f'<tr><th scope="row">{TITLES[name]}</th><td>{_exact(values)}</td>{"".join(cells)}</tr>'


def _exact(values: Mapping[str, Any]) -> str:
    said, images = values.get("bit_exact"), number(values, "images")
    if said is None:
        return "not run"
    of = "" if images is None else f", {integer(images)} {'picture' if images == 1 else 'pictures'}"
    return f"yes{of}" if said is True else f'<strong class="bad">no</strong>{of}'


def _counted(value: float | None) -> str:
    return cell(value, None if value is None else integer(value))


def _unequal() -> str:
    return '<td class="n"><strong class="bad">not the simulator’s</strong></td>'


def _signed(share: float) -> str:
    """A relative error in per cent, with its sign.

    Example:
        >>> _signed(-0.0032), _signed(0.0444)
        ('−0.32\u202f%', '+4.44\u202f%')
    """
    return f"{'+' if share >= 0 else '−'}{percent(abs(share))}"


def _details(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    """A scheme's layers, its synthesis and its placement, as far as they are there."""
    rows = values.get("layers")
    if isinstance(rows, list) and rows:
        yield _layers(TITLES[name], [row for row in rows if isinstance(row, Mapping)])
    synthesis = values.get("synthesis")
    if isinstance(synthesis, Mapping) and synthesis:
        if values.get("fits") is False:
            part = escape(str(synthesis.get("part", "the run’s FPGA")))
            yield f'<p><strong class="bad">{TITLES[name]} does not fit {part}, as synthesized.</strong></p>'
        yield _synthesis(TITLES[name], synthesis)
    elif name == "found":
        yield absent("Synthesis: not run.")
    placement = values.get("placement")
    if isinstance(placement, Mapping) and placement:
        yield _placement(TITLES[name], placement, values)


def _layers(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    headings = (
        "layer",
        f"cycles<br>{badge('modelled')}",
        f"cycles<br>{badge('simulated')}",
        "modelled − simulated",
    )
    body = []
    for row in rows:
        modelled, simulated = number(row, "modelled"), number(row, "simulated")
        difference = None if modelled is None or simulated is None else modelled - simulated
        written = None if difference is None else f"{'+' if difference > 0 else ''}{integer(difference)}"
        cells = f"{_counted(modelled)}{_counted(simulated)}{cell(difference, written)}"
        body.append(f'<tr><th scope="row">{escape(str(row.get("name")))}</th>{cells}</tr>')
    inner = table(headings, body, caption="") + LAYERS_NOTE
    opened = " open" if title == TITLES["found"] else ""
    return (
        f"<details{opened}><summary>{title}: every layer, modelled and simulated</summary>{inner}</details>"
    )


def _placement(title: str, placement: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The clock with what limits it, what it makes of the latency, and the cells taken."""
    used, available = (placement.get(key) for key in ("used", "available"))
    rows = [
        f'<tr><th scope="row">{escape(str(kind))}</th>'
        f"{_counted(number(placement, 'used', kind))}{_counted(number(placement, 'available', kind))}</tr>"
        for kind in (used if isinstance(used, Mapping) and isinstance(available, Mapping) else ())
    ]
    headings = ("cell", f"used<br>{badge('synthesized')}", "available")
    cells = table(headings, rows, caption=f"{title}: placement") if rows else ""
    return f"<p><strong>{title}:</strong> {_clock(placement)}{_latencies(values)}</p>{cells}"


def _clock(placement: Mapping[str, Any]) -> str:
    """Fmax, where it was reached, and the path that limits it."""
    fmax, grade = number(placement, "fmax_mhz"), number(placement, "speed_grade")
    modules = placement.get("critical_modules")
    words = ["Fmax not recorded" if fmax is None else f"Fmax {fmax:.2f}{THIN}MHz"]
    if placement.get("part"):
        words.append(f" on {escape(str(placement['part']))}")
    if grade is not None:
        words.append(f", speed grade {integer(grade)}")
    if placement.get("routed") is False:
        words.append(", the placer’s estimate before routing")
    if isinstance(modules, list) and modules:
        words.append(f", limited by the path through {escape(' → '.join(map(str, modules)))}")
    return "".join(words) + "."


def _latencies(values: Mapping[str, Any]) -> str:
    """A launch at that clock beside one at the run's."""
    latency, clock = number(values, "latency_ms_at_fmax"), number(values, "clock_mhz")
    usual = number(values, "latency_ms")
    if latency is None:
        return ""
    beside = ""
    if usual is not None and clock is not None:
        beside = f", at the run’s {significant(clock)}{THIN}MHz {significant(usual)}{THIN}ms"
    return f" A launch takes {significant(latency)}{THIN}ms at that clock{beside}."


def _synthesis(title: str, values: Mapping[str, Any]) -> str:
    """What the design takes of each resource, what its part has, and its modules."""
    rows = []
    for key in values:
        used, available = number(values, key), number(values, "budget", key, "available")
        if used is not None and key != "seconds":
            share = used / available if available else None
            cells = f"{_counted(used)}{_counted(available)}"
            cells += cell(share, None if share is None else percent(share))
            name = RESOURCES.get(key, key.replace("_", " "))
            rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    part, tool = (escape(str(values.get(key) or "")) for key in ("part", "tool"))
    headings = ("resource", f"used<br>{badge('synthesized')}", f"of {part}" if part else "available", "share")
    caption = f"{title}: synthesis by {tool}" if tool else f"{title}: synthesis"
    return table(headings, rows, caption=caption) + "".join(_parts(values))


def _parts(values: Mapping[str, Any]) -> Iterator[str]:
    """Lists of parts, such as the modules of a design, as tables with their keys as headings."""
    for key, entry in values.items():
        parts = [part for part in entry if isinstance(part, Mapping)] if isinstance(entry, list) else []
        if parts:
            headings = tuple(escape(str(name).replace("_", " ")) for name in parts[0])
            body = ("<tr>" + "".join(_part(part.get(name)) for name in parts[0]) + "</tr>" for part in parts)
            inner = table(headings, body, caption="")
            yield f"<details><summary>Synthesis: {escape(key)}</summary>{inner}</details>"


def _part(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return cell(value, integer(value) if float(value).is_integer() else significant(value))
    return f'<th scope="row">{escape(str(value))}</th>'
