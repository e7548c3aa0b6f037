"""Random integer layers, and what they compute by PyTorch in int64."""

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from rhnas.quantized import QuantizedLayer, weight_shape
from rhnas.workload import PICTURE, Layer, LayerKind


@st.composite
def shapes(draw: Any, kinds: tuple[LayerKind, ...] = tuple(LayerKind)) -> Layer:
    kind = draw(st.sampled_from(kinds))
    small = st.integers(1, 3)
    if kind is LayerKind.DENSE:
        channels = draw(st.integers(1, 40)), draw(st.integers(1, 20))
        return Layer(name="x", kind=kind, channels=channels, relu=draw(st.booleans()), inputs=(PICTURE,))
    groups = draw(small) if kind is LayerKind.CONV else 1
    channels = groups * draw(small), groups * draw(small)
    window = kind is not LayerKind.ADD
    kernel = (draw(small), draw(small)) if window else (1, 1)
    return Layer(
        name="x",
        kind=kind,
        channels=channels if kind is LayerKind.CONV else (channels[0], channels[0]),
        size=(draw(st.integers(kernel[0], 7)), draw(st.integers(kernel[1], 7))),
        kernel=kernel,
        stride=(draw(small), draw(small)) if window else (1, 1),
        padding=(draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2))),
        groups=groups,
        relu=draw(st.booleans()),
        inputs=(PICTURE, PICTURE) if kind is LayerKind.ADD else (PICTURE,),
    )


@st.composite
def quantized_layers(draw: Any, kinds: tuple[LayerKind, ...] = tuple(LayerKind)) -> QuantizedLayer:
    layer = draw(shapes(kinds))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    outputs = layer.channels[1]
    weighted = layer.kind in (LayerKind.CONV, LayerKind.DENSE)
    per_channel = weighted and draw(st.booleans())
    pooled_maximum = layer.kind is LayerKind.MAX_POOL
    return QuantizedLayer(
        layer=layer,
        fraction_bits=0,
        shift=rng.integers(0, 1 if pooled_maximum else 14, outputs if per_channel else 1, np.int32),
        weight=rng.integers(-128, 128, weight_shape(layer), np.int8) if weighted else None,
        bias=rng.integers(-(1 << 18), 1 << 18, outputs, np.int32) if weighted else None,
        left=tuple(rng.integers(0, 7, 2).tolist()) if layer.kind is LayerKind.ADD else (0, 0),
        multiplier=int(rng.integers(1, 128)) if layer.kind is LayerKind.AVG_POOL else 1,
    )


def by_torch(quantized: QuantizedLayer, *inputs: np.ndarray) -> np.ndarray:
    """The layer by PyTorch's own operators in int64 (sums in float64, which holds them exactly)."""
    layer = quantized.layer
    values = [torch.from_numpy(x).double() for x in inputs]
    shift = torch.from_numpy(quantized.shift).long()[:, None, None]
    if quantized.weight is not None:
        weight = torch.from_numpy(quantized.weight).double().reshape(layer.channels[1], -1, *layer.kernel)
        bias = torch.from_numpy(quantized.bias).double()
        x = values[0].reshape(len(inputs[0]), layer.channels[0], *layer.size)
        sums = torch.nn.functional.conv2d(x, weight, bias, layer.stride, layer.padding, 1, layer.groups)
    elif layer.kind is LayerKind.ADD:
        sums = values[0] * 2 ** quantized.left[0] + values[1] * 2 ** quantized.left[1]
    elif layer.kind is LayerKind.AVG_POOL:
        pooled = torch.nn.functional.avg_pool2d(
            values[0], layer.kernel, layer.stride, layer.padding, divisor_override=1
        )
        sums = pooled * quantized.multiplier
    else:
        sums = torch.nn.functional.max_pool2d(values[0], layer.kernel, layer.stride, layer.padding)
    # Rounding to nearest with ties upwards, written as division.
    rounded = torch.div(2 * sums.long() + 2**shift, 2 ** (shift + 1), rounding_mode="floor")
    rounded = torch.where(shift == 0, sums.long(), rounded)
    return rounded.clamp(0 if layer.relu else -128, 127).to(torch.int8).numpy()
