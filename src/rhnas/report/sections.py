"""The parts of the page that say what was found: headline, chips, schemes, decomposition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from rhnas.report import plots
from rhnas.report.chips import draw_chips
from rhnas.report.networks import draw_networks
from rhnas.report.run import EXPLANATIONS, SCHEMES, TITLES, Chip, Run, Scheme, number
from rhnas.report.words import (
    absent,
    badge,
    cell,
    integer,
    kib,
    lower,
    percent,
    points,
    section,
    significant,
    table,
    times,
)

NOT_FINISHED = "Not run: the search has not finished, result.json is not there yet."


def headline(run: Run) -> str:
    """Title, one plain sentence, and the four figures that matter."""
    head = f'<p class="overline">rhnas · co-design report</p>\n<h1>{escape(run.title)}</h1>'
    if "found" not in run.schemes or "baseline" not in run.schemes:
        done = f"{integer(len(run.trials))} trials so far." if run.trials else ""
        return f"<header>{head}\n{absent(f'{NOT_FINISHED} {done}')}</header>"
    tiles = [
        _tile(title, number(run.result, "ratios", key), run.schemes["found"].how(unit))
        for title, key, unit in (
            ("latency", "latency", "cycles"),
            ("energy", "energy", "energy_uj"),
            ("energy × delay", "edp", "edp_uj_ms"),
        )
    ]
    return (
        f'<header>{head}\n<p class="lead">{sentence(run)}</p>\n'
        f'<div class="tiles">{"".join(tiles)}{_accuracy_tile(run)}</div></header>'
    )


def sentence(run: Run) -> str:
    """The result in one sentence, true whichever way it went."""
    found, baseline = run.schemes["found"], run.schemes["baseline"]
    edp = number(run.result, "ratios", "edp")
    told = "was compared with" if edp is None else _told(edp)
    ours, theirs = found.number("accuracy"), baseline.number("accuracy")
    known = ours is not None and theirs is not None
    accuracy = f", with {percent(ours or 0)} test accuracy against {percent(theirs or 0)}" if known else ""
    return (
        f"The network and accelerator found together {told} the default accelerator with the network "
        f"searched for it{accuracy}."
    )


def _told(edp: float) -> str:
    words = lower(edp)
    if words == "equal":
        return "need the same energy-delay product as"
    return f"need a <strong>{words}</strong> energy-delay product than"


def _accuracy_difference(found: Scheme, baseline: Scheme) -> str | None:
    ours, theirs = found.number("accuracy"), baseline.number("accuracy")
    return None if ours is None or theirs is None else points(ours - theirs)


def _tile(title: str, ratio: float | None, how: str | None) -> str:
    if ratio is None:
        return f'<div class="tile"><span class="figure none">–</span><span class="name">{title}</span></div>'
    words = "the baseline’s" if lower(ratio) == "equal" else f"{'lower' if ratio > 1 else 'higher'} {title}"
    shown = times(ratio if ratio >= 1 else 1 / ratio)
    kind = "better" if ratio > 1 else "worse"
    return (
        f'<div class="tile {kind}"><span class="figure">{shown}</span>'
        f'<span class="name">{words}</span>{badge(how)}</div>'
    )


def _accuracy_tile(run: Run) -> str:
    found, baseline = run.schemes["found"], run.schemes["baseline"]
    difference, ours = _accuracy_difference(found, baseline), found.number("accuracy")
    if difference is None or ours is None:
        return '<div class="tile"><span class="figure none">–</span><span class="name">accuracy</span></div>'
    int8 = found.number("accuracy_int8")
    quantized = "int8 not run" if int8 is None else f"int8 {percent(int8)}"
    return (
        f'<div class="tile"><span class="figure">{percent(ours)}</span>'
        f'<span class="name">test accuracy, {difference} points</span>'
        f'<span class="small">{quantized}</span></div>'
    )


def gains(run: Run) -> str:
    """How much is better hardware and how much is co-design, as a waterfall on a logarithmic axis."""
    title = "Where the gain comes from"
    edp = {name: scheme.number("edp_uj_ms") for name, scheme in run.schemes.items()}
    base, two, found = edp.get("baseline"), edp.get("two_stage"), edp.get("found")
    if not base or not two or not found:
        return section(
            "gains", title, absent("Not run: needs the baseline, two stages and the joint search.")
        )
    hardware, joint = base / two, two / found
    text = (
        f"<p>A better accelerator for the baseline’s own network (two stages) needs {_product(hardware)} the "
        f"baseline; searching both together needs {_product(joint)} two stages. {_verdict(joint)} "
        f"First energy profile, one clock for all, {badge(run.schemes['found'].how('edp_uj_ms'))}.</p>"
    )
    return section("gains", title, text, _waterfall(hardware, joint))


def _product(ratio: float) -> str:
    words = lower(ratio)
    return "the same energy-delay as" if words == "equal" else f"{words} energy-delay than"


def _verdict(joint: float) -> str:
    if joint > 1.005:
        return "That second factor is what co-design itself contributes."
    if joint < 0.995:
        return "Here co-design is behind: two separate searches did better."
    return "Here co-design adds nothing to two separate searches."


def _waterfall(hardware: float, joint: float) -> str:
    total = hardware * joint
    steps = (
        ("better hardware alone", 1.0, hardware, "two-stage", hardware),
        ("co-design on top", hardware, total, "joint", joint),
        ("together", 1.0, total, "found", total),
    )
    logs = [math.log(value) for value in (1.0, hardware, total)]
    span = max(max(logs) - min(logs), math.log(1.2))
    left, width = 176.0, 640.0

    def at(value: float) -> float:
        return left + (math.log(value) - min(logs)) / span * width

    rows = [f'<path class="axis" d="M{at(1.0):.1f} 6V126"/>']
    for index, (name, start, end, style, factor) in enumerate(steps):
        low, high = sorted((at(start), at(end)))
        y = 10 + 40 * index
        rows.append(
            f'<text x="{left - 14}" y="{y + 19}" text-anchor="end">{name}</text>'
            f'<rect class="bar {style}" x="{low:.1f}" y="{y}" width="{max(high - low, 1.5):.1f}" '
            f'height="28"/>'
            f'<text class="strong" x="{high + 10:.1f}" y="{y + 19}">{times(factor)}</text>'
        )
    spoken = (
        f"Better hardware alone {times(hardware)}, co-design on top {times(joint)}, together {times(total)}"
    )
    return (
        f'<svg class="drawing" viewBox="0 0 960 136" role="img" aria-label="{spoken}">{"".join(rows)}</svg>'
    )


def chips(run: Run) -> str:
    """Both chips to one scale, and their sizes with ratios."""
    title = "The two accelerators, to the same scale"
    shown = {name: run.schemes[name].chip for name in ("baseline", "found") if name in run.schemes}
    base, found = shown.get("baseline"), shown.get("found")
    if base is None or found is None:
        return section("chips", title, absent("Not drawn: two accelerators of the VTA family are needed."))
    note = (
        '<p class="note">Array area is proportional to multipliers, scratchpad area to bytes, the arrow '
        "to bits; each on one scale for both chips, those of array and scratchpads are unrelated.</p>"
    )
    drawing = draw_chips({"Baseline": base, "Found together": found})
    return section("chips", title, drawing, note, _sizes(base, found), _budget(run))


def _sizes(base: Chip, found: Chip) -> str:
    pads = (("wgt", "weight"), ("acc", "accumulator"), ("inp", "input"), ("uop", "micro-op"))
    sizes = [(word, getattr(base, f"{pad}_bytes"), getattr(found, f"{pad}_bytes")) for pad, word in pads]
    rows = (
        ("array (batch × in × out)", base.array, found.array, None),
        ("multipliers", integer(base.macs), integer(found.macs), found.macs / base.macs),
        *((f"{word} scratchpad", kib(b), kib(f), f / b) for word, b, f in sizes),
        ("all scratchpads", kib(base.sram_bytes), kib(found.sram_bytes), found.sram_bytes / base.sram_bytes),
        ("memory bus", f"{base.bus_bits} bit", f"{found.bus_bits} bit", found.bus_bits / base.bus_bits),
    )
    body = (
        f'<tr><th scope="row">{name}</th><td class="n">{b}</td><td class="n">{f}</td>'
        f'<td class="n">{"" if ratio is None else times(ratio)}</td></tr>'
        for name, b, f, ratio in rows
    )
    return table(("", "Baseline", "Found together", "Found ÷ baseline"), body, caption="")


def _budget(run: Run) -> str:
    """What both chips had to fit, as the search was told."""
    fpga, limits = run.result.get("fpga"), run.result.get("limits")
    told = [f"the FPGA {escape(str(fpga))}"] if fpga else []
    if isinstance(limits, Mapping):
        told += [f"{escape(str(key))} ≤ {escape(str(value))}" for key, value in limits.items()]
    if not told:
        return '<p class="note">No chip budget was set: a larger array is not by itself co-design.</p>'
    return f'<p class="note">Every design had to fit {", ".join(told)}.</p>'


COLUMNS = (
    ("accuracy", "test accuracy", "percent"),
    ("accuracy_int8", "int8", "percent"),
    ("macs", "million MACs", "million"),
    ("cycles", "cycles", "integer"),
    ("latency_ms", "latency, ms", "plain"),
    ("energy_uj", "energy, µJ", "plain"),
    ("edp_uj_ms", "EDP, µJ·ms", "plain"),
)


def schemes(run: Run) -> str:
    """The schemes side by side."""
    title = "Schemes at one budget"
    if not run.schemes:
        return section("schemes", title, absent(NOT_FINISHED))
    rows = [_scheme_row(scheme, run.schemes.get("baseline")) for scheme in run.schemes.values()]
    missing = [TITLES[name] for name in SCHEMES if name not in run.schemes]
    headings = [
        "",
        "accelerator",
        *(_heading(run, key, title) for key, title, _ in COLUMNS),
        "EDP ÷ baseline’s",
    ]
    gone = absent(f"Not run: {', '.join(missing)}.") if missing else ""
    caption = (
        "Same images, epochs, recipe, seeds and cost weights; the test set is read once, after the choice."
    )
    return section(
        "schemes",
        title,
        table(headings, rows, caption=caption),
        gone,
        _technologies(run),
    )


def _heading(run: Run, key: str, title: str) -> str:
    if key.startswith("accuracy") or key == "macs":
        return title
    how = next(iter(run.schemes.values())).how(key)
    return f"{title}<br>{badge(how)}"


def _scheme_row(scheme: Scheme, baseline: Scheme | None) -> str:
    chip = scheme.chip
    size = "–" if chip is None else f"{chip.array}, {kib(chip.sram_bytes)}, {chip.bus_bits}-bit"
    cells = []
    for key, _, form in COLUMNS:
        value = scheme.number(key)
        written = None
        if value is not None:
            forms = {"percent": percent, "integer": integer, "plain": significant, "million": _million}
            written = forms[form](value)
        cells.append(cell(value, written))
    reference = baseline.number("edp_uj_ms") if baseline else None
    edp = scheme.number("edp_uj_ms")
    ratio = edp / reference if edp is not None and reference else None
    realizable = (
        "" if scheme.values.get("realizable", True) else ' <span class="badge unsaid">not realizable</span>'
    )
    return (
        f'<tr class="{scheme.name}"><th scope="row"><span class="swatch {scheme.name}"></span>{scheme.title}'
        f'<span class="small">{EXPLANATIONS[scheme.name]}</span></th>'
        f"<td>{size}{realizable}</td>{''.join(cells)}{cell(ratio)}</tr>"
    )


def _million(value: float) -> str:
    return significant(value / 1e6)


def _technologies(run: Run) -> str:
    """How far the claim depends on the energy profile."""
    ratios = run.result.get("ratios_by_technology")
    if not isinstance(ratios, Mapping) or not ratios:
        return ""
    told = [
        f"{escape(str(name))} {times(r)}" for name in ratios if (r := number(ratios, name, "edp")) is not None
    ]
    return (
        f'<p class="note">EDP ratio by energy profile: {", ".join(told)}; the smallest is the headline.</p>'
    )


def networks(run: Run) -> str:
    """The found network beside the baseline's."""
    shown = {
        run.schemes[name].title: run.schemes[name].architecture
        for name in ("found", "baseline")
        if name in run.schemes
    }
    drawing = draw_networks(shown) if shown else ""
    note = (
        '<p class="note">Height is the number of channels, one scale for both; every block is residual, '
        "its operation stands below it.</p>"
    )
    body = drawing + note if drawing else absent("Not drawn: no stage-wise architecture is recorded.")
    return section("networks", "The networks", body)


def pareto(run: Run) -> str:
    """Accuracy against cost."""
    figure = plots.pareto(run)
    if figure is None:
        return section("pareto", "Accuracy against cost", absent(NOT_FINISHED))
    how = next(iter(run.schemes.values())).how("cycles") if run.schemes else None
    missing = "" if run.candidates else " Visited candidates are not recorded in this run."
    return section(
        "pareto",
        "Accuracy against cost",
        plots.embed("plot-pareto", figure, "Validation accuracy against latency and energy-delay product"),
        f'<p class="note">Costs {badge(how)}; accuracy on the validation part, after training.{missing}</p>',
    )
