"""The chain of headline stages: it survives losing its runs, and its table is what the files say."""

import json
import re
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
    results = [json.loads((ROOT / f"results/digits-seed{s}/result.json").read_text()) for s in (0, 1)]
    rows = table(said, "| cell | scheme | test")
    assert [row[1] for row in rows] == ["baseline", "hardware_only", "two_stage", "found"] * 2
    for row, (result, key) in zip(rows, [(r, row[1]) for r in results for row in rows[:4]], strict=True):
        assert row[3] == f"{result[key]['accuracy_int8']:.2%}"
        assert row[5] == f"{result[key]['cycles_simulated']:,} (simulated)"
        assert row[7] == "not run", "there is no clock without placement"
    parts = {row[0]: row[1:] for row in table(said, "| ratio over 2 seeds")}
    joint = [r["two_stage"]["cycles_simulated"] / r["found"]["cycles_simulated"] for r in results]
    assert parts["latency, ms"][2].startswith(f"{sum(joint) / 2:.2f} (")
    machine, hardware, joint, both, whole = (float(cell.split()[0]) for cell in parts["EDP, µJ ms (dosa40)"])
    assert machine > 1, "our schedules are no worse than upstream's"
    assert both == pytest.approx(hardware * joint, rel=0.05)
    assert whole == pytest.approx(machine * both, rel=0.05)
    assert "Cells not run: digits-c-seed0." in said


def test_a_cell_that_is_none_is_refused(tmp_path: Path) -> None:
    headline(tmp_path, "digits", "--cells", "d0", "--table", code=1)


@pytest.mark.slow
def test_the_chain_goes_on_from_what_it_kept(tmp_path: Path) -> None:
    options = [part for option in TINY for part in ("--set", option)]

    def chain(*more: str, code: int = 0) -> str:
        return headline(
            tmp_path,
            "digits",
            "--cells",
            "a0",
            "b0",
            "--no-synthesize",
            "--images",
            "1",
            *options,
            *more,
            code=code,
        )

    assert "search is not begun, time is up" in chain("--limit-minutes", "0", code=1)
    assert "search is at search/" in chain("--limit-minutes", "0.02", code=1)
    assert "digits-seed0: search is done" in chain("--stage", "search")
    shutil.rmtree(tmp_path / "runs")
    assert "digits-seed0: search is there\n" in chain("--stage", "train")
    searched = (tmp_path / "results/digits-seed0/stages").glob("search-*")
    stamps = {path: path.stat().st_mtime_ns for path in searched}
    assert len(stamps) == 3
    shutil.rmtree(tmp_path / "runs")
    chain("--stage", "quantize")
    shutil.rmtree(tmp_path / "runs")
    said = chain()
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    assert len(re.findall("verify is done", said)) == 2
    for cell in ("digits-seed0", "digits-b-seed0"):
        proof = json.loads((tmp_path / "results" / cell / "verify.json").read_text())
        assert all(entry["cycles_equal"] for entry in proof["schemes"].values())
        assert len(proof["schemes"]) == 4
        assert all(path.stat().st_size <= 5_000_000 for path in (tmp_path / "results" / cell).rglob("*"))
    assert chain().count("is there") == 8
    assert "R_machine (simulated)" in headline(tmp_path, "digits", "--cells", "a0", "--table")
