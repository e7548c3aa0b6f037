"""Tiles of activations between memory and scratchpads."""

from __future__ import annotations

from dataclasses import dataclass

from rhnas.vta.lower.kernels import Item
from rhnas.vta.lower.stream import Block, Padding, loads, padded_loads, stores
from rhnas.vta.lower.tiles import Channels, Pixels


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A tensor in memory, [groups][height][width][lanes].

    Attributes:
        first: Its address in tensors of the memory type.
        size: Height and width in pixels.
        lanes: Tensors per pixel of a storage group.
    """

    first: int
    size: tuple[int, int]
    lanes: int

    @property
    def pitch(self) -> int:
        """Tensors from row to row."""
        return self.size[1] * self.lanes

    @property
    def plane(self) -> int:
        """Tensors from storage group to storage group."""
        return self.size[0] * self.pitch


@dataclass(frozen=True, kw_only=True)
class Place:
    """A tile on chip: its first tensor, and tensors from storage group to storage group."""

    base: int
    plane: int


def read_tile(tensor: Stored, pixels: Pixels, groups: range, place: Place, padding: Padding) -> list[Item]:
    """LOADs of what a tile reads: one per storage group, or one for all that fill their planes unbroken."""
    rows, columns = pixels.rows.reads, pixels.columns.reads
    lanes = tensor.lanes
    first = tensor.first + groups.start * tensor.plane + rows.start * tensor.pitch + columns.start * lanes
    pads = (rows.before, rows.after, columns.before, columns.after)
    size = rows.count * columns.count * lanes
    whole = columns.count == tensor.size[1] and rows.spacing == 1
    if whole and not any(pads) and size == place.plane:
        block = Block(sram=place.base, dram=first, rows=len(groups), size=size, stride=tensor.plane)
        return loads(padding.memory, block)
    items: list[Item] = []
    for group in range(len(groups)):
        block = Block(
            sram=place.base + group * place.plane,
            dram=first + group * tensor.plane,
            rows=rows.count,
            size=columns.count * lanes,
            stride=tensor.pitch * rows.spacing,
        )
        items += padded_loads(block, pads, lanes, padding)
    return items


def write_tile(tensor: Stored, pixels: Pixels, channels: Channels, base: int) -> list[Item]:
    """STOREs of an output tile; whole rows of a storage group are contiguous."""
    rows, columns, lanes = pixels.rows, pixels.columns, tensor.lanes
    first = tensor.first + channels.first_group * tensor.plane
    first += rows.first * tensor.pitch + columns.first * lanes
    tile = rows.count * columns.count * lanes
    if columns.count == tensor.size[1]:
        return stores(Block(sram=base, dram=first, rows=channels.groups, size=tile, stride=tensor.plane))
    items: list[Item] = []
    for group in range(channels.groups):
        block = Block(
            sram=base + group * tile,
            dram=first + group * tensor.plane,
            rows=rows.count,
            size=columns.count * lanes,
            stride=tensor.pitch,
        )
        items += stores(block)
    return items
