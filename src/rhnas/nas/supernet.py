"""The supernet: weights for every network of a space, and the distribution over them.

What runs between picture and features is the body of the space's family (``rhnas.nas.bodies``): one drawn
path, or several options of every decision weighed and added up. Normalisation uses the statistics of the
batch. Legend: N pictures, O_d options of decision d.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rhnas.errors import SettingsError
from rhnas.nas.arithmetic import Arithmetic
from rhnas.nas.bodies.mixture import Mixture
from rhnas.nas.bodies.residual import ResidualBody
from rhnas.nas.bodies.slots import SlotBody
from rhnas.nas.expectation import ExpectedCost, expected_cost
from rhnas.nas.operations import BATCH_NORM_EPSILON, initial_weight
from rhnas.networks.spaces.base import Architecture, NetworkSpace
from rhnas.networks.spaces.residual import ResidualSpace
from rhnas.networks.spaces.slots import SlotSpace
from rhnas.networks.tables import CostTable
from rhnas.seeds import Seeds
from rhnas.workload import FloatArray


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

    @property
    def mixture(self) -> Mixture:
        """The path as a mixture of one option per decision."""
        return Mixture(tuple((option,) for option in self.architecture), tuple(self.gates[:, None]))


class SuperNet(nn.Module):
    """Shared weights and the distribution over a space's networks.

    Args:
        space: The networks.
        seeds: Initial weights come from its child ``weights``.
        arithmetic: What pictures are computed in; alpha and the cost stay float64.

    Raises:
        SettingsError: The space belongs to no family that has a body.

    Attributes:
        alpha: float64 (decisions, most options), zero at first: every option equally likely.
        open: bool, alpha's shape: options that can still be drawn; rows are padded with False.

    Example:
        >>> from rhnas.networks.spaces.registry import network_space
        >>> net = SuperNet(network_space("digits"), Seeds(root=0))
        >>> draw = net.draw(torch.Generator().manual_seed(0))
        >>> net(torch.zeros(4, 1, 8, 8), draw.mixture).shape
        torch.Size([4, 10])
    """

    open: Tensor

    def __init__(self, space: NetworkSpace, seeds: Seeds, arithmetic: Arithmetic | None = None) -> None:
        super().__init__()
        self.space = space
        self.arithmetic = arithmetic or Arithmetic()
        sizes = torch.tensor([len(decision.options) for decision in space.decisions])
        columns = torch.arange(int(sizes.max()))
        self.register_buffer("open", columns < sizes[:, None])
        self.alpha = nn.Parameter(torch.zeros(self.open.shape, dtype=torch.float64))
        generator = torch.Generator().manual_seed(seeds.child("weights").integer())
        self.body = _body(space, generator)
        self.classifier = nn.Parameter(initial_weight((space.classes, self.body.features), generator))
        self.bias = nn.Parameter(torch.zeros(space.classes))

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

    def mixture(self, weights: Tensor, running: Tensor | None = None) -> Mixture:
        """Several options at once.

        Args:
            weights: (decisions, most options), of every option.
            running: bool of the same shape, the options that run; all that are open if None.
        """
        chosen = [row.nonzero()[:, 0] for row in (self.open if running is None else running)]
        return Mixture(
            tuple(tuple(options.tolist()) for options in chosen),
            tuple(row[options].to(self.bias.dtype) for row, options in zip(weights, chosen, strict=True)),
        )

    def forward(self, pictures: Tensor, mixture: Mixture) -> Tensor:
        """Class scores of a path or a mixture.

        Args:
            pictures: (N, C, H, W), normalised; N > 1, as the batch's statistics are used.
            mixture: The options that run.

        Returns:
            (N, classes).
        """
        with self.arithmetic.region():
            features, gate = self.body(pictures, mixture)  # (N, C)
        features = features.to(self.bias.dtype)
        # Pictures differ little beside what all have in common; without this the first epochs learn nothing.
        features = functional.batch_norm(features, None, None, training=True, eps=BATCH_NORM_EPSILON)
        if gate is not None:
            features = features * gate
        return functional.linear(features, self.classifier[:, : features.shape[1]], self.bias)


def _body(space: NetworkSpace, generator: torch.Generator) -> ResidualBody | SlotBody:
    if isinstance(space, ResidualSpace):
        return ResidualBody(space, generator)
    if isinstance(space, SlotSpace):
        return SlotBody(space, generator)
    raise SettingsError(
        f"network space {space.name!r} must be a SlotSpace or a ResidualSpace to have a supernet",
        got=type(space).__name__,
    )
