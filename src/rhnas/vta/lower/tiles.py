"""Tiles of a layer in the order they run, and where they lie in the scratchpads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from rhnas.errors import UnsupportedNetworkError
from rhnas.vta.mapping import Mapping
from rhnas.vta.mapping_nest import Nest


@dataclass(frozen=True)
class Window:
    """Input pixels along one axis that a tile reads.

    Attributes:
        before: Of padding.
        start: First one of the picture.
        count: Of the picture.
        after: Of padding again.
        spacing: From one to the next in the picture.
    """

    before: int
    start: int
    count: int
    after: int
    spacing: int

    @property
    def extent(self) -> int:
        """Pixels on chip, with padding."""
        return self.before + self.count + self.after

    @property
    def inside(self) -> range:
        """Pixels of the picture from the first one to the last."""
        return range(self.start, self.start + max(0, (self.count - 1) * self.spacing + (self.count > 0)))


@dataclass(frozen=True)
class Span:
    """Output pixels of a tile along one axis, and what they read."""

    first: int
    count: int
    reads: Window


@dataclass(frozen=True)
class Pixels:
    """A tile of output pixels."""

    rows: Span
    columns: Span


@dataclass(frozen=True)
class Channels:
    """A tile of output channels: storage groups, and GEMM blocks that are not all padding."""

    index: int
    first_group: int
    groups: int
    first_block: int
    blocks: int


@dataclass(frozen=True)
class Step:
    """One reduction step of an output tile; ``reduction`` is its index among ``reductions``."""

    pixels: Pixels
    channels: Channels
    reduction: int
    reductions: int

    @property
    def first(self) -> bool:
        """Whether the tile begins here."""
        return self.reduction == 0

    @property
    def last(self) -> bool:
        """Whether the tile is done after it."""
        return self.reduction == self.reductions - 1


def window(first: int, count: int, axis: tuple[int, int, int, int], *, skip: bool) -> Window:
    """What output pixels read along one axis.

    Args:
        first: Output pixel.
        count: Output pixels.
        axis: Input size, kernel, stride, padding.
        skip: Leave out what no tap of a kernel of 1 meets.

    Example:
        >>> window(0, 4, (8, 3, 2, 1), skip=False)
        Window(before=1, start=0, count=8, after=0, spacing=1)
    """
    size, kernel, stride, pad = axis
    spacing = stride if skip else 1
    low = first * stride - pad
    positions = range(low, low + ((count - 1) * stride + kernel - 1) + 1, spacing)
    inside = [at for at in positions if 0 <= at < size]
    before = sum(at < 0 for at in positions)
    start = inside[0] if inside else 0
    return Window(before, start, len(inside), len(positions) - before - len(inside), spacing)


def _spans(nest: Nest, side: str, tile: int, *, skip: bool) -> list[Span]:
    out = int(nest[f"out_{side}"])
    size, kernel, stride, pad = (int(nest[f"{name}_{side}"]) for name in ("in", "kernel", "stride", "pad"))
    counts = [(first, min(tile, out - first)) for first in range(0, out, tile)]
    return [
        Span(first, count, window(first, count, (size, kernel, stride, pad), skip=skip))
        for first, count in counts
    ]


def pixel_tiles(nest: Nest, mapping: Mapping) -> list[Pixels]:
    """Tiles of output pixels, row by row."""
    rows = _spans(nest, "h", mapping.tile_h, skip=int(nest["kernel_h"]) == 1)
    columns = _spans(nest, "w", mapping.tile_w, skip=False)
    return [Pixels(h, w) for h, w in product(rows, columns)]


def channel_tiles(nest: Nest, mapping: Mapping) -> list[Channels]:
    """Tiles of output channels."""
    groups, lanes, blocks = (int(nest[name]) for name in ("groups_out", "lanes_out", "blocks_out"))
    tiles = []
    for index, first in enumerate(range(0, groups, mapping.tile_co)):
        count = min(mapping.tile_co, groups - first)
        present = min(count * lanes, blocks - first * lanes)
        tiles.append(Channels(index, first, count, first * lanes, present))
    return tiles


def steps(nest: Nest, mapping: Mapping) -> Iterator[Step]:
    """All steps in the mapping's order; the reduction is innermost."""
    pixels, channels = pixel_tiles(nest, mapping), channel_tiles(nest, mapping)
    reductions = -(-int(nest["groups_in"]) // mapping.tile_ci) if nest["dense"] else 1
    if mapping.order == "pixels outer":
        pairs = list(product(pixels, channels))
    else:
        pairs = [(p, c) for c, p in product(channels, pixels)]
    for (p, c), reduction in product(pairs, range(reductions)):
        yield Step(p, c, reduction, reductions)


@dataclass
class Region:
    """A part of a scratchpad that tiles take in turn, in one half or alternating between two.

    Attributes:
        base: First tensor.
        size: Of one tile, in tensors.
        halves: 1 or 2.
        filled: Tiles put there so far.
    """

    base: int
    size: int
    halves: int
    filled: int = 0

    @property
    def end(self) -> int:
        """First tensor behind it."""
        return self.base + self.size * self.halves

    @property
    def at(self) -> int:
        """Where the current tile begins."""
        return self.place(self.filled - 1)

    def place(self, tile: int) -> int:
        """Where a tile begins, counted from 0."""
        return self.base + tile % self.halves * self.size

    def turn(self) -> int:
        """Go on to the next tile: where it begins."""
        self.filled += 1
        return self.at


def require_room(name: str, memory: str, need: int, depth: int) -> None:
    """Refuse a mapping that does not fit.

    Raises:
        UnsupportedNetworkError: Names the layer and the scratchpad.
    """
    if need > depth:
        raise UnsupportedNetworkError(
            f"layer {name!r} under this mapping must fit the {depth} tensors of the {memory} scratchpad",
            got=need,
            fix="use smaller tiles",
        )
