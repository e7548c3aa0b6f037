"""Micro-ops: the scratchpad indices of one step of GEMM or ALU in 32 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Field, Opcode, index_bits, pack


@dataclass(frozen=True)
class MicroOp:
    """Scratchpad indices of one step; ``src`` is an input for GEMM and an accumulator for ALU."""

    dst: int
    src: int
    wgt: int = 0


def uop_layout(opcode: Opcode, config: AcceleratorConfig) -> tuple[Field, ...]:
    """Fields of a micro-op: dst has A bits, then src I (GEMM) or A (ALU), then, for GEMM, wgt W.

    Example:
        >>> [(f.name, f.low, f.width) for f in uop_layout(Opcode.GEMM, AcceleratorConfig())]
        [('dst', 0, 11), ('src', 11, 11), ('wgt', 22, 10)]
    """
    _, inp, wgt, acc = index_bits(config)
    if opcode is Opcode.ALU:
        return tuple(pack(0, ("dst", acc), ("src", acc)))
    return tuple(pack(0, ("dst", acc), ("src", inp), ("wgt", wgt)))


def encode_uops(uops: Sequence[MicroOp], opcode: Opcode, config: AcceleratorConfig) -> NDArray[np.uint32]:
    """Encode micro-ops for GEMM or ALU.

    Returns:
        uint32 (n,).

    Raises:
        ProgramError: An index does not fit its field.
    """
    bits = uop_layout(opcode, config)
    words = [
        sum(field.place(getattr(uop, field.name), f"micro-op {index}:") for field in bits)
        for index, uop in enumerate(uops)
    ]
    return np.array(words, dtype=np.uint32)


def decode_uop(word: int, opcode: Opcode, config: AcceleratorConfig) -> MicroOp:
    """The micro-op of a 32-bit number, as GEMM or ALU reads it."""
    return MicroOp(**{field.name: field.take(int(word)) for field in uop_layout(opcode, config)})
