"""A whole network as one program: from int8 pixels to class scores, nothing on the host in between.

Layers run one after the other. Each stores its result where the next reads it, in one layout; an activation's
place is used again once nobody reads it any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from rhnas.errors import InfeasibleDesignError, ProgramError, UnsupportedNetworkError
from rhnas.quantized import Int8Array, QuantizedLayer, QuantizedNetwork
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import INSTRUCTION_BYTES, Finish, Instruction, assemble
from rhnas.vta.lower.kernels import place_uops
from rhnas.vta.lower.layer import LoweredLayer
from rhnas.vta.lower.layout import Bytes, flattened, pack_activations, unpack_activations
from rhnas.vta.lower.memory import MemoryMap
from rhnas.vta.lower.plan import Lifetime, pages, share
from rhnas.vta.lower.zeros import layer_zeros, network_zeros
from rhnas.vta.mapping import Mapping
from rhnas.vta.mapping_nest import BEST
from rhnas.vta.program import Program, Segment
from rhnas.vta.rules import CHAINABLE
from rhnas.vta.simulate.memory import Dram
from rhnas.vta.timing import TIMING, UOP_BYTES
from rhnas.workload import PICTURE, IntArray, LayerKind


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of memory.

    Attributes:
        name: What lies there; activations that share a place overlap.
        address: Of its first byte.
        size: Bytes.
    """

    name: str
    address: int
    size: int


@dataclass(frozen=True)
class CompiledNetwork:
    """A network's program and how to give it pictures.

    Attributes:
        network: What it computes.
        layers: Its layers on the accelerator, in order.
        regions: Where everything lies.
        program: Without pictures and expectation.
        first_instruction: int64 (L + 1,): of each layer, then of FINISH.
    """

    network: QuantizedNetwork
    layers: tuple[LoweredLayer, ...]
    regions: tuple[Region, ...]
    program: Program
    first_instruction: IntArray

    def region(self, name: str) -> Region:
        """The region of that name."""
        return next(region for region in self.regions if region.name == name)

    def reading(self, pictures: Int8Array) -> Program:
        """The program with pictures in memory.

        Args:
            pictures: int8 (N, C, H, W), N at most BATCH.
        """
        segments = [
            Segment(
                name=f"{picture_name(lowered)}.bin",
                address=self.region(picture_name(lowered)).address,
                content=lowered.pack(pictures),
            )
            for lowered in self.layers
            if PICTURE in lowered.quantized.layer.inputs
        ]
        return replace(self.program, segments=(*self.program.segments, *segments))

    def expecting(self, program: Program, scores: Int8Array) -> Program:
        """A program that must leave these scores, int8 (BATCH, classes)."""
        last = self.layers[-1]
        shape = (len(scores), last.quantized.layer.channels[1], *last.quantized.layer.output_size)
        content = pack_activations(scores.reshape(shape), program.config.batch, last.widths[1])
        address = self.region(last.quantized.layer.name).address
        return replace(program, expected=Segment(name="expected.bin", address=address, content=content))

    def scores(self, dram: Dram, count: int) -> Int8Array:
        """Class scores of the first pictures after a run, int8 (count, classes)."""
        last = self.layers[-1]
        region = self.region(last.quantized.layer.name)
        shape = (count, last.quantized.layer.channels[1], *last.quantized.layer.output_size)
        content = dram.read(region.address, region.size)
        tensor = unpack_activations(content, shape, self.program.config.batch, last.widths[1])
        return tensor.reshape(count, -1)


def picture_name(lowered: LoweredLayer) -> str:
    """Region of the picture that a layer reads: each reader has it in its own layout."""
    return f"picture of {lowered.quantized.layer.name}"


def stored_layers(network: QuantizedNetwork, config: AcceleratorConfig) -> tuple[QuantizedLayer, ...]:
    """The layers with weights in the order in which memory holds what they read.

    A dense layer that reads a tensor of several pixels reads storage groups, their padding included.
    """
    width = max(config.block_in, config.block_out)
    layers = {layer.layer.name: layer.layer for layer in network}
    found = []
    for quantized in network:
        source = layers.get(quantized.layer.inputs[0])
        dense = quantized.layer.kind is LayerKind.DENSE
        found.append(quantized if source is None or not dense else flattened(quantized, source, width))
    return tuple(found)


def compile_network(
    network: QuantizedNetwork,
    mappings: Sequence[Mapping],
    config: AcceleratorConfig,
    schedule: int = BEST,
) -> CompiledNetwork:
    """Compile a network.

    Args:
        network: In integers.
        mappings: One per layer of ``stored_layers``.
        config: A chainable accelerator.
        schedule: As ``compile_layer``.

    Raises:
        InfeasibleDesignError: The accelerator is not chainable.
        UnsupportedNetworkError: A mapping does not fit; names the layer.
        ProgramError: Everything together does not fit the address space.
    """
    require_chainable(config)
    quantized = stored_layers(network, config)
    plain = [
        LoweredLayer.of(layer, mapping, config, schedule)
        for layer, mapping in zip(quantized, mappings, strict=True)
    ]
    lowered = _centred(plain)
    _require_one_layout(lowered)
    activations, end = _place_activations(lowered)
    constants, segments, end = _place_constants(lowered, end)
    schedules = [layer.schedule for layer in lowered]
    joints = [after.follow(before.tail()) for before, after in pairwise(schedules)]
    frees = [*(joint.early for joint in joints), False]
    instructions: list[Instruction] = []
    uops, starts, at = [], [], end
    for layer, writes, free in zip(lowered, schedules, frees, strict=True):
        starts.append(len(instructions))
        memory = _memory_map(layer, activations, constants, at)
        stream = writes.run(memory, frees=free)
        items, micro = place_uops(stream.items, config, at // UOP_BYTES)
        instructions += items
        uops.append(micro)
        at += micro.nbytes
    segments.append(Segment(name="uops.bin", address=end, content=np.concatenate(uops).view(np.uint8)))
    words = assemble([*instructions, Finish(pop_next=True)], config)
    regions = [Region(name=name, address=place, size=size) for name, (place, size) in activations.items()]
    regions += [Region(name=s.name, address=s.address, size=len(s.content)) for s in segments]
    code = len(words) * INSTRUCTION_BYTES
    regions.append(Region(name="instructions.bin", address=pages(at), size=code))
    program = Program(config=config, instructions=words, segments=tuple(segments), timing=TIMING)
    first = np.array([*starts, len(instructions)], dtype=np.int64)
    return CompiledNetwork(network, lowered, tuple(regions), program, first)


def _centred(plain: Sequence[LoweredLayer]) -> tuple[LoweredLayer, ...]:
    """The layers with results centred where that pays."""
    zeros = network_zeros(plain)
    return tuple(replace(layer, zeros=layer_zeros(layer.quantized.layer, zeros)) for layer in plain)


def require_chainable(config: AcceleratorConfig) -> None:
    """Refuse an accelerator that cannot run layers one after the other.

    Raises:
        InfeasibleDesignError: Names the rule.
    """
    if config.batch > 1 and config.block_in != config.block_out:
        raise InfeasibleDesignError(
            f"an accelerator of whole networks must keep {CHAINABLE.name}: {CHAINABLE.invariant}",
            got=config.name,
            fix="set LOG_BATCH=0, or LOG_BLOCK_IN and LOG_BLOCK_OUT to one value",
        )


def _require_one_layout(lowered: Sequence[LoweredLayer]) -> None:
    written: dict[str, int] = {}
    for layer in lowered:
        name = layer.quantized.layer.name
        for source in layer.quantized.layer.inputs:
            if source != PICTURE and written[source] != layer.widths[0]:
                raise UnsupportedNetworkError(
                    f"layer {name!r} must read storage groups of {written[source]} channels, as they were "
                    f"written by {source!r}",
                    got=layer.widths[0],
                )
        written[name] = layer.widths[1]


def _place_activations(lowered: Sequence[LoweredLayer]) -> tuple[dict[str, tuple[int, int]], int]:
    """Address and size of every picture and every layer's result, and the first free byte."""
    last_use: dict[str, int] = {}
    for step, layer in enumerate(lowered):
        for source in layer.quantized.layer.inputs:
            last_use[source] = step
    names, lifetimes = [], []
    for step, layer in enumerate(lowered):
        name = layer.quantized.layer.name
        if PICTURE in layer.quantized.layer.inputs:
            # The driver writes all pictures before the launch.
            names.append(picture_name(layer))
            lifetimes.append(Lifetime(size=layer.input_bytes, first=0, last=step))
        names.append(name)
        kept = last_use.get(name, len(lowered))
        lifetimes.append(Lifetime(size=layer.output_bytes, first=step, last=kept))
    addresses, end = share(lifetimes)
    sizes = [tensor.size for tensor in lifetimes]
    return dict(zip(names, zip(addresses, sizes, strict=True), strict=True)), end


def _place_constants(
    lowered: Sequence[LoweredLayer], end: int
) -> tuple[dict[tuple[str, str], int], list[Segment], int]:
    """Addresses by layer and kind, one segment per kind, and the first free byte."""
    addresses: dict[tuple[str, str], int] = {}
    segments = []
    for kind in ("weights", "constants", "padding"):
        start, parts = end, []
        known: dict[bytes, int] = {}
        for layer in lowered:
            content = getattr(layer, kind)
            key = content.tobytes()
            if key not in known:
                known[key] = end
                parts.append(_padded(content))
                end += len(parts[-1])
            addresses[layer.quantized.layer.name, kind] = known[key]
        segments.append(Segment(name=f"{kind}.bin", address=start, content=np.concatenate(parts)))
    if end >= 1 << 32:
        raise ProgramError("a network must fit the first 4 GiB of memory", got=f"{end} bytes")
    return addresses, segments, end


def _padded(content: Bytes) -> Bytes:
    whole = np.zeros(pages(len(content)), np.uint8)
    whole[: len(content)] = content
    return whole


def _memory_map(
    layer: LoweredLayer,
    activations: dict[str, tuple[int, int]],
    constants: dict[tuple[str, str], int],
    uops: int,
) -> MemoryMap:
    shape = layer.quantized.layer
    sources = (picture_name(layer) if source == PICTURE else source for source in shape.inputs)
    return MemoryMap(
        inputs=tuple(activations[source][0] for source in sources),
        output=activations[shape.name][0],
        weights=constants[shape.name, "weights"],
        constants=constants[shape.name, "constants"],
        padding=constants[shape.name, "padding"],
        uops=uops,
    )
