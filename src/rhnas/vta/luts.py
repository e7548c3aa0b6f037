"""Look-up tables of a design as a sum of what its parts take each, with prices fitted to syntheses.

The terms are what the generated machine consists of; ``luts.json`` has the price of each, in six-input
tables, written by ``benchmarks/resources.py --fit`` from the designs in ``results/synthesis``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np

from rhnas.space import DesignBatch
from rhnas.vta.fpga import Fpga
from rhnas.vta.rules import (
    BATCH,
    BLOCK_IN,
    BLOCK_OUT,
    BUS,
    INT8_BITS,
    LOG_ACC_BITS,
    LOG_INP_BITS,
    LOG_UOP_BITS,
    LOG_WGT_BITS,
)
from rhnas.workload import FloatArray, IntArray

PRODUCT_BITS = 2 * INT8_BITS
PRICES = "luts.json"

GROUPS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "vector": (("alu_lane", "compute.alu", "compute.gemm"), ("design", "vector lane")),
    "array": (("dot_products",), ("adder tree bit",)),
    "rest": ((), ("design", "vector lane", "rotated bit")),
}
"""Modules priced together, as ``vta.synthesize`` names them, and by which terms; the last has the rest."""


def terms(batch: DesignBatch) -> dict[str, FloatArray]:
    """How often each part occurs in B designs, float64 (B,) each; soft multipliers apart.

    Example:
        >>> from rhnas.vta.spaces import DEFAULT
        >>> found = terms(DesignBatch.of(DEFAULT))
        >>> float(found["vector lane"][0]), float(found["adder tree bit"][0])
        (16.0, 4256.0)
    """
    rows, ins, outs = (batch[key] for key in (BATCH, BLOCK_IN, BLOCK_OUT))
    bus = batch[BUS].astype(np.int64)
    lanes = np.int64(1) << (rows + outs)
    out = INT8_BITS * lanes
    # Uop, input, weight, accumulator and output tensors, and what a beat brings for each.
    tensors = np.stack(
        [
            np.full_like(lanes, 1 << LOG_UOP_BITS),
            np.int64(1) << (rows + ins + LOG_INP_BITS),
            np.int64(1) << (outs + ins + LOG_WGT_BITS),
            np.int64(1) << (rows + outs + LOG_ACC_BITS),
            out,
        ]
    )
    beats = np.stack([bus, bus, bus, bus << (LOG_ACC_BITS - LOG_INP_BITS), bus])
    turns = np.log2(np.maximum(beats // tensors, 1))  # levels that rotate the tensors of a beat, (5, B)
    found = {
        "design": np.ones_like(lanes),
        "vector lane": lanes,
        "adder tree bit": lanes * adder_tree_bits(ins),
        "rotated bit": (beats * turns).sum(axis=0),
    }
    return {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}


def adder_tree_bits(log_block_in: IntArray) -> IntArray:
    """Full adders of one dot product: level j of its tree adds 2^(k-j) pairs of 16+j-1 bits.

    The sum over j = 1..k of 2^(k-j) (16 + j) is 16 (2^k - 1) + 2 (2^k) - k - 2.
    """
    leaves = np.int64(1) << log_block_in
    return np.asarray(PRODUCT_BITS * (leaves - 1) + 2 * leaves - log_block_in - 2)


@cache
def prices() -> Mapping[str, float]:
    """Six-input tables that each term takes."""
    told = json.loads(files("rhnas.vta").joinpath(PRICES).read_text())["prices"]
    return {str(name): float(price) for name, price in told.items()}


def logic_luts(batch: DesignBatch, part: Fpga) -> FloatArray:
    """Tables of B designs without soft multipliers and shallow memories, float64 (B,)."""
    found = terms(batch)
    six_input = sum(price * found[name] for name, price in prices().items())
    return np.asarray(six_input * part.luts_per_lut6, dtype=np.float64)
