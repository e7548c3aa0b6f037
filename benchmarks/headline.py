"""The headline runs as a chain of stages, each skipped where its artefact is there.

``python benchmarks/headline.py cifar10-cpu --cells a0 a1 b0`` works through cells: a question, a seed and,
after an ``@``, a cost weight that is not the preset's. The questions are (a) the same chip, (b) equal
resources, (c) the open space. A cell has four stages: search, train, quantize (tune the hardware, make
integers, read the test set), verify (program, RTL, synthesis). What each ends with goes to ``results/CELL``,
beside a list of the minutes it took; nothing that is there is done again, with or without ``runs/CELL``.
``--limit-minutes`` ends the chain between two epochs; the same command goes on. Its exit code is 1 where
anything is left to do.

``--stage search --jobs 5`` is for a GPU, on which searches run side by side. A cell of (b) or (c) takes the
networks for the baseline accelerator from (a) of its seed as far as that has come. ``--set`` makes every cell
smaller. ``--table`` runs nothing and prints what the results hold.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headline_table import print_table
from rhnas.build import SCHEMES, Design
from rhnas.codesign.reuse import keep_stages
from rhnas.files import read_json, write_atomically, write_json
from rhnas.provenance import commit
from rhnas.settings import parse_settings
from rhnas.study import Study

QUESTIONS: dict[str, tuple[str, ...]] = {
    "a": (),
    "b": ("platform.fpga=none", "platform.limits={macs=256,bus_bits=64,sram_kib=448}"),
    "c": ("platform.fpga=none", "platform.limits={macs=4096,bus_bits=512}"),
}
"""(a) the preset's chip; (b) the default accelerator's resources; (c) up to 4,096 MACs and 512 bits."""
STAGES = ("search", "train", "quantize", "verify")
KEPT = ("config.toml", "result.json", "verify.json", "verify-upstream.json")
CHAIN = "chain.json"
"""Minutes, commit and ending of every call of every stage of a cell."""


@dataclass(frozen=True)
class Cell:
    """One run of the headline; its weight is the preset's where it is empty."""

    preset: str
    question: str
    seed: int
    weight: str = ""

    @classmethod
    def of(cls, preset: str, text: str) -> Cell:
        """The cell of ``a0`` or ``b2@0.02``."""
        match = re.fullmatch(r"([abc])(\d+)(?:@([\d.]+))?", text)
        if match is None:
            sys.exit(
                f"a cell is a question a, b or c, a seed and perhaps @WEIGHT, as a0 or b2@0.02; got {text}"
            )
        question, seed, weight = match.groups()
        return cls(preset, question, int(seed), weight or "")

    @property
    def name(self) -> str:
        """Of its directory under ``runs`` and ``results``; (a) is the preset as it is."""
        question = "" if self.question == "a" else f"-{self.question}"
        weight = f"-w{self.weight}" if self.weight else ""
        return f"{self.preset}{question}{weight}-seed{self.seed}"

    @property
    def options(self) -> tuple[str, ...]:
        """In which it differs from the preset."""
        weight = (f"objective.weight={self.weight}",) if self.weight else ()
        return (*QUESTIONS[self.question], f"run.seed={self.seed}", *weight)

    @property
    def lenders(self) -> list[Cell]:
        """Whose stages it may take over: its own, the same chip's, those of the preset's weight."""
        at = [replace(self, question=q, weight=w) for w in (self.weight, "") for q in (self.question, "a")]
        return list(dict.fromkeys(at))


class Chain:
    """The cells' way from the command line to ``results``."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        minutes = given.limit_minutes
        self.deadline = None if minutes is None else time.monotonic() + 60 * minutes

    def carry_out(self, cells: list[Cell]) -> bool:
        """All stages of all cells, those of (a) first, since they lend; whether nothing is left to do."""
        first = [cell for cell in cells if cell.question == "a"]
        done: list[bool] = []
        for wave in (first, [cell for cell in cells if cell not in first]):
            with ThreadPoolExecutor(self.given.jobs) as pool:
                done += pool.map(self._cell, wave)
        return all(done)

    def _cell(self, cell: Cell) -> bool:
        stages = STAGES if self.given.stage == "all" else (self.given.stage,)
        return all(self._stage(cell, stage) for stage in stages)

    def _stage(self, cell: Cell, stage: str) -> bool:
        """One stage unless its artefact is there; whether it is now."""
        log = self.given.results / cell.name / CHAIN
        calls: dict[str, list[dict[str, Any]]] = read_json(log) if log.exists() else {}
        if any(call["finished"] for call in calls.get(stage, ())):
            print(f"{cell.name}: {stage} is there", flush=True)
            return True
        if self._minutes_left == 0:
            print(f"{cell.name}: {stage} is not begun, time is up: the same command goes on", flush=True)
            return False
        begun = time.monotonic()
        at = self._verify(cell) if stage == "verify" else self._search(cell, stage)
        minutes = round((time.monotonic() - begun) / 60, 2)
        calls.setdefault(stage, []).append({"minutes": minutes, "finished": at is None, "commit": commit()})
        write_json(log, calls)
        ending = "is done" if at is None else f"is at {at} and time is up: the same command goes on"
        print(f"{cell.name}: {stage} {ending} ({minutes} minutes)", flush=True)
        return at is None

    @property
    def _minutes_left(self) -> float | None:
        return None if self.deadline is None else max(0.0, (self.deadline - time.monotonic()) / 60)

    def _search(self, cell: Cell, stage: str) -> str | None:
        """Go on with a search to the end of a stage; where it stands if time is up before."""
        results = self.given.results
        call = ["search", cell.preset, "--out", str(self.given.runs / cell.name), "--resume"]
        for option in (*cell.options, *self.given.set):
            call += ["--set", option]
        for directory in (results / lender.name for lender in cell.lenders):
            if (directory / "config.toml").exists():
                call += ["--reuse", str(directory)]
        call += [] if stage == "quantize" else ["--until", stage]
        call += [] if self._minutes_left is None else ["--limit-minutes", str(self._minutes_left)]
        stands = rhnas(*call).get("next")
        self._keep(cell)
        ended = stands is not None and stands.partition("/")[0] not in STAGES[: STAGES.index(stage) + 1]
        return None if ended and stage != "quantize" else stands

    def _verify(self, cell: Cell) -> str | None:
        """Build and prove every scheme, and the baseline by upstream's schedule; as ``_search``."""
        self._bring_back(cell)
        directory, given = self.given.runs / cell.name, self.given
        checks = ["--images", str(given.images), "--rtl", *(["--synthesize"] if given.synthesize else [])]
        for scheme in Design.schemes_in(directory):
            if self._minutes_left == 0:
                return scheme
            if not self._proved(directory / "verify.json", scheme):
                rhnas("verify", str(directory), "--scheme", scheme, *checks)
                self._keep(cell)
        if not (directory / "verify-upstream.json").exists():
            rhnas("verify", str(directory), "--scheme", "baseline", "--schedule", "upstream", "--images", "1")
            self._keep(cell)
        return None

    def _proved(self, path: Path, scheme: str) -> bool:
        entry = read_json(path)["schemes"].get(scheme) if path.exists() else None
        if entry is None or entry["cycles"]["rtl"] is None:
            return False
        return entry["synthesis"] is not None or not self.given.synthesize

    def _keep(self, cell: Cell) -> None:
        """Copy what figures rest on: configuration, stages, result, proof, integer networks, trials."""
        source, target = self.given.runs / cell.name, self.given.results / cell.name
        settings = parse_settings((source / "config.toml").read_text(encoding="utf-8"))
        for name in keep_stages(Study(source, settings), target):
            print(f"{cell.name}: {name} is too large to keep and stays in {source}", flush=True)
        copy(source, target, KEPT)
        if (target / "result.json").exists() and (source / "trials.jsonl").exists():
            copy(source, target, NETWORKS)
            trials = (source / "trials.jsonl").read_bytes()
            write_atomically(target / "trials.jsonl.xz", lzma.compress(trials))

    def _bring_back(self, cell: Cell) -> None:
        """What a proof reads, from the artefacts of a search that was done elsewhere."""
        source, target = self.given.results / cell.name, self.given.runs / cell.name
        if not (target / "result.json").exists():
            copy(source, target, (*KEPT, *NETWORKS))


NETWORKS = tuple(f"{scheme}/network.npz" for scheme in SCHEMES)
"""The integer network of every scheme."""


def copy(source: Path, target: Path, names: tuple[str, ...]) -> None:
    """Copy those of the files that are there."""
    for name in names:
        if (source / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


def rhnas(*arguments: str) -> dict[str, Any]:
    """What one command of ours answers; its failure ends this one."""
    call = [sys.executable, "-m", "rhnas", *arguments, "--json"]
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    answer: dict[str, Any] = json.loads(done.stdout or "{}")
    if done.returncode != 0 and answer.get("finished") is not False:
        sys.exit(f"rhnas {' '.join(arguments)}: {answer.get('error', 'see above')}")
    return answer


def main() -> None:
    """Run the chain, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", help="cifar10-wide, cifar10-cpu, cifar10-quick, or another preset")
    parser.add_argument("--cells", nargs="+", default=[f"{q}{seed}" for seed in range(3) for q in "abc"])
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    parser.add_argument("--limit-minutes", type=float, help="of this call")
    parser.add_argument("--jobs", type=int, default=1, help="cells side by side, for a GPU")
    parser.add_argument("--images", type=int, default=2, help="test pictures run on the RTL")
    parser.add_argument("--synthesize", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--set", action="append", default=[], metavar="a.b=v", help="one option, all cells")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--table", action="store_true", help="run nothing, print what there is as Markdown")
    given = parser.parse_args()
    cells = [Cell.of(given.preset, text) for text in given.cells]
    if given.table:
        print_table({cell.name: given.results / cell.name for cell in cells})
    else:
        sys.exit(not Chain(given).carry_out(cells))


if __name__ == "__main__":
    main()
