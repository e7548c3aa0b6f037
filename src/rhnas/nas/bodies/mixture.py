"""Which options of a supernet run in one pass, and how much each weighs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """A weighted choice per decision: one option is a path, two or more are added up.

    Attributes:
        options: Per decision the options that run, ascending.
        weights: Per decision float32 (n,), one weight per option that runs; they collect dL/dZ.

    Example:
        >>> import torch
        >>> mixture = Mixture(((0, 2),), (torch.tensor([0.25, 0.75]),))
        >>> [(option, weight.item()) for option, weight in mixture.of(0)]
        [(0, 0.25), (2, 0.75)]
    """

    options: tuple[tuple[int, ...], ...]
    weights: tuple[Tensor, ...]

    def of(self, decision: int) -> Iterator[tuple[int, Tensor]]:
        """The options of a decision that run, each with its weight, a scalar."""
        return zip(self.options[decision], self.weights[decision], strict=True)

    def single(self, decision: int) -> bool:
        """Whether a decision is taken, so that no other option of it runs."""
        return len(self.options[decision]) == 1
