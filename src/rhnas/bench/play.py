"""Plays schemes on a benchmark, one unit per scheme and seed; each is kept the moment it is done."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rhnas.bench.ledger import Budget, Ledger
from rhnas.bench.problem import TabularProblem, benchmark_named
from rhnas.bench.schemes.registry import tabular_scheme
from rhnas.bench.summary import summary_of
from rhnas.bench.yardstick import exact_front, front_share, headroom, yardstick
from rhnas.errors import RhnasError, SettingsError
from rhnas.files import canonical_json, read_json, write_json
from rhnas.provenance import provenance
from rhnas.seeds import Seeds

Row = dict[str, Any]
Progress = Callable[[int, int], None]
"""Told how many units of how many are done."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is played.

    Attributes:
        benchmark: Name.
        schemes: Names, in the order of the table.
        seeds: How many, from 0.
        budget: Of every run.
    """

    benchmark: str
    schemes: tuple[str, ...]
    seeds: int
    budget: Budget

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise SettingsError("seeds must be at least 1", got=self.seeds)
        benchmark_named(self.benchmark)
        for scheme in self.schemes:
            tabular_scheme(scheme)

    @property
    def units(self) -> list[tuple[str, int]]:
        """(scheme, seed) of every unit."""
        return [(scheme, seed) for scheme in self.schemes for seed in range(self.seeds)]


def play(problem: TabularProblem, scheme: str, seed: int, budget: Budget) -> Row:
    """One scheme with one seed at every threshold of the benchmark.

    Returns:
        ``scheme``, ``seed``, ``hypervolume`` (of all networks it looked up at any threshold, as a share of
        the exact front's) and ``runs``: per threshold score, regret, headroom closed, what was asked for and
        how the answer improved. Score, regret and share are null where nothing holds the threshold.
    """
    runs, points = [], []
    for threshold in problem.benchmark.thresholds:
        started = time.perf_counter()
        ledger = Ledger(problem, threshold, budget)
        eligible = tabular_scheme(scheme).run(ledger, Seeds(root=seed).child(f"{threshold:g}"))
        seconds = time.perf_counter() - started
        found, yard = ledger.improvements(eligible), yardstick(problem, threshold)
        score = found[-1].score if found else None
        points += ledger.front()
        runs.append(
            {
                "threshold": threshold,
                "score": score,
                "regret": None if score is None else yard.regret(score),
                "closed": None if score is None or yard.two_stage == yard.joint else yard.closed(score),
                "lookups": len(ledger.networks),
                "designs": ledger.priced,
                "unrealizable": ledger.unrealizable,
                "seconds": seconds,
                "trace": [[step.lookups, step.designs, yard.regret(step.score)] for step in found],
            }
        )
    return {"scheme": scheme, "seed": seed, "hypervolume": front_share(problem, points), "runs": runs}


def bench(plan: Plan, folder: Path, *, workers: int = 1, resume: bool, progress: Progress) -> Row:
    """Play a plan to its end and write ``NAME.json`` into a folder.

    Units already done lie in ``NAME.jsonl``; with ``resume`` they are not played again, and where none is
    left to play the file still says when they were. Results do not depend on the number of workers or on the
    order in which they finish.

    Args:
        plan: What is played.
        folder: Where files go; created if absent.
        workers: Processes.
        resume: Go on with what is there.
        progress: Told how far it is.

    Returns:
        What stands in ``NAME.json``.

    Raises:
        SettingsError: There are results already and ``resume`` is not set, or they are of another plan or of
            what the benchmark was before its networks, designs or costs changed.
        DataError: The accuracy table is missing.
        RhnasError: A worker was killed; what is finished is kept.
    """
    kept = folder / f"{plan.benchmark}.jsonl"
    if kept.exists() and not resume:
        fix = "add --resume or choose another --out"
        raise SettingsError(f"{kept} must not hold results yet", got="some", fix=fix)
    problem = TabularProblem.of(benchmark_named(plan.benchmark))
    journal = Journal(kept, plan, problem)
    journal.open()
    # Seed by seed, so that an early end leaves every scheme with the same seeds.
    todo = sorted((unit for unit in plan.units if unit not in journal.rows), key=lambda unit: unit[1])
    total = len(plan.units)
    progress(total - len(todo), total)
    for row in _played(problem, plan, todo, workers):
        journal.append(row)
        progress(len(journal.rows), total)
    rows = [journal.rows[unit] for unit in plan.units]
    path = folder / f"{plan.benchmark}.json"
    told = read_json(path).get("provenance") if path.exists() and not todo else None
    result = {
        "schema": 1,
        "how": "modelled",
        **_described(problem),
        "budget": asdict(plan.budget),
        "seeds": plan.seeds,
        "schemes": summary_of(rows),
        "runs": rows,
        "provenance": told or provenance(configuration=canonical_json(plan.units), threads=workers),
    }
    write_json(path, result)
    return result


def _described(problem: TabularProblem) -> Row:
    benchmark = problem.benchmark
    yards = headroom(problem)
    return {
        "benchmark": benchmark.name,
        "about": benchmark.about,
        "space": benchmark.space,
        "limits": dict(benchmark.limits),
        "networks": len(set(problem.identity.tolist())),
        "designs": problem.designs.count,
        "thresholds": list(benchmark.thresholds),
        "headroom": [{"threshold": yard.threshold, "headroom": yard.headroom} for yard in yards],
        "front": exact_front(problem),
    }


class Journal:
    """Finished units, one line each, of one plan.

    Args:
        path: The file.
        plan: Only units of this plan's budget are taken up.
        problem: Only units of the very same networks, designs and costs are.
    """

    def __init__(self, path: Path, plan: Plan, problem: TabularProblem) -> None:
        self.path = path
        self.rows: dict[tuple[str, int], Row] = {}
        self._of = {"budget": asdict(plan.budget), "problem": problem.fingerprint}

    def open(self) -> None:
        """Read what is there; a line cut off by a kill is dropped.

        Raises:
            SettingsError: There is something of another budget or of another problem.
        """
        if not self.path.exists():
            return
        lines = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            for name, wanted in self._of.items():
                if row.pop(name, None) != wanted:
                    raise SettingsError(
                        f"{self.path} must be of today's {name}", got="another", fix="choose another --out"
                    )
            self.rows[row["scheme"], row["seed"]] = row
            lines.append(line)
        self.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def append(self, row: Row) -> None:
        """Keep a finished unit."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**row, **self._of}, allow_nan=False) + "\n")
        self.rows[row["scheme"], row["seed"]] = row


def _played(
    problem: TabularProblem, plan: Plan, todo: Sequence[tuple[str, int]], workers: int
) -> Iterator[Row]:
    """Rows as they are finished."""
    torch.set_num_threads(1)
    if workers == 1 or len(todo) < 2:
        for scheme, seed in todo:
            yield play(problem, scheme, seed, plan.budget)
        return
    problem.best, problem.scores(0)  # priced once, then read by the workers from the cache
    with ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _prepare, (plan.benchmark,)
    ) as pool:
        futures = [pool.submit(_play, scheme, seed, plan.budget) for scheme, seed in todo]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise RhnasError(
                "every worker must live until its work is done",
                got="one that was killed",
                fix="add --resume: what is finished is kept",
            ) from error


_problem: list[TabularProblem] = []
"""A worker's problem."""


def _prepare(benchmark: str) -> None:
    torch.set_num_threads(1)
    _problem.append(TabularProblem.of(benchmark_named(benchmark)))


def _play(scheme: str, seed: int, budget: Budget) -> Row:
    return play(_problem[0], scheme, seed, budget)
