"""Stages of a run side by side, each in a process of its own, with the results of one after the other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from rhnas.codesign.reuse import stages_of
from rhnas.codesign.stages import Lent, PausedError, Progress
from rhnas.errors import RhnasError
from rhnas.settings import Settings
from rhnas.study import Study

CarryOut = Callable[[Study, str, Progress], None]
Prepare = Callable[[Settings], CarryOut]
"""Called once in each worker; what it returns carries out any stage of a run, in a study of its own."""

KILLS = 2
"""Workers that a stage may lose before the run gives up: whatever ends a third one is no accident."""


@dataclass
class _Worker:
    """Attributes: ``stage``: What it is at; empty while it waits."""

    process: BaseProcess
    link: Connection
    progress: Progress
    stage: str = ""


class Crew:
    """Processes that carry out stages which do not wait for each other.

    Every stage has a study of its own beneath the run's, with checkpoint and trials, so that neither a killed
    worker nor a killed run loses more than the run itself would; ``stage`` lends the run what is finished.
    A worker has as many threads as the settings say, which is part of the result; how many workers there are
    is not. Workers end with the process that started them, however that ends.

    Args:
        study: Of the run.
        workers: Processes at most.
        prepare: What they do; found again by its name, so a function of a module or a ``partial``.
        progress: Told how far each is.
    """

    def __init__(self, study: Study, workers: int, prepare: Prepare, progress: Progress) -> None:
        self._study = study
        self._most = workers
        self._prepare = prepare
        self._progress = progress
        self._workers: list[_Worker] = []
        self._kills: Counter[str] = Counter()
        self._finished: set[str] = set()
        self._paused: PausedError | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.link.close()

    def carry_out(self, stages: Sequence[str]) -> None:
        """Finish stages, in any order.

        Raises:
            PausedError: The run is to stop; every worker has come to where its stage may be stopped.
            RhnasError: As the stage raised it, or a worker was killed too often.
        """
        waiting = deque(stages)
        while waiting or self._busy():
            for worker in self._idle(len(waiting)):
                worker.stage = waiting.popleft()
                worker.link.send(worker.stage)
            links = {worker.link: worker for worker in self._busy()}
            for link in wait(list(links)):
                self._hear(links[link], waiting)  # type: ignore[index]
        if self._paused is not None:
            raise self._paused

    def stage(self, name: str) -> Lent | None:
        """A finished stage; None for any other."""
        return stages_of(self._study.part(name)).get(name) if name in self._finished else None

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.stage]

    def _idle(self, stages: int) -> list[_Worker]:
        """Workers for so many stages, or for as many as there may be at once."""
        idle = [worker for worker in self._workers if not worker.stage]
        while len(idle) < stages and len(self._workers) < self._most:
            idle.append(self._hire())
        return idle[:stages]

    def _hire(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(self._study, self._prepare, theirs), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours, self._progress.beside())
        self._workers.append(worker)
        return worker

    def _hear(self, worker: _Worker, waiting: deque[str]) -> None:
        try:
            event, *what = worker.link.recv()
        except (EOFError, OSError):
            self._dismiss(worker)
            self._kills[worker.stage] += 1
            waiting.appendleft(worker.stage)
            return
        if event == "failed" and isinstance(what[0], PausedError):
            self._paused = self._paused or what[0]
            waiting.clear()
            self._part(worker)
            return
        if event == "failed":
            raise what[0]
        if event == "finished":
            self._finished.add(worker.stage)
            worker.stage = ""
        else:
            getattr(worker.progress, event)(*what)

    def _part(self, worker: _Worker) -> None:
        """Let go of a worker that has ended."""
        worker.process.join()
        worker.link.close()
        self._workers.remove(worker)

    def _dismiss(self, worker: _Worker) -> None:
        self._part(worker)
        code = worker.process.exitcode or 0
        if code >= 0 or self._kills[worker.stage] >= KILLS:
            reason = f"exit status {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
            raise RhnasError(
                f"the process that carries out {worker.stage} must not end before it",
                got=reason,
                fix="its checkpoint is kept: go on with --resume, where memory is short with --workers 1",
            )


class _Told:
    """Progress of a worker, told to the run."""

    def __init__(self, link: Connection) -> None:
        self._link = link

    def stage(self, name: str, total: int) -> None:
        self._link.send(("stage", name, total))

    def update(self, done: int, note: str) -> None:
        self._link.send(("update", done, note))

    def beside(self) -> Progress:
        return self


def _work(run: Study, prepare: Prepare, link: Connection) -> None:
    """A worker's life: stages by name until the run ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a user's interrupt is the run's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        carry_out = prepare(run.settings)
        while True:
            name = link.recv()
            carry_out(run, name, _Told(link))
            link.send(("finished",))
    except RhnasError as error:
        link.send(("failed", error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
