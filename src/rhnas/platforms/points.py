"""Costs that were given as numbers, point by point, made into hulls and held to their physical bound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rhnas.platform import Cost
from rhnas.space import DesignBatch
from rhnas.workload import FloatArray, IntArray, Layer, compulsory

Point = tuple[int, float]
"""Cycles and pJ of one mapping."""

ROUNDING = 1e-9
"""Share of a bound by which a quotient of floats may lie above the true one."""


def lower_hull(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points that some exchange rate between cycles and energy prefers, by ascending cycles.

    Example:
        >>> lower_hull([(10, 5.0), (20, 1.0), (15, 4.0), (12, 9.0)])
        ((10, 5.0), (20, 1.0))
    """
    kept: list[Point] = []
    for cycles, pj in sorted(set(points)):
        if kept and pj >= kept[-1][1]:
            continue
        while len(kept) > 1 and _above(kept[-2], kept[-1], (cycles, pj)):
            kept.pop()
        kept.append((cycles, pj))
    return tuple(kept)


def _above(left: Point, middle: Point, right: Point) -> bool:
    """Whether the middle point lies on or above the line between the others."""
    rise, run = right[1] - left[1], right[0] - left[0]
    return (middle[1] - left[1]) * run >= rise * (middle[0] - left[0])


def cost_of(rows: Sequence[Sequence[Sequence[Point] | None]], launches: Sequence[Point]) -> Cost:
    """A cost from the points of each layer on each design.

    Args:
        rows: For B designs and L layers the points, None without a mapping.
        launches: For B designs what a program costs beside its layers.

    Example:
        >>> cost_of([[[(3, 2.0)], None]], [(0, 0.0)]).mapped
        array([[ True, False]])
    """
    hulls = [[() if points is None else lower_hull(points) for points in row] for row in rows]
    layers = len(hulls[0]) if hulls else 0
    width = max((len(hull) for row in hulls for hull in row), default=0) or 1
    cycles = np.zeros((len(hulls), layers, width), dtype=np.int64)
    energy = np.zeros((len(hulls), layers, width))
    mapped = np.zeros((len(hulls), layers), dtype=np.bool_)
    for b, row in enumerate(hulls):
        for at, hull in enumerate(row):
            if hull:
                padded = [*hull, *[hull[-1]] * (width - len(hull))]
                cycles[b, at], energy[b, at] = zip(*padded, strict=True)
                mapped[b, at] = True
    return Cost(
        cycles=cycles,
        energy_pj=energy,
        mapped=mapped,
        launch_cycles=np.array([cycles for cycles, _ in launches], dtype=np.int64),
        launch_energy_pj=np.array([pj for _, pj in launches], dtype=np.float64),
    )


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The most that designs do in a cycle: products of choices and numbers.

    Attributes:
        macs_per_cycle: Factors: names of choices, and numbers; empty where nothing is known.
        bytes_per_cycle: Likewise; empty where nothing is known or tensors may stay on the chip.
    """

    macs_per_cycle: tuple[str | float, ...] = ()
    bytes_per_cycle: tuple[str | float, ...] = ()

    def terms(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """Cycles below which nothing gets, 0 where nothing is known: MACs and bytes, int64 (2, B, L)."""
        macs, read, written = np.array([compulsory(layer) for layer in layers], dtype=np.float64).T
        return np.stack(
            [
                _cycles(macs, self.macs_per_cycle, batch),
                _cycles(read + written, self.bytes_per_cycle, batch),
            ]
        )


def product(factors: Sequence[str | float], batch: DesignBatch) -> FloatArray:
    """The product of choices and numbers, float64 (B,).

    Example:
        >>> product(("ROWS", "COLS", 0.5), DesignBatch.of({"ROWS": 4, "COLS": 8}))
        array([16.])
    """
    total = np.ones(len(batch))
    for factor in factors:
        total = total * (batch[factor].astype(np.float64) if isinstance(factor, str) else factor)
    return total


def names_in(factors: Sequence[str | float]) -> tuple[str, ...]:
    """The choices among factors."""
    return tuple(factor for factor in factors if isinstance(factor, str))


def _cycles(amounts: FloatArray, factors: Sequence[str | float], batch: DesignBatch) -> IntArray:
    if not factors:
        return np.zeros((len(batch), len(amounts)), dtype=np.int64)
    quotient = amounts[None] / product(factors, batch)[:, None]  # (B, L)
    return np.ceil(quotient * (1 - ROUNDING)).astype(np.int64)


def is_cycles(value: object) -> bool:
    """Whether a value is a positive whole number, an integer or a float without a fraction."""
    return _is_number(value) and float(value) >= 1 and float(value).is_integer()  # type: ignore[arg-type]


def is_energy(value: object) -> bool:
    """Whether a value is a positive finite number."""
    return _is_number(value) and float(value) > 0  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def shape_text(layer: Layer) -> str:
    """A layer's shape in a few words, for errors.

    Example:
        >>> shape_text(Layer(name="conv1", channels=(3, 16), size=(8, 8), kernel=(3, 3), padding=(1, 1)))
        'conv1 (conv, 3 to 16 channels, 8x8 pixels, kernel 3x3)'
    """
    (ins, outs), (height, width) = layer.channels, layer.size
    kernel = f"kernel {layer.kernel[0]}x{layer.kernel[1]}"
    kind = layer.kind.name.lower()
    return f"{layer.name} ({kind}, {ins} to {outs} channels, {height}x{width} pixels, {kernel})"


def row_text(row: Mapping[str, int]) -> str:
    """A design as a user writes it."""
    return ",".join(f"{key}={value}" for key, value in row.items())
