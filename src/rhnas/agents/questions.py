"""What a batch of designs asks of the policy: choices that begin alike are one question."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(frozen=True)
class Questions:
    """The choices of a batch of designs, every distinct question once.

    A question is a context, the choices so far, and whose turn it is. A choice with one feasible value is no
    question: its log-probability is 0. Legend as in ``Policy``; C contexts, U questions.

    Attributes:
        contexts: float32 (C, F).
        context: int64 (U,): which of them a question has.
        told: float32 (U, V + D): the choices so far one-hot, and whose turn it is.
        allowed: bool (U, V): the feasible values, all of one choice.
        place: int64 (B, D): 1 + the question that a design's choice answers, 0 where it is none.
        value: int64 (B, D): the chosen value among V.
    """

    contexts: Tensor
    context: Tensor
    told: Tensor
    allowed: Tensor
    place: Tensor
    value: Tensor

    @staticmethod
    def of(sizes: tuple[int, ...], features: Tensor, chosen: Tensor, masks: Tensor) -> Questions:
        """Those of a batch.

        Args:
            sizes: Number of values of each choice.
            features: float32 (B, F).
            chosen: int64 (B, D).
            masks: bool (B, D, M), as ``Policy.forward`` takes them.
        """
        starts = [0, *accumulate(sizes)]
        value = chosen + torch.tensor(starts[:-1])
        one_hot = torch.zeros(len(chosen), starts[-1]).scatter_(1, value, 1.0)
        turns = torch.eye(len(sizes))
        contexts, group = _distinct_rows(features)
        of_design, place, asked = group, torch.zeros_like(chosen), 0
        context, told, allowed = [], [], []
        for d, (size, start) in enumerate(zip(sizes, starts, strict=False)):
            lead = representatives(group)
            open_ = masks[lead, d].sum(dim=1) > 1  # (prefixes,)
            number = torch.where(open_, open_.cumsum(0) + asked, 0)
            place[:, d], asked = number[group], asked + int(open_.sum())
            lead = lead[open_]
            prefix = one_hot[lead]
            prefix[:, start:] = 0.0
            values = torch.zeros(len(lead), starts[-1], dtype=torch.bool)
            values[:, start : start + size] = masks[lead, d, :size]
            context.append(of_design[lead])
            told.append(torch.cat([prefix, turns[d].expand(len(lead), -1)], dim=1))
            allowed.append(values)
            if size > 1:
                group = torch.unique(group * size + chosen[:, d], return_inverse=True)[1]
        return Questions(contexts, torch.cat(context), torch.cat(told), torch.cat(allowed), place, value)

    def chosen(self, answers: Tensor) -> Tensor:
        """Log-probabilities float32 (B, D) of what was chosen, from those of all values, (U, V)."""
        answers = torch.cat([torch.zeros(1, answers.shape[1]), answers])
        flat = self.place * answers.shape[1] + self.value
        return answers.reshape(-1).index_select(0, flat.reshape(-1)).reshape(flat.shape)

    def entropy(self, answers: Tensor) -> Tensor:
        """Entropy of the choices, summed over a design and averaged over the designs, float32 ()."""
        asked = torch.bincount(self.place.reshape(-1), minlength=len(answers) + 1)[1:]  # (U,)
        of_questions = -(answers.exp() * answers.masked_fill(~self.allowed, 0.0)).sum(dim=1)
        return of_questions @ asked.float() / len(self.place)


def representatives(group: Tensor) -> Tensor:
    """A member of each group, int64 (groups,), where members int64 (B,) say which they are in.

    Example:
        >>> representatives(torch.tensor([1, 0, 1])).tolist()
        [1, 2]
    """
    members = torch.zeros(int(group.max()) + 1, dtype=torch.long)
    return members.scatter_(0, group, torch.arange(len(group)))


def _distinct_rows(features: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows, and which of them each is; nearly always there is one."""
    if bool((features == features[0]).all()):
        return features[:1], torch.zeros(len(features), dtype=torch.long)
    rows, group = torch.unique(features, dim=0, return_inverse=True)
    return rows, group
