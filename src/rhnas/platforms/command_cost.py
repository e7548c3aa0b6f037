"""A cost model that is somebody's command, asked once per design and layer shape, ever."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, final

import numpy as np

from rhnas.errors import DataError, RhnasError
from rhnas.files import cache_folder, canonical_json
from rhnas.platform import Cost, CostModel
from rhnas.platforms.command_call import Command
from rhnas.platforms.points import Peaks, Point, cost_of, is_cycles, is_energy, row_text, shape_text
from rhnas.space import DesignBatch
from rhnas.workload import SHAPE_FIELDS, IntArray, Layer

SCHEMA = 1
"""Version of the questions."""

BUSY_S = 60.0
"""How long one process waits for another that writes to the same cache."""

KINDS = (("cycles", is_cycles, "a whole number of at least 1"), ("energy_pj", is_energy, "positive"))
"""What a mapping must have, how that is told, and in words."""

Answered = dict[str, Any]
"""``{"points": [[cycles, pj], ...]}``, or ``{"infeasible": reason}``."""


@final
class CommandCostModel(CostModel):
    """Asks a command, remembers every answer on disk, and refuses what is physically impossible.

    Args:
        command: What is asked.
        peaks: The most that a design does in a cycle.
        fingerprint: Of all that the answers depend on; names the file they are kept in.
        workers: Questions asked at once; results are those of one at a time.
    """

    def __init__(self, command: Command, peaks: Peaks, fingerprint: str, workers: int) -> None:
        self._command, self._peaks, self._workers = command, peaks, workers
        self.fingerprint = fingerprint
        self.asked = 0
        self._kept = Kept(cache_folder() / "command" / f"{fingerprint}.sqlite")

    def evaluate(self, batch: DesignBatch, layers: Sequence[Layer]) -> Cost:
        """One question per design, about the layers whose answer is not known yet.

        Raises:
            MissingToolError: The command cannot be started.
            ToolFailedError: It hangs, fails or prints no JSON.
            DataError: Its answer lacks a key, or is below the physical bound.
        """
        distinct = {layer.shape: layer for layer in reversed(layers)}
        rows = [batch.row(at) for at in range(len(batch))]
        unique = {row_text(row): row for row in rows}
        answers = dict(zip(unique, self._answers(list(unique.values()), distinct), strict=True))
        points, launches = [], []
        for row in rows:
            launch, by_shape = answers[row_text(row)]
            points.append([_points(by_shape[layer.shape]) for layer in layers])
            launches.append(launch)
        return cost_of(points, launches)

    def bounds(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """The larger of ``bound_terms``, (B, L); 0 where the platform's file gives no peaks."""
        return np.asarray(self.bound_terms(batch, layers).max(axis=0))

    def bound_terms(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """MACs / array and bytes / memory port by the peaks of the platform's file, (2, B, L)."""
        return self._peaks.terms(batch, layers)

    def mappings(self, batch: DesignBatch, layers: Sequence[Layer], mu: float) -> list[dict[str, Any]]:
        """For each layer ``infeasible`` with the command's reason, or nothing: its mappings are its own."""
        distinct = {layer.shape: layer for layer in reversed(layers)}
        [(_, by_shape)] = self._answers([batch.row(0)], distinct)
        return [
            {"infeasible": answer["infeasible"]} if "infeasible" in answer else {}
            for answer in (by_shape[layer.shape] for layer in layers)
        ]

    def _answers(
        self, rows: list[dict[str, int]], distinct: Mapping[tuple[int, ...], Layer]
    ) -> Iterator[tuple[Point, dict[tuple[int, ...], Answered]]]:
        """For each design its launch, and its answer by layer shape, in order."""

        def one(row: dict[str, int]) -> tuple[Point, dict[tuple[int, ...], Answered]]:
            return self._answer(row, distinct)

        if self._workers == 1 or len(rows) == 1:
            yield from map(one, rows)
            return
        with ThreadPoolExecutor(self._workers) as pool:
            futures = [pool.submit(one, row) for row in rows]
            try:
                for future in futures:
                    yield future.result()
            except RhnasError:  # those that run may finish: their answers are kept
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._command.stop()
                raise

    def _answer(
        self, row: dict[str, int], distinct: Mapping[tuple[int, ...], Layer]
    ) -> tuple[Point, dict[tuple[int, ...], Answered]]:
        design = canonical_json(row)
        known = self._kept.of(design)
        missing = [layer for shape, layer in distinct.items() if _key(shape) not in known]
        if missing or not known:
            new = self._ask(row, missing)
            self._kept.add(design, new)
            known = {**new, **known}
        launch = known["launch"]["points"][0]
        return (launch[0], launch[1]), {shape: known[_key(shape)] for shape in distinct}

    def _ask(self, row: Mapping[str, int], layers: Sequence[Layer]) -> dict[str, Answered]:
        """The command's answers by key of the shape, checked, and ``launch``."""
        self.asked += 1
        described = [_described(layer) for layer in layers]
        question = {"schema": SCHEMA, "accelerator": dict(row), "layers": described}
        where = f"the command's answer for {row_text(row)}"
        answer = self._command.ask(question)
        if "infeasible" in answer:
            refused = _refusal(where, answer)
            return {"launch": {"points": [[0, 0.0]]}, **{_key(layer.shape): refused for layer in layers}}
        given = answer.get("layers")
        if not isinstance(given, list) or len(given) != len(layers):
            raise DataError(
                f"{where} must have 'layers' with one entry for each of the {len(layers)} layers asked about",
                got=f"{len(given)} entries" if isinstance(given, list) else f"the keys {sorted(answer)}",
            )
        launch = answer.get("launch", {"cycles": 0, "energy_pj": 0.0})
        batch = DesignBatch.of(row)
        lowest = self.bound_terms(batch, layers).max(axis=0)[0] if layers else ()
        found = {"launch": _launch(where, launch)}
        for layer, entry, bound in zip(layers, given, lowest, strict=True):
            found[_key(layer.shape)] = _entry(f"{where}, layer {shape_text(layer)},", entry, int(bound))
        return found


def _launch(where: str, entry: Any) -> Answered:
    numbers = [entry.get(key) if isinstance(entry, dict) else None for key in ("cycles", "energy_pj")]
    good = [is_cycles(numbers[0]) or numbers[0] == 0, is_energy(numbers[1]) or numbers[1] == 0]
    if not all(good):
        raise DataError(f"{where} must have cycles and energy_pj, not negative, in 'launch'", got=entry)
    return {"points": [[int(numbers[0]), float(numbers[1])]]}  # type: ignore[arg-type]


def _entry(where: str, entry: Any, bound: int) -> Answered:
    """One layer's answer, checked."""
    if not isinstance(entry, dict):
        raise DataError(f"{where} must be a JSON object", got=entry)
    if "infeasible" in entry:
        return _refusal(where, entry)
    mappings = entry.get("mappings", [entry])
    if not isinstance(mappings, list) or not mappings:
        raise DataError(f"{where} must have at least one mapping", got=mappings)
    return {"points": [_point(where, mapping, bound) for mapping in mappings]}


def _point(where: str, mapping: Any, bound: int) -> list[int | float]:
    values = mapping if isinstance(mapping, dict) else {}
    for key, good, kind in KINDS:
        if key not in values:
            raise DataError(f"{where} must have {key!r}", got=mapping, fix="or 'infeasible' with a reason")
        if not good(values[key]):
            raise DataError(f"{where} must have {key!r} that is {kind}", got=values[key])
    if values["cycles"] < bound:
        raise DataError(
            f"{where} must not be below its physical bound of {bound} cycles",
            got=values["cycles"],
            fix="correct the command, or the peaks in the platform's file",
        )
    return [int(values["cycles"]), float(values["energy_pj"])]


def _refusal(where: str, entry: Mapping[str, Any]) -> Answered:
    reason = entry["infeasible"]
    if not isinstance(reason, str) or not reason:
        raise DataError(f"{where} must give a reason in 'infeasible'", got=reason)
    return {"infeasible": reason}


def _points(answer: Answered) -> list[Point] | None:
    return None if "infeasible" in answer else [(cycles, pj) for cycles, pj in answer["points"]]


def _key(shape: tuple[int, ...]) -> str:
    return ",".join(map(str, shape))


def _described(layer: Layer) -> dict[str, Any]:
    """A layer as questions have it: its shape, and what follows from it."""
    shape = dict(zip(SHAPE_FIELDS, layer.shape, strict=True))
    height, width = layer.output_size
    derived = {"out_height": height, "out_width": width, "macs": layer.macs, "parameters": layer.parameters}
    return {
        **shape,
        "kind": layer.kind.name.lower(),
        "relu": layer.relu,
        "reads_picture": layer.reads_picture,
        **derived,
    }


class Kept:
    """Answers on disk: each is there for good once it was given, whatever is killed afterwards.

    A folder that cannot be written costs time, not the result.

    Args:
        path: The file; SQLite, which any number of processes may share.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._memory: dict[str, dict[str, Answered]] = {}
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._do(
            lambda base: base.execute(
                "CREATE TABLE IF NOT EXISTS answers (design TEXT, layer TEXT, answer TEXT,"
                " PRIMARY KEY (design, layer))"
            )
        )

    def of(self, design: str) -> dict[str, Answered]:
        """What is known about a design, by key of the layer."""
        if design not in self._memory:
            found: list[tuple[str, str]] = []
            self._do(
                lambda base: found.extend(
                    base.execute("SELECT layer, answer FROM answers WHERE design = ?", (design,))
                )
            )
            self._memory[design] = {layer: json.loads(answer) for layer, answer in found}
        return dict(self._memory[design])

    def add(self, design: str, answers: Mapping[str, Answered]) -> None:
        """Keep answers about a design; those that are known stay."""
        rows: Iterable[tuple[str, str, str]] = [
            (design, layer, json.dumps(answer)) for layer, answer in answers.items()
        ]
        self._memory[design] = {**answers, **self._memory.get(design, {})}
        self._do(lambda base: base.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", rows))

    def _do(self, work: Callable[[sqlite3.Connection], object]) -> None:
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(self._path, timeout=BUSY_S)) as base,
            base,
        ):
            work(base)
