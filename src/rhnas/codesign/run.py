"""A whole run: from a study's settings to its result, on one core or several."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numba
import torch

from rhnas.codesign.experiment import Run
from rhnas.codesign.problem import Problem
from rhnas.codesign.reuse import Donor, Finished
from rhnas.codesign.stages import Halt, Lender, Progress, Silence, Stages
from rhnas.codesign.workers import CarryOut, Crew
from rhnas.nas.arithmetic import device_failures, make_repeatable
from rhnas.settings import Settings
from rhnas.study import Study


def run(
    study: Study,
    progress: Progress | None = None,
    reuse: Sequence[Path] = (),
    workers: int = 1,
    halt: Halt | None = None,
) -> dict[str, Any]:
    """Carry a study to its result, from wherever it stands.

    Args:
        study: Its settings say what to search.
        progress: Who is told how far it is.
        reuse: Runs, or what is kept of them, whose finished stages are taken over; see ``Donor``.
        workers: Network searches, and then trainings, that run at the same time, each in a process of its
            own where there are two or more; the result does not depend on it.
        halt: Where to stop before the end.

    Returns:
        What stands in ``result.json``.

    Raises:
        PausedError: It has come to where it is to stop; the same call, with the study opened anew, goes on.
        RhnasError: The settings ask for what is not there; see ``Problem.of``, ``Donor`` and ``Stages``.
    """
    if study.finished:
        return study.result()
    progress = progress or Silence()
    problem = _prepared(study.settings)
    halt = halt or Halt()
    lenders: list[Lender] = [Donor(directory, problem) for directory in reuse]
    with Crew(study, workers, partial(_hand, halt), progress) as crew, device_failures():
        stages = Stages(study, study.settings.run.checkpoint_s, [*lenders, crew], halt)
        result = Run(problem, stages, progress, crew if workers > 1 else None).result()
    study.drop_parts()
    return study.finish(result)


def _prepared(settings: Settings) -> Problem:
    use_threads(settings.run.threads)
    make_repeatable()
    return Problem.of(settings)


def _hand(halt: Halt, settings: Settings) -> CarryOut:
    """What a worker of a ``Crew`` does."""
    problem = _prepared(settings)

    def carry_out(study: Study, stage: str, progress: Progress) -> None:
        with device_failures():
            stages = Stages(study.part(stage), settings.run.checkpoint_s, [Finished(study)], halt)
            Run(problem, stages, progress).carry_out(stage)

    return carry_out


def use_threads(threads: int) -> None:
    """Let torch and the cost model use so many threads.

    Both through one OpenMP, in which whoever sets the number last sets it for both.
    """
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    torch.set_num_threads(threads)
