"""Where a layer's tensors lie in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PAGE_BYTES = 4096
"""Regions begin at pages, so that every tensor has a whole number (no tensor is larger, rule R22)."""


@dataclass(frozen=True, kw_only=True)
class MemoryMap:
    """Byte addresses.

    Attributes:
        inputs: Of each tensor the layer reads.
        output: Of the tensor it writes.
        weights: Weight tensors.
        constants: What accumulators start from, and shifts per channel.
        padding: One tensor of padding.
        uops: Micro-ops, up to the end.
    """

    inputs: tuple[int, ...]
    output: int
    weights: int
    constants: int
    padding: int
    uops: int

    @classmethod
    def of(cls, inputs: Sequence[int], output: int, weights: int, constants: int) -> MemoryMap:
        """One region after the other, given their sizes in bytes."""
        sizes = (*inputs, output, weights, constants, 1, 0)
        starts = [0]
        for size in sizes[:-1]:
            starts.append(starts[-1] + -(-size // PAGE_BYTES) * PAGE_BYTES)
        first, rest = starts[: len(inputs)], starts[len(inputs) :]
        return cls(
            inputs=tuple(first),
            output=rest[0],
            weights=rest[1],
            constants=rest[2],
            padding=rest[3],
            uops=rest[4],
        )
