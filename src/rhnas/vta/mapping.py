"""Mappings: how a layer's loops are cut into tiles, and what the smallest cut needs on chip."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from rhnas.space import DesignBatch
from rhnas.vta.mapping_nest import BEST, FORM_NAMES, ORDER_NAMES, nests_of
from rhnas.vta.rules import BATCH, BLOCK_IN, BLOCK_OUT, DerivedDepths
from rhnas.workload import FloatArray, IntArray, Layer

UNREACHABLE = np.int64(1) << 60
"""A need that no scratchpad meets: the layer does not have that form."""


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """One way to run a layer.

    Attributes:
        form: ``gemm``, ``gemm, kernel columns folded into channels`` or ``alu``.
        tile_h: Output rows of a tile.
        tile_w: Output columns of a tile.
        tile_ci: Input storage groups of a reduction tile; 0 where an output tile's inputs come at once.
        tile_co: Output storage groups of a tile.
        order: ``channels outer`` or ``pixels outer``.
        threads: Virtual threads: 2 alternates between halves of the scratchpads.

    Example:
        >>> print(Mapping(form="gemm", tile_h=7, tile_w=14, tile_ci=1, tile_co=2, order="pixels outer",
        ...               threads=2))
        gemm 7x14x1x2, pixels outer, 2 threads
    """

    form: str
    tile_h: int
    tile_w: int
    tile_ci: int
    tile_co: int
    order: str
    threads: int

    def __str__(self) -> str:
        """Form, output rows x columns x input groups x output groups of a tile, order, threads."""
        form = "folded" if "folded" in self.form else self.form
        tile = f"{self.tile_h}x{self.tile_w}x{self.tile_ci}x{self.tile_co}"
        return f"{form} {tile}, {self.order}, {self.threads} thread{'s' * (self.threads > 1)}"

    def to_json(self) -> dict[str, int | str]:
        """Plain values, as ``rhnas cost`` prints them."""
        return asdict(self)

    @property
    def codes(self) -> tuple[int, int, int, int, int, int, int]:
        """The kernel's numbers: form, tile_h, tile_w, tile_ci, tile_co, order, threads."""
        tiles = self.tile_h, self.tile_w, self.tile_ci, self.tile_co
        return FORM_NAMES.index(self.form), *tiles, ORDER_NAMES.index(self.order), self.threads

    @classmethod
    def of_codes(cls, codes: IntArray) -> Mapping:
        """The mapping of a row of the kernel's numbers, int64 (7,)."""
        form, tile_h, tile_w, tile_ci, tile_co, order, threads = (int(code) for code in codes)
        return cls(
            form=FORM_NAMES[form],
            tile_h=tile_h,
            tile_w=tile_w,
            tile_ci=tile_ci,
            tile_co=tile_co,
            order=ORDER_NAMES[order],
            threads=threads,
        )


def mapping_slack(batch: DesignBatch, layer: Layer) -> FloatArray:
    """Whether a layer has any mapping: room left in the tightest scratchpad under the smallest one.

    The smallest mapping is one output pixel, one storage group each way, one thread; every larger tile needs
    at least as much of each scratchpad.

    Args:
        batch: B designs.
        layer: The layer.

    Returns:
        float64 (B,), in tensors; >= 0 exactly where the layer has a mapping.

    Example:
        >>> from rhnas.vta.spaces import DEFAULT
        >>> float(mapping_slack(DesignBatch.of(DEFAULT), Layer(name="fc", channels=(512, 1000)))[0])
        1023.0
    """
    distinct, inverse = _distinct_arrays(batch)
    needs = smallest_needs(nests_of([layer], distinct, BEST)[:, 0])  # (distinct, FORMS, 4)
    depths = DerivedDepths.of(batch)
    rooms = [
        np.where(bits < 0, 0, np.int64(1) << np.maximum(bits, 0))
        for bits in (depths.inp, depths.wgt, depths.acc, depths.uop)
    ]
    slack = np.full(len(inverse), -UNREACHABLE)
    for form in np.flatnonzero((needs < UNREACHABLE).all(axis=2).any(axis=0)):
        lacks = (room - needs[:, form, memory][inverse] for memory, room in enumerate(rooms))
        slack = np.maximum(slack, reduce(np.minimum, lacks))
    return slack.astype(np.float64)


def _distinct_arrays(batch: DesignBatch) -> tuple[IntArray, IntArray]:
    """Distinct logarithms of BATCH, BLOCK_IN, BLOCK_OUT, (distinct, 3), and which each design has, (B,)."""
    digit = 5  # bits of a logarithm below 32
    codes = (batch[BATCH] << 2 * digit) | (batch[BLOCK_IN] << digit) | batch[BLOCK_OUT]
    present = np.zeros(1 << 3 * digit, dtype=np.bool_)
    present[codes] = True
    found = np.flatnonzero(present)
    columns = [(found >> shift * digit) & ((1 << digit) - 1) for shift in (2, 1, 0)]
    return np.stack(columns, axis=1), (np.cumsum(present) - 1)[codes]


def smallest_needs(nests: npt.NDArray[np.void]) -> IntArray:
    """Tensors of (inp, wgt, acc, uop) under the smallest mapping.

    Args:
        nests: Records of ``NEST``, any shape.

    Returns:
        int64 (..., 4); out of reach where a nest is not valid.
    """
    n = nests
    taps = n["kernel_h"] * n["kernel_w"]
    inputs = np.where(n["dense"], 1, n["reach"]) * n["operands"] * n["lanes_in"] * taps
    depth = np.where(n["dense"], np.minimum(n["lanes_in"], n["blocks_in"]), n["touched"])
    blocks = np.minimum(n["lanes_out"], n["blocks_out"])
    weights = np.where(n["shared"], n["weights"], blocks * depth * taps)
    outputs = n["lanes_out"] + np.where(n["bias"], n["lanes_out"], 1)
    dimensions = np.sort(np.stack([blocks, depth, n["kernel_h"], n["kernel_w"]], axis=-1), axis=-1)
    uops = dimensions[..., :2].prod(axis=-1) * n["operands"] + n["lanes_out"] + 1
    on_alu = inputs + np.where(n["operands"] == 1, n["lanes_out"], 0)
    none = np.zeros_like(inputs)
    vector = np.stack([none, none, on_alu, taps], axis=-1)
    matrix = np.stack([inputs, weights, outputs, uops], axis=-1)
    needs = np.where(n["vector"][..., None], vector, matrix)
    return np.where(n["valid"][..., None], needs, UNREACHABLE)
