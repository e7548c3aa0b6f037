"""Loop nests over scratchpad indices as micro-ops and instructions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rhnas.errors import ProgramError
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import LOOP_BITS, Alu, AluOp, Gemm, Instruction, Load, Loop, Memory, Opcode
from rhnas.vta.uops import uop_layout
from rhnas.workload import IntArray

MAX_ITERATIONS = (1 << LOOP_BITS) - 1
Words = npt.NDArray[np.uint32]


class Index(NamedTuple):
    """Indices, or steps of indices, in the three scratchpads of a GEMM; an ALU's source is ``src``."""

    dst: int = 0
    src: int = 0
    wgt: int = 0


class Dim(NamedTuple):
    """One dimension of a loop nest: how often, and what each turn adds to the indices."""

    size: int
    step: Index


@dataclass(frozen=True)
class Item:
    """An instruction of a stream; loops have their micro-ops beside them until ``place_uops``."""

    instruction: Instruction
    uops: Words | None = None


def merged(dims: Sequence[Dim]) -> list[Dim]:
    """The nest with neighbours joined that are one dimension, and without dimensions of one turn.

    Example:
        >>> merged([Dim(4, Index(6, 6)), Dim(3, Index(2, 2)), Dim(1, Index(9, 9))])
        [Dim(size=12, step=Index(dst=2, src=2, wgt=0))]
    """
    kept: list[Dim] = []
    for dim in dims:
        if dim.size == 1:
            continue
        whole = Index(*(dim.size * step for step in dim.step))
        if kept and kept[-1].step == whole and kept[-1].size * dim.size <= MAX_ITERATIONS:
            kept[-1] = Dim(kept[-1].size * dim.size, dim.step)
        else:
            kept.append(dim)
    return kept


def gemm(
    points: Sequence[Index], dims: Sequence[Dim], config: AcceleratorConfig, *, reset: bool = False
) -> list[Item]:
    """``acc[dst] += inp[src] x wgt[wgt]`` at every point and turn of the dimensions; with reset ``= 0``."""

    def make(outer: Dim, inner: Dim) -> Loop:
        loop = Gemm(reset=reset, wgt_factor_out=outer.step.wgt, wgt_factor_in=inner.step.wgt)
        return _looped(loop, outer, inner)

    return list(_kernel(make, Opcode.GEMM, points, dims, config))


def alu(
    operation: AluOp,
    points: Sequence[Index],
    dims: Sequence[Dim],
    config: AcceleratorConfig,
    immediate: int | None = None,
) -> list[Item]:
    """``acc[dst] = acc[src] op immediate``, or ``acc[dst] = acc[dst] op acc[src]`` without one."""

    def make(outer: Dim, inner: Dim) -> Loop:
        use, value = immediate is not None, immediate or 0
        return _looped(Alu(alu_opcode=operation, use_imm=use, imm=value), outer, inner)

    return list(_kernel(make, Opcode.ALU, points, dims, config))


def _looped(loop: Loop, outer: Dim, inner: Dim) -> Loop:
    return replace(
        loop,
        iter_out=outer.size,
        iter_in=inner.size,
        dst_factor_out=outer.step.dst,
        dst_factor_in=inner.step.dst,
        src_factor_out=outer.step.src,
        src_factor_in=inner.step.src,
    )


def _kernel(
    make: Callable[[Dim, Dim], Loop],
    opcode: Opcode,
    points: Sequence[Index],
    dims: Sequence[Dim],
    config: AcceleratorConfig,
) -> Iterator[Item]:
    """The two longest dimensions become the instruction's loops, the others micro-ops.

    An ALU instruction moves its source by a factor of only I bits; dimensions that need more are micro-ops.
    """
    nest = merged(dims)
    room = 1 << config.inp_index_bits
    able = [at for at, dim in enumerate(nest) if dim.size <= MAX_ITERATIONS and dim.step.src < room]
    chosen = sorted(able, key=lambda at: -nest[at].size)[:2]
    uops = np.array(points, dtype=np.int64).reshape(-1, 3)
    for at, dim in enumerate(nest):
        if at not in chosen:
            turns = np.arange(dim.size)[:, None] * np.array(dim.step)  # (size, 3)
            uops = (uops[:, None] + turns).reshape(-1, 3)
    once = Dim(1, Index())
    outer, inner = ([once, once] + [nest[at] for at in chosen])[-2:]
    words = _encode(uops, opcode, config)
    for first in range(0, len(words), config.uop_depth):
        yield Item(make(outer, inner), words[first : first + config.uop_depth])


def _encode(uops: IntArray, opcode: Opcode, config: AcceleratorConfig) -> Words:
    words = np.zeros(len(uops), np.int64)
    for field, values in zip(uop_layout(opcode, config), uops.T, strict=False):
        if values.min() < 0 or values.max() > field.limits[1]:
            worst = int(values.max())
            raise ProgramError(f"micro-op field {field.name} must fit its {field.width} bits", got=worst)
        words |= values << field.low
    return words.astype(np.uint32)


def place_uops(
    items: Sequence[Item], config: AcceleratorConfig, address: int
) -> tuple[list[Instruction], Words]:
    """Give loops their places in the micro-op scratchpad, with the LOADs that fill it.

    Where all kernels fit, one LOAD in front brings them; otherwise each is loaded when it is not there, and
    all make room for one that does not fit beside them.

    Args:
        items: The stream.
        config: Gives the depth.
        address: Of the micro-ops in memory, counted in micro-ops.

    Returns:
        The instructions, and the micro-ops in memory.
    """
    at: dict[bytes, int] = {}
    image: list[Words] = []
    total = 0
    for item in items:
        if item.uops is not None and item.uops.tobytes() not in at:
            at[item.uops.tobytes()] = total
            image.append(item.uops)
            total += len(item.uops)
    instructions: list[Instruction] = []
    resident: dict[bytes, int] = {}
    used = 0
    if 0 < total <= config.uop_depth:
        instructions.append(Load(memory_type=Memory.UOP, dram_base=address, x_size=total))
        resident = at
    for item in items:
        if item.uops is None or not isinstance(item.instruction, Loop):
            instructions.append(item.instruction)
            continue
        key, count = item.uops.tobytes(), len(item.uops)
        if key not in resident:
            if used + count > config.uop_depth:
                resident, used = {}, 0
            load = Load(memory_type=Memory.UOP, sram_base=used, dram_base=address + at[key], x_size=count)
            instructions.append(load)
            resident[key], used = used, used + count
        begin = resident[key]
        instructions.append(replace(item.instruction, uop_bgn=begin, uop_end=begin + count))
    return instructions, np.concatenate(image) if image else np.zeros(0, np.uint32)
