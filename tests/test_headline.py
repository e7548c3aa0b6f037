"""The chain of headline stages: it survives losing its runs, and its table is what the files say."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "headline.py"
TINY = (
    *("task.train=96", "task.validation=48", "task.test=64", "nas.epochs=3", "nas.warmup=1", "nas.batch=48"),
    *("nas.candidates=3", "nas.finalists=1", "train.epochs=2", "train.batch=48", "quantize.epochs=1"),
    *("agent.evaluations=16", "agent.batch=4", "agent.every=1", "run.checkpoint_s=0", "run.effort=0"),
)


def headline(folder: Path, *arguments: str, code: int = 0) -> str:
    call = [sys.executable, str(SCRIPT), *arguments, "--runs", str(folder / "runs")]
    done = subprocess.run(
        [*call, "--results", str(folder / "results")], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def table(lines: str, heading: str) -> list[list[str]]:
    """Rows of the Markdown table whose heading begins so."""
    found = lines[lines.index(heading) :].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found]


def test_the_table_is_what_the_results_say(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results" / "digits-seed0", tmp_path / "results" / "digits-seed0")
    shutil.copytree(ROOT / "results" / "digits-seed1", tmp_path / "results" / "digits-seed1")
    said = headline(tmp_path, "digits", "--cells", "a0", "a1", "c0", "--table")
    results, proofs = (
        [json.loads((ROOT / f"results/digits-seed{s}/{name}.json").read_text()) for s in (0, 1)]
        for name in ("result", "verify")
    )
    rows = table(said, "| cell | scheme | test")
    assert [row[1] for row in rows] == ["baseline", "hardware_only", "two_stage", "found"] * 2
    keys = [row[1] for row in rows[:4]]
    known = [(r[key], v["schemes"][key]) for r, v in zip(results, proofs, strict=True) for key in keys]
    for row, (result, proof) in zip(rows, known, strict=True):
        assert row[3] == f"{result['accuracy_int8']:.2%}"
        assert row[5] == f"{proof['cycles']['rtl']:,} (rtl)"
        assert row[7] == "not run", "there is no clock without placement"
    parts = {row[0]: row[1:] for row in table(said, "| ratio over 2 seeds")}
    joint = [r["two_stage"]["cycles_simulated"] / r["found"]["cycles_simulated"] for r in results]
    assert parts["latency, ms"][2].startswith(f"{sum(joint) / 2:.2f} (")
    machine, hardware, joint, both, whole = (float(cell.split()[0]) for cell in parts["EDP, µJ ms (dosa40)"])
    assert machine > 1, "our schedules are no worse than upstream's"
    assert both == pytest.approx(hardware * joint, rel=0.05)
    assert whole == pytest.approx(machine * both, rel=0.05)
    assert "Cells not run: digits-c-seed0." in said


def test_finalists_are_told_once_with_what_became_of_them() -> None:
    cells = [ROOT / "results" / name for name in ("cifar10-seed0", "cifar10-c-seed0")]
    call = [sys.executable, str(ROOT / "benchmarks" / "headline_finalists.py"), *map(str, cells)]
    said = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    rows = table(said, "| cell | search")
    expected = [("cifar10-seed0", search) for search in ("baseline", "found", "hardware_only")]
    assert [(row[0], row[1]) for row in rows] == [*expected, ("cifar10-c-seed0", "found")]
    result = json.loads((cells[0] / "result.json").read_text())["baseline"]
    assert rows[0][2] == f"{result['macs'] / 1e6:.1f}"
    assert rows[0][4] == f"{result['accuracy_validation']:.2%}"
    pairs = [(float(row[2]), float(row[4].rstrip("%"))) for row in rows]
    concordant = sum((a[0] - b[0]) * (a[1] - b[1]) > 0 for a in pairs for b in pairs)
    assert f"multiply-accumulates {2 * concordant / 12 - 1:.2f}" in said


def test_a_cell_that_is_none_is_refused(tmp_path: Path) -> None:
    headline(tmp_path, "digits", "--cells", "d0", "--table", code=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_chain_goes_on_from_what_it_kept(tmp_path: Path) -> None:
    options = [part for option in TINY for part in ("--set", option)]

    def chain(cells: str, *more: str, code: int = 0) -> str:
        usual = ("--cells", *cells.split(), "--no-synthesize", "--images", "1", *options)
        return headline(tmp_path, "digits", *usual, *more, code=code)

    assert "search is not begun, time is up" in chain("a0 b0", "--limit-minutes", "0", code=1)
    assert "search is at search/" in chain("a0", "--limit-minutes", "0.02", code=1)
    assert "digits-seed0: search is done" in chain("a0 b0", "--stage", "search")
    searched = (tmp_path / "results/digits-seed0/stages").glob("search-*")
    stamps = {path: path.stat().st_mtime_ns for path in searched}
    assert len(stamps) == 3
    for stage in ("train", "quantize"):
        shutil.rmtree(tmp_path / "runs")
        assert f"digits-b-seed0: {stage} is done" in chain("a0 b0", "--stage", stage)
    shutil.rmtree(tmp_path / "runs")
    said = chain("a0")
    assert said.count("is there") == 3
    assert "verify is done" in said
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    proof = json.loads((tmp_path / "results/digits-seed0/verify.json").read_text())
    assert [entry["cycles_equal"] for entry in proof["schemes"].values()] == [True] * 4
    assert all(path.stat().st_size <= 5_000_000 for path in (tmp_path / "results").rglob("*"))
    assert chain("a0").count("is there") == 4
    assert "R_machine (simulated)" in headline(tmp_path, "digits", "--cells", "a0", "--table")
