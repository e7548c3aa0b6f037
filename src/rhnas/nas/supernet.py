"""The single-path supernet: weights for every network of a space, of which one at a time runs.

Every block holds the weights of each of its operations at their greatest width; narrower networks use the
first channels. Normalisation uses the statistics of the batch. Legend: N pictures, O_d options of decision d.

Where the gates stand. The one-hot gate Z of a decision multiplies what the decision brings in, at a place
where a change of scale is not undone by the next normalisation: before a residual addition. A block's
operation, and the width and depth of its stage, scale the block's branch; the stem's width scales the first
shortcut. A gate is 1 on the drawn path, so it changes no value and only carries dL/dZ. It is folded into
the scale of the last normalisation of its path, where it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from rhnas.nas.expectation import ExpectedCost, expected_cost
from rhnas.nas.operations import (
    BATCH_NORM_EPSILON,
    convolve,
    initial_weight,
    pool,
    weight_shape,
)
from rhnas.networks.spaces.base import Architecture
from rhnas.networks.spaces.residual import ResidualSpace
from rhnas.networks.tables import CostTable
from rhnas.seeds import Seeds
from rhnas.workload import FloatArray, Layer, LayerKind

Shape = tuple[int, ...]

BRANCH_SCALE = 0.1
"""First scale of every branch before its addition: all paths then begin nearly equal, as the shortcuts they
share, and learn a little faster than with 1. Not 0 (Goyal et al. 2017): the gates would feel no loss."""


@dataclass(frozen=True)
class Draw:
    """One drawn path.

    Attributes:
        architecture: The option drawn at every decision.
        gates: float32 (decisions,): Z of the drawn options, all one; a leaf that collects dL/dZ.
        log_probability: Scalar, sum of log p(Z) over the decisions.
    """

    architecture: Architecture
    gates: Tensor
    log_probability: Tensor


class SuperNet(nn.Module):
    """Shared weights and the distribution over a space's networks.

    Args:
        space: The networks.
        seeds: Initial weights come from its child ``weights``.

    Attributes:
        alpha: float64 (decisions, most options), zero at first: every option equally likely.
        open: bool, alpha's shape: options that can still be drawn; rows are padded with False.

    Example:
        >>> from rhnas.networks.spaces.registry import network_space
        >>> net = SuperNet(network_space("digits"), Seeds(root=0))
        >>> draw = net.draw(torch.Generator().manual_seed(0))
        >>> net(torch.zeros(4, 1, 8, 8), draw).shape
        torch.Size([4, 10])
    """

    open: Tensor

    def __init__(self, space: ResidualSpace, seeds: Seeds) -> None:
        super().__init__()
        self.space = space
        sizes = torch.tensor([len(decision.options) for decision in space.decisions])
        columns = torch.arange(int(sizes.max()))
        self.register_buffer("open", columns < sizes[:, None])
        self.alpha = nn.Parameter(torch.zeros(self.open.shape, dtype=torch.float64))
        self._block = lru_cache(maxsize=None)(space.block)
        generator = torch.Generator().manual_seed(seeds.child("weights").integer())
        self.weights = nn.ParameterDict()
        self.scales = nn.ParameterDict()
        self.shifts = nn.ParameterDict()
        shapes, ends = self._shared_convolutions()
        for key, shape in shapes.items():
            self.weights[key] = nn.Parameter(initial_weight(shape, generator))
            self.scales[key] = nn.Parameter(torch.full(shape[:1], BRANCH_SCALE if key in ends else 1.0))
            self.shifts[key] = nn.Parameter(torch.zeros(shape[0]))
        dense = space.head(max(space.settings.stages[-1].widths), "")[-1]
        self.classifier = nn.Parameter(initial_weight(weight_shape(dense), generator))
        self.bias = nn.Parameter(torch.zeros(space.classes))

    def _shared_convolutions(self) -> tuple[dict[str, Shape], set[str]]:
        """Per shared convolution the shape that holds all of its widths, and which end a branch."""
        settings = self.space.settings
        layers = [("", layer) for width in settings.stem_widths for layer in self.space.stem(width)]
        before = settings.stem_widths
        for stage, options in enumerate(settings.stages):
            for block in range(max(options.depths)):
                for cin in before if block == 0 else options.widths:
                    for cout in options.widths if block == 0 else (cin,):
                        layers += [
                            (op, layer)
                            for op in settings.ops
                            for layer in self._block(stage, block, op, (cin, cout))
                        ]
            before = options.widths
        shapes: dict[str, Shape] = {}
        ends: set[str] = set()
        for op, layer in layers:
            key = _key(layer, op)
            if layer.kind is LayerKind.CONV:
                shape = weight_shape(layer)
                shapes[key] = tuple(map(max, shape, shapes.get(key, shape)))
            elif layer.kind is LayerKind.ADD:
                ends.add(f"{layer.inputs[0]}.{op}".replace(".", "_"))
        return shapes, ends

    def trained(self) -> list[nn.Parameter]:
        """Every parameter of the networks: all but alpha."""
        return [parameter for parameter in self.parameters() if parameter is not self.alpha]

    def logits(self) -> Tensor:
        """Alpha, minus infinity where an option cannot be drawn; float64 (decisions, most options)."""
        return self.alpha.masked_fill(~self.open, -torch.inf)

    def distribution(self) -> list[Tensor]:
        """Per decision its probabilities, float64 (O_d,), differentiable; on the CPU, as tables are."""
        rows = self.logits().softmax(1).cpu()
        return [row[: len(d.options)] for row, d in zip(rows, self.space.decisions, strict=True)]

    def probabilities(self) -> list[FloatArray]:
        """The distribution as numpy, for ``LayerCounts.expected``."""
        return [row.detach().numpy() for row in self.distribution()]

    def expected_cost(self, table: CostTable) -> ExpectedCost:
        """Expected cost of the drawn network on every design of a table, differentiable in alpha."""
        return expected_cost(table, self.distribution())

    def most_likely(self) -> Architecture:
        """The most probable option of every decision."""
        return tuple(self.logits().argmax(1).tolist())

    def freeze(self, lead: float) -> None:
        """Fix every decision whose best option leads the second by ``lead`` in probability."""
        first, second = self.logits().detach().softmax(1).topk(2).values.T
        best = functional.one_hot(self.logits().argmax(1), self.open.shape[1]).bool()
        self.open &= best | (first - second < lead)[:, None]

    def draw(self, generator: torch.Generator) -> Draw:
        """Draw every decision from its distribution."""
        rows = self.logits().detach().softmax(1).cpu()
        return self.path(tuple(torch.multinomial(rows, 1, generator=generator)[:, 0].tolist()))

    def path(self, architecture: Architecture) -> Draw:
        """The given network as if drawn."""
        device = self.alpha.device
        chosen = torch.tensor(self.space.check(architecture), device=device)
        gates = torch.ones(len(architecture), device=device, requires_grad=True)
        log_probabilities = self.logits().log_softmax(1).gather(1, chosen[:, None])
        return Draw(architecture, gates, log_probabilities.sum())

    def forward(self, pictures: Tensor, draw: Draw) -> Tensor:
        """Class scores of the drawn network.

        Args:
            pictures: (N, C, H, W), normalised; N > 1, as the batch's statistics are used.
            draw: The path that runs.

        Returns:
            (N, classes).
        """
        values = pictures
        stem = self.space.stem(self.space.widths(draw.architecture)[0])
        for layer in stem:
            values = self._unit(layer, values, "") if layer.kind is LayerKind.CONV else pool(layer, values)
        for stage, block, op, channels in self.space.blocks(draw.architecture):
            at = self.space.stages[stage]
            gate = draw.gates[at.width] * draw.gates[at.depth] * draw.gates[at.ops[block]]
            shortcut_gate = draw.gates[0] if stage == block == 0 else None
            values = self._residual(self._block(stage, block, op, channels), op, values, gate, shortcut_gate)
        pooled = values.mean(dim=(2, 3))  # (N, C)
        # Pictures differ little beside what all have in common; without this the first epochs learn nothing.
        pooled = functional.batch_norm(pooled, None, None, training=True, eps=BATCH_NORM_EPSILON)
        return functional.linear(pooled, self.classifier[:, : pooled.shape[1]], self.bias)

    def _residual(
        self, layers: Sequence[Layer], op: str, values: Tensor, gate: Tensor, shortcut_gate: Tensor | None
    ) -> Tensor:
        *convolutions, addition = layers
        branch_name, shortcut_name = addition.inputs
        known = {convolutions[0].inputs[0]: values}
        for layer in convolutions:
            scale = gate if layer.name == branch_name else None
            if layer.name == shortcut_name:
                scale = shortcut_gate
            known[layer.name] = self._unit(layer, known[layer.inputs[0]], op, scale)
        shortcut = known[shortcut_name]
        if shortcut_name not in {layer.name for layer in convolutions} and shortcut_gate is not None:
            shortcut = shortcut * shortcut_gate
        return functional.relu(known[branch_name] + shortcut)

    def _unit(self, layer: Layer, values: Tensor, op: str, gate: Tensor | None = None) -> Tensor:
        """Convolution, normalisation by the batch's statistics, and ReLU where the layer has one."""
        key = _key(layer, op)
        out, per_group = weight_shape(layer)[:2]
        values = convolve(layer, values, self.weights[key][:out, :per_group])
        scale, shift = self.scales[key][:out], self.shifts[key][:out]
        if gate is not None:
            scale, shift = scale * gate, shift * gate
        values = functional.batch_norm(
            values, None, None, scale, shift, training=True, eps=BATCH_NORM_EPSILON
        )
        return functional.relu(values, inplace=True) if layer.relu else values


def _key(layer: Layer, op: str) -> str:
    """Name of a convolution's shared weights: shortcuts and the stem do not depend on the operation."""
    shared = layer.name if layer.name == "stem" or layer.name.endswith(".shortcut") else f"{layer.name}.{op}"
    return shared.replace(".", "_")
