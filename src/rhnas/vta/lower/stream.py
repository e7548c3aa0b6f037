"""The instruction stream of a layer: transfers cut to their fields, tokens between the modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rhnas.vta.isa import Load, Memory, Store
from rhnas.vta.lower.kernels import Item

MAX_SIZE = (1 << 16) - 1
"""Of a transfer's rows, row length and stride."""
MAX_PAD = 15
"""Of each of its pads."""


@dataclass
class Stream:
    """Items in program order."""

    items: list[Item] = field(default_factory=list)

    def add(
        self,
        group: Sequence[Item],
        *,
        pop_prev: bool = False,
        pop_next: bool = False,
        push_prev: bool = False,
        push_next: bool = False,
    ) -> None:
        """Append instructions of one module: the first takes the tokens, the last posts them."""
        last = len(group) - 1
        for index, item in enumerate(group):
            tokens: dict[str, Any] = {}
            if index == 0:
                tokens |= {"pop_prev": pop_prev, "pop_next": pop_next}
            if index == last:
                tokens |= {"push_prev": push_prev, "push_next": push_next}
            self.items.append(Item(replace(item.instruction, **tokens), item.uops))


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows in memory and their place in a scratchpad, all in tensors of the memory type.

    Attributes:
        sram: First tensor in the scratchpad, where rows follow each other.
        dram: First tensor in memory.
        rows: How many.
        size: Tensors of a row.
        stride: From row to row in memory.
    """

    sram: int
    dram: int
    rows: int
    size: int
    stride: int

    def cut(self) -> Iterator[Block]:
        """The block in pieces that a transfer's fields can say."""
        if self.size > MAX_SIZE:
            for row in range(self.rows):
                for first in range(0, self.size, MAX_SIZE):
                    size = min(MAX_SIZE, self.size - first)
                    sram, dram = self.sram + row * self.size + first, self.dram + row * self.stride + first
                    yield Block(sram=sram, dram=dram, rows=1, size=size, stride=0)
            return
        at_once = 1 if self.stride > MAX_SIZE else MAX_SIZE
        for first in range(0, self.rows, at_once):
            yield Block(
                sram=self.sram + first * self.size,
                dram=self.dram + first * self.stride,
                rows=min(at_once, self.rows - first),
                size=self.size,
                stride=self.stride if at_once > 1 else 0,
            )


@dataclass(frozen=True, kw_only=True)
class Padding:
    """What surrounds a tile.

    Attributes:
        memory: The scratchpad it is loaded into.
        first: Where memory holds one tensor of it, in tensors.
        lowest: The least value instead of zero.
    """

    memory: Memory
    first: int
    lowest: bool = False


def relay() -> Item:
    """An instruction of the compute module that does nothing but take and post tokens."""
    return Item(Load(memory_type=Memory.UOP, x_size=0))


def loads(memory: Memory, block: Block) -> list[Item]:
    """LOADs of a block without padding."""
    return [_load(memory, piece) for piece in block.cut()]


def stores(block: Block) -> list[Item]:
    """STOREs of a block."""
    return [
        Item(
            Store(
                sram_base=piece.sram,
                dram_base=piece.dram,
                y_size=piece.rows,
                x_size=piece.size,
                x_stride=piece.stride,
            )
        )
        for piece in block.cut()
    ]


def padded_loads(block: Block, pads: tuple[int, int, int, int], lanes: int, padding: Padding) -> list[Item]:
    """LOADs of rows with padding around.

    Pad fields hold 15 tensors: where a pixel has several, rows are loaded one by one with pixels as the
    transfer's rows; where that does not do either, a tensor of padding in memory is loaded all over.

    Args:
        block: The rows without padding; there may be none.
        pads: Rows above and below, pixels before and behind.
        lanes: Tensors of a pixel.
        padding: Of what, and where to.
    """
    above, below, before, behind = pads
    if not any(pads):
        return loads(padding.memory, block)
    some = block.rows * block.size > 0
    beside = (before * lanes, behind * lanes)
    if some and max(above, below, *beside) <= MAX_PAD and block.stride <= MAX_SIZE:
        return [_load(padding.memory, block, (above, below, *beside), lowest=padding.lowest)]
    pitch = sum(beside) + block.size
    narrow = some and max(before, behind) <= MAX_PAD
    # Rows above and below; everything where rows cannot pad themselves.
    parts = [(0, above), (above + block.rows, below)] if narrow else [(0, above + block.rows + below)]
    items: list[Item] = []
    for row, rows in parts:
        if rows:
            area = Block(
                sram=block.sram + row * pitch, dram=padding.first, rows=rows * pitch, size=1, stride=0
            )
            items += loads(padding.memory, area)
    for row in range(block.rows if some else 0):
        sram, dram = block.sram + (above + row) * pitch, block.dram + row * block.stride
        if narrow:
            pixels = Block(sram=sram, dram=dram, rows=block.size // lanes, size=lanes, stride=lanes)
            items.append(_load(padding.memory, pixels, (before, behind, 0, 0), lowest=padding.lowest))
        else:
            whole = Block(sram=sram + beside[0], dram=dram, rows=1, size=block.size, stride=0)
            items += loads(padding.memory, whole)
    return items


def _load(
    memory: Memory, block: Block, pads: tuple[int, int, int, int] = (0, 0, 0, 0), *, lowest: bool = False
) -> Item:
    load = Load(
        memory_type=memory,
        sram_base=block.sram,
        dram_base=block.dram,
        y_size=block.rows,
        x_size=block.size,
        x_stride=block.stride,
        y_pad_0=pads[0],
        y_pad_1=pads[1],
        x_pad_0=pads[2],
        x_pad_1=pads[3],
        is_pad_min_value=lowest,
    )
    return Item(load)
