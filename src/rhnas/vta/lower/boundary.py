"""Where one layer ends and the next begins: what the next may start while the last stores are under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rhnas.vta.lower.tiles import Pixels, Region, Step
from rhnas.workload import Layer, LayerKind


@dataclass(frozen=True)
class Written:
    """A tile that a layer stores last, or next to last.

    Attributes:
        step: The last step of the tile.
        accumulators: Where it lies on chip until it is stored.
    """

    step: Step
    accumulators: range


@dataclass(frozen=True)
class Tail:
    """What a layer may still have to store when its last product is done.

    Attributes:
        layer: The layer.
        tiles: As many as there are places for tiles on chip; all others are stored by then.
    """

    layer: Layer
    tiles: tuple[Written, ...]

    def writes(self, reader: Layer, pixels: Pixels, groups: range) -> bool:
        """Whether a layer's tile of inputs may lie in what is not stored yet."""
        if self.layer.name not in reader.inputs:
            return False
        if reader.kind is LayerKind.DENSE and reader.channels[0] != self.layer.channels[1]:
            return True  # flattened: groups are not channels
        rows, columns = pixels.rows.reads, pixels.columns.reads
        wanted = rows.inside, columns.inside, groups
        return any(
            all(_meet(a, b) for a, b in zip(wanted, _written(tile.step), strict=True)) for tile in self.tiles
        )

    def occupies(self, accumulators: range) -> bool:
        """Whether some of these accumulators, as the output scratchpad mirrors them, are yet to be stored."""
        return any(_meet(accumulators, tile.accumulators) for tile in self.tiles)


@dataclass(frozen=True, kw_only=True)
class Joint:
    """How a layer follows the one before it.

    Attributes:
        early: Its first loads run beside the last tile's epilogue and store.
        at_once: So does its first tile of accumulators.
    """

    early: bool
    at_once: bool


def tail_of(layer: Layer, steps: Sequence[Step], accumulators: Region) -> Tail:
    """The last tiles of a layer, one for each place that ``accumulators`` has for them."""
    ends = [step for step in steps if step.last]
    first = max(0, len(ends) - accumulators.halves)
    begin = accumulators.filled
    places = (accumulators.place(begin + tile) for tile in range(first, len(ends)))
    written = (
        Written(step, range(at, at + accumulators.size))
        for step, at in zip(ends[first:], places, strict=True)
    )
    return Tail(layer, tuple(written))


def _written(step: Step) -> Sequence[range]:
    rows, columns, channels = step.pixels.rows, step.pixels.columns, step.channels
    return (
        range(rows.first, rows.first + rows.count),
        range(columns.first, columns.first + columns.count),
        range(channels.first_group, channels.first_group + channels.groups),
    )


def _meet(a: range, b: range) -> bool:
    return a.start < b.stop and b.start < a.stop
