"""Mappings timed by the machine: layers compiled under them and run through the simulator's clock.

The closed form of ``vta/cost_price.py`` ranks all mappings; the few it ranks first are compiled, without
weights, and timed instruction by instruction: prologue, tokens, micro-op loads, fetch, the shared port.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from rhnas.errors import InfeasibleDesignError, UnsupportedNetworkError
from rhnas.platform import Objective
from rhnas.quantize.calibrate import reciprocal
from rhnas.quantized import QuantizedLayer, QuantizedNetwork, weight_shape
from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.cost import SCHEDULES, VtaCostModel
from rhnas.vta.lower.layer import compile_layer
from rhnas.vta.lower.network import CompiledNetwork, compile_network, stored_layers
from rhnas.vta.mapping import Mapping
from rhnas.vta.simulate.run import time
from rhnas.vta.timing import TIMING
from rhnas.workload import PICTURE, IntArray, Layer, LayerKind, Workload

CANDIDATES = 3
"""Mappings of a layer that are timed unless told otherwise."""

PASSED_OVER = 1 << 12
"""Mappings that are looked at where some have no room for shifts per channel."""

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


def numberless(layer: Layer, *, per_channel: bool = False) -> QuantizedLayer:
    """A layer with weights of zero and ordinary scales: no duration depends on the weights.

    Args:
        layer: The layer.
        per_channel: Whether its channels' shifts differ, where it has weights.

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
        if per_channel:
            shift = shift - (np.arange(layer.channels[1], dtype=np.int32) & 1)
        return QuantizedLayer(layer=layer, fraction_bits=0, shift=shift, weight=weight, bias=bias)
    left = (1, 0) if layer.kind is LayerKind.ADD else (0, 0)
    return QuantizedLayer(layer=layer, fraction_bits=0, shift=shift, left=left)


def numberless_network(network: Workload) -> QuantizedNetwork:
    """A network of such layers."""
    first = network.layers[0]
    pixels = np.zeros((first.channels[0], 256), np.int8)
    layers = tuple(numberless(layer) for layer in network)
    return QuantizedNetwork(name=network.name, layers=layers, picture_bits=0, pixels=pixels)


def layer_cycles(
    layer: Layer,
    mapping: Mapping,
    config: AcceleratorConfig,
    timing: str = TIMING,
    *,
    schedule: str = "best",
    per_channel: bool = False,
) -> int:
    """Cycles of a layer's own program, launch to FINISH.

    Args:
        layer: The layer.
        mapping: Its tiles.
        config: The accelerator.
        timing: Profile of timing laws.
        schedule: ``best`` or ``upstream``, as for the cost model.
        per_channel: As for ``numberless``.

    Raises:
        UnsupportedNetworkError: The mapping does not fit.

    Example:
        >>> tiles = Mapping(form="gemm", tile_h=1, tile_w=1, tile_ci=1, tile_co=1, order="channels outer",
        ...     threads=1)
        >>> layer_cycles(Layer(name="fc", channels=(16, 16)), tiles, AcceleratorConfig())
        167
    """
    inputs = (PICTURE,) if layer.reads_picture else ("before",)
    named = replace(layer, name="layer", inputs=inputs)
    return _layer_cycles(named, mapping, config, (timing, schedule), per_channel)


@lru_cache(maxsize=1 << 14)
def _layer_cycles(
    layer: Layer, mapping: Mapping, config: AcceleratorConfig, how: tuple[str, str], per_channel: bool
) -> int:
    timing, schedule = how
    quantized = numberless(layer, per_channel=per_channel)
    program = compile_layer(quantized, mapping, config, SCHEDULES[schedule]).program
    return int(time(program, timing=timing).control[0]["cycles"])


def timed_mappings(
    model: VtaCostModel,
    config: AcceleratorConfig,
    layer: Layer,
    mu: float = 0.0,
    count: int = CANDIDATES,
    *,
    per_channel: bool = False,
) -> list[Timed]:
    """The mappings that the model ranks first, best first by simulated ``cycles + mu * energy_pj``.

    The model leaves no room for shifts that differ by channel: mappings that have none are passed over.

    Args:
        model: Ranks; its timing profile is the simulator's.
        config: The accelerator.
        layer: The layer.
        mu: Cycles per pJ; ``inf`` minimises energy, and cycles among equals.
        count: How many are timed.
        per_channel: As for ``numberless``.

    Returns:
        At most ``count``; none where the layer has no mapping.
    """
    launch, batch = model.timing.launch_cycles(config.bus_bits), DesignBatch.of(config.to_row())
    timed: list[Timed] = []
    ranked = model.ranked_mappings(batch, layer, mu, PASSED_OVER if per_channel else count)
    for mapping, cycles, energy in ranked:
        try:
            simulated = layer_cycles(
                layer,
                mapping,
                config,
                model.timing.name,
                schedule=model.schedule,
                per_channel=per_channel,
            )
        except UnsupportedNetworkError:
            if not per_channel:
                raise
            continue
        timed.append(Timed(mapping=mapping, modelled=cycles + launch, simulated=simulated, energy_pj=energy))
        if len(timed) == count:
            break
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
    *,
    per_channel: Collection[str] = (),
) -> list[Timed]:
    """The best timed mapping of every layer; layers of equal shape are timed once.

    Args:
        model: Ranks.
        config: The accelerator.
        layers: The layers.
        mu: As ``timed_mappings``.
        count: Mappings timed per distinct layer.
        per_channel: Names of the layers whose channels' shifts differ.

    Raises:
        InfeasibleDesignError: A layer has no mapping; names it.
    """
    known: dict[tuple[tuple[int, ...], bool], Timed] = {}
    keys = [(layer.shape, layer.name in per_channel) for layer in layers]
    for layer, key in zip(layers, keys, strict=True):
        if key in known:
            continue
        found = timed_mappings(model, config, layer, mu, count, per_channel=key[1])
        if not found:
            raise InfeasibleDesignError(f"layer {layer.name!r} must have a mapping", got=config.name)
        known[key] = found[0]
    return [known[key] for key in keys]


def compile_numberless(
    network: Workload, mappings: Sequence[Mapping], config: AcceleratorConfig, schedule: str = "best"
) -> CompiledNetwork:
    """A network's program without its numbers, to be timed.

    Args:
        network: The workload.
        mappings: One per layer of ``stored_shapes``.
        config: A chainable accelerator.
        schedule: ``best`` or ``upstream``.

    Raises:
        InfeasibleDesignError: The accelerator is not chainable.
        UnsupportedNetworkError: A mapping does not fit; names the layer.
    """
    return compile_network(numberless_network(network), mappings, config, SCHEDULES[schedule])


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
    network: Workload | QuantizedNetwork,
    objective: Objective = Objective.EDP,
    count: int = CANDIDATES,
) -> list[Mapping]:
    """The mappings that serve a network best on a design, the model's first few timed by simulation.

    All layers share the exchange rate between cycles and energy that the model finds best.

    Args:
        model: Ranks.
        config: The accelerator.
        network: In integers, or its shapes alone.
        objective: What is minimised.
        count: Mappings timed per distinct layer.

    Returns:
        One per layer of ``stored_shapes``, as ``compile_network`` takes them.

    Raises:
        InfeasibleDesignError: A layer has no mapping; names it.
    """
    numbers = numberless_network(network) if isinstance(network, Workload) else network
    layers = [quantized.layer for quantized in stored_layers(numbers, config)]
    several = {quantized.layer.name for quantized in numbers if (quantized.shift != quantized.shift[0]).any()}
    mu = float(model.evaluate(DesignBatch.of(config.to_row()), layers).totals(objective).mu[0])
    return [
        timed.mapping for timed in retimed_mappings(model, config, layers, mu, count, per_channel=several)
    ]


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
    mappings = network_mappings(model, config, numbers, objective, count)
    compiled = compile_network(numbers, mappings, config, SCHEDULES[model.schedule])
    return cycles_by_layer(compiled, model.timing.name)
