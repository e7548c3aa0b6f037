"""Layers on the GEMM core: convolutions, dense layers, and block-diagonal ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rhnas.quantized import Int8Array, QuantizedLayer
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.lower.epilogue import PLAIN, Requantization, starts
from rhnas.vta.lower.layout import Bytes, constant_tensors, dense_weight, diagonal_blocks, weight_blocks
from rhnas.vta.lower.products import Pair, Reads, dense_reads, diagonal_pairs, diagonal_reads
from rhnas.vta.lower.tiles import Region, Step, channel_tiles, steps
from rhnas.vta.lower.zeros import Edge, Zeros, centring, edges
from rhnas.vta.mapping import Mapping
from rhnas.vta.mapping_nest import Nest
from rhnas.vta.timing import PROFILES, TIMING


@dataclass(frozen=True)
class MatrixLayer:
    """A layer whose products run on the GEMM core.

    Attributes:
        quantized: The layer.
        mapping: Its tiles.
        config: The accelerator.
        nest: The layer as the cost model sees it on that accelerator.
        zeros: What stored zeros stand for.
    """

    quantized: QuantizedLayer
    mapping: Mapping
    config: AcceleratorConfig
    nest: Nest
    zeros: Zeros = PLAIN

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The nest as plain numbers."""
        return {name: int(self.nest[name]) for name in self.nest.dtype.names}

    @property
    def upstream(self) -> bool:
        """Whether it runs by TVM's schedule: all is loaded in every step, the bias added at the end."""
        return bool(self.numbers["start_resets"])

    @cached_property
    def steps(self) -> list[Step]:
        """All steps in order."""
        return list(steps(self.nest, self.mapping))

    @cached_property
    def requantization(self) -> Requantization:
        """Of the epilogue."""
        return Requantization.of(self.quantized, self.zeros)

    @cached_property
    def edges(self) -> tuple[Edge, Edge]:
        """Rows and columns of the output whose accumulators start alike."""
        return edges(self.quantized.layer, self.zeros)

    @property
    def accumulators(self) -> Region:
        """Where output tiles lie, before anything is there."""
        mapping, tiles = self.mapping, len(self.steps) // self.steps[-1].reductions
        size = mapping.tile_co * self.numbers["lanes_out"] * mapping.tile_h * mapping.tile_w
        return Region(0, size, min(mapping.threads, tiles))

    @property
    def channel_tensors(self) -> int:
        """Accumulator tensors of one number per output channel."""
        return self.numbers["groups_out"] * self.numbers["lanes_out"]

    def border_cycles(self, borders: tuple[Edge, Edge]) -> int | None:
        """What pixels that start from constants of their own cost; None where there can be none."""
        more = len(borders[0].taps) * len(borders[1].taps) - 1
        if more == 0:
            return 0
        if self.upstream:
            return None
        tensors = self.channel_tensors * (self.tables + more)
        if self.accumulators.end + tensors > self.config.acc_depth:
            return None
        beats = -(-self.config.acc_tensor_bytes * self.channel_tensors * more // self.config.bus_bytes)
        instructions = sum(len(starts(step, borders)) - 1 for step in self.steps if step.first)
        profile = PROFILES[TIMING]
        return beats + instructions * (profile.alu_constant + profile.dispatch)

    @property
    def weight_taps(self) -> int:
        """Weight tensors per pair of blocks."""
        return 1 if self.numbers["shared"] else self.numbers["kernel_h"] * self.numbers["kernel_w"]

    @cached_property
    def pairs(self) -> list[list[Pair]]:
        """Per channel tile, for block-diagonal layers."""
        blocks = self.config.block_in, self.config.block_out
        return [diagonal_pairs(self.nest, tile, *blocks) for tile in channel_tiles(self.nest, self.mapping)]

    @cached_property
    def weights(self) -> dict[tuple[int, int], Int8Array]:
        """Weight tensors by (channel tile, reduction step), int8 (tensors, BLOCK_OUT, BLOCK_IN), in order."""
        size = (-1, self.config.block_out, self.config.block_in)
        if self.numbers["shared"]:
            return {(0, 0): diagonal_blocks(self.quantized, self.config)}
        blocks = weight_blocks(dense_weight(self.quantized, self.mapping.codes[0]), self.config)
        tiles: dict[tuple[int, int], Int8Array] = {}
        for tile in channel_tiles(self.nest, self.mapping):
            if not self.numbers["dense"]:
                chosen = [blocks[pair.block_out, pair.block_in] for pair in self.pairs[tile.index]]
                tiles[tile.index, 0] = np.stack(chosen).reshape(size)
                continue
            rows = blocks[tile.first_block : tile.first_block + tile.blocks]
            for reduction in range(self.steps[0].reductions):
                reads = dense_reads(self.nest, self.mapping.tile_ci, reduction)
                first = reads.first_group * self.numbers["lanes_in"]
                tiles[tile.index, reduction] = rows[:, first : first + reads.blocks].reshape(size)
        return tiles

    @property
    def uniform(self) -> bool:
        """Whether one tensor holds what all accumulators start from."""
        r = self.requantization
        return not self.numbers["bias"] and self.tables == len(r.offsets[0]) == 1

    @cached_property
    def constants(self) -> Bytes:
        """Accumulator tensors of offsets, then of shifts where channels differ in them."""
        r, tensors = self.requantization, self.channel_tensors
        if self.uniform:
            return constant_tensors(np.repeat(r.offsets[0], self.config.block_out), 1, self.config)
        # Channels that are not there are zeros, whatever zero is stored as.
        rest = -int(centring(self.quantized, self.zeros)[0])
        tables = [np.broadcast_to(table, self.numbers["channels_out"]) for table in r.offsets]
        found = [constant_tensors(table, tensors, self.config, rest) for table in tables]
        if len(r.shifts) > 1:
            found.append(constant_tensors(r.shifts, tensors, self.config))
        return np.concatenate(found)

    @property
    def tables(self) -> int:
        """Numbers per output channel that accumulators must hold."""
        return len(self.requantization.offsets) + (len(self.requantization.shifts) > 1)

    def reads(self, step: Step) -> Reads:
        """Input storage groups of a step."""
        if self.numbers["dense"]:
            return dense_reads(self.nest, self.mapping.tile_ci, step.reduction)
        return diagonal_reads(self.nest, step.channels)

    def weight_key(self, step: Step) -> tuple[int, int]:
        """Which weights a step needs."""
        return (0, 0) if self.numbers["shared"] else (step.channels.index, step.reduction)
