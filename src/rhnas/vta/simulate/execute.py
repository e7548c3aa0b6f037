"""What each instruction computes, as compiled kernels over scratchpads and DRAM.

Arithmetic is the hardware's: int32 sums wrap, outputs keep the low byte. Errors are codes in a report, since
compiled code raises none; ``run`` words them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rhnas.vta.compiled import compiled, entry
from rhnas.vta.isa import AluOp, Memory, Opcode
from rhnas.vta.simulate.memory import DRAM_BYTES, PAGE_BITS, place

_UOP, _WGT, _INP, _ACC = int(Memory.UOP), int(Memory.WGT), int(Memory.INP), int(Memory.ACC)
_OUT, _ACC_8BIT = int(Memory.OUT), int(Memory.ACC_8BIT)
_MIN, _MAX, _ADD, _SHR, _MUL, _CLP = (int(op) for op in list(AluOp)[:-1])
_OP_LOAD, _OP_STORE, _OP_GEMM, _OP_FINISH, _OP_ALU = (int(op) for op in Opcode)
_SHIFT_MASK = 31
"""The shifter reads the low five bits of its operand (TensorAlu.scala)."""
ACC_BYTES = 4


class Fault(IntEnum):
    """What stops a program; the report's ``detail`` and ``limit`` say by how much."""

    NONE = 0
    SRAM_RANGE = 1
    DRAM_RANGE = 2
    UOP_BOUNDS = 3
    UOP_DST = 4
    UOP_SRC = 5
    UOP_WGT = 6
    TOKEN_OVERFLOW = 7
    DEADLOCK = 8
    NO_FINISH = 9
    TOO_LONG = 10


class Doubt(IntEnum):
    """What a program should not do: a warning, or an error when strict."""

    UOP = 0
    WGT = 1
    INP = 2
    ACC = 3
    OUT = 4
    DRAM = 5
    UNFINISHED = 6


class Report(NamedTuple):
    """What compiled code has to say.

    Attributes:
        fault: int64 (4,): Fault, instruction index, detail, limit.
        doubts: int64 (len(Doubt), 2): first instruction or -1, count.
    """

    fault: NDArray[np.int64]
    doubts: NDArray[np.int64]


class Indices(NamedTuple):
    """How micro-ops are cut: widths of accumulator, input and weight indices; and the array's shape."""

    acc_bits: int
    inp_bits: int
    wgt_bits: int
    batch: int
    block_in: int
    block_out: int


@compiled
def fail(faults, fault, index, detail, limit):  # type: ignore[no-untyped-def]
    """Note the first fault: Fault, instruction, detail, limit. False, so that callers can stop."""
    if faults[0] == 0:
        faults[0], faults[1], faults[2], faults[3] = fault, index, detail, limit
    return False


@compiled
def doubt(report, kind, index):  # type: ignore[no-untyped-def]
    """Note something questionable."""
    if report.doubts[kind, 1] == 0:
        report.doubts[kind, 0] = index
    report.doubts[kind, 1] += 1


@compiled
def _read_tensor(dram, address, lane_bytes, row):  # type: ignore[no-untyped-def]
    """Fill a row with sign-extended little-endian lanes; whether all its bytes were ever written."""
    size = len(row) * lane_bytes
    known = True
    if (address >> PAGE_BITS) == ((address + size - 1) >> PAGE_BITS):
        at = place(dram, address)
        for byte in range(size):
            known &= dram.written[at + byte]
        for lane in range(len(row)):
            row[lane] = _lane(dram, at + lane * lane_bytes, lane_bytes)
        return known
    for lane in range(len(row)):  # lanes are aligned, so that none crosses a page, unless a base is odd
        value = np.int64(0)
        for byte in range(lane_bytes):
            at = place(dram, address + lane * lane_bytes + byte)
            known &= dram.written[at]
            value |= np.int64(dram.data[at]) << (8 * byte)
        row[lane] = np.int32(value) if lane_bytes == ACC_BYTES else np.int8(value)
    return known


@compiled
def _lane(dram, at, lane_bytes):  # type: ignore[no-untyped-def]
    if lane_bytes == 1:
        return np.int32(np.int8(dram.data[at]))
    low = np.int64(dram.data[at]) | np.int64(dram.data[at + 1]) << 8
    return np.int32(low | np.int64(dram.data[at + 2]) << 16 | np.int64(dram.data[at + 3]) << 24)


@compiled
def _fill(insn, index, target, written, lane_bytes, address, dram, report):  # type: ignore[no-untyped-def]
    """A LOAD into one scratchpad: rows contiguous on chip, ``x_stride`` tensors apart in DRAM."""
    width = insn.x_pad_0 + insn.x_size + insn.x_pad_1
    height = insn.y_pad_0 + insn.y_size + insn.y_pad_1
    end = insn.sram_base + width * height
    if end > len(target):
        return fail(report.fault, Fault.SRAM_RANGE, index, end, len(target))
    pad = 0
    if insn.is_pad_min_value:
        pad = -(1 << (8 * lane_bytes - 1))
    tensor_bytes = target.shape[1] * lane_bytes
    for y in range(height):
        line = insn.sram_base + y * width
        inside = insn.y_pad_0 <= y < insn.y_pad_0 + insn.y_size
        for x in range(width):
            written[line + x] = True
            if inside and insn.x_pad_0 <= x < insn.x_pad_0 + insn.x_size:
                tensor = (y - insn.y_pad_0) * insn.x_stride + x - insn.x_pad_0
                if not _read_tensor(dram, address + tensor * tensor_bytes, lane_bytes, target[line + x]):
                    doubt(report, Doubt.DRAM, index)
            else:
                target[line + x, :] = pad
    return True


@compiled
def in_dram(insn, index, address, tensor_bytes, report):  # type: ignore[no-untyped-def]
    """Whether a transfer stays within the address space."""
    end = address + ((insn.y_size - 1) * insn.x_stride + insn.x_size) * tensor_bytes
    if end > DRAM_BYTES:
        return fail(report.fault, Fault.DRAM_RANGE, index, end, DRAM_BYTES)
    return True


@compiled
def load(insn, index, address, pads, dram, report):  # type: ignore[no-untyped-def]
    """Execute a LOAD; whether it was legal."""
    kind = insn.memory_type
    if kind in (_WGT, _INP):
        narrow, known = pads.inp, pads.inp_written
        if kind == _WGT:
            narrow, known = pads.wgt, pads.wgt_written
        return _fill(insn, index, narrow, known, 1, address, dram, report)
    wide, known = pads.acc, pads.acc_written
    if kind == _UOP:
        wide, known = pads.uop, pads.uop_written
    return _fill(insn, index, wide, known, 1 if kind == _ACC_8BIT else ACC_BYTES, address, dram, report)


@compiled
def store(insn, index, address, pads, dram, report):  # type: ignore[no-untyped-def]
    """Execute a STORE; its pages exist."""
    end = insn.sram_base + insn.y_size * insn.x_size
    if end > len(pads.out):
        return fail(report.fault, Fault.SRAM_RANGE, index, end, len(pads.out))
    lanes = pads.out.shape[1]
    for y in range(insn.y_size):
        for x in range(insn.x_size):
            source = insn.sram_base + y * insn.x_size + x
            if not pads.out_written[source]:
                doubt(report, Doubt.OUT, index)
            start = address + (y * insn.x_stride + x) * lanes
            for lane in range(lanes):
                at = place(dram, start + lane)
                dram.data[at] = np.uint8(pads.out[source, lane])
                dram.written[at] = True
    return True


@compiled
def _reach(insn, index, shift, bits, factor_out, factor_in, depth, fault, pads, report):  # type: ignore[no-untyped-def]
    """Whether one index of every micro-op stays below ``depth`` over both loops."""
    span = (insn.iter_out - 1) * factor_out + (insn.iter_in - 1) * factor_in
    mask = (1 << bits) - 1
    for uop in range(insn.uop_bgn, insn.uop_end):
        last = ((np.int64(pads.uop[uop, 0]) >> shift) & mask) + span
        if last >= depth:
            return fail(report.fault, fault, index, last, depth)
    return True


@compiled
def _uops_known(insn, index, pads, report):  # type: ignore[no-untyped-def]
    if insn.uop_end > len(pads.uop):
        return fail(report.fault, Fault.UOP_BOUNDS, index, insn.uop_end, len(pads.uop))
    for uop in range(insn.uop_bgn, insn.uop_end):
        if not pads.uop_written[uop]:
            doubt(report, Doubt.UOP, index)
    return True


@compiled
def gemm(insn, index, shape, pads, report):  # type: ignore[no-untyped-def]
    """Execute a GEMM; whether it was legal."""
    a, i, w = shape.acc_bits, shape.inp_bits, shape.wgt_bits
    fo, fi, so, si = insn.dst_factor_out, insn.dst_factor_in, insn.src_factor_out, insn.src_factor_in
    if not _uops_known(insn, index, pads, report):
        return False
    if not _reach(insn, index, 0, a, fo, fi, len(pads.acc), Fault.UOP_DST, pads, report):
        return False
    if insn.reset == 0:
        if not _reach(insn, index, a, i, so, si, len(pads.inp), Fault.UOP_SRC, pads, report):
            return False
        if not _reach(
            insn,
            index,
            a + i,
            w,
            insn.wgt_factor_out,
            insn.wgt_factor_in,
            len(pads.wgt),
            Fault.UOP_WGT,
            pads,
            report,
        ):
            return False
    if insn.reset:
        _reset(insn, a, pads.uop, pads.acc, pads.acc_written)
    else:
        _multiply(insn, index, shape, pads, report)
    return True


@compiled
def _reset(insn, acc_bits, uops, acc, acc_written):  # type: ignore[no-untyped-def]
    for o in range(insn.iter_out):
        for n in range(insn.iter_in):
            offset = o * insn.dst_factor_out + n * insn.dst_factor_in
            for uop in range(insn.uop_bgn, insn.uop_end):
                dst = (np.int64(uops[uop, 0]) & ((1 << acc_bits) - 1)) + offset
                acc[dst, :] = 0
                acc_written[dst] = True


@compiled
def _multiply(insn, index, shape, pads, report):  # type: ignore[no-untyped-def]
    """Every step of a GEMM in the hardware's order; the low bytes go to ``out``."""
    uops, inp, wgt, acc, out = pads.uop, pads.inp, pads.wgt, pads.acc, pads.out
    inp_written, wgt_written = pads.inp_written, pads.wgt_written
    acc_written, out_written = pads.acc_written, pads.out_written
    wgt_at = shape.acc_bits + shape.inp_bits
    acc_mask, inp_mask = (1 << shape.acc_bits) - 1, (1 << shape.inp_bits) - 1
    wgt_mask = (1 << shape.wgt_bits) - 1
    for o in range(insn.iter_out):
        for n in range(insn.iter_in):
            to = o * insn.dst_factor_out + n * insn.dst_factor_in
            of = o * insn.src_factor_out + n * insn.src_factor_in
            by = o * insn.wgt_factor_out + n * insn.wgt_factor_in
            for uop in range(insn.uop_bgn, insn.uop_end):
                word = np.int64(uops[uop, 0])
                dst = (word & acc_mask) + to
                src = ((word >> shape.acc_bits) & inp_mask) + of
                weights = ((word >> wgt_at) & wgt_mask) + by
                if not (acc_written[dst] & inp_written[src] & wgt_written[weights]):
                    _doubt_step(index, acc_written[dst], inp_written[src], wgt_written[weights], report)
                acc_written[dst] = out_written[dst] = True
                for row in range(shape.batch):
                    columns = inp[src, row * shape.block_in : (row + 1) * shape.block_in]
                    for lane in range(shape.block_out):
                        kernel = wgt[weights, lane * shape.block_in : (lane + 1) * shape.block_in]
                        total = np.int32(acc[dst, row * shape.block_out + lane] + _dot(columns, kernel))
                        acc[dst, row * shape.block_out + lane] = total
                        out[dst, row * shape.block_out + lane] = np.int8(total)


@compiled
def _doubt_step(index, acc_known, inp_known, wgt_known, report):  # type: ignore[no-untyped-def]
    if not acc_known:
        doubt(report, Doubt.ACC, index)
    if not inp_known:
        doubt(report, Doubt.INP, index)
    if not wgt_known:
        doubt(report, Doubt.WGT, index)


@compiled
def _dot(inp, wgt):  # type: ignore[no-untyped-def]
    total = np.int32(0)
    for k in range(len(inp)):
        total = np.int32(total + np.int32(inp[k]) * np.int32(wgt[k]))
    return total


@compiled
def operate(op, x, y):  # type: ignore[no-untyped-def]
    """``x op y`` on int32 values held as int64, before wrapping."""
    if op == _MIN:
        return min(x, y)
    if op == _MAX:
        return max(x, y)
    if op == _ADD:
        return x + y
    if op == _SHR:
        return x >> (y & _SHIFT_MASK) if y >= 0 else x << (-y & _SHIFT_MASK)
    if op == _MUL:
        return np.int64(np.int8(x)) * np.int64(np.int8(y))
    return y if op != _CLP or x > y else max(x, -y)


@compiled
def alu(insn, index, shape, pads, report):  # type: ignore[no-untyped-def]
    """Execute an ALU instruction; whether it was legal."""
    a = shape.acc_bits
    fo, fi, so, si = insn.dst_factor_out, insn.dst_factor_in, insn.src_factor_out, insn.src_factor_in
    if not _uops_known(insn, index, pads, report):
        return False
    if not _reach(insn, index, 0, a, fo, fi, len(pads.acc), Fault.UOP_DST, pads, report):
        return False
    if not _reach(insn, index, a, a, so, si, len(pads.acc), Fault.UOP_SRC, pads, report):
        return False
    uops, acc, out = pads.uop, pads.acc, pads.out
    acc_written, out_written = pads.acc_written, pads.out_written
    mask = (1 << a) - 1
    for o in range(insn.iter_out):
        for n in range(insn.iter_in):
            for uop in range(insn.uop_bgn, insn.uop_end):
                word = np.int64(uops[uop, 0])
                dst = (word & mask) + o * fo + n * fi
                src = ((word >> a) & mask) + o * so + n * si
                if not acc_written[src] or not (insn.use_imm or acc_written[dst]):
                    doubt(report, Doubt.ACC, index)
                acc_written[dst] = out_written[dst] = True
                _apply(insn, acc[dst], acc[src], out[dst])
    return True


@compiled
def _apply(insn, dst, src, out):  # type: ignore[no-untyped-def]
    first = src if insn.use_imm else dst
    for lane in range(len(dst)):
        y = insn.imm if insn.use_imm else np.int64(src[lane])
        dst[lane] = np.int32(operate(insn.alu_opcode, np.int64(first[lane]), y))
        out[lane] = np.int8(dst[lane])


@entry
def execute(table, sequence, memories, shape, pads, dram, report):  # type: ignore[no-untyped-def]
    """Execute instructions in the given order until done or one is illegal.

    Args:
        table: DECODED (n,).
        sequence: int64 (m,): indices into it.
        memories: Records with ``base`` and ``tensor_bytes`` by memory type.
        shape: How micro-ops are cut, and the array's shape.
        pads: Scratchpads.
        dram: Memory.
        report: Faults and doubts.
    """
    for index in sequence:
        insn = table[index]
        legal = True
        if insn.opcode == _OP_GEMM:
            legal = gemm(insn, index, shape, pads, report)
        elif insn.opcode == _OP_ALU:
            legal = alu(insn, index, shape, pads, report)
        elif insn.opcode != _OP_FINISH and insn.x_size > 0:
            memory = memories[insn.memory_type]
            address = memory.base + insn.dram_base * memory.tensor_bytes
            legal = in_dram(insn, index, address, memory.tensor_bytes, report)
            if legal and insn.opcode == _OP_LOAD:
                legal = load(insn, index, address, pads, dram, report)
            elif legal:
                legal = store(insn, index, address, pads, dram, report)
        if not legal:
            return
