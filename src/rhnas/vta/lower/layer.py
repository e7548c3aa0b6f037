"""One layer: what it needs in memory, its instruction stream, and a program of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rhnas.errors import UnsupportedNetworkError
from rhnas.quantized import INT8_MIN, Int8Array, QuantizedLayer
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Finish, assemble
from rhnas.vta.lower.epilogue import PLAIN, Requantization
from rhnas.vta.lower.kernels import place_uops
from rhnas.vta.lower.layout import Bytes, fold_columns, nest_of, pack_activations
from rhnas.vta.lower.matrix import MatrixLayer
from rhnas.vta.lower.matrix_schedule import MatrixSchedule
from rhnas.vta.lower.memory import MemoryMap
from rhnas.vta.lower.vector import VectorLayer, VectorSchedule
from rhnas.vta.lower.zeros import CENTRE, Zeros, centring, edges, passes
from rhnas.vta.mapping import Mapping
from rhnas.vta.mapping_nest import BEST, FOLDED, VECTOR, Nest
from rhnas.vta.program import Program, Segment
from rhnas.vta.timing import TIMING, UOP_BYTES
from rhnas.workload import LayerKind


@dataclass(frozen=True)
class LoweredLayer:
    """A layer on an accelerator under a mapping, before its tensors have addresses.

    Attributes:
        quantized: In integers.
        mapping: Its tiles.
        config: The accelerator.
        nest: The layer as the cost model sees it.
        zeros: What stored zeros stand for.

    Raises:
        UnsupportedNetworkError: The layer does not have the mapping's form.
    """

    quantized: QuantizedLayer
    mapping: Mapping
    config: AcceleratorConfig
    nest: Nest
    zeros: Zeros = PLAIN

    @classmethod
    def of(
        cls, quantized: QuantizedLayer, mapping: Mapping, config: AcceleratorConfig, schedule: int = BEST
    ) -> LoweredLayer:
        """With the nest of the mapping's form under ``BEST`` or ``UPSTREAM``."""
        nest = nest_of(quantized.layer, config, mapping.codes[0], schedule)
        if not nest["valid"]:
            what = f"layer {quantized.layer.name!r} must have the form its mapping names"
            raise UnsupportedNetworkError(what, got=mapping.form)
        return cls(quantized, mapping, config, nest)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The nest as plain numbers."""
        return {name: int(self.nest[name]) for name in self.nest.dtype.names}

    @property
    def form(self) -> int:
        """Code of the mapping's form."""
        return self.mapping.codes[0]

    @property
    def widths(self) -> tuple[int, int]:
        """Channels of a storage group, read and written."""
        return self.numbers["width_in"], self.numbers["width_out"]

    @property
    def input_bytes(self) -> int:
        """Of each tensor it reads."""
        n = self.numbers
        return n["groups_in"] * n["in_h"] * n["in_w"] * n["pixel_in"]

    @property
    def output_bytes(self) -> int:
        """Of the tensor it writes."""
        n = self.numbers
        return n["groups_out"] * n["out_h"] * n["out_w"] * n["pixel_out"]

    @cached_property
    def _matrix(self) -> MatrixLayer | None:
        if self.form == VECTOR:
            return None
        return MatrixLayer(self.quantized, self.mapping, self.config, self.nest, self.zeros)

    @property
    def loads(self) -> bool:
        """Whether the load module works for it."""
        return self._matrix is not None

    @cached_property
    def weights(self) -> Bytes:
        """Weight tensors in the order of their loads."""
        if self._matrix is None:
            return np.zeros(0, np.uint8)
        return np.concatenate(list(self._matrix.weights.values())).reshape(-1).view(np.uint8)

    @property
    def constants(self) -> Bytes:
        """What accumulators start from, and shifts per channel."""
        return np.zeros(0, np.uint8) if self._matrix is None else self._matrix.constants

    @property
    def padding(self) -> Bytes:
        """One tensor of what surrounds the input."""
        size = max(self.config.inp_tensor_bytes, self.config.out_tensor_bytes)
        return np.full(size, INT8_MIN if self.form == VECTOR else 0, np.int8).view(np.uint8)

    @cached_property
    def schedule(self) -> MatrixSchedule | VectorSchedule:
        """Writes its instructions; what it decides about the layer before it is kept there."""
        if self._matrix is not None:
            return MatrixSchedule(self._matrix)
        layer = VectorLayer(self.quantized, self.mapping, self.config, self.nest, self.zeros)
        return VectorSchedule(layer)

    @property
    def output_tensors(self) -> int:
        """Accumulator tensors of its result."""
        n = self.numbers
        return n["groups_out"] * n["lanes_out"] * n["out_h"] * n["out_w"]

    def centre_gain(self) -> int:
        """Cycles that a centred result saves: see ``zeros``."""
        quantized = self.quantized
        if self._matrix is not None and self._matrix.upstream:
            return 0
        if not quantized.layer.relu or passes(quantized) or (quantized.shift != quantized.shift[0]).any():
            return 0
        zeros = Zeros(output=CENTRE)
        most = quantized.accumulator_bound + int(centring(quantized, zeros)[0])
        if most > np.iinfo(np.int32).max:
            return 0
        plain, centred = (len(Requantization.of(quantized, z).operations()) for z in (PLAIN, zeros))
        return (plain - centred) * self.output_tensors

    def centre_loss(self) -> int | None:
        """Cycles that a centred input takes; None where it cannot be read."""
        layer, matrix = self.quantized.layer, self._matrix
        if matrix is None or layer.kind is LayerKind.ADD:
            return 0 if matrix is not None or self.quantized.shift.all() else self.output_tensors
        if layer.kind is LayerKind.AVG_POOL:
            return None if any(layer.padding) else 0
        return matrix.border_cycles(edges(layer, Zeros(inputs=(CENTRE, CENTRE))))

    def pack(self, tensor: Int8Array) -> Bytes:
        """A picture as the layer reads it from memory.

        Args:
            tensor: int8 (N, C, H, W), N at most BATCH.
        """
        layer = self.quantized.layer
        shaped = tensor.reshape(len(tensor), layer.channels[0], *layer.size)
        given = fold_columns(layer, shaped) if self.form == FOLDED else shaped
        return pack_activations(given, self.config.batch, self.widths[0])


@dataclass(frozen=True)
class CompiledLayer:
    """A layer's program and how to give it tensors.

    Attributes:
        lowered: What it computes, and how.
        memory: Where everything lies.
        program: Without inputs and expectation.
    """

    lowered: LoweredLayer
    memory: MemoryMap
    program: Program

    def reading(self, *inputs: Int8Array) -> Program:
        """The program with its inputs in memory, int8 (N, C, H, W) each, N at most BATCH."""
        segments = [
            Segment(name=f"input{index}.bin", address=address, content=self.lowered.pack(tensor))
            for index, (address, tensor) in enumerate(zip(self.memory.inputs, inputs, strict=True))
        ]
        return replace(self.program, segments=(*self.program.segments, *segments))

    def expecting(self, program: Program, output: Int8Array) -> Program:
        """A program that must leave this output, int8 (BATCH, C, H, W)."""
        packed = pack_activations(output, program.config.batch, self.lowered.widths[1])
        content = (packed.view(np.int8) - np.int8(self.lowered.zeros.output)).view(np.uint8)
        return replace(
            program, expected=Segment(name="expected.bin", address=self.memory.output, content=content)
        )


def compile_layer(
    quantized: QuantizedLayer, mapping: Mapping, config: AcceleratorConfig, schedule: int = BEST
) -> CompiledLayer:
    """Compile one layer, reading tensors as they are; a result that can be centred is (``zeros``).

    Args:
        quantized: In integers.
        mapping: As ``VtaCostModel.best_mapping`` gives it.
        config: The accelerator.
        schedule: ``BEST``, or ``UPSTREAM`` for TVM's of ungrouped convolutions.

    Raises:
        UnsupportedNetworkError: The mapping does not fit the scratchpads or the layer.

    Example:
        >>> from rhnas.workload import Layer, LayerKind
        >>> layer = Layer(name="fc", kind=LayerKind.DENSE, channels=(16, 16))
        >>> weight, bias = np.ones((16, 16), np.int8), np.zeros(16, np.int32)
        >>> quantized = QuantizedLayer(
        ...     layer=layer, fraction_bits=0, shift=np.array([4], np.int32), weight=weight, bias=bias)
        >>> tiles = Mapping(form="gemm", tile_h=1, tile_w=1, tile_ci=1, tile_co=1, order="channels outer",
        ...     threads=1)
        >>> compiled = compile_layer(quantized, tiles, AcceleratorConfig())
        >>> len(compiled.program.instructions)
        10
    """
    lowered = LoweredLayer.of(quantized, mapping, config, schedule)
    if lowered.centre_gain():
        lowered = replace(lowered, zeros=Zeros(output=CENTRE))
    memory = MemoryMap.of(
        [lowered.input_bytes] * lowered.numbers["operands"],
        lowered.output_bytes,
        len(lowered.weights),
        len(lowered.constants),
    )
    items, uops = place_uops(lowered.schedule.run(memory).items, config, memory.uops // UOP_BYTES)
    contents: Sequence[tuple[str, int, Bytes]] = (
        ("weights.bin", memory.weights, lowered.weights),
        ("constants.bin", memory.constants, lowered.constants),
        ("padding.bin", memory.padding, lowered.padding),
        ("uops.bin", memory.uops, uops.view(np.uint8)),
    )
    program = Program(
        config=config,
        instructions=assemble([*items, Finish(pop_next=True)], config),
        segments=tuple(Segment(name=name, address=at, content=content) for name, at, content in contents),
        timing=TIMING,
    )
    return CompiledLayer(lowered, memory, program)
