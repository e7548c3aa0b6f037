"""Networks drawn stage by stage: height is width in channels, colour and label are the operation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

BLOCK_PX = 62
GAP_PX = 6
STAGE_GAP_PX = 34
HEIGHT_PX = 120
"""Of the widest stage."""

COLOURS = 7
"""Classes op0 to op6 of the style sheet, all told apart by the colour-blind; the label stands below each."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage as it runs: ``ops`` holds the first ``depth`` blocks."""

    name: str
    width: int
    ops: tuple[str, ...]


def stages(architecture: Mapping[str, str]) -> list[Stage]:
    """Stem and stages of a residual space's architecture; empty for any other space.

    Example:
        >>> words = {"stem.width": "16", "stage1.width": "32", "stage1.depth": "1"}
        >>> stages(words | {"stage1.block1.op": "dense", "stage1.block2.op": "grouped"})[1].ops
        ('dense',)
    """
    found = []
    if architecture.get("stem.width", "").isdigit():
        found.append(Stage(name="stem", width=int(architecture["stem.width"]), ops=("conv 3×3",)))
    for key in architecture:
        match = re.fullmatch(r"(stage\d+)\.width", key)
        if match is None or not architecture[key].isdigit():
            continue
        name = match[1]
        depth = architecture.get(f"{name}.depth", "")
        ops = [v for k, v in architecture.items() if re.fullmatch(rf"{name}\.block\d+\.op", k)]
        count = int(depth) if depth.isdigit() else len(ops)
        found.append(
            Stage(name=name.replace("stage", "stage "), width=int(architecture[key]), ops=tuple(ops[:count]))
        )
    return found


def draw_networks(networks: Mapping[str, Mapping[str, str]]) -> str:
    """Networks below each other in one SVG, channels to one scale; empty where no stage is known.

    Args:
        networks: Architecture in words by title.
    """
    parsed = {title: stages(words) for title, words in networks.items()}
    parsed = {title: found for title, found in parsed.items() if found}
    if not parsed:
        return ""
    every = [stage for found in parsed.values() for stage in found]
    ops = sorted({op for stage in every for op in stage.ops if stage.name != "stem"})
    colour = {op: f"op{index % COLOURS}" for index, op in enumerate(ops)}
    scale = HEIGHT_PX / max(stage.width for stage in every)
    row_height = HEIGHT_PX + 136
    rows, width = [], 0.0
    for index, (title, found) in enumerate(parsed.items()):
        drawn, extent = _row(title, found, colour, scale)
        rows.append(f'<g transform="translate(0 {index * row_height})">{drawn}</g>')
        width = max(width, extent)
    width = max(width, 960)
    spoken = ". ".join(f"{title}: {describe(found)}" for title, found in parsed.items())
    return (
        f'<svg class="drawing" viewBox="0 0 {width:.0f} {row_height * len(rows)}" role="img" '
        f'aria-label="{escape(spoken)}">{"".join(rows)}</svg>'
    )


def describe(found: list[Stage]) -> str:
    """Stages in one line."""
    return ", ".join(f"{s.name} {s.width} channels ({', '.join(s.ops)})" for s in found)


def _row(title: str, found: list[Stage], colour: Mapping[str, str], scale: float) -> tuple[str, float]:
    x, base = 0.0, HEIGHT_PX + 48.0
    drawn = [f'<text class="panel-title" x="0" y="18">{escape(title)}</text>']
    for stage in found:
        left, height = x, stage.width * scale
        for op in stage.ops:
            drawn.append(_block(op, colour.get(op, "stem"), x, base, height))
            x += BLOCK_PX + GAP_PX
        x -= GAP_PX
        drawn.append(f'<path class="flow" d="M{x + 4} {base - 6}h{STAGE_GAP_PX - 8}"/>')
        drawn.append(
            f'<path class="brace" d="M{left} {base + 32}v4H{x}v-4"/>'
            f'<text x="{left}" y="{base + 51}">{stage.name}<tspan class="muted" x="{left}" dy="15">'
            f"{stage.width} channels</tspan></text>"
        )
        x += STAGE_GAP_PX
    drawn.append(f'<text class="muted" x="{x}" y="{base - 2}">pool, dense</text>')
    return "".join(drawn), x + 90


def _block(op: str, style: str, x: float, base: float, height: float) -> str:
    first, _, second = op.replace("inverted", "inv.").partition("_")
    return (
        f'<rect class="block {style}" x="{x}" y="{base - height:.2f}" width="{BLOCK_PX}" '
        f'height="{height:.2f}" rx="3">'
        f"<title>{escape(op)}</title></rect>"
        f'<text class="op" x="{x + BLOCK_PX / 2}" y="{base + 14}" text-anchor="middle">{escape(first)}'
        f'<tspan x="{x + BLOCK_PX / 2}" dy="12">{escape(second.replace("_", " "))}</tspan></text>'
    )
