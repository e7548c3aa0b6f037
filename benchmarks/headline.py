"""The headline runs as a chain of stages, each skipped where its artefact is there.

``python benchmarks/headline.py cifar10`` works through the cells of ``CELLS``: a search (with training and
quantization), then the proof (program, RTL, synthesis), then the artefacts under ``results/CELL``. A cell is
a question and a seed: (a) the same chip, (b) equal resources, (c) the open space. ``--stage search --jobs 5``
is for a GPU, on which searches run side by side; a search for (b) or (c) takes the networks for the baseline
accelerator from (a) of its seed where that is done. ``--set`` makes every cell smaller: the same pipeline
for a machine without a GPU.
"""

from __future__ import annotations

import argparse
import lzma
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rhnas.build import SCHEMES
from rhnas.files import write_atomically

QUESTIONS: dict[str, tuple[str, ...]] = {
    "a": (),
    "b": ("platform.fpga=none", "platform.limits={macs=256,bus_bits=64,sram_kib=448}"),
    "c": ("platform.fpga=none", "platform.limits={macs=4096,bus_bits=512}"),
}
"""(a) the preset's chip; (b) the default accelerator's resources; (c) up to 4,096 MACs and 512 bits."""
KEPT = ("config.toml", "result.json", "verify.json")


@dataclass(frozen=True)
class Cell:
    """One run of the headline."""

    preset: str
    question: str
    seed: int

    @property
    def name(self) -> str:
        """Of its directory under ``runs`` and ``results``."""
        return f"{self.preset}-{self.question}-seed{self.seed}"

    @property
    def lender(self) -> Cell | None:
        """The cell whose baseline networks it takes over."""
        return None if self.question == "a" else Cell(self.preset, "a", self.seed)


def search(cell: Cell, runs: Path, overrides: list[str]) -> None:
    """Search, train, quantize, test: ``runs/CELL/result.json``."""
    options = [*QUESTIONS[cell.question], f"run.seed={cell.seed}", *overrides]
    call = ["search", cell.preset, "--out", str(runs / cell.name), "--resume"]
    for option in options:
        call += ["--set", option]
    if cell.lender is not None and (runs / cell.lender.name / "result.json").exists():
        call += ["--reuse", str(runs / cell.lender.name)]
    rhnas(*call)


def verify(cell: Cell, runs: Path, images: int) -> None:
    """Build and prove every scheme: ``runs/CELL/verify.json``."""
    checks = ("--images", str(images), "--rtl", "--synthesize")
    rhnas("verify", str(runs / cell.name), "--scheme", "all", *checks)


def keep(cell: Cell, runs: Path, results: Path) -> None:
    """Copy what the figures rest on: configuration, result, proof, integer networks, trials."""
    source, target = runs / cell.name, results / cell.name
    for name in KEPT:
        if (source / name).exists():
            write_atomically(target / name, (source / name).read_text(encoding="utf-8"))
    copy_networks(source, target)
    trials = (source / "trials.jsonl").read_bytes()
    (target / "trials.jsonl.xz").write_bytes(lzma.compress(trials))


def bring_back(cell: Cell, runs: Path, results: Path) -> None:
    """What a proof reads, from the artefacts of a search that was done elsewhere."""
    source, target = results / cell.name, runs / cell.name
    if not (target / "result.json").exists():
        copy_networks(source, target)
        for name in KEPT[:2]:
            shutil.copyfile(source / name, target / name)


def copy_networks(source: Path, target: Path) -> None:
    """The integer network of every scheme."""
    for scheme in SCHEMES:
        (target / scheme).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / scheme / "network.npz", target / scheme / "network.npz")


def rhnas(*arguments: str) -> None:
    """One command of ours; its failure ends this one."""
    subprocess.run([sys.executable, "-m", "rhnas", *arguments], check=True)  # noqa: S603


def chain(cells: list[Cell], given: argparse.Namespace) -> None:
    """Searches of (a) first, side by side; then the others; then proofs, one after the other."""
    if given.stage in ("search", "all"):
        for wave in ([c for c in cells if c.lender is None], [c for c in cells if c.lender is not None]):
            with ThreadPoolExecutor(given.jobs) as pool:
                list(pool.map(lambda cell: timed("search", cell, given), wave))
    if given.stage in ("verify", "all"):
        for cell in cells:
            timed("verify", cell, given)


def timed(stage: str, cell: Cell, given: argparse.Namespace) -> None:
    """One stage of a cell unless its artefact is there."""
    artefact = {"search": "result.json", "verify": "verify.json"}[stage]
    if (given.results / cell.name / artefact).exists():
        print(f"{cell.name}: {stage} is there", flush=True)
        return
    begun = time.monotonic()
    if stage == "search":
        search(cell, given.runs, given.set)
    else:
        bring_back(cell, given.runs, given.results)
        verify(cell, given.runs, given.images)
    keep(cell, given.runs, given.results)
    print(f"{cell.name}: {stage} took {time.monotonic() - begun:.0f} s", flush=True)


def main() -> None:
    """Run the chain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", help="cifar10, cifar10-quick, or another preset")
    parser.add_argument("--questions", default="abc", help="which of a, b, c")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--stage", choices=("search", "verify", "all"), default="all")
    parser.add_argument("--jobs", type=int, default=1, help="searches side by side, for a GPU")
    parser.add_argument("--images", type=int, default=2, help="test pictures run on the RTL")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=v", help="one option, all cells")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    given = parser.parse_args()
    chain([Cell(given.preset, q, seed) for q in given.questions for seed in given.seeds], given)


if __name__ == "__main__":
    main()
