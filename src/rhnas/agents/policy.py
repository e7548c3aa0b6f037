"""The policy network: a categorical per choice, given the context and the choices before it."""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from rhnas.space import FeasibleSet


class FactoredPolicy(nn.Module):
    """pi(design | context) = prod_d pi(x_d | context, x_1 .. x_{d-1}), over feasible values only.

    Legend: B designs, D choices, F features, V values of all choices side by side.

    Args:
        sizes: Number of values of each choice.
        features: F.
        hidden: Width of the two hidden layers.
        generator: Where the initial weights come from.
    """

    def __init__(
        self, sizes: tuple[int, ...], features: int, hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.sizes = sizes
        ends = list(accumulate(sizes))
        self.slices = tuple(slice(end - size, end) for end, size in zip(ends, sizes, strict=True))
        values = ends[-1]
        self.trunk = nn.Sequential(
            _linear(features + values + len(sizes), hidden, 2**0.5, generator),
            nn.Tanh(),
            _linear(hidden, hidden, 2**0.5, generator),
            nn.Tanh(),
        )
        # A small last layer: the untrained policy is almost uniform over the feasible values.
        self.head = _linear(hidden, values, 0.01, generator)
        owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))  # (V,)
        self.register_buffer("before", owner < torch.arange(len(sizes))[:, None], persistent=False)  # (D, V)
        self.before: Tensor

    def forward(self, features: Tensor, chosen: Tensor, masks: Tensor) -> Tensor:
        """Log-probabilities of every choice given the choices before it, in one pass.

        Args:
            features: float32 (B, F).
            chosen: int64 (B, D): complete designs.
            masks: bool (B, D, V): the feasible values of choice d, False outside its slice.

        Returns:
            float32 (B, D, V), -inf where masked.
        """
        batch, depth = chosen.shape
        prefix = self._one_hot(chosen)[:, None] * self.before  # (B, D, V)
        position = torch.eye(depth).expand(batch, -1, -1)
        context = features[:, None].expand(-1, depth, -1)
        logits = self.head(self.trunk(torch.cat([context, prefix, position], dim=2)))
        return torch.log_softmax(logits.masked_fill(~masks, -torch.inf), dim=2)

    @torch.no_grad()
    def sample(
        self, features: Tensor, designs: FeasibleSet, n: int, temperature: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw designs factor by factor; a value without a feasible completion has probability zero.

        Args:
            features: float32 (F,).
            designs: The feasible designs.
            n: How many to draw, independent.
            temperature: Divides the logits; above 1 explores.
            generator: Where the draws come from.

        Returns:
            (designs int64 (n, D), masks bool (n, D, V)).
        """
        depth = len(self.sizes)
        chosen = torch.zeros(n, depth, dtype=torch.long)
        masks = torch.zeros(n, depth, sum(self.sizes), dtype=torch.bool)
        context = features.expand(n, -1)
        prefix = torch.zeros(n, sum(self.sizes))
        for d, (size, values) in enumerate(zip(self.sizes, self.slices, strict=True)):
            allowed = torch.from_numpy(designs.mask(chosen[:, :d].numpy()))  # (n, values of choice d)
            masks[:, d, values] = allowed
            if size > 1:  # a choice without alternatives needs no network
                position = one_hot(torch.tensor(d), depth).expand(n, -1)
                logits = self.head(self.trunk(torch.cat([context, prefix, position], dim=1)))[:, values]
                probabilities = torch.softmax(logits.masked_fill(~allowed, -torch.inf) / temperature, dim=1)
                chosen[:, d] = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
            prefix[:, values] = one_hot(chosen[:, d], size).float()
        return chosen, masks

    def _one_hot(self, chosen: Tensor) -> Tensor:
        parts = [one_hot(chosen[:, d], size) for d, size in enumerate(self.sizes)]
        return torch.cat(parts, dim=1).float()  # (B, V)


def _linear(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Linear:
    # The constructor alone would draw from torch's global generator.
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
