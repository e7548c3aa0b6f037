"""Mappings timed by the machine: layers compiled under them and run through the simulator's clock.

The closed form of ``vta/cost_price.py`` ranks all mappings; the few it ranks first are compiled, without
weights, and timed instruction by instruction: prologue, tokens, micro-op loads, fetch, the shared port.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from rhnas.errors import InfeasibleDesignError
from rhnas.platform import Objective
from rhnas.quantize.calibrate import reciprocal
from rhnas.quantized import QuantizedLayer, QuantizedNetwork, weight_shape
from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.cost import VtaCostModel
from rhnas.vta.lower.layer import compile_layer
from rhnas.vta.lower.network import CompiledNetwork, compile_network, stored_layers
from rhnas.vta.mapping import Mapping
from rhnas.vta.simulate.run import time
from rhnas.vta.timing import TIMING
from rhnas.workload import PICTURE, IntArray, Layer, LayerKind, Workload

CANDIDATES = 3
"""Mappings of a layer that are timed unless told otherwise."""

SHIFTS = {LayerKind.CONV: 8, LayerKind.DENSE: 8, LayerKind.ADD: 1, LayerKind.MAX_POOL: 0}
"""Right shifts of layers without numbers: what calibrated networks have."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A mapping with its cycles.

    Attributes:
        mapping: The mapping.
        modelled: Cycles of the layer alone, launch included, by the closed form.
        simulated: The same by the simulator.
        energy_pj: Modelled.
    """

    mapping: Mapping
    modelled: int
    simulated: int
    energy_pj: float


def numberless(layer: Layer) -> QuantizedLayer:
    """A layer with weights of zero and ordinary scales: no duration depends on the weights.

    Example:
        >>> numberless(Layer(name="sum", kind=LayerKind.ADD, channels=(8, 8), size=(2, 2))).left
        (1, 0)
    """
    if layer.kind is LayerKind.AVG_POOL:
        multiplier, right = reciprocal(layer.kernel[0] * layer.kernel[1], 0)
        shift = np.array([right], np.int32)
        return QuantizedLayer(layer=layer, fraction_bits=0, shift=shift, multiplier=multiplier)
    shift = np.array([SHIFTS[layer.kind]], np.int32)
    if layer.kind in (LayerKind.CONV, LayerKind.DENSE):
        weight, bias = np.zeros(weight_shape(layer), np.int8), np.zeros(layer.channels[1], np.int32)
        return QuantizedLayer(layer=layer, fraction_bits=0, shift=shift, weight=weight, bias=bias)
    left = (1, 0) if layer.kind is LayerKind.ADD else (0, 0)
    return QuantizedLayer(layer=layer, fraction_bits=0, shift=shift, left=left)


def numberless_network(network: Workload) -> QuantizedNetwork:
    """A network of such layers."""
    first = network.layers[0]
    pixels = np.zeros((first.channels[0], 256), np.int8)
    layers = tuple(numberless(layer) for layer in network)
    return QuantizedNetwork(name=network.name, layers=layers, picture_bits=0, pixels=pixels)


def layer_cycles(layer: Layer, mapping: Mapping, config: AcceleratorConfig, timing: str = TIMING) -> int:
    """Cycles of a layer's own program, launch to FINISH.

    Args:
        layer: The layer.
        mapping: Its tiles.
        config: The accelerator.
        timing: Profile of timing laws.

    Raises:
        UnsupportedNetworkError: The mapping does not fit.

    Example:
        >>> tiles = Mapping(form="gemm", tile_h=1, tile_w=1, tile_ci=1, tile_co=1, order="channels outer",
        ...     threads=1)
        >>> layer_cycles(Layer(name="fc", channels=(16, 16)), tiles, AcceleratorConfig())
        157
    """
    inputs = (PICTURE,) if layer.reads_picture else ("before",)
    return _layer_cycles(replace(layer, name="layer", inputs=inputs), mapping, config, timing)


@lru_cache(maxsize=1 << 14)
def _layer_cycles(layer: Layer, mapping: Mapping, config: AcceleratorConfig, timing: str) -> int:
    program = compile_layer(numberless(layer), mapping, config).program
    return int(time(program, timing=timing).control[0]["cycles"])


def timed_mappings(
    model: VtaCostModel,
    config: AcceleratorConfig,
    layer: Layer,
    mu: float = 0.0,
    count: int = CANDIDATES,
) -> list[Timed]:
    """The mappings that the model ranks first, best first by simulated ``cycles + mu * energy_pj``.

    Args:
        model: Ranks; its timing profile is the simulator's.
        config: The accelerator.
        layer: The layer.
        mu: Cycles per pJ; ``inf`` minimises energy, and cycles among equals.
        count: How many are timed.

    Returns:
        At most ``count``; none where the layer has no mapping.
    """
    launch = model.timing.launch_cycles(config.bus_bits)
    timed = []
    for mapping, cycles, energy in model.ranked_mappings(DesignBatch.of(config.to_row()), layer, mu, count):
        simulated = layer_cycles(layer, mapping, config, model.timing.name)
        timed.append(Timed(mapping=mapping, modelled=cycles + launch, simulated=simulated, energy_pj=energy))
    return sorted(timed, key=lambda t: _score(t, mu))


def _score(timed: Timed, mu: float) -> tuple[float, int]:
    weighted = timed.energy_pj if np.isinf(mu) else timed.simulated + mu * timed.energy_pj
    return weighted, timed.simulated


def retimed_mappings(
    model: VtaCostModel,
    config: AcceleratorConfig,
    layers: Sequence[Layer],
    mu: float = 0.0,
    count: int = CANDIDATES,
) -> list[Timed]:
    """The best timed mapping of every layer; layers of equal shape are timed once.

    Raises:
        InfeasibleDesignError: A layer has no mapping; names it.
    """
    known: dict[tuple[int, ...], Timed] = {}
    for layer in layers:
        if layer.shape in known:
            continue
        found = timed_mappings(model, config, layer, mu, count)
        if not found:
            raise InfeasibleDesignError(f"layer {layer.name!r} must have a mapping", got=config.name)
        known[layer.shape] = found[0]
    return [known[layer.shape] for layer in layers]


def compile_numberless(
    network: Workload, mappings: Sequence[Mapping], config: AcceleratorConfig
) -> CompiledNetwork:
    """A network's program without its numbers, to be timed.

    Args:
        network: The workload.
        mappings: One per layer of ``stored_shapes``.
        config: A chainable accelerator.

    Raises:
        InfeasibleDesignError: The accelerator is not chainable.
        UnsupportedNetworkError: A mapping does not fit; names the layer.
    """
    return compile_network(numberless_network(network), mappings, config)


def stored_shapes(network: Workload, config: AcceleratorConfig) -> tuple[Layer, ...]:
    """The layers as memory holds what they read: dense layers read the padding of storage groups too."""
    return tuple(stored.layer for stored in stored_layers(numberless_network(network), config))


def cycles_by_layer(compiled: CompiledNetwork, timing: str | None = None) -> IntArray:
    """Cycles of each layer in a network's program, and those of its launch and end.

    An instruction belongs to the layer that issued it, a cycle in which layers overlap to the earlier one.

    Returns:
        int64 (L + 1,); the sum is launch to FINISH.
    """
    machine = time(compiled.program, timing=timing)
    ends = np.maximum.accumulate(machine.timeline["end"])
    ends = ends[compiled.first_instruction[1:] - 1]
    return np.diff(ends, prepend=0, append=int(machine.control[0]["cycles"])).astype(np.int64)


def network_mappings(
    model: VtaCostModel,
    config: AcceleratorConfig,
    network: Workload,
    objective: Objective = Objective.EDP,
    count: int = CANDIDATES,
) -> list[Mapping]:
    """The mappings that serve a network best on a design, the model's first few timed by simulation.

    All layers share the exchange rate between cycles and energy that the model finds best.

    Args:
        model: Ranks.
        config: The accelerator.
        network: The workload.
        objective: What is minimised.
        count: Mappings timed per distinct layer.

    Returns:
        One per layer of ``stored_shapes``, as ``compile_network`` takes them.

    Raises:
        InfeasibleDesignError: A layer has no mapping; names it.
    """
    layers = stored_shapes(network, config)
    mu = float(model.evaluate(DesignBatch.of(config.to_row()), layers).totals(objective).mu[0])
    return [timed.mapping for timed in retimed_mappings(model, config, layers, mu, count)]


def network_cycles(
    model: VtaCostModel,
    config: AcceleratorConfig,
    network: Workload | QuantizedNetwork,
    objective: Objective = Objective.EDP,
    count: int = CANDIDATES,
) -> IntArray:
    """Simulated cycles of a network's program, layer by layer, under ``network_mappings``.

    Args:
        model: As ``network_mappings``.
        config: A chainable accelerator.
        network: In integers, or its shapes alone: numbers decide on nothing but the epilogues' operations.
        objective: As ``network_mappings``.
        count: As ``network_mappings``.

    Returns:
        int64 (L + 1,), as ``cycles_by_layer`` gives them.

    Raises:
        InfeasibleDesignError: A layer has no mapping, or the accelerator is not chainable.
    """
    numbers = numberless_network(network) if isinstance(network, Workload) else network
    mappings = network_mappings(model, config, numbers.workload, objective, count)
    return cycles_by_layer(compile_network(numbers, mappings, config), model.timing.name)
