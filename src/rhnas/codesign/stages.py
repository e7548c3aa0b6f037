"""Stages of a run: each is done once, leaves plain values behind, and goes on after a kill where it stood."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from rhnas.checkpoint import pack, unpack
from rhnas.errors import CheckpointError, RhnasError, SettingsError
from rhnas.networks.spaces.base import Architecture
from rhnas.study import Study

State = dict[str, Any]
Saver = Callable[[], State]
Stage = Generator[Saver, None, State]
"""Yields, wherever it may be stopped, a function that gives its state; returns its result."""
Lent = tuple[State, float, list[dict[str, Any]]]
"""A finished stage: its result, its seconds, its trials."""

KINDS = ("search", "train", "quantize")
"""Kinds of the stages that come first, in order; what follows takes minutes and is not told apart."""


def train_name(architecture: Architecture) -> str:
    """Name of the stage that trains a network."""
    return f"train/{'-'.join(map(str, architecture))}"


def quantize_name(architecture: Architecture) -> str:
    """Name of the stage that makes a trained network's integers."""
    return f"quantize/{'-'.join(map(str, architecture))}"


def as_state(content: bytes) -> State:
    """The result of a stage that ends with one file.

    Example:
        >>> content_of(as_state(b"integers"))
        b'integers'
    """
    return {"file": torch.frombuffer(bytearray(content), dtype=torch.uint8)}


def content_of(state: State) -> bytes:
    """The file of such a result."""
    return bytes(state["file"].numpy())


class PausedError(RhnasError):
    """A run has stopped where it was told to; continued, it ends as if it never had.

    Attributes:
        stage: The one that it goes on with.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        super().__init__("a run that was told to stop must be continued", got=stage, fix="say --resume")

    def __reduce__(self) -> tuple[type[PausedError], tuple[str]]:
        return PausedError, (self.stage,)


@dataclass(frozen=True, kw_only=True)
class Halt:
    """Where a run is to stop though it is not at its end.

    Attributes:
        deadline: By ``time.monotonic``, a clock that the processes of a machine share. A run stops at the
            first place after it where a stage may be stopped: between epochs or turns, never within one.
        until: The last kind of stage to carry out, one of ``KINDS``; empty for all.

    Raises:
        SettingsError: There is no such kind.

    Example:
        >>> Halt(until="search").before("train/0-1"), Halt(until="train").before("train/0-1")
        (True, False)
    """

    deadline: float = math.inf
    until: str = ""

    def __post_init__(self) -> None:
        if self.until and self.until not in KINDS:
            raise SettingsError(f"--until must be one of {', '.join(KINDS)}", got=self.until)

    @classmethod
    def after(cls, minutes: float | None, until: str = "") -> Halt:
        """A limit that counts from now; None for no limit."""
        return cls(deadline=math.inf if minutes is None else time.monotonic() + 60 * minutes, until=until)

    @property
    def due(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.deadline

    def before(self, stage: str) -> bool:
        """Whether a stage is not to be begun."""
        carried_out = KINDS[: KINDS.index(self.until) + 1] if self.until else None
        return self.due or (carried_out is not None and stage.partition("/")[0] not in carried_out)


class Progress(Protocol):
    """Where a run says how far it is; the command line shows bars."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins that has ``total`` steps."""

    def update(self, done: int, note: str) -> None:
        """The stage has come to step ``done``."""

    def beside(self) -> Progress:
        """For stages that run at the same time as this one's."""


class Silence:
    """Progress that nobody watches."""

    def stage(self, name: str, total: int) -> None:
        """Nothing."""

    def update(self, done: int, note: str) -> None:
        """Nothing."""

    def beside(self) -> Silence:
        """Itself."""
        return self


class Lender(Protocol):
    """Where stages may be taken over from: another run, or workers."""

    def stage(self, name: str) -> Lent | None:
        """The finished stage; None where there is none to take over."""


class Stages:
    """Runs stages in turn and keeps their results in the study's checkpoint.

    A checkpoint holds the results so far, the state inside the stage under way, and the number of trials
    that stood; resuming cuts off later trials and repeats them. All a result may hold is what ``pack`` takes.

    Args:
        study: Where the checkpoint lives.
        every_s: Seconds between checkpoints within a stage.
        lenders: Whose stages are taken over where one has them.
        halt: Where to stop.

    Raises:
        CheckpointError: The study's checkpoint cannot be used; it is kept aside.
    """

    def __init__(
        self, study: Study, every_s: float, lenders: Sequence[Lender] = (), halt: Halt | None = None
    ) -> None:
        self._study = study
        self._every_s = every_s
        self._lenders = lenders
        self._halt = halt or Halt()
        self.results: dict[str, State] = {}
        self.seconds: dict[str, float] = {}
        self._inside: dict[str, Any] | None = None
        self._trials = 0
        self._resume()

    def _resume(self) -> None:
        content = self._study.load_checkpoint()
        if content is None:
            self._study.truncate(0)
            return
        try:
            state = unpack(content)
        except CheckpointError as error:
            kept = self._study.set_checkpoint_aside()
            raise CheckpointError(
                error.what,
                got=error.got,
                fix=f"it was moved to {kept}; --resume now starts from the beginning, to the same result",
            ) from error
        self.results, self.seconds = state["results"], state["seconds"]
        self._inside, self._trials = state["inside"], state["trials"]
        self._study.truncate(self._trials)

    @property
    def directory(self) -> Path:
        """Where the run lives."""
        return self._study.directory

    def open(self, names: Sequence[str]) -> list[str]:
        """Those of the stages that have neither ended, nor been begun here, nor can be taken over."""
        begun = None if self._inside is None else self._inside["name"]
        return [
            name
            for name in names
            if name not in self.results
            and name != begun
            and all(lender.stage(name) is None for lender in self._lenders)
        ]

    def may_begin(self, name: str) -> None:
        """Raises ``PausedError`` where a stage is not to be begun."""
        if self._halt.before(name):
            raise PausedError(name)

    def record(self, trial: dict[str, Any]) -> None:
        """Append one trial to the study."""
        self._study.append(trial)
        self._trials += 1

    def run(self, name: str, begin: Callable[[State | None], Stage]) -> State:
        """The result of a stage, run or resumed only if it is not known yet.

        Args:
            name: Unique within the run.
            begin: Makes the stage from the state it was stopped in, None at its start.

        Raises:
            PausedError: The run is to stop before the stage or within it; how far it has come is kept.
        """
        if name in self.results:
            return self.results[name]
        for lender in self._lenders:
            if (lent := lender.stage(name)) is not None:
                return self._take_over(name, *lent)
        self.may_begin(name)
        inside = self._inside if self._inside is not None and self._inside["name"] == name else None
        spent = 0.0 if inside is None else inside["seconds"]
        begun = saved = time.monotonic()
        stage = begin(None if inside is None else inside["state"])
        while True:
            try:
                saver = next(stage)
            except StopIteration as end:
                self.results[name] = end.value
                break
            now, due = time.monotonic(), self._halt.due
            if due or now - saved >= self._every_s:
                self._inside = {"name": name, "state": saver(), "seconds": spent + now - begun}
                self._save()
                saved = time.monotonic()
            if due:
                raise PausedError(name)
        self.seconds[name] = spent + time.monotonic() - begun
        self._inside = None
        self._save()
        return self.results[name]

    def _take_over(self, name: str, result: State, seconds: float, trials: list[dict[str, Any]]) -> State:
        for trial in trials:
            self.record(trial)
        self.results[name], self.seconds[name] = result, seconds
        self._inside = None
        self._save()
        return result

    def _save(self) -> None:
        state = {
            "results": self.results,
            "seconds": self.seconds,
            "inside": self._inside,
            "trials": self._trials,
        }
        self._study.save_checkpoint(pack(state))
