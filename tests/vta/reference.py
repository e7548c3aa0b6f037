"""A plain NumPy interpreter of instruction streams, one instruction after the other: no time, no checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Alu, AluOp, Finish, Gemm, Instruction, Load, Memory, Opcode, Store
from rhnas.vta.uops import decode_uop


class Interpreter:
    """Memories as arrays of exactly the hardware's types."""

    def __init__(self, config: AcceleratorConfig, dram: np.ndarray) -> None:
        self.config, self.dram = config, dram.copy()
        rows = (config.batch, config.block_out)
        self.uop = np.zeros(config.uop_depth, np.uint32)
        self.inp = np.zeros((config.inp_depth, config.batch, config.block_in), np.int8)
        self.wgt = np.zeros((config.wgt_depth, config.block_out, config.block_in), np.int8)
        self.acc = np.zeros((config.acc_depth, *rows), np.int32)
        self.out = np.zeros((config.acc_depth, *rows), np.int8)

    def run(self, instructions: Iterable[Instruction]) -> np.ndarray:
        for instruction in instructions:
            if isinstance(instruction, Load) and instruction.x_size:
                self.load(instruction)
            elif isinstance(instruction, Store) and instruction.x_size:
                self.store(instruction)
            elif isinstance(instruction, Gemm):
                self.gemm(instruction)
            elif isinstance(instruction, Alu):
                self.alu(instruction)
        return self.dram

    def load(self, i: Load) -> None:
        target = {
            Memory.UOP: self.uop,
            Memory.INP: self.inp,
            Memory.WGT: self.wgt,
            Memory.ACC: self.acc,
            Memory.ACC_8BIT: self.acc,
        }[i.memory_type]
        kind = np.dtype(np.int8) if i.memory_type is Memory.ACC_8BIT else target.dtype
        lanes = int(np.prod(target.shape[1:]))
        size = lanes * kind.itemsize
        lines = []
        for y in range(i.y_size):
            start = (i.dram_base + y * i.x_stride) * size
            lines.append(self.dram[start : start + i.x_size * size].view(kind).reshape(i.x_size, lanes))
        pad = np.iinfo(kind).min if i.is_pad_min_value else 0
        if kind == np.uint32:
            pad = 1 << 31 if i.is_pad_min_value else 0
        around = ((i.y_pad_0, i.y_pad_1), (i.x_pad_0, i.x_pad_1), (0, 0))
        block = np.pad(np.stack(lines), around, constant_values=pad)
        tensors = block.reshape(-1, *target.shape[1:])
        target[i.sram_base : i.sram_base + len(tensors)] = tensors

    def store(self, i: Store) -> None:
        size = self.config.batch * self.config.block_out
        for y in range(i.y_size):
            start = (i.dram_base + y * i.x_stride) * size
            first = i.sram_base + y * i.x_size
            line = self.out[first : first + i.x_size].view(np.uint8).reshape(-1)
            self.dram[start : start + i.x_size * size] = line

    def gemm(self, i: Gemm) -> None:
        for o in range(i.iter_out):
            for n in range(i.iter_in):
                for word in self.uop[i.uop_bgn : i.uop_end]:
                    u = decode_uop(int(word), Opcode.GEMM, self.config)
                    dst = u.dst + o * i.dst_factor_out + n * i.dst_factor_in
                    if i.reset:
                        self.acc[dst] = 0
                        continue
                    inp = self.inp[u.src + o * i.src_factor_out + n * i.src_factor_in].astype(np.int64)
                    wgt = self.wgt[u.wgt + o * i.wgt_factor_out + n * i.wgt_factor_in].astype(np.int64)
                    self.acc[dst] = (self.acc[dst] + inp @ wgt.T).astype(np.int32)
                    self.out[dst] = self.acc[dst].astype(np.int8)

    def alu(self, i: Alu) -> None:
        for o in range(i.iter_out):
            for n in range(i.iter_in):
                for word in self.uop[i.uop_bgn : i.uop_end]:
                    u = decode_uop(int(word), Opcode.ALU, self.config)
                    dst = u.dst + o * i.dst_factor_out + n * i.dst_factor_in
                    src = u.src + o * i.src_factor_out + n * i.src_factor_in
                    x = self.acc[src if i.use_imm else dst].astype(np.int64)
                    y = np.full_like(x, i.imm) if i.use_imm else self.acc[src].astype(np.int64)
                    self.acc[dst] = operate(i.alu_opcode, x, y).astype(np.int32)
                    self.out[dst] = self.acc[dst].astype(np.int8)


def operate(op: AluOp, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``x op y`` on int64 values, before wrapping."""
    return {
        AluOp.MIN: np.minimum(x, y),
        AluOp.MAX: np.maximum(x, y),
        AluOp.ADD: x + y,
        AluOp.SHR: np.where(y < 0, x << (-y & 31), x >> (y & 31)),
        AluOp.MUL: x.astype(np.int8).astype(np.int64) * y.astype(np.int8),
        AluOp.CLP: np.where(x > y, y, np.where(x < -y, -y, x)),
        AluOp.MOV: y,
    }[op]


def module_of(instruction: Instruction) -> str:
    if isinstance(instruction, Store):
        return "store"
    to_load = isinstance(instruction, Load) and instruction.memory_type in (Memory.INP, Memory.WGT)
    return "load" if to_load else "compute"


def in_sequence(instructions: Sequence[Instruction]) -> list[Instruction]:
    """Add tokens (and NOPs of compute between load and store) so that each waits for the one before."""
    steps: list[Instruction] = []
    for instruction in [*instructions, Finish()]:
        before = module_of(steps[-1]) if steps else "compute"
        if {before, module_of(instruction)} == {"load", "store"}:
            steps.append(Load(memory_type=Memory.UOP, x_size=0))
        steps.append(instruction)
    for k in range(1, len(steps)):
        before, after = module_of(steps[k - 1]), module_of(steps[k])
        if before == after:
            continue
        forward = before == "load" or after == "store"
        steps[k - 1] = replace(steps[k - 1], **{"push_next" if forward else "push_prev": True})
        steps[k] = replace(steps[k], **{"pop_prev" if forward else "pop_next": True})
    return steps
