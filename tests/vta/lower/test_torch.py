"""Compiled layers against PyTorch: random layers on random realizable accelerators, bit for bit."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from rhnas.quantized import QuantizedLayer
from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.lower.layer import compile_layer
from rhnas.vta.rules import UPSTREAM
from rhnas.vta.simulate.run import simulate
from rhnas.workload import LayerKind
from tests.vta.lower.random_networks import random_numbers
from tests.vta.lower.test_compile import DESIGNS, MODEL, layers

ASYMMETRIC = [row for row in DESIGNS if row["LOG_BLOCK_IN"] != row["LOG_BLOCK_OUT"]]
SMALL = [row for row in DESIGNS if min(row["LOG_INP_BUFF_SIZE"], row["LOG_ACC_BUFF_SIZE"]) == 10]
"""Where some buffer is the smallest there is."""
OURS = [row for row in DESIGNS if min(float(rule.slack(DesignBatch.of(row))[0]) for rule in UPSTREAM) < 0]
"""That upstream's generator cannot build."""


def in_torch(quantized: QuantizedLayer, *inputs: np.ndarray) -> np.ndarray:
    """The layer in float64, which holds every such integer exactly, rounded as shifts round."""
    layer = quantized.layer
    first, *rest = (torch.from_numpy(x.astype(np.float64)) for x in inputs)
    outputs = layer.channels[1]
    if layer.kind is LayerKind.ADD:
        sums = first * 2 ** quantized.left[0] + rest[0] * 2 ** quantized.left[1]
    elif layer.kind is LayerKind.MAX_POOL:
        padded = functional.pad(first, (layer.padding[1],) * 2 + (layer.padding[0],) * 2, value=-128)
        sums = functional.max_pool2d(padded, layer.kernel, layer.stride)
    elif layer.kind is LayerKind.AVG_POOL:
        taps = layer.kernel[0] * layer.kernel[1]
        padded = functional.pad(first, (layer.padding[1],) * 2 + (layer.padding[0],) * 2)
        mean = functional.avg_pool2d(padded, layer.kernel, layer.stride)
        sums = torch.round(mean * taps) * quantized.multiplier
    else:
        weight = torch.from_numpy(quantized.weight.astype(np.float64)).reshape(outputs, -1, *layer.kernel)
        bias = torch.from_numpy(quantized.bias.astype(np.float64))
        sums = functional.conv2d(first, weight, bias, layer.stride, layer.padding, groups=layer.groups)
    shift = torch.from_numpy(quantized.shift.astype(np.int64)).reshape(-1, 1, 1)
    half = torch.where(shift > 0, torch.ones_like(shift) << (shift - 1).clamp(min=0), 0)
    shifted = (sums.to(torch.int64) + half) >> shift
    return shifted.clamp(0 if layer.relu else -128, 127).to(torch.int8).numpy()


@settings(max_examples=40, deadline=None)
@given(
    layer=layers(),
    row=st.one_of(*(st.sampled_from(rows) for rows in (DESIGNS, ASYMMETRIC, SMALL, OURS))),
    seed=st.integers(0, 999),
)
def test_random_layers_on_random_accelerators_equal_pytorch(layer, row, seed):
    best = MODEL.best_mapping(DesignBatch.of(row), layer, 0.0)
    assume(best is not None)
    rng, config = np.random.default_rng(seed), AcceleratorConfig.from_row(row)
    quantized = random_numbers(layer, rng)
    shape = (config.batch, layer.channels[0], *layer.size)
    count = 2 if layer.kind is LayerKind.ADD else 1
    inputs = [rng.integers(-128, 128, shape).astype(np.int8) for _ in range(count)]
    compiled = compile_layer(quantized, best[0], config)
    program = compiled.expecting(compiled.reading(*inputs), in_torch(quantized, *inputs))
    assert simulate(program, strict=True).matches


def test_the_designs_are_of_every_kind():
    assert {row["SHL_MEM_AXI_DATA_BITS"] for row in DESIGNS} == {64, 128, 256, 512}
    assert {row["LOG_BATCH"] for row in DESIGNS} == {0, 1, 2}
    assert len(ASYMMETRIC) > 100
    assert len(SMALL) > 100
