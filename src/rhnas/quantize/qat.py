"""Quantization-aware fine-tuning: the integer network in floating point, with gradients through rounding.

Values are multiples of powers of two, so that floating point holds the integers of the golden model: at
evaluation in float64 the two agree bit for bit. Legend: N pictures, C channels, H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from rhnas.quantize.calibrate import WEIGHT_LIMIT, FloatLayer, Scales, reciprocal
from rhnas.quantized import INT8_MAX, INT8_MIN
from rhnas.workload import PICTURE, FloatArray, Layer, LayerKind


@dataclass(frozen=True)
class TunedLayer:
    """A layer as fine-tuning left it, in the form ``quantize`` takes."""

    layer: Layer
    weight: FloatArray | None
    bias: FloatArray | None


class IntegerAwareNetwork(nn.Module):
    """A network that computes what its integer version computes, and can be trained.

    Args:
        layers: With float weights, batch norm folded.
        scales: Fixed during training.
    """

    def __init__(self, layers: Sequence[FloatLayer], scales: Scales) -> None:
        super().__init__()
        self.layers = tuple(layer.layer for layer in layers)
        self.scales = scales
        self.weights = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        for index, layer in enumerate(layers):
            if layer.weight is not None and layer.bias is not None:
                self.weights[str(index)] = nn.Parameter(torch.from_numpy(layer.weight).float())
                self.biases[str(index)] = nn.Parameter(torch.from_numpy(layer.bias).float())

    def forward(self, pictures: Tensor) -> Tensor:
        """Class scores (N, classes) of normalised pictures (N, C, H, W)."""
        step = 2.0**-self.scales.picture
        values = _stepped(pictures / step, torch.round, INT8_MIN) * step
        known = {PICTURE: values}
        for index, layer in enumerate(self.layers):
            values = self._run(index, layer, [known[source] for source in layer.inputs])
            known[layer.name] = values
        return values.flatten(1)

    def _run(self, index: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        if layer.kind is LayerKind.MAX_POOL:
            values = functional.max_pool2d(inputs[0], layer.kernel, layer.stride, layer.padding)
            return functional.relu(values) if layer.relu else values
        step = 2.0 ** -self.scales.outputs[index]
        exact = self._accumulate(index, layer, inputs) / step
        return _stepped(exact, _round_half_up, 0 if layer.relu else INT8_MIN) * step

    def _accumulate(self, index: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        """What the accumulators hold, as real numbers, before rounding."""
        if layer.kind is LayerKind.ADD:
            return inputs[0] + inputs[1]
        (given, *_) = self.scales.inputs(self.layers, index)
        if layer.kind is LayerKind.AVG_POOL:
            finer = self.scales.outputs[index] - given
            multiplier, shift = reciprocal(math.prod(layer.kernel), finer)
            sums = functional.avg_pool2d(
                inputs[0], layer.kernel, layer.stride, layer.padding, divisor_override=1
            )
            return sums * (multiplier * 2.0 ** -(shift + finer))
        weight, bias = self._stored(index, given)
        if layer.kind is LayerKind.DENSE:
            return functional.linear(inputs[0].flatten(1), weight, bias)[:, :, None, None]
        return functional.conv2d(inputs[0], weight, bias, layer.stride, layer.padding, groups=layer.groups)

    def _stored(self, index: int, given: int) -> tuple[Tensor, Tensor]:
        """Weight and bias as the integers stand for them, differentiable."""
        weight, bias = self.weights[str(index)], self.biases[str(index)]
        bits = torch.from_numpy(self.scales.weights[index]).to(weight)  # (1,) or (C_out,)
        step = torch.exp2(-bits).reshape(-1, *(1,) * (weight.ndim - 1))
        rounded = _stepped(weight / step, torch.round, -WEIGHT_LIMIT) * step
        fine = torch.exp2(-bits - given)
        return rounded, bias + (torch.round(bias / fine) * fine - bias).detach()

    def tuned(self) -> tuple[TunedLayer, ...]:
        """The layers with their present weights, for ``quantize``."""
        return tuple(
            TunedLayer(layer, _array(self.weights, str(index)), _array(self.biases, str(index)))
            for index, layer in enumerate(self.layers)
        )


def finetune(
    network: IntegerAwareNetwork,
    batch: Callable[[int], tuple[Tensor, Tensor]],
    steps: int,
    *,
    learning_rate: float = 3e-4,
    label_smoothing: float = 0.0,
) -> None:
    """Train in place with Adam, the learning rate falling to zero along a cosine.

    Adam, since folded batch norms leave weights of very different scales.

    Args:
        network: Whose scales stay.
        batch: Of a step from 0: normalised pictures (N, C, H, W) and labels (N,).
        steps: How many.
        learning_rate: At the start.
        label_smoothing: Share of the target spread over all classes.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    network.train()
    for step in range(steps):
        pictures, labels = batch(step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(network(pictures), labels, label_smoothing=label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _stepped(values: Tensor, rounding: Callable[[Tensor], Tensor], lowest: int) -> Tensor:
    """Rounded and clipped; the gradient passes straight through, except where it was clipped."""
    clipped = values.clamp(lowest, INT8_MAX)
    return clipped + (rounding(clipped) - clipped).detach()


def _round_half_up(values: Tensor) -> Tensor:
    """What adding a half before a right shift does."""
    return torch.floor(values + 0.5)


def _array(parameters: nn.ParameterDict, key: str) -> FloatArray | None:
    if key not in parameters:
        return None
    return cast("FloatArray", parameters[key].detach().double().cpu().numpy())
