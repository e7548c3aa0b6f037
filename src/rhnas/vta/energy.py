"""Energy per event from published energies per access.

A scratchpad is a row of 32-bit-wide banks that are all read at once, so the energy of a byte follows the
capacity of one bank, depth x 4 bytes, not of the whole buffer; a tensor narrower than 32 bits is one bank.
Read on the whole buffer, the same formula would make weights three quarters of all energy. Every lane and row
of the array is charged in every step, idle or not. Leakage: none in any profile; no table here gives it.
"""

from __future__ import annotations

import numpy as np

from rhnas.space import DesignBatch
from rhnas.technology import Technology
from rhnas.vta.rules import BATCH, BLOCK_IN, BLOCK_OUT, BUS, DerivedDepths
from rhnas.vta.timing import INSTRUCTION_BYTES, UOP_BYTES
from rhnas.workload import FloatArray, IntArray

BANK_BYTES = 4
"""Width of a scratchpad bank: a 32-bit SRAM macro."""

QUEUE_ENTRIES = 512
"""Instructions a queue holds (main ``Core.scala``)."""

EVENTS = (
    "gemm_steps",
    "reset_steps",
    "alu_immediate_steps",
    "alu_tensor_steps",
    "output_tensors",
    "beats",
    "inp_fill",
    "wgt_fill",
    "acc_fill",
    "instructions",
    "uops",
)
"""What is counted, in the order of the columns of ``event_energy``."""


def bank_kib(depth_bits: IntArray, tensor_bytes: IntArray) -> FloatArray:
    """Capacity of the bank that one access reads, float64 (B,).

    Args:
        depth_bits: int64 (B,): log2 of the tensors in the scratchpad.
        tensor_bytes: int64 (B,).
    """
    return np.exp2(depth_bits.astype(np.float64)) * np.minimum(tensor_bytes, BANK_BYTES) / 1024


def event_energy(technology: Technology, batch: DesignBatch) -> FloatArray:
    """Energy of each counted event on each design.

    Returns:
        float64 (B, len(EVENTS)), pJ.
    """
    depth = DerivedDepths.of(batch)
    rows, ins, outs = (np.int64(1) << batch[key] for key in (BATCH, BLOCK_IN, BLOCK_OUT))
    byte, ones = technology.scratchpad, np.ones(len(batch))
    inp = rows * ins * byte.at(bank_kib(depth.inp, rows * ins))
    wgt = outs * ins * byte.at(bank_kib(depth.wgt, outs * ins))
    out = rows * outs * byte.at(bank_kib(depth.acc, rows * outs))
    lanes = rows * outs
    acc = lanes * technology.accumulator.at(bank_kib(depth.acc, BANK_BYTES * ones.astype(np.int64)))
    uop = UOP_BYTES * byte.at(bank_kib(depth.uop, np.full(len(batch), UOP_BYTES)))
    operation = lanes * technology.alu.value
    queue = INSTRUCTION_BYTES * byte.at(QUEUE_ENTRIES * BANK_BYTES / 1024 * ones)
    return np.stack(
        [
            uop + inp + wgt + acc + lanes * ins * technology.mac.value + acc + out,
            uop + acc,
            uop + acc + operation + acc + out,
            uop + 2 * acc + operation + acc + out,
            out,
            batch[BUS] // 8 * technology.dram_byte.value,
            inp,
            wgt,
            acc,
            2 * queue,
            uop,
        ],
        axis=1,
    )
