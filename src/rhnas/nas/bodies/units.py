"""Shared convolutions of a supernet, each with the normalisation after it. Legend: N pictures, C channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from rhnas.nas.operations import BATCH_NORM_EPSILON, initial_weight, weight_shape
from rhnas.workload import Layer

Shape = tuple[int, ...]
Cells = Sequence[tuple[Tensor, Layer]]
"""One convolution at the widths that run, each with the weight of that width."""

BRANCH_SCALE = 0.1
"""First scale of every branch before its addition: all paths then begin nearly equal, as the shortcuts they
share, and learn a little faster than with 1. Not 0 (Goyal et al. 2017): the gates would feel no loss."""


class Units(nn.Module):
    """Weights, scales and shifts by name of the convolution, at the greatest width that any network uses.

    Args:
        shapes: Weight shape of every convolution.
        ends: Those that end a branch before an addition.
        generator: Of the initial weights.
    """

    def __init__(self, shapes: Mapping[str, Shape], ends: set[str], generator: torch.Generator) -> None:
        super().__init__()
        self.weights = nn.ParameterDict()
        self.scales = nn.ParameterDict()
        self.shifts = nn.ParameterDict()
        for key, shape in shapes.items():
            self.weights[key] = nn.Parameter(initial_weight(shape, generator))
            self.scales[key] = nn.Parameter(torch.full(shape[:1], BRANCH_SCALE if key in ends else 1.0))
            self.shifts[key] = nn.Parameter(torch.zeros(shape[0]))

    def forward(self, key: str, cells: Cells, values: Tensor, gate: Tensor | None = None) -> Tensor:
        """Convolution, normalisation by the batch's statistics, and ReLU where the layer has one.

        Args:
            key: Of the convolution.
            cells: The widths it runs at.
            values: (N, C_in, H, W), as many channels as the widest reads.
            gate: Factor of the output, a scalar or (C_out,); folded into the scale, it costs nothing.
        """
        layer = cells[0][1]
        weight, groups = self._weight(key, cells)
        values = functional.conv2d(values, weight, None, layer.stride, layer.padding, groups=groups)
        scale, shift = self.scales[key][: len(weight)], self.shifts[key][: len(weight)]
        if gate is not None:
            scale, shift = scale * gate, shift * gate
        values = functional.batch_norm(
            values, None, None, scale, shift, training=True, eps=BATCH_NORM_EPSILON
        )
        return functional.relu(values, inplace=True) if layer.relu else values

    def _weight(self, key: str, cells: Cells) -> tuple[Tensor, int]:
        """The weight that computes all widths at once, and its groups.

        A convolution is linear in its weight, so widths that group their channels differently are added up
        as weights; where they group alike, the widest holds the others.
        """
        layers = [layer for _, layer in cells]
        out, wide = (max(layer.channels[side] for layer in layers) for side in (1, 0))
        whole = self.weights[key]
        if all(layer.groups == 1 for layer in layers):
            return whole[:out, :wide], 1
        if all(layer.groups == layer.channels[0] for layer in layers):
            return whole[:out], out
        if len(layers) == 1:
            out, per_group = weight_shape(layers[0])[:2]
            return whole[:out, :per_group], layers[0].groups
        blended = whole.new_zeros(out, wide, *whole.shape[2:])
        for weight, layer in cells:
            blended = blended + functional.pad(
                ungrouped(whole, layer) * weight,
                (0, 0, 0, 0, 0, wide - layer.channels[0], 0, out - layer.channels[1]),
            )
        return blended, 1


def ungrouped(weight: Tensor, layer: Layer) -> Tensor:
    """A grouped convolution's weight as that of a plain one: zero between groups, (C_out, C_in, k, k)."""
    out, per_group, *kernel = weight_shape(layer)
    grouped = weight[:out, :per_group].reshape(layer.groups, -1, per_group, *kernel)
    diagonal = torch.eye(layer.groups).to(weight)
    return torch.einsum("gopij,gh->gohpij", grouped, diagonal).reshape(out, layer.channels[0], *kernel)


def channel_gate(weights: Sequence[Tensor], channels: Sequence[int]) -> Tensor:
    """Weight of every channel where widths are mixed: the sum over the widths that have it, (C,).

    Example:
        >>> channel_gate([torch.tensor(0.25), torch.tensor(0.75)], [1, 2]).tolist()
        [1.0, 0.75]
    """
    stacked = torch.stack(list(weights))
    has = torch.arange(max(channels))[None] < torch.tensor(channels)[:, None]  # (n, C)
    return stacked @ has.to(stacked)
