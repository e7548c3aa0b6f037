"""Chips drawn to one scale: array area by multipliers, scratchpad area by bytes, arrows by bus width."""

from __future__ import annotations

from rhnas.report.run import Chip
from rhnas.report.words import integer, kib

ARRAY_PX = 176
"""Longest side of the larger chip's array."""

STACK_PX = 176
"""Height of the larger chip's scratchpads together."""

PAD_WIDTH_PX = 96
LABEL_PX = 17
"""Least distance between two labels."""

BUS_PX_PER_BIT = 30 / 512
PANEL_WIDTH_PX = 460
PANEL_HEIGHT_PX = 330

PADS = (("wgt", "weights"), ("acc", "accumulators"), ("inp", "inputs"), ("uop", "micro-ops"))


def draw_chips(chips: dict[str, Chip]) -> str:
    """Two or more chips side by side in one SVG, all areas to the same scale.

    Args:
        chips: By the title above each.
    """
    unit = min(ARRAY_PX / max(chip.block_out, chip.batch * chip.block_in) for chip in chips.values())
    per_byte = min(STACK_PX / chip.sram_bytes for chip in chips.values())
    width, gap = PANEL_WIDTH_PX, 40
    panels = [
        f'<g transform="translate({index * (width + gap)} 0)">{_panel(title, chip, unit, per_byte)}</g>'
        for index, (title, chip) in enumerate(chips.items())
    ]
    total = len(chips) * (width + gap) - gap
    spoken = "; ".join(f"{title}: {describe(chip)}" for title, chip in chips.items())
    return (
        f'<svg class="drawing" viewBox="0 0 {total} {PANEL_HEIGHT_PX}" role="img" '
        f'aria-label="Accelerators to the same scale. {spoken}">{"".join(panels)}</svg>'
    )


def describe(chip: Chip) -> str:
    """A chip in one line."""
    return (
        f"{chip.array} array, {integer(chip.macs)} multipliers, {kib(chip.sram_bytes)} of scratchpads, "
        f"{chip.bus_bits}-bit bus"
    )


def _panel(title: str, chip: Chip, unit: float, per_byte: float) -> str:
    base = 246  # baseline that array and scratchpads stand on
    return "".join(
        (
            f'<text class="panel-title" x="0" y="18">{title}</text>',
            f'<text class="muted" x="0" y="38">{chip.array} array · {integer(chip.macs)} multipliers</text>',
            _array(chip, unit, base),
            _pads(chip, per_byte, base),
            _bus(chip, base),
        )
    )


def _array(chip: Chip, unit: float, base: float) -> str:
    """The array: block_out columns, block_in rows for each picture of the batch."""
    width, height = chip.block_out * unit, chip.batch * chip.block_in * unit
    top = base - height
    step = unit
    while step < 3.2:  # finer lines would only make grey; several multipliers share a square
        step *= 2
    lines = [f"M{x:.2f} {top:.2f}V{base}" for x in _marks(width, step)]
    lines += [f"M0 {top + y:.2f}H{width:.2f}" for y in _marks(height, step)]
    between = [f"M0 {top + b * chip.block_in * unit:.2f}H{width:.2f}" for b in range(1, chip.batch)]
    return (
        f'<rect class="array" x="0" y="{top:.2f}" width="{width:.2f}" height="{height:.2f}"/>'
        f'<path class="grid" d="{"".join(lines)}"/><path class="batch" d="{"".join(between)}"/>'
    )


def _marks(length: float, step: float) -> list[float]:
    return [step * i for i in range(1, round(length / step))]


def _pads(chip: Chip, per_byte: float, base: float) -> str:
    """Scratchpads as areas; the smallest are drawn as a line so that they do not vanish."""
    left = ARRAY_PX + 42
    drawn, bottom, label = [], base, base + LABEL_PX - 4
    for key, word in PADS:
        size = getattr(chip, f"{key}_bytes")
        height = max(size * per_byte, 1.5)
        middle = bottom - height / 2
        label = min(middle + 4, label - LABEL_PX)
        drawn.append(
            f'<rect class="pad {key}" x="{left}" y="{bottom - height:.2f}" width="{PAD_WIDTH_PX}" '
            f'height="{height:.2f}"/>'
            f'<path class="leader" d="M{left + PAD_WIDTH_PX + 2} {middle:.2f}L{left + PAD_WIDTH_PX + 12} '
            f'{label - 4:.2f}"/>'
            f'<text x="{left + PAD_WIDTH_PX + 16}" y="{label:.2f}">{word}'
            f'<tspan class="muted" dx="6">{kib(size)}</tspan></text>'
        )
        bottom -= height + 2
    return "".join(drawn)


def _bus(chip: Chip, base: float) -> str:
    """The memory port as a two-headed arrow, as thick as the bus is wide."""
    thick = max(chip.bus_bits * BUS_PX_PER_BIT, 1.0)
    head = thick / 2 + 5
    top, bottom, middle = base + 8, base + 50, (ARRAY_PX + 42 + PAD_WIDTH_PX) / 2
    outline = (
        f"M{middle} {top}l{head} 9h{thick / 2 - head}V{bottom - 9}h{head - thick / 2}L{middle} {bottom}"
        f"l{-head} -9h{head - thick / 2}V{top + 9}h{thick / 2 - head}z"
    )
    right = ARRAY_PX + 42 + PAD_WIDTH_PX
    return (
        f'<path class="bus" d="{outline}"/>'
        f'<text x="{middle + head + 10}" y="{(top + bottom) / 2 + 4}">{chip.bus_bits}-bit memory port</text>'
        f'<rect class="dram" x="0" y="{bottom + 3}" width="{right}" height="20" rx="3"/>'
        f'<text class="muted" x="{middle}" y="{bottom + 17}" text-anchor="middle">DRAM</text>'
    )
