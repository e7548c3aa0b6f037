"""The cost model of the weight-stationary systolic array."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, final

import numpy as np

from rhnas.platform import Cost
from rhnas.platforms.systolic_kernel import (
    DESCRIPTOR_BYTES,
    LATENCY,
    UNFIT,
    Array,
    Energies,
    Nest,
    Tile,
    array_cut,
    hulls,
    price,
)
from rhnas.platforms.systolic_rules import (
    ACC,
    BUS,
    BYTE_BITS,
    COLS,
    INPUT,
    KEYS,
    MACHINE,
    ROWS,
    VECTOR,
    WEIGHT,
    WORD_BYTES,
    half_bytes,
    macs_per_cycle,
)
from rhnas.relaxation import RelaxableCostModel
from rhnas.space import DesignBatch, Rule
from rhnas.technology import Technology, technology_named
from rhnas.workload import FloatArray, IntArray, Layer, LayerKind, compulsory

BANK_BYTES = 4
"""Rows and columns share 32-bit-wide banks in fours; the energy of a byte follows such a bank's capacity."""

HULL_POINTS = 16
"""Points of a hull that room is made for at first; more are found in a second go."""


@final
class SystolicCostModel(RelaxableCostModel):
    """Prices every tiling of every layer; see docs/platforms.md.

    Args:
        technology: ``dosa40`` or ``horowitz45``.

    Raises:
        SettingsError: There is no such profile.

    Example:
        >>> from rhnas.platforms.systolic_rules import DEFAULT
        >>> layer = Layer(name="conv", channels=(64, 64), size=(56, 56), kernel=(3, 3), padding=(1, 1))
        >>> model, batch = SystolicCostModel(), DesignBatch.of(DEFAULT)
        >>> bool(model.evaluate(batch, [layer]).cycles.min() >= model.bounds(batch, [layer])[0, 0])
        True
    """

    relaxable = (INPUT, WEIGHT, ACC)

    def __init__(self, *, technology: str = "dosa40") -> None:
        self.technology = technology_named(technology)
        self.fingerprint = repr(self.technology)

    def evaluate(self, batch: DesignBatch, layers: Sequence[Layer]) -> Cost:
        """Hulls over all tilings; equal layers and designs are priced once."""
        return self.relaxed(batch, batch, layers)

    def relaxed(self, low: DesignBatch, high: DesignBatch, layers: Sequence[Layer]) -> Cost:
        """Tilings that fit the larger buffers, at the energies of the smaller ones.

        A larger buffer holds every tile that a smaller one does and changes no tiling's cycles; an access to
        it costs no less.
        """
        both = np.concatenate([arrays_of(high), arrays_of(low)], axis=1)
        _, first, row = np.unique(both, axis=0, return_index=True, return_inverse=True)
        designs, energies = arrays_of(high.take(first)), energies_of(self.technology, low.take(first))
        shapes = {layer.shape: layer for layer in reversed(layers)}
        found = {shape: _hulls(layer, designs, energies) for shape, layer in shapes.items()}
        points = max((cycles.shape[1] for cycles, _, _ in found.values()), default=1)
        columns = [found[layer.shape] for layer in layers]
        cycles, energy = (
            np.stack([_padded(column[part], points) for column in columns], axis=1) for part in (0, 1)
        )
        mapped = np.stack([column[2] > 0 for column in columns], axis=1)
        row = row.reshape(-1)
        beats = -(-DESCRIPTOR_BYTES // (low[BUS] // BYTE_BITS))
        return Cost(
            cycles=cycles[row],
            energy_pj=energy[row],
            mapped=mapped[row],
            launch_cycles=beats + LATENCY,
            launch_energy_pj=(beats * (low[BUS] // BYTE_BITS)).astype(np.float64)
            * self.technology.dram_byte.value,
        )

    def bounds(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """The larger of ``bound_terms``, (B, L)."""
        return np.asarray(self.bound_terms(batch, layers).max(axis=0))

    def bound_terms(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """Cycles no schedule can beat: MACs / array, bytes read and written / port, (2, B, L)."""
        macs, read, written = np.array([compulsory(layer) for layer in layers], dtype=np.int64).T
        array, port = macs_per_cycle(batch)[:, None], batch[BUS][:, None] // BYTE_BITS
        return np.stack([-(-macs // array), -(-(read + written) // port)])

    def mappings(self, batch: DesignBatch, layers: Sequence[Layer], mu: float) -> list[dict[str, Any]]:
        """Each layer's tiling on one design that minimises ``cycles + mu * energy_pj``; empty without one."""
        array, energies = Array(*arrays_of(batch)[0]), Energies(*energies_of(self.technology, batch)[0])
        return [_described(layer, array, energies, mu) for layer in layers]


def nest_of(layer: Layer) -> Nest:
    """A layer as the kernel knows it.

    Example:
        >>> nest_of(Layer(name="fc", channels=(512, 10))).ins
        512
    """
    weighted = layer.kind in (LayerKind.CONV, LayerKind.DENSE)
    groups = layer.groups if weighted else 1
    operations = 0 if weighted else layer.kernel[0] * layer.kernel[1]
    shape = (*layer.output_size, *layer.size, *layer.kernel, *layer.stride)
    operands = 2 if layer.kind is LayerKind.ADD else 1
    return Nest(
        groups, layer.channels[0] // groups, layer.channels[1] // groups, *shape, operands, operations
    )


@lru_cache(maxsize=4096)
def tiles_of(nest: Nest) -> IntArray:
    """All tilings of a layer, int64 (T, 5) as ``Tile``; not to be written to.

    Rows of pixels are halved down to one, then the row; channels are quartered; columns are halved.

    Example:
        >>> from rhnas.workload import Layer
        >>> len(tiles_of(nest_of(Layer(name="fc", channels=(16, 4)))))
        18
    """
    spatial = [(nest.out_h, nest.out_w)]
    while spatial[-1] != (1, 1):
        height, width = spatial[-1]
        spatial.append((-(-height // 2), width) if height > 1 else (1, -(-width // 2)))
    channels = [nest.ins]
    while channels[-1] > 1:
        channels.append(-(-channels[-1] // 4))
    halvings = 1 if nest.operations else nest.outs.bit_length()
    orders = (0,) if nest.operations else (0, 1)
    tiles = np.array(
        [
            (*pixels, depth, halved, order)
            for pixels in spatial
            for depth in channels
            for halved in range(halvings)
            for order in orders
        ],
        dtype=np.int64,
    )
    tiles.setflags(write=False)
    return tiles


def arrays_of(batch: DesignBatch) -> IntArray:
    """Designs as the kernel knows them, int64 (B, 7) as ``Array``."""
    halves = [half_bytes(batch, key) for key in (INPUT, WEIGHT, ACC)]
    return np.stack([batch[ROWS], batch[COLS], *halves, batch[BUS] // BYTE_BITS, batch[VECTOR]], axis=1)


def energies_of(technology: Technology, batch: DesignBatch) -> FloatArray:
    """PJ per event, float64 (B, 6) as ``Energies``."""
    ones = np.ones(len(batch))
    return np.stack(
        [
            technology.mac.value * ones,
            technology.scratchpad.at(batch[INPUT] * BANK_BYTES / batch[ROWS]),
            technology.scratchpad.at(batch[WEIGHT] * BANK_BYTES / batch[COLS]),
            technology.accumulator.at(batch[ACC] / batch[COLS]),
            technology.dram_byte.value * ones,
            technology.alu.value * ones,
        ],
        axis=1,
    )


def mapping_rules(layers: Sequence[Layer]) -> tuple[Rule, ...]:
    """One rule per distinct layer shape: its smallest tile fits the buffers."""
    distinct = {layer.shape: layer for layer in reversed(layers)}
    return tuple(_mapping_rule(layer) for layer in reversed(distinct.values()))


def _mapping_rule(layer: Layer) -> Rule:
    nest = nest_of(layer)
    pixel = min(nest.kernel_h, nest.in_h) * min(nest.kernel_w, nest.in_w) * nest.operands
    taps = nest.kernel_h * nest.kernel_w

    def slack(batch: DesignBatch) -> FloatArray:
        room = [half_bytes(batch, key) for key in (INPUT, WEIGHT, ACC)]
        if nest.operations:
            needs = [np.array(pixel), np.array(0), np.array(WORD_BYTES)]
            room = [np.where(batch[VECTOR] > 0, half, half * 0 - 1) for half in room]
        else:
            rows, cols = batch[ROWS], batch[COLS]
            depth = taps * nest.ins
            packed = np.clip(np.minimum(rows // depth, cols // nest.outs), 1, nest.groups)
            folds = -(-packed * taps // rows)
            needs = [packed * pixel, folds * rows * cols, WORD_BYTES * cols]
        left = np.stack([half - need for half, need in zip(room, needs, strict=True)])
        return np.asarray(left.min(axis=0), dtype=np.float64)

    return Rule(
        name=f"mapping.{layer.name}",
        level="mapping",
        invariant=f"layer {layer.name!r} has a tiling",
        reason="its smallest tile does not fit half a buffer, or it needs the vector unit",
        source=MACHINE,
        slack=slack,
        reads=tuple(key for key in KEYS if key != BUS),
    )


def _hulls(layer: Layer, designs: IntArray, energies: FloatArray) -> tuple[IntArray, FloatArray, IntArray]:
    """Hulls of a layer: cycles (B, K), pJ (B, K), points of each (B,)."""
    nest = nest_of(layer)
    tiles = tiles_of(nest)
    room = HULL_POINTS
    while True:
        cycles = np.zeros((len(designs), room), dtype=np.int64)
        energy = np.zeros((len(designs), room))
        counts = hulls(nest, tiles, designs, energies, (cycles, energy))
        if counts.max(initial=0) < room:
            used = max(1, int(counts.max(initial=1)))
            return cycles[:, :used], energy[:, :used], counts
        room *= 4


def _padded(values: Any, points: int) -> Any:
    return np.pad(values, ((0, 0), (0, points - values.shape[1])), mode="edge")


def _described(layer: Layer, array: Array, energies: Energies, mu: float) -> dict[str, Any]:
    nest = nest_of(layer)
    best: tuple[float, Tile] | None = None
    for row in tiles_of(nest).tolist():
        cycles, pj = price(nest, array, energies, Tile(*row))
        score = pj if np.isinf(mu) else cycles + mu * pj
        if cycles != UNFIT and (best is None or score < best[0]):
            best = score, Tile(*row)
    if best is None:
        return {}
    tile = best[1]
    text = f"{tile.height}x{tile.width} pixels, {tile.channels} of {nest.ins} channels"
    if nest.operations:
        return {"text": f"vector unit, {text}", **tile._asdict()}
    cut = array_cut(nest, array, tile)
    stays = "weights" if tile.weights_stay else "pixels"
    text += f", {cut.folds}x{cut.across} tiles of weights, {stays} stay"
    text += f", {cut.packed} groups at once" if cut.packed > 1 else ""
    return {"text": text, **tile._asdict(), "packed": cut.packed, "folds": [cut.folds, cut.across]}
