"""The parts of the page that say how it was found and how far to trust it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from rhnas.report import plots
from rhnas.report.claims import claims
from rhnas.report.run import Run, number
from rhnas.report.words import absent, badge, cell, integer, seconds, section, significant, table

MOVING = (
    '<p class="note">Best design so far. While the network still moves, the objective is that of the '
    "expected network, so the curve may rise.</p>"
)


def convergence(run: Run) -> str:
    """The agent over designs, alpha over steps."""
    agent, alpha = plots.agent(run), plots.alpha(run)
    first = (
        plots.embed("plot-agent", agent, "Best objective so far against designs evaluated")
        if agent
        else absent("Not recorded: no hardware evaluations in trials.jsonl.")
    )
    second = (
        plots.embed("plot-alpha", alpha, "Entropy of alpha, expected energy-delay product and loss by step")
        if alpha
        else absent("Not recorded: no steps of alpha in trials.jsonl.")
    )
    return section(
        "convergence",
        "Convergence",
        "<h3>Hardware agent</h3>",
        first,
        MOVING if agent else "",
        "<h3>Network search</h3>",
        second,
    )


def layers(run: Run) -> str:
    """Cycles per layer against what physics asks for."""
    figure = plots.layers([run.schemes[name] for name in reversed(run.schemes)])
    if figure is None:
        body = absent("Not recorded: result.json holds no rows per layer.")
        return section("layers", "Every layer against its physical bound", body)
    how = next(iter(run.schemes.values())).how("cycles")
    note = (
        '<p class="note">Bound: the largest of MACs ÷ multipliers, bytes read ÷ bus, bytes written ÷ bus. '
        f"Cycles {badge(how)}.</p>"
    )
    spoken = (
        "Cycles of every layer, split into the physical bound and what stands above it, one panel per scheme"
    )
    return section(
        "layers", "Every layer against its physical bound", plots.embed("plot-layers", figure, spoken), note
    )


def cost(run: Run) -> str:
    """What the search itself took, how far from the optimum it ended, and what is proved."""
    if not run.schemes:
        return section("cost", "What the search cost", absent("Not run: the search has not finished."))
    images = any(scheme.number("images") is not None for scheme in run.schemes.values())
    rows = []
    for scheme in run.schemes.values():
        spent, asked = scheme.number("seconds"), scheme.number("evaluations")
        seen, gap = scheme.number("images"), scheme.number("gap")
        cells = [cell(spent, None if spent is None else seconds(spent))]
        cells.append(cell(asked, None if asked is None else integer(asked)))
        if images:
            cells.append(cell(seen, None if seen is None else integer(seen)))
        cells.append(cell(gap, None if gap is None else _gap(gap)))
        rows.append(f'<tr><th scope="row">{scheme.title}</th>{"".join(cells)}</tr>')
    headings = [
        "",
        "time",
        "designs evaluated",
        *(["images seen"] if images else []),
        "above the exact optimum",
    ]
    designs = number(run.result, "feasible_designs")
    space = (
        ""
        if designs is None
        else f" The space holds {integer(designs)} designs that meet every rule asked for."
    )
    note = (
        f'<p class="note">Stages that schemes share count for each of them. The optimum is the best of '
        f"all allowed accelerators for the scheme’s own network, by exhaustive search; the baseline’s "
        f"accelerator is given, not searched.{space}</p>"
    )
    proved = "".join(f"<li>{escape(claim)}</li>" for claim in claims(run.result))
    proofs = f"<p>Proved of the pair found together:</p><ul>{proved}</ul>" if proved else ""
    return section("cost", "What the search cost", table(headings, rows, caption=""), note, proofs)


def _gap(gap: float) -> str:
    return "0 %" if gap < 5e-7 else f"{significant(100 * gap)} %"


def provenance(run: Run) -> str:
    """Everything needed to get the same figures again."""
    origin = run.result.get("provenance")
    if not isinstance(origin, Mapping):
        return f"<footer>{absent('Provenance: not recorded yet.')}</footer>"
    rows = "".join(f"<dt>{escape(key)}</dt><dd>{value}</dd>" for key, value in _leaves_text(origin))
    return (
        f'<footer aria-label="Provenance"><h2>Provenance</h2><dl>{rows}</dl>'
        f'<p class="note">Made by <code>rhnas report</code> from the files of the run alone. Labels: '
        f"{badge('modelled')} {badge('simulated')} {badge('rtl')} {badge('synthesized')} say how a figure "
        "was obtained.</p></footer>"
    )


def _leaves_text(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            inner = ", ".join(f"{k} {v}" for k, v in value.items())
            yield key, escape(inner)
        else:
            yield key, "not recorded" if value is None else escape(str(value))
