"""The policy network: a categorical per choice, given the context and the choices before it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import cast, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

from rhnas.agents.questions import Questions, representatives
from rhnas.space import FeasibleSet
from rhnas.workload import IntArray


class Policy(nn.Module, ABC):
    """pi(design | context) = prod_d pi(x_d | context, x_1 .. x_{d-1}), over feasible values only.

    Legend: B designs, D choices, F features, V values of all choices side by side, M the most values a choice
    has, H numbers that stand for the context and the choices so far.

    Args:
        sizes: Number of values of each choice.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes

    @abstractmethod
    def forward(self, features: Tensor, chosen: Tensor, masks: Tensor) -> Tensor:
        """Log-probabilities of every choice given the choices before it, in one pass.

        Args:
            features: float32 (B, F).
            chosen: int64 (B, D): complete designs.
            masks: bool (B, D, M): the feasible values of choice d, False beyond its last.

        Returns:
            float32 (B, D, M), -inf where masked.
        """

    @abstractmethod
    def answers(self, questions: Questions) -> Tensor:
        """Log-probabilities of all values for the questions of a batch, float32 (U, V), -inf where masked."""

    @abstractmethod
    def begun(self, features: Tensor) -> Tensor:
        """What stands for the context float32 (F,) and no choice yet, float32 (1, H)."""

    @abstractmethod
    def extended(self, before: Tensor, values: Tensor, choice: int) -> Tensor:
        """What stands for one choice more, of value int64 (G,) each; ``before`` and result float32 (G, H)."""

    @abstractmethod
    def logits(self, before: Tensor, choice: int) -> Tensor:
        """Scores of the values of a choice after what comes before it, float32 (G, values)."""

    @torch.no_grad()
    def sample(
        self, features: Tensor, designs: FeasibleSet, n: int, temperature: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw designs factor by factor; a value without a feasible completion has probability zero.

        Args:
            features: float32 (F,).
            designs: The feasible designs.
            n: How many to draw, independent.
            temperature: Divides the logits; above 1 explores, 0 takes the likeliest value of each choice.
            generator: Where the draws come from.

        Returns:
            Designs int64 (n, D), masks bool (n, D, M), and float32 (n, D): the log-probability of each choice
            at temperature 1.
        """
        chosen = torch.zeros(n, len(self.sizes), dtype=torch.long)
        masks = torch.zeros(n, len(self.sizes), max(self.sizes), dtype=torch.bool)
        log_probabilities = torch.zeros(n, len(self.sizes))
        # Designs that begin alike are one row (G of them) until they part.
        before = self.begun(features)  # (G, H)
        group, lead = torch.zeros(n, dtype=torch.long), torch.zeros(1, dtype=torch.long)
        for d, size in enumerate(self.sizes):
            allowed = torch.from_numpy(designs.mask(chosen[lead, :d].numpy()))  # (G, values of choice d)
            masks[:, d, :size] = allowed[group]
            if size == 1:  # a choice without alternatives needs no network
                before = self.extended(before, torch.zeros(len(before), dtype=torch.long), d)
                continue
            logits = self.logits(before, d).masked_fill(~allowed, -torch.inf)
            drawn = _draw(logits, group, temperature, generator)  # (n,)
            chosen[:, d] = drawn
            log_probabilities[:, d] = torch.log_softmax(logits, dim=1)[group, drawn]
            parted, group = torch.unique(group * size + drawn, return_inverse=True)
            before = self.extended(before[parted // size], parted % size, d)
            lead = representatives(group)
        return chosen, masks, log_probabilities

    @torch.no_grad()
    def likelihood(self, features: Tensor, designs: FeasibleSet, chosen: IntArray) -> Tensor:
        """Log-probabilities of designs int64 (B, D), feasible, in the context float32 (F,); float32 (B,)."""
        drawn = torch.from_numpy(chosen)
        log_policy = self(features.expand(len(drawn), -1), drawn, prefix_masks(designs, chosen))
        return of_chosen(log_policy, drawn).sum(dim=1)

    @torch.no_grad()
    def answer(self, features: Tensor, designs: FeasibleSet) -> IntArray:
        """The likeliest value of each choice after the ones before it: one pass, no cost, int64 (D,)."""
        drawn = self.sample(features, designs, 1, 0.0, torch.Generator())[0]
        return np.asarray(drawn[0].numpy())


@final
class FactoredPolicy(Policy):
    """One network of two hidden layers.

    The input is the context, the choices so far one-hot, and whose turn it is. It is never written out: the
    first layer's products with one-hot parts are rows of its weights, and those of earlier choices are a
    running sum over the choices.

    Args:
        sizes: Number of values of each choice.
        features: F.
        hidden: H, width of the two hidden layers.
        generator: Where the initial weights come from.
    """

    def __init__(
        self, sizes: tuple[int, ...], features: int, hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__(sizes)
        self._parts = [features, sum(sizes), len(sizes)]
        self.first = _linear(sum(self._parts), hidden, 2**0.5, generator)
        self.second = _linear(hidden, hidden, 2**0.5, generator)
        # A small last layer: the untrained policy is almost uniform over the feasible values.
        self.head = _linear(hidden, sum(sizes), 0.01, generator)
        starts = torch.tensor([0, *accumulate(sizes)][:-1])
        slots = starts[:, None] + torch.minimum(torch.arange(max(sizes)), torch.tensor(sizes)[:, None] - 1)
        self.register_buffer("starts", starts, persistent=False)  # (D,)
        self.register_buffer(
            "slots", slots, persistent=False
        )  # (D, M), the last repeated where there is none
        self.starts: Tensor
        self.slots: Tensor

    def forward(self, features: Tensor, chosen: Tensor, masks: Tensor) -> Tensor:
        """See ``Policy.forward``."""
        context, values, turn = torch.split(self.first.weight, self._parts, dim=1)  # (H, F), (H, V), (H, D)
        rows = embedding(chosen + self.starts, values.T)  # (B, D, H)
        before = rows.cumsum(dim=1) - rows
        told = linear(features, context, self.first.bias)[:, None]  # (B, 1, H)
        hidden = torch.tanh(self.second(torch.tanh(told + before + turn.T)))  # (B, D, H)
        scores = torch.einsum("bdh,dmh->bdm", hidden, self.head.weight[self.slots])
        logits = scores + self.head.bias[self.slots]
        return torch.log_softmax(logits.masked_fill(~masks, -torch.inf), dim=2)

    def answers(self, questions: Questions) -> Tensor:
        """See ``Policy.answers``."""
        context, rest = torch.split(self.first.weight, [self._parts[0], sum(self._parts[1:])], dim=1)
        seen = linear(questions.contexts, context, self.first.bias)[questions.context]  # (U, H)
        hidden = torch.tanh(self.second(torch.tanh(seen + linear(questions.told, rest))))
        return torch.log_softmax(self.head(hidden).masked_fill(~questions.allowed, -torch.inf), dim=1)

    def begun(self, features: Tensor) -> Tensor:
        """See ``Policy.begun``."""
        return linear(features, self.first.weight[:, : self._parts[0]], self.first.bias)[None]

    def extended(self, before: Tensor, values: Tensor, choice: int) -> Tensor:
        """See ``Policy.extended``."""
        rows = torch.split(self.first.weight, self._parts, dim=1)[1].T  # (V, H)
        return before + embedding(values + self.starts[choice], rows)

    def logits(self, before: Tensor, choice: int) -> Tensor:
        """See ``Policy.logits``."""
        turn = torch.split(self.first.weight, self._parts, dim=1)[2][:, choice]
        hidden = torch.tanh(self.second(torch.tanh(before + turn)))
        start = int(self.starts[choice])
        rows = slice(start, start + self.sizes[choice])
        return linear(hidden, self.head.weight[rows], self.head.bias[rows])


@final
class Ensemble(Policy):
    """Networks that answer together: the geometric mean of their probabilities, each choice renormalised.

    Networks that learnt the same from other beginnings err in other places (Lakshminarayanan, Pritzel and
    Blundell, NeurIPS 2017, who average probabilities; the geometric mean asks all members to agree).

    Args:
        members: At least one, over the same choices.
    """

    def __init__(self, members: Sequence[FactoredPolicy]) -> None:
        super().__init__(members[0].sizes)
        self.members = nn.ModuleList(members)

    @property
    def networks(self) -> list[FactoredPolicy]:
        """The members."""
        return [cast(FactoredPolicy, member) for member in self.members]

    def forward(self, features: Tensor, chosen: Tensor, masks: Tensor) -> Tensor:
        """See ``Policy.forward``."""
        return _together([member(features, chosen, masks) for member in self.networks])

    def answers(self, questions: Questions) -> Tensor:
        """See ``Policy.answers``."""
        return _together([member.answers(questions) for member in self.networks])

    def begun(self, features: Tensor) -> Tensor:
        """The members' side by side."""
        return torch.cat([member.begun(features) for member in self.networks], dim=1)

    def extended(self, before: Tensor, values: Tensor, choice: int) -> Tensor:
        """The members' side by side."""
        parts = zip(self.networks, before.chunk(len(self.members), dim=1), strict=True)
        return torch.cat([member.extended(part, values, choice) for member, part in parts], dim=1)

    def logits(self, before: Tensor, choice: int) -> Tensor:
        """Their mean; how far apart a member sets all values does not count before they are masked."""
        parts = zip(self.networks, before.chunk(len(self.members), dim=1), strict=True)
        return torch.stack([member.logits(part, choice) for member, part in parts]).mean(dim=0)


def _together(log_probabilities: list[Tensor]) -> Tensor:
    """The renormalised geometric mean along the last dimension, of the shape of each."""
    return torch.log_softmax(torch.stack(log_probabilities).mean(dim=0), dim=-1)


def prefix_masks(designs: FeasibleSet, chosen: IntArray) -> Tensor:
    """The values that each choice of complete designs could have taken, given those before it.

    Args:
        designs: The feasible designs.
        chosen: int64 (B, D), feasible.

    Returns:
        bool (B, D, M), False beyond the last value of a choice.
    """
    sizes = designs.space.shape
    masks = torch.zeros(len(chosen), len(sizes), max(sizes), dtype=torch.bool)
    for d, size in enumerate(sizes):
        masks[:, d, :size] = torch.from_numpy(designs.mask(chosen[:, :d]))
    return masks


def of_chosen(log_policy: Tensor, chosen: Tensor) -> Tensor:
    """The log-probabilities of what was chosen.

    Args:
        log_policy: float32 (B, D, M).
        chosen: int64 (B, D).

    Returns:
        float32 (B, D).
    """
    return log_policy.gather(2, chosen[:, :, None])[:, :, 0]


def _draw(logits: Tensor, group: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A value for each member of the groups, int64 (n,), from logits (G, values)."""
    if temperature == 0:
        return logits.argmax(dim=1)[group]
    chances = torch.softmax(logits / temperature, dim=1)
    return torch.multinomial(chances[group], 1, generator=generator)[:, 0]


def _linear(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Linear:
    # The constructor alone would draw from torch's global generator.
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
