"""PPO over realizable designs: a contextual bandit that chooses one factor at a time, with exact masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from rhnas.agents.base import HardwareAgent, SearchContext
from rhnas.agents.descent import Descent
from rhnas.agents.features import feature_count
from rhnas.agents.moves import Asked, one_factor_moves, two_factor_moves
from rhnas.agents.policy import FactoredPolicy, Policy
from rhnas.agents.policy_file import load_policy
from rhnas.agents.questions import Questions
from rhnas.errors import SettingsError
from rhnas.platform import Outcome
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet, Space
from rhnas.workload import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class PPOSettings:
    """How PPO learns; chosen on resnet34 and resnet20 (docs/agents.md), never on the reported problems.

    Attributes:
        batch: Samples per update.
        fresh: New designs per round at most; the rest of a round are repeats, which are free.
        epochs: Passes over the batch per update.
        clip: epsilon of the clipped surrogate.
        learning_rate: Of Adam.
        entropy: Entropy coefficient at the first evaluation and at the last, linear between them.
        hidden: Width of the policy network's two layers.
        gradient_norm: Gradients are scaled down to this norm.
        polish: Fraction of the budget that goes to local search around the best design found.
        temperatures: Of the policy, raised in this order while its samples are all known.
        pretrained: A file of ``rhnas pretrain`` whose policy it starts from; empty for a new one.
    """

    batch: int = 32
    fresh: int = 16
    epochs: int = 6
    clip: float = 0.2
    learning_rate: float = 3e-3
    entropy: tuple[float, float] = (0.05, 0.005)
    hidden: int = 64
    gradient_norm: float = 0.5
    polish: float = 1 / 3
    temperatures: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0)
    pretrained: str = ""

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise SettingsError("a leave-one-out baseline must have a batch of at least 2", got=self.batch)
        if not 0 <= self.polish < 1:
            raise SettingsError("polish must be a fraction of the budget in [0, 1)", got=self.polish)


@dataclass(frozen=True)
class Rollout:
    """Designs with what the policy knew when it chose them. Legend as in ``Policy``.

    Attributes:
        chosen: int64 (B, D).
        masks: bool (B, D, M).
        features: float32 (B, F).
        log_probabilities: float32 (B, D): of each choice, under the policy that made it.
        rewards: float64 (B,): minus the log objective; nan where a layer has no mapping.
    """

    chosen: Tensor
    masks: Tensor
    features: Tensor
    log_probabilities: Tensor
    rewards: Tensor

    def first(self, n: int) -> Rollout:
        """The first ``n`` designs."""
        return Rollout(*(column[:n] for column in vars(self).values()))

    def then(self, later: Rollout) -> Rollout:
        """This rollout followed by another."""
        pairs = zip(vars(self).values(), vars(later).values(), strict=True)
        return Rollout(*(torch.cat(pair) for pair in pairs))


def leave_one_out_advantage(rewards: Tensor) -> Tensor:
    """Each reward against the mean of the others, standardised.

    A_i = R_i - 1/(B-1) sum_{j != i} R_j (Kool, van Hoof and Welling, "Buy 4 REINFORCE samples, get a
    baseline for free!", 2019, eq. 6). The reward is log cost(default) - log cost(design), whose first term is
    common to the batch and cancels here. nan becomes the worst finite reward of the batch.

    Args:
        rewards: float64 (B,), B >= 2.

    Returns:
        float32 (B,); zeros where no reward is finite or all are equal.

    Example:
        >>> leave_one_out_advantage(torch.tensor([1.0, 3.0, float("nan")])).tolist()
        [-0.7071067690849304, 1.4142135381698608, -0.7071067690849304]
    """
    known = torch.isfinite(rewards)
    if not known.any():
        return torch.zeros(len(rewards))
    rewards = torch.where(known, rewards, rewards[known].min())
    others = (rewards.sum() - rewards) / (len(rewards) - 1)
    advantage = rewards - others
    spread = advantage.std(correction=0)
    return (advantage / spread if spread > 1e-12 else torch.zeros_like(advantage)).float()


def clipped_surrogate(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """L^CLIP (Schulman et al., "Proximal Policy Optimization Algorithms", 2017, eq. 7), to be maximised.

    Args:
        ratio: float32 (B, D): pi(x_d) / pi_old(x_d).
        advantage: float32 (B,): one episode, gamma = 1, so all its D choices share it.
        clip: epsilon.

    Returns:
        float32 (), summed over the choices of an episode and averaged over episodes.
    """
    shared = advantage[:, None]
    clipped = torch.clamp(ratio, 1 - clip, 1 + clip)
    return torch.minimum(ratio * shared, clipped * shared).sum(dim=1).mean()


@final
class PPOOnlyAgent(HardwareAgent):
    """PPO alone: every evaluation is a sample of the policy.

    Samples of known designs are asked again (free) and learnt from like any other; a round ends when it
    holds ``fresh`` new designs. When the policy has sharpened so far that it proposes nothing new, it is
    sampled at a rising temperature until it does.

    Args:
        designs: The feasible designs.
        seeds: Where all its randomness comes from.
        options: Fields of ``PPOSettings``.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds, **options: Any) -> None:
        self.settings = PPOSettings(**options)
        self._generator = torch.Generator().manual_seed(seeds.child("ppo").integer())
        self._policy = self._first_policy(designs.space)
        self._adam = torch.optim.Adam(self._policy.parameters(), lr=self.settings.learning_rate, eps=1e-5)
        self.asked = Asked(designs.space.points)
        self._budget = 1
        self._proposed: Rollout | None = None  # as asked, rewards still unknown
        self._batch: Rollout | None = None  # told, not yet learnt from

    def _first_policy(self, space: Space) -> Policy:
        if self.settings.pretrained:
            return load_policy(Path(self.settings.pretrained), space)
        return FactoredPolicy(space.shape, feature_count(space), self.settings.hidden, self._generator)

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """Samples of the policy, ending with the ``fresh``-th new design."""
        self._budget = context.budget
        features = torch.from_numpy(context.features).float()
        for temperature in self.settings.temperatures:
            sampled = self._policy.sample(features, context.designs, n, temperature, self._generator)
            flat = context.designs.space.ravel(sampled[0].numpy())
            if not self.asked.knows(flat).all() or self._exhausted(context.designs):
                break
        keep = self._until_fresh(flat)
        self.asked.add(flat[:keep])
        chosen, masks, log_probabilities = (column[:keep] for column in sampled)
        unknown = torch.full((keep,), torch.nan, dtype=torch.float64)
        self._proposed = Rollout(chosen, masks, features.repeat(keep, 1), log_probabilities, unknown)
        return np.asarray(chosen.numpy())

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Collect the rewards; with a full batch, train."""
        if self._proposed is None:
            return
        told = self._proposed.first(len(designs))
        told.rewards[:] = torch.from_numpy(-outcome.objectives[:, 0])
        self._proposed = None
        self._batch = told if self._batch is None else self._batch.then(told)
        if len(self._batch.rewards) >= self.settings.batch:
            self._train(self._batch)
            self._batch = None

    def _train(self, batch: Rollout) -> None:
        advantage = leave_one_out_advantage(batch.rewards)
        questions = Questions.of(self._policy.sizes, batch.features, batch.chosen, batch.masks)
        for _ in range(self.settings.epochs):
            answers = self._policy.answers(questions)  # (U, V)
            ratio = torch.exp(questions.chosen(answers) - batch.log_probabilities)  # (B, D)
            surrogate = clipped_surrogate(ratio, advantage, self.settings.clip)
            bonus = self._entropy_coefficient() * questions.entropy(answers)
            loss = -(surrogate + bonus)  # Schulman et al., eq. 9, no value term
            self._adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._policy.parameters(), self.settings.gradient_norm)
            self._adam.step()

    def _entropy_coefficient(self) -> float:
        """High at first, against the early collapse of an untuned PPO; low at the end, to settle."""
        first, last = self.settings.entropy
        return first + (last - first) * min(1.0, len(self.asked) / self._budget)

    def _exhausted(self, designs: FeasibleSet) -> bool:
        return len(self.asked) >= designs.count and bool(self.asked.knows(designs.flat).all())

    def _until_fresh(self, flat: IntArray) -> int:
        """How many samples (B,) hold the first ``fresh`` new distinct designs."""
        _, first = np.unique(flat, return_index=True)
        new = np.sort(first[~self.asked.knows(flat[first])])
        return int(new[self.settings.fresh - 1]) + 1 if len(new) >= self.settings.fresh else len(flat)

    def state(self) -> dict[str, Any]:
        """Weights, optimizer, generator, the batch so far and the designs asked for."""
        return {
            "policy": self._policy.state_dict(),
            "adam": self._adam.state_dict(),
            "generator": self._generator.get_state(),
            "asked": self.asked.state(),
            "batch": None if self._batch is None else dict(vars(self._batch)),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self._policy.load_state_dict(state["policy"])
        self._adam.load_state_dict(state["adam"])
        self._generator.set_state(state["generator"])
        self.asked.restore(state["asked"])
        self._batch = None if state["batch"] is None else Rollout(**state["batch"])


@final
class PPOAgent(HardwareAgent):
    """PPO that spends the last part of its budget on local search around the best design it found.

    The same division as ConfuciuX (Kao, Jeong and Krishna, MICRO 2020), whose reinforcement learning ends in
    a genetic algorithm: the policy finds the basin, moves by one and two factors find its bottom. Where they
    hold nothing better, the next start is a new sample of the policy.

    Args:
        designs: The feasible designs.
        seeds: Where all its randomness comes from.
        options: Fields of ``PPOSettings``.
    """

    def __init__(self, designs: FeasibleSet, seeds: Seeds, **options: Any) -> None:
        self._learner = PPOOnlyAgent(designs, seeds, **options)
        self._rng = seeds.child("polish").numpy()
        self._descent = Descent((one_factor_moves, two_factor_moves), self._learner.asked, self._rng)
        self._best: IntArray | None = None  # (D,)
        self._best_value = np.inf
        self._features: FloatArray | None = None
        self._polishing = False

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """Samples of the policy; in the last part of the budget one neighbour at a time."""
        if self._features is not None and not np.array_equal(self._features, context.features):
            self._best_value = np.inf  # what was cheapest for another workload need not be so for this one
        self._features = context.features
        spent = len(self._learner.asked)
        if spent < round((1 - self._learner.settings.polish) * context.budget):
            self._polishing = False
            return self._learner.ask(n, context)
        if not self._polishing and self._best is not None:
            self._descent.begin(self._best)
        self._polishing = True
        if not self._descent.ready(context):
            self._descent.begin(self._learner.ask(1, context)[0])
        return self._descent.ask(context)

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Remember the best; the policy learns from its own samples, the local search from its moves."""
        (self._descent if self._polishing else self._learner).tell(designs, outcome)
        values = np.nan_to_num(outcome.objectives[:, 0], nan=np.inf)
        if values.min() < self._best_value:
            self._best, self._best_value = designs[values.argmin()].copy(), float(values.min())

    def state(self) -> dict[str, Any]:
        """The learner's state, the local search's, and the best design so far."""
        return {
            "learner": self._learner.state(),
            "descent": self._descent.state(),
            "rng": self._rng.bit_generator.state,
            "best": self._best,
            "best_value": self._best_value,
            "features": self._features,
            "polishing": self._polishing,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self._learner.restore(state["learner"])
        self._rng.bit_generator.state = state["rng"]
        self._descent.restore(state["descent"])
        self._best, self._best_value = state["best"], state["best_value"]
        self._features, self._polishing = state["features"], state["polishing"]
