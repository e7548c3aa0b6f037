"""A derived network as a plain torch module with running statistics, and its folded graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from rhnas.nas.batches import generator
from rhnas.nas.operations import convolve, initial_weight, pool, weight_shape
from rhnas.seeds import Seeds
from rhnas.workload import PICTURE, FloatArray, Layer, LayerKind, Workload


@dataclass(frozen=True)
class FoldedLayer:
    """A layer with batch normalisation folded into weight and bias; None where it has none.

    Attributes:
        layer: As in the workload.
        weight: float64 (out, in / groups, kernel height, kernel width); dense: (out, in).
        bias: float64 (out,).
    """

    layer: Layer
    weight: FloatArray | None
    bias: FloatArray | None


class Network(nn.Module):
    """A trainable network of any workload: convolutions with batch normalisation, pooling, additions, dense.

    Args:
        workload: The layers.
        seeds: Initial weights come from its child ``weights``.

    Example:
        >>> from rhnas.networks.spaces.registry import network_space
        >>> space = network_space("digits")
        >>> network = Network(space.workload((0,) * len(space.decisions)), Seeds(root=0))
        >>> network(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(self, workload: Workload, seeds: Seeds) -> None:
        super().__init__()
        self.workload = workload
        self.weights = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        self.norms = nn.ModuleDict()
        draws = generator(seeds.child("weights"))
        for layer in workload:
            if not layer.parameters:
                continue
            key = _key(layer)
            self.weights[key] = nn.Parameter(initial_weight(weight_shape(layer), draws))
            if layer.kind is LayerKind.DENSE:
                self.biases[key] = nn.Parameter(torch.zeros(layer.channels[1]))
            else:
                self.norms[key] = nn.BatchNorm2d(layer.channels[1])

    def forward(self, pictures: Tensor) -> Tensor:
        """Class scores (N, classes) of pictures (N, C, H, W)."""
        known = {PICTURE: pictures}
        values = pictures
        for layer in self.workload:
            values = self._run(layer, [known[name] for name in layer.inputs])
            known[layer.name] = functional.relu(values) if layer.relu else values
        return values.flatten(1)

    def _run(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        if layer.kind is LayerKind.ADD:
            return inputs[0] + inputs[1]
        if not layer.parameters:
            return pool(layer, inputs[0])
        weight = self.weights[_key(layer)]
        if layer.kind is LayerKind.DENSE:
            return functional.linear(inputs[0].flatten(1), weight, self.biases[_key(layer)])
        return cast(Tensor, self._norm(layer)(convolve(layer, inputs[0], weight)))

    def _norm(self, layer: Layer) -> nn.BatchNorm2d:
        return cast(nn.BatchNorm2d, self.norms[_key(layer)])

    def folded(self) -> tuple[FoldedLayer, ...]:
        """The layers of the workload, in its order, as they are at inference."""
        return tuple(self._fold(layer) for layer in self.workload)

    def _fold(self, layer: Layer) -> FoldedLayer:
        if not layer.parameters:
            return FoldedLayer(layer, None, None)
        weight = self.weights[_key(layer)].detach().double()
        if layer.kind is LayerKind.DENSE:
            return FoldedLayer(layer, weight.cpu().numpy(), _double(self.biases[_key(layer)]).cpu().numpy())
        norm = self._norm(layer)
        scale = _double(norm.weight) / (_double(norm.running_var) + norm.eps).sqrt()  # (out,)
        bias = _double(norm.bias) - _double(norm.running_mean) * scale
        return FoldedLayer(layer, (weight * scale[:, None, None, None]).cpu().numpy(), bias.cpu().numpy())


def _double(values: Tensor | None) -> Tensor:
    return cast(Tensor, values).detach().double()


def _key(layer: Layer) -> str:
    """Module names must not hold dots."""
    return layer.name.replace(".", "_")
