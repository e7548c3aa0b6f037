"""Layers on the ALU: maximum pooling and addition, from 8-bit loads into the accumulators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rhnas.errors import UnsupportedNetworkError
from rhnas.quantized import QuantizedLayer
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import AluOp, Memory
from rhnas.vta.lower.activations import Place, Stored, read_tile, write_tile
from rhnas.vta.lower.boundary import Joint, Tail, tail_of
from rhnas.vta.lower.epilogue import PLAIN, Requantization, tile_dims
from rhnas.vta.lower.kernels import Dim, Index, Item, alu
from rhnas.vta.lower.memory import MemoryMap
from rhnas.vta.lower.stream import Padding, Stream
from rhnas.vta.lower.tiles import Region, Step, require_room, steps
from rhnas.vta.lower.zeros import Zeros, passes
from rhnas.vta.mapping import Mapping
from rhnas.vta.mapping_nest import Nest
from rhnas.workload import LayerKind


@dataclass(frozen=True)
class VectorLayer:
    """A layer whose work the ALU does.

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


class VectorSchedule:
    """Writes the stream of a vector layer: per tile loads, ALU, store, all but the store in order.

    Loads do not touch the output scratchpad, so that only the ALU waits for the store of an earlier tile.

    Raises:
        UnsupportedNetworkError: Channels have different shifts, or the mapping does not fit.
    """

    def __init__(self, layer: VectorLayer) -> None:
        self.layer, self.config = layer, layer.config
        self.joint: Joint | None = None
        self.n = {name: int(layer.nest[name]) for name in layer.nest.dtype.names}
        self.requantization = Requantization.of(layer.quantized, layer.zeros)
        name = layer.quantized.layer.name
        if len(self.requantization.shifts) > 1:
            raise UnsupportedNetworkError(f"layer {name!r} must have one shift", got="one per channel")
        self.steps = list(steps(layer.nest, layer.mapping))
        n, mapping = self.n, layer.mapping
        self.operand = mapping.tile_co * max(self._plane(step) for step in self.steps)
        size = n["operands"] * self.operand
        if n["operands"] == 1:
            size += mapping.tile_co * n["lanes_out"] * mapping.tile_h * mapping.tile_w
        self.acc = Region(0, size, min(mapping.threads, len(self.steps)))
        require_room(name, "accumulator", self.acc.end, self.config.acc_depth)

    def _plane(self, step: Step) -> int:
        """Tensors of a storage group of a tile's input on chip."""
        extent = step.pixels.rows.reads.extent * step.pixels.columns.reads.extent
        return extent * self.n["lanes_in"]

    def follow(self, _: Tail) -> Joint:
        """Its loads are the compute module's and await the last store of the layer before."""
        self.joint = Joint(early=False, at_once=False)
        return self.joint

    def tail(self) -> Tail:
        """The tiles whose stores nothing has waited for when the last sum or maximum is done."""
        return tail_of(self.layer.quantized.layer, self.steps, self.acc)

    def run(self, memory: MemoryMap, *, frees: bool = False) -> Stream:
        """The stream, without FINISH; the last store's token is left for whoever comes next.

        Args:
            memory: Where everything lies.
            frees: Whether the end posts a token to the load module, for the next layer's loads.
        """
        self.map = memory
        stream, n, last = Stream(), self.n, len(self.steps) - 1
        address = self.map.output // self.config.out_tensor_bytes
        output = Stored(first=address, size=(n["out_h"], n["out_w"]), lanes=n["lanes_out"])
        adds = self.layer.quantized.layer.kind is LayerKind.ADD
        for tile, step in enumerate(self.steps):
            base = self.acc.turn()
            stream.add(self._loads(step), pop_next=tile == 0 and self.joint is not None)
            items, at = self._addition(step) if adds else self._maximum(step)
            stream.add(
                items, pop_next=tile >= self.acc.halves, push_next=True, push_prev=frees and tile == last
            )
            awaited = tile + self.acc.halves <= last or tile == last
            stores = write_tile(output, step.pixels, step.channels, base + at)
            stream.add(stores, pop_prev=True, push_prev=awaited)
        return stream

    def _loads(self, step: Step) -> list[Item]:
        n, tensor_bytes, items = self.n, self.config.out_tensor_bytes, []
        padding = Padding(memory=Memory.ACC_8BIT, first=self.map.padding // tensor_bytes, lowest=True)
        groups = range(step.channels.first_group, step.channels.first_group + step.channels.groups)
        for operand, address in enumerate(self.map.inputs):
            size = (n["in_h"], n["in_w"])
            tensor = Stored(first=address // tensor_bytes, size=size, lanes=n["lanes_in"])
            place = Place(base=self.acc.at + operand * self.operand, plane=self._plane(step))
            items += read_tile(tensor, step.pixels, groups, place, padding)
        return items

    def _addition(self, step: Step) -> tuple[list[Item], int]:
        """Instructions, and where in the tile's region the sum lies: it replaces the first operand."""
        dims, config, items = tile_dims(step, self.n["lanes_out"]), self.config, []
        first, second = self.acc.at, self.acc.at + self.operand
        for at, left in zip((first, second), self.layer.quantized.left, strict=True):
            if left:
                items += alu(AluOp.SHR, [Index(at, at)], dims, config, immediate=-left)
        items += alu(AluOp.ADD, [Index(first, second)], dims, config)
        return items + self._in_place(self.requantization.from_zero(), first, dims), 0

    def _maximum(self, step: Step) -> tuple[list[Item], int]:
        """Instructions, and where in the tile's region the maxima lie: behind the input."""
        n, config = self.n, self.config
        columns, lanes = step.pixels.columns, n["lanes_in"]
        pitch = columns.reads.extent * lanes
        inside = tile_dims(step, n["lanes_out"])
        down = pitch * (n["stride_h"] // step.pixels.rows.reads.spacing)
        sources = [self._plane(step), down, n["stride_w"] * lanes, 1]
        dims = [
            Dim(dim.size, Index(dim.step.dst, source)) for dim, source in zip(inside, sources, strict=True)
        ]
        at = self.acc.at + self.operand
        taps = [
            self.acc.at + row * pitch + column * lanes
            for row in range(n["kernel_h"])
            for column in range(n["kernel_w"])
        ]
        items = alu(AluOp.ADD, [Index(at, taps[0])], dims, config, immediate=0)
        for tap in taps[1:]:
            items += alu(AluOp.MAX, [Index(at, tap)], dims, config)
        relu, passed = self.layer.quantized.layer.relu, passes(self.layer.quantized)
        operations = [] if passed else self.requantization.from_zero()
        if relu and passed:
            operations = [(AluOp.MAX, -self.layer.zeros.output)]
        return items + self._in_place(operations, at, inside), self.operand

    def _in_place(self, operations: Sequence[tuple[AluOp, int]], at: int, dims: list[Dim]) -> list[Item]:
        items: list[Item] = []
        for operation, value in operations:
            items += alu(operation, [Index(at, at)], dims, self.config, immediate=value)
        return items
