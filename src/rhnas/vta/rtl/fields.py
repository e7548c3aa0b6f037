"""Instruction fields as hardware slices, at the positions ``vta.isa`` gives them."""

from __future__ import annotations

from amaranth.hdl import Value

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Opcode, layout


def fields(instruction: Value, opcode: Opcode, config: AcceleratorConfig) -> dict[str, Value]:
    """Every field of an instruction of one kind, by name; signed fields are signed."""
    slices = {}
    for field in layout(opcode, config):
        bits = instruction[field.low : field.low + field.width]
        slices[field.name] = bits.as_signed() if field.signed else bits
    return slices
