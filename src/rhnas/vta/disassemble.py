"""Instructions as text, one line each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rhnas.errors import ProgramError
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import WORD_BITS, Alu, Gemm, Instruction, Load, Loop, Transfer, decode


def disassemble(instruction: Instruction) -> str:
    """One line: what, where, how much, and the tokens taken and posted.

    Example:
        >>> from rhnas.vta.isa import Memory
        >>> disassemble(Load(memory_type=Memory.INP, dram_base=64, x_size=3, push_next=True))
        'LOAD INP sram 0 <- dram 64, 1 x 3 stride 1; push next'
        >>> disassemble(Gemm(uop_end=4, iter_in=7, dst_factor_in=1, src_factor_in=2))
        'GEMM uops 0:4, 1 x 7, dst +0 +1, src +0 +2, wgt +0 +0'
    """
    tokens = [
        f"{verb} {' '.join(sides)}"
        for verb in ("pop", "push")
        if (sides := [side for side in ("prev", "next") if getattr(instruction, f"{verb}_{side}")])
    ]
    return "; ".join([_body(instruction), *tokens])


def _body(instruction: Instruction) -> str:
    if isinstance(instruction, Transfer):
        return _transfer(instruction)
    if isinstance(instruction, Gemm):
        wgt = f", wgt +{instruction.wgt_factor_out} +{instruction.wgt_factor_in}"
        return f"GEMM{' reset' if instruction.reset else ''} {_loop(instruction)}{wgt}"
    if isinstance(instruction, Alu):
        operand = f"imm {instruction.imm}" if instruction.use_imm else "tensor"
        return f"ALU {instruction.alu_opcode.name} {operand}, {_loop(instruction)}"
    return "FINISH"


def _loop(loop: Loop) -> str:
    factors = (
        f"dst +{loop.dst_factor_out} +{loop.dst_factor_in}, src +{loop.src_factor_out} +{loop.src_factor_in}"
    )
    return f"uops {loop.uop_bgn}:{loop.uop_end}, {loop.iter_out} x {loop.iter_in}, {factors}"


def _transfer(transfer: Transfer) -> str:
    name = type(transfer).__name__.upper()
    if transfer.x_size == 0:
        return f"{name} {transfer.memory_type.name} nothing"
    arrow = "<-" if isinstance(transfer, Load) else "->"
    ends = f"sram {transfer.sram_base} {arrow} dram {transfer.dram_base}"
    size = f"{transfer.y_size} x {transfer.x_size} stride {transfer.x_stride}"
    return f"{name} {transfer.memory_type.name} {ends}, {size}{_pads(transfer)}"


def _pads(transfer: Transfer) -> str:
    if not isinstance(transfer, Load):
        return ""
    pads = (transfer.y_pad_0, transfer.y_pad_1, transfer.x_pad_0, transfer.x_pad_1)
    if not any(pads):
        return ""
    least = " with least value" if transfer.is_pad_min_value else ""
    return ", pad top {} bottom {} left {} right {}".format(*pads) + least


def listing(words: NDArray[np.uint64], config: AcceleratorConfig) -> Iterator[str]:
    """A line per instruction with its index; what is no instruction says why.

    Args:
        words: uint64 (n, 2).
        config: Sizes the fields.
    """
    for index, (low, high) in enumerate(words.tolist()):
        yield f"{index:6d}  {describe(low | high << WORD_BITS, config)}"


def describe(word: int, config: AcceleratorConfig) -> str:
    """One instruction as text, or why it is none; never an error."""
    try:
        return disassemble(decode(word, config))
    except ProgramError as error:
        return f"{word:#034x} ({error})"
