"""One picture for a slide: both chips, the ratios, the accuracy, and how they were obtained."""

from __future__ import annotations

import re
from pathlib import Path

from rhnas.errors import RhnasError
from rhnas.files import write_atomically
from rhnas.report.browser import find_chromium, screenshot
from rhnas.report.chips import PANEL_HEIGHT_PX, draw_chips
from rhnas.report.render import asset
from rhnas.report.run import Run, Scheme, number
from rhnas.report.words import percent, points, times

WIDTH_PX, HEIGHT_PX = 1200, 675
"""16:9; the PNG has twice as many pixels each way."""


def render_card(study_dir: Path) -> list[Path]:
    """Write ``card.svg``, and ``card.png`` where there is a Chromium.

    Args:
        study_dir: The directory of a finished search.

    Returns:
        What was written.

    Raises:
        RhnasError: The search has not finished, or its accelerators are of another family.
    """
    svg = study_dir / "card.svg"
    write_atomically(svg, card_of(Run.load(study_dir)))
    if find_chromium() is None:
        return [svg]
    png = study_dir / "card.png"
    return [svg, screenshot(svg, png, width=WIDTH_PX, height=HEIGHT_PX, scale=2)]


def card_of(run: Run) -> str:
    """The card as SVG text, always in light colours."""
    baseline, found = run.schemes.get("baseline"), run.schemes.get("found")
    if baseline is None or found is None or baseline.chip is None or found.chip is None:
        raise RhnasError(
            "a card needs the result of a finished search over VTA accelerators",
            got=run.directory,
            fix="finish it with rhnas search ... --resume",
        )
    chips = draw_chips({"Baseline": baseline.chip, "Found together": found.chip})
    placed = chips.replace(
        "<svg ",
        f'<svg x="60" y="268" width="1080" height="{PANEL_HEIGHT_PX}" preserveAspectRatio="xMinYMin" ',
        1,
    )
    spoken = re.sub(r"<[^>]+>", " ", _figures(run, baseline, found))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" width="{WIDTH_PX}" '
        f'height="{HEIGHT_PX}" role="img" aria-label="{" ".join(spoken.split())}">'
        f"<style>{light_style()}</style>"
        f'<rect width="{WIDTH_PX}" height="{HEIGHT_PX}" style="fill:var(--paper)"/>'
        f'<text x="60" y="72" style="font-size:30px;font-weight:650">{run.title}</text>'
        f"{_figures(run, baseline, found)}{placed}"
        f'<text class="muted" x="60" y="640" style="font-size:15px">{_obtained(run, found)}</text></svg>'
    )


def light_style() -> str:
    """The page's style sheet for drawings, as valid XML and without its dark half."""
    css = asset("style.css")
    root = css[css.index(":root {") : css.index("}") + 1].replace(":root", "svg")
    drawing = "\n".join(
        line for line in css.splitlines() if line.startswith("svg ") and ".drawing" not in line
    )
    return f"{root}\n{drawing}"


def _figures(run: Run, baseline: Scheme, found: Scheme) -> str:
    """Three ratios and the accuracy in a row."""
    told = []
    for name, key in (("latency", "latency"), ("energy", "energy"), ("energy × delay", "edp")):
        ratio = number(run.result, "ratios", key)
        if ratio is not None:
            told.append((times(max(ratio, 1 / ratio)), f"{'lower' if ratio >= 1 else 'higher'} {name}"))
    ours, theirs = found.number("accuracy"), baseline.number("accuracy")
    if ours is not None and theirs is not None:
        told.append((percent(ours), f"test accuracy, {points(ours - theirs)} points"))
    return "".join(
        f'<text x="{60 + 275 * index}" y="158" style="font-size:50px;font-weight:650">{figure}</text>'
        f'<text class="muted" x="{60 + 275 * index}" y="192" style="font-size:19px">{words}</text>'
        for index, (figure, words) in enumerate(told)
    )


def _obtained(run: Run, found: Scheme) -> str:
    how = found.how("cycles") or "unlabelled"
    origin = run.result.get("provenance") or {}
    clock = "" if run.clock_mhz is None else f" at {run.clock_mhz:g} MHz"
    commit = str(origin.get("commit") or "unknown")[:10]
    return (
        f"Costs {how}{clock}, against the default accelerator with its own network. "
        f"rhnas {origin.get('version', '')} ({commit}), seed {origin.get('seed', 'not recorded')}."
    )
