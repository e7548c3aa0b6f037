"""One layer as a program of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rhnas.errors import UnsupportedNetworkError
from rhnas.quantized import INT8_MIN, Int8Array, QuantizedLayer
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Finish, assemble
from rhnas.vta.lower.kernels import place_uops
from rhnas.vta.lower.layout import Bytes, fold_columns, nest_of, pack_activations
from rhnas.vta.lower.matrix import MatrixLayer, MatrixSchedule
from rhnas.vta.lower.memory import MemoryMap
from rhnas.vta.lower.vector import VectorLayer, VectorSchedule
from rhnas.vta.mapping import Mapping
from rhnas.vta.mapping_nest import FOLDED, VECTOR
from rhnas.vta.program import Program, Segment
from rhnas.vta.timing import UOP_BYTES

TIMING = "rhnas"
"""Profile of the programs we write."""


@dataclass(frozen=True)
class CompiledLayer:
    """A layer's program and how to give it tensors.

    Attributes:
        layer: What it computes.
        form: Code of the mapping's form.
        widths: Channels of a storage group, read and written.
        memory: Where everything lies.
        program: Without inputs and expectation.
    """

    layer: QuantizedLayer
    form: int
    widths: tuple[int, int]
    memory: MemoryMap
    program: Program

    def reading(self, *inputs: Int8Array) -> Program:
        """The program with its inputs in memory, int8 (N, C, H, W) each, N at most BATCH."""
        segments = []
        for index, (address, tensor) in enumerate(zip(self.memory.inputs, inputs, strict=True)):
            given = fold_columns(self.layer.layer, tensor) if self.form == FOLDED else tensor
            content = pack_activations(given, self.program.config.batch, self.widths[0])
            segments.append(Segment(name=f"input{index}.bin", address=address, content=content))
        return replace(self.program, segments=(*self.program.segments, *segments))

    def expecting(self, program: Program, output: Int8Array) -> Program:
        """A program that must leave this output, int8 (BATCH, C, H, W)."""
        content = pack_activations(output, program.config.batch, self.widths[1])
        return replace(
            program, expected=Segment(name="expected.bin", address=self.memory.output, content=content)
        )


def compile_layer(quantized: QuantizedLayer, mapping: Mapping, config: AcceleratorConfig) -> CompiledLayer:
    """Compile one layer.

    Args:
        quantized: In integers.
        mapping: As ``VtaCostModel.best_mapping`` gives it.
        config: The accelerator.

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
        11
    """
    form = mapping.codes[0]
    nest = nest_of(quantized.layer, config, form)
    if not nest["valid"]:
        what = f"layer {quantized.layer.name!r} must have the form its mapping names"
        raise UnsupportedNetworkError(what, got=mapping.form)
    weights, constants = np.zeros(0, np.uint8), np.zeros(0, np.uint8)
    matrix = None if form == VECTOR else MatrixLayer(quantized, mapping, config, nest)
    if matrix is not None:
        weights = np.concatenate(list(matrix.weights.values())).reshape(-1).view(np.uint8)
        constants = matrix.constants
    n = {name: int(nest[name]) for name in nest.dtype.names}
    memory = MemoryMap.of(
        [n["groups_in"] * n["in_h"] * n["in_w"] * n["pixel_in"]] * n["operands"],
        n["groups_out"] * n["out_h"] * n["out_w"] * n["pixel_out"],
        len(weights),
        len(constants),
    )
    if matrix is not None:
        stream = MatrixSchedule(matrix, memory).run()
    else:
        stream = VectorSchedule(VectorLayer(quantized, mapping, config, nest), memory).run()
    items, uops = place_uops(stream.items, config, memory.uops // UOP_BYTES)
    least = INT8_MIN if form == VECTOR else 0
    padding = np.full(max(config.inp_tensor_bytes, config.out_tensor_bytes), least, np.int8)
    contents: Sequence[tuple[str, int, Bytes]] = (
        ("weights.bin", memory.weights, weights),
        ("constants.bin", memory.constants, constants),
        ("padding.bin", memory.padding, padding.view(np.uint8)),
        ("uops.bin", memory.uops, uops.view(np.uint8)),
    )
    program = Program(
        config=config,
        instructions=assemble([*items, Finish(pop_next=True)], config),
        segments=tuple(Segment(name=name, address=at, content=content) for name, at, content in contents),
        timing=TIMING,
    )
    return CompiledLayer(quantized, form, (n["width_in"], n["width_out"]), memory, program)
