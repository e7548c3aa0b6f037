"""Stages of a run: each is done once, leaves plain values behind, and goes on after a kill where it stood."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

from rhnas.checkpoint import pack, unpack
from rhnas.errors import CheckpointError
from rhnas.study import Study

State = dict[str, Any]
Saver = Callable[[], State]
Stage = Generator[Saver, None, State]
"""Yields, wherever it may be stopped, a function that gives its state; returns its result."""


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

    def stage(self, name: str) -> tuple[State, float, list[dict[str, Any]]] | None:
        """A stage's result, its seconds and its trials; None where there is none to take over."""


class Stages:
    """Runs stages in turn and keeps their results in the study's checkpoint.

    A checkpoint holds the results so far, the state inside the stage under way, and the number of trials
    that stood; resuming cuts off later trials and repeats them. All a result may hold is what ``pack`` takes.

    Args:
        study: Where the checkpoint lives.
        every_s: Seconds between checkpoints within a stage.
        lenders: Whose stages are taken over where one has them.

    Raises:
        CheckpointError: The study's checkpoint cannot be used; it is kept aside.
    """

    def __init__(self, study: Study, every_s: float, lenders: Sequence[Lender] = ()) -> None:
        self._study = study
        self._every_s = every_s
        self._lenders = lenders
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

    def record(self, trial: dict[str, Any]) -> None:
        """Append one trial to the study."""
        self._study.append(trial)
        self._trials += 1

    def run(self, name: str, begin: Callable[[State | None], Stage]) -> State:
        """The result of a stage, run or resumed only if it is not known yet.

        Args:
            name: Unique within the run.
            begin: Makes the stage from the state it was stopped in, None at its start.
        """
        if name in self.results:
            return self.results[name]
        for lender in self._lenders:
            if (lent := lender.stage(name)) is not None:
                return self._take_over(name, *lent)
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
            now = time.monotonic()
            if now - saved >= self._every_s:
                self._inside = {"name": name, "state": saver(), "seconds": spent + now - begun}
                self._save()
                saved = time.monotonic()
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
