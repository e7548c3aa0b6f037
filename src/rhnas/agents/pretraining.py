"""An agent learns a whole space: imitation of the soft optimum over many networks, objectives and budgets.

The policy is fitted to what the teacher hands out by maximum likelihood: cross-entropy towards
q(x) ~ exp(-log cost(x) / T), summed over the choices of a design, each under its exact mask. Where the
optimum can be computed this is what policy gradients estimate from samples: the policy that maximises
E[-log cost] + T H(pi) is q itself, at a known target instead of a noisy one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rhnas.agents.features import feature_count
from rhnas.agents.lessons import Lessons, LessonSettings, Teacher
from rhnas.agents.policy import Ensemble, FactoredPolicy, of_chosen
from rhnas.agents.policy_file import read_policy, save_policy
from rhnas.checkpoint import pack, unpack
from rhnas.errors import SettingsError
from rhnas.files import write_atomically
from rhnas.provenance import provenance
from rhnas.seeds import Seeds
from rhnas.space import Space
from rhnas.workload import IntArray


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """How a policy learns a space.

    Attributes:
        rounds: Of new problems; between two of them the policy learns.
        members: Policy networks that answer together; each learns on its own from the same problems.
        steps: Of gradient descent per round and member.
        batch: Designs per step, each with its problem.
        hidden: Width of a network's two layers.
        learning_rate: Of Adam at the start, falling to zero along a cosine.
        gradient_norm: Gradients are scaled down to this norm.
        lessons: How problems are drawn.
    """

    rounds: int = 24
    members: int = 4
    steps: int = 300
    batch: int = 256
    hidden: int = 128
    learning_rate: float = 2e-3
    gradient_norm: float = 1.0
    lessons: LessonSettings = field(default_factory=LessonSettings)

    def __post_init__(self) -> None:
        if min(self.rounds, self.members, self.steps, self.batch, self.hidden) < 1:
            raise SettingsError("rounds, members, steps, batch and hidden must be at least 1", got=self)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How a round went.

    Attributes:
        done: Rounds so far.
        problems: New ones in this round.
        gap: Median over them of how far the policy's answer was above the teacher's best, as a fraction,
            before it learnt them.
        loss: Mean cross-entropy of the round's steps, nats per design.
        seconds: By the clock, teaching and learning.
    """

    done: int
    problems: int
    gap: float
    loss: float
    seconds: float


class Pretraining:
    """Iterate it to train; safe to save between items.

    Args:
        space: The design space.
        teacher: Draws the problems.
        settings: How the policy learns.
        seeds: Of the first weights and of the batches.
        start: A policy of the space to go on from; a new one if None.
    """

    def __init__(
        self,
        space: Space,
        teacher: Teacher,
        settings: PretrainSettings,
        seeds: Seeds,
        start: Ensemble | None = None,
    ) -> None:
        self.space, self.settings = space, settings
        self._teacher, self._seeds = teacher, seeds
        generator = torch.Generator().manual_seed(seeds.child("weights").integer())
        shape = space.shape, feature_count(space), settings.hidden
        new = Ensemble([FactoredPolicy(*shape, generator) for _ in range(settings.members)])
        self.policy = new if start is None else start
        # A teacher that learns from the policy knows little in the first rounds of a new one.
        self._forgets = start is None and not teacher.exact
        self._adams = [torch.optim.Adam(member.parameters()) for member in self.policy.networks]
        self._lessons: list[Lessons] = []
        self._remembered: IntArray = np.empty(0, dtype=np.int64)
        self.progress: list[Progress] = []

    @property
    def finished(self) -> bool:
        """Whether all rounds are done."""
        return len(self.progress) >= self.settings.rounds

    def __iter__(self) -> Iterator[Progress]:
        """Train to the end, a round at a time."""
        while not self.finished:
            started, index = time.perf_counter(), len(self.progress)
            new = self._teacher.round(index, self.policy, self._remembered)
            self._lessons.append(new.lessons)
            self._remembered = new.taught
            forgotten = len(self._lessons) // 2 if self._forgets else 0
            loss = self._learn(self._lessons[forgotten:], index)
            self.progress.append(
                Progress(
                    done=index + 1,
                    problems=len(new.gaps),
                    gap=float(np.median(new.gaps)),
                    loss=loss,
                    seconds=time.perf_counter() - started,
                )
            )
            yield self.progress[-1]

    def _learn(self, lessons: list[Lessons], index: int) -> float:
        """Every member learns, from batches of its own; their mean loss."""
        columns = zip(*(vars(part).values() for part in lessons), strict=True)
        taught = Lessons(*(torch.cat(column) for column in columns))
        losses = []
        for number, (member, adam) in enumerate(zip(self.policy.networks, self._adams, strict=True)):
            seed = self._seeds.child(f"batches {index} {number}").integer()
            generator = torch.Generator().manual_seed(seed)
            for step in range(self.settings.steps):
                done = (index + step / self.settings.steps) / self.settings.rounds
                for group in adam.param_groups:
                    group["lr"] = self.settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
                losses.append(self._step(member, adam, taught, generator))
        return float(np.mean(losses))

    def _step(
        self, member: FactoredPolicy, adam: torch.optim.Adam, taught: Lessons, generator: torch.Generator
    ) -> float:
        problems, draws = taught.chosen.shape[:2]
        rows = torch.randint(problems, (self.settings.batch,), generator=generator)
        picked = torch.randint(draws, (self.settings.batch,), generator=generator)
        designs = taught.chosen[rows, picked]
        log_policy = member(taught.features[rows], designs, taught.masks[rows, picked])  # (B, D, M)
        loss = -of_chosen(log_policy, designs).sum(dim=1).mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(member.parameters(), self.settings.gradient_norm)
        adam.step()
        return float(loss.item())

    def state(self) -> dict[str, Any]:
        """Weights, optimizer, lessons and what the teacher remembers; plain values and arrays."""
        return {
            "policy": self.policy.state_dict(),
            "adam": [adam.state_dict() for adam in self._adams],
            "lessons": [dict(vars(part)) for part in self._lessons],
            "remembered": self._remembered,
            "progress": [asdict(one) for one in self.progress],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``; the weights then become what they would have been."""
        self.policy.load_state_dict(state["policy"])
        for adam, kept in zip(self._adams, state["adam"], strict=True):
            adam.load_state_dict(kept)
        self._lessons = [Lessons(**part) for part in state["lessons"]]
        self._remembered = state["remembered"]
        self.progress = [Progress(**one) for one in state["progress"]]


def pretrain(
    training: Pretraining,
    out: Path,
    described: Mapping[str, Any],
    *,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Any]:
    """Train to the end and write the policy; between rounds a checkpoint beside it keeps what was learnt.

    Args:
        training: At its start.
        out: Where the policy goes.
        described: What the training depends on, as plain values; a checkpoint of anything else is refused.
        resume: Continue what is there, or start if nothing is.
        report: Told about every round.

    Returns:
        ``trained_on`` of the file: ``described``, the progress of every round, provenance.

    Raises:
        SettingsError: The file or its checkpoint exists and is not to be resumed, or is of other settings.
        CheckpointError: It is damaged.
    """
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    for path in (out, checkpoint):
        if path.exists() and not resume:
            fix = "use --resume, or another --out"
            raise SettingsError("a new training must not replace an older one", got=path, fix=fix)
    if out.exists():
        done: dict[str, Any] = read_policy(out)["trained_on"]
        _require_same(out, {name: done.get(name) for name in described}, described)
        return done
    if checkpoint.exists():
        saved = unpack(checkpoint.read_bytes())
        _require_same(checkpoint, saved.get("described"), described)
        training.restore(saved["state"])
    for progress in training:
        content = {"described": dict(described), "state": training.state()}
        write_atomically(checkpoint, pack(content))
        report(progress)
    rounds = [asdict(one) for one in training.progress]
    trained_on = {**described, "rounds": rounds, "provenance": provenance(seed=described.get("seed"))}
    save_policy(out, training.policy, training.space, trained_on)
    checkpoint.unlink()
    return trained_on


def _require_same(path: Path, found: Any, wanted: Mapping[str, Any]) -> None:
    if found != wanted:
        raise SettingsError(
            f"{path} must be resumed with the settings it was started with",
            got=wanted,
            fix=f"it was {found}; give the same, or another --out",
        )
