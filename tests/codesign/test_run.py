"""Whole runs on a toy platform and real digits: what comes out, and that a kill changes nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from rhnas.codesign.choice import Finalist, choose
from rhnas.codesign.experiment import Run
from rhnas.codesign.problem import Problem
from rhnas.codesign.reuse import finished_stages, keep_stages
from rhnas.codesign.run import run
from rhnas.codesign.stages import Halt, Lent, PausedError, Stages
from rhnas.errors import CheckpointError, DataError, InfeasibleDesignError, RhnasError, SettingsError
from rhnas.nas.train import Training
from rhnas.quantized import QuantizedNetwork
from rhnas.settings import Settings, parse_settings
from rhnas.study import CHECKPOINT, Study

SCHEMES = ("baseline", "hardware_only", "two_stage", "found")


class Killed(BaseException):
    """Stands for kill -9 where a process of its own would take too long."""


def without_times(value):
    """A result without what may differ between two runs: seconds."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k != "seconds"}
    return value


def run_killed_after(study: Study, records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    append, done = Study.append, []

    def appended(self: Study, record: dict) -> None:
        if len(done) == records:
            # A kill may fall within a line.
            with (self.directory / "trials.jsonl").open("a") as stream:
                stream.write('{"torn": ')
            raise Killed
        append(self, record)
        done.append(record)

    with monkeypatch.context() as patch:
        patch.setattr(Study, "append", appended)
        with pytest.raises(Killed):
            run(study)


@pytest.fixture(scope="module")
def reference(tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The uninterrupted run, kept for all tests of this module."""
    return {"directory": tmp_path_factory.mktemp("reference") / "run", "settings": tiny}


@pytest.fixture
def finished(reference: dict, toy_platform) -> Study:
    study = Study(reference["directory"], reference["settings"])
    if not study.finished:
        run(study)
    return study


def test_a_run_keeps_its_promises(finished: Study, tiny: Settings) -> None:
    result = finished.result()
    for key in SCHEMES:
        row = result[key]
        assert row["realizable"]
        assert 0 <= row["accuracy"] <= 1
        assert 0 <= row["accuracy_int8"] <= 1
        assert len(QuantizedNetwork.load(finished.directory / key / "network.npz")) + 1 == len(row["layers"])
        assert row["cycles"] == sum(layer["cycles"] for layer in row["layers"])
        assert row["energy_uj"] == pytest.approx(sum(layer["energy_uj"] for layer in row["layers"]))
        assert row["macs"] == sum(layer["macs"] for layer in row["layers"])
        assert row["latency_ms"] == pytest.approx(row["cycles"] / 1e5)
        assert row["edp_uj_ms"] == pytest.approx(row["energy_uj"] * row["latency_ms"])
        assert row["evaluations"] <= tiny.agent.evaluations
        assert set(row["by_technology"]) == set(tiny.platform.technologies)
    assert result["baseline"]["accelerator"] == {"rows": 2, "columns": 2, "buffer": 0}
    assert result["two_stage"]["options"] == result["baseline"]["options"]
    assert result["two_stage"]["edp_uj_ms"] <= result["baseline"]["edp_uj_ms"]
    assert result["found"]["gap"] >= 0
    for key in ("hardware_only", "two_stage", "found"):
        # All designs of the toy are priced: the proof is the optimum.
        assert result[key]["certified_gap"] == pytest.approx(result[key]["gap"], abs=1e-9)
    assert result["baseline"]["certified_gap"] is None
    assert result["ratios"]["edp"] == min(row["edp"] for row in result["ratios_by_technology"].values())
    assert result["provenance"]["configuration"] == tiny.identity()
    ratio = result["baseline"]["edp_uj_ms"] / result["two_stage"]["edp_uj_ms"]
    assert result["ratios_two_stage"]["edp"] == pytest.approx(ratio)


def test_trials_tell_the_story(finished: Study, tiny: Settings) -> None:
    found = [t for t in finished.trials() if t.get("scheme") == "found" and t["stage"] == "search"]
    assert [trial["step"] for trial in found] == sorted(trial["step"] for trial in found)
    assert found[-1]["step"] == found[-1]["steps"]
    assert not any(trial["proposed"] for trial in found if not trial["learning"])
    assert all(0 <= trial["entropy"] <= 1 for trial in found)
    assert max(trial["evaluations"] for trial in found) <= tiny.agent.evaluations
    assert all(trial["best"] <= 0 for trial in found), "the baseline design is always in the archive"


@pytest.mark.parametrize("records", [0, 13, 22])
def test_a_kill_anywhere_changes_nothing(
    finished: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: int
) -> None:
    study = Study(tmp_path / "run", finished.settings)
    run_killed_after(study, records, monkeypatch)
    resumed = run(Study(tmp_path / "run", finished.settings))
    assert without_times(resumed) == without_times(finished.result())
    assert study.trials() == finished.trials()


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [("platform", "limits", {"lanes": 4}), ("objective", "weight", 0.3), ("quantize", "epochs", 1)],
    ids=str,
)
def test_another_chip_weight_or_recipe_takes_over_what_does_not_depend_on_it(
    finished: Study, tmp_path: Path, group: str, key: str, value: object
) -> None:
    tree = finished.settings.to_dict()
    tree[group][key] = value
    settings = Settings.model_validate(tree)
    anew = run(Study(tmp_path / "anew", settings))
    study = Study(tmp_path / "lent", settings)
    lent = run(study, reuse=[finished.directory])
    assert without_times(lent) == without_times(anew)
    assert study.trials() == Study(tmp_path / "anew", settings).trials()
    theirs, ours = finished_stages(finished), finished_stages(study)
    alone = {"platform": ["baseline"], "objective": ["hardware_only"]}
    shared = {f"search/{key}" for key in alone.get(group, ["baseline", "hardware_only", "found"])}
    shared |= {name for name in theirs if name.startswith("train/") and name in ours}
    assert {name: ours[name][1] for name in shared} == {name: theirs[name][1] for name in shared}
    if group == "platform":
        assert lent["baseline"]["seconds"] == finished.result()["baseline"]["seconds"]


def test_a_joint_search_for_a_dear_network_ends_with_the_baselines(finished: Study, tmp_path: Path) -> None:
    problem, known = Problem.of(finished.settings), finished_stages(finished)
    drawn = [problem.networks.sample(np.random.default_rng(seed)) for seed in range(40)]
    dearest = max(drawn, key=lambda network: problem.workload(network).macs)

    class Dear:
        def stage(self, name: str) -> Lent | None:
            result, seconds, trials = known.get(name, (None, 0.0, []))
            if result is None:
                return None
            return ({**result, "finalists": [dearest]} if name == "search/found" else result), seconds, trials

    result = Run(problem, Stages(Study(tmp_path / "run", finished.settings), 60, [Dear()])).result()
    assert result["baseline"]["macs"] < problem.workload(dearest).macs
    assert result["found"]["options"] == result["baseline"]["options"]


def test_only_a_run_that_differs_in_chip_or_weight_lends(finished: Study, tmp_path: Path) -> None:
    tree = finished.settings.to_dict()
    tree["run"]["seed"] = 5
    with pytest.raises(
        SettingsError,
        match=r"must differ in platform\.fpga, platform\.limits, objective\.weight and quantize\.\* only",
    ):
        run(Study(tmp_path / "a", Settings.model_validate(tree)), reuse=[finished.directory])
    tree = finished.settings.to_dict()
    tree["platform"]["limits"] = {"lanes": 3}
    with pytest.raises(SettingsError, match="must have the baseline accelerator"):
        run(Study(tmp_path / "b", Settings.model_validate(tree)), reuse=[finished.directory])
    with pytest.raises(SettingsError, match="must be there"):
        run(Study(tmp_path / "c", finished.settings), reuse=[tmp_path])


@pytest.mark.slow
def test_a_run_stopped_again_and_again_elsewhere_ends_as_if_never_stopped(
    finished: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call begins in an empty directory with what the calls before have kept, and may take longer."""
    kept, stood = tmp_path / "kept", []
    for call in range(1, 99):
        study = Study(tmp_path / str(call), finished.settings)
        asked = count()
        monkeypatch.setattr(Halt, "due", property(lambda _, asked=asked, last=5 * call: next(asked) >= last))
        try:
            result = run(study, reuse=[kept] if kept.exists() else [])
        except PausedError as pause:
            assert keep_stages(study, kept) == []
            stood.append(pause.stage)
        else:
            break
    assert without_times(result) == without_times(finished.result())
    assert study.trials() == finished.trials()
    assert {stage.partition("/")[0] for stage in stood} >= {"search", "train"}


def test_a_run_stops_after_a_kind_of_stage_and_goes_on_in_place(finished: Study, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    for until, following in (("search", "train/"), ("train", "quantize/"), ("quantize", "hardware/")):
        with pytest.raises(PausedError) as pause:
            run(Study(directory, finished.settings), halt=Halt(until=until))
        assert pause.value.stage.startswith(following)
    study = Study(directory, finished.settings)
    assert without_times(run(study)) == without_times(finished.result())
    assert study.trials() == finished.trials()
    with pytest.raises(SettingsError, match="--until must be one of search, train, quantize"):
        Halt(until="searching")


def test_kept_stages_are_small_whole_and_written_once(
    finished: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    keep_stages(finished, kept)
    files = {path: path.stat().st_mtime_ns for path in (kept / "stages").iterdir()}
    keep_stages(finished, kept)
    assert files == {path: path.stat().st_mtime_ns for path in (kept / "stages").iterdir()}
    monkeypatch.setattr("rhnas.codesign.reuse.MOST_BYTES", 100)
    assert len(keep_stages(finished, tmp_path / "other")) == len(files)
    damaged = next(iter(files))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="delete it, and the stage is repeated"):
        run(Study(tmp_path / "run", finished.settings), reuse=[kept])


def test_integers_of_a_kept_run_are_read_beside_its_result(
    finished: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    keep_stages(finished, kept)
    assert not list((kept / "stages").glob("quantize-*"))
    for path in (finished.directory / "result.json", *finished.directory.glob("*/network.npz")):
        copy = kept / path.relative_to(finished.directory)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.delattr("rhnas.codesign.experiment.integer_network")
    again = run(Study(tmp_path / "run", finished.settings), reuse=[kept])
    assert without_times(again) == without_times(finished.result())


def test_a_lost_gpu_ends_the_run_with_the_way_on(
    finished: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(self: Training) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be ...")

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", lost)
        with pytest.raises(RhnasError, match=r"launch failure; .*--resume.*run\.device=auto") as error:
            run(Study(tmp_path / "run", finished.settings))
    assert "kernel" not in str(error.value)
    resumed = run(Study(tmp_path / "run", finished.settings))
    assert without_times(resumed) == without_times(finished.result())


def test_a_finished_run_is_not_run_again(finished: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rhnas.codesign.run.Problem.of", lambda settings: pytest.fail("must not search"))
    assert run(finished) == finished.result()


def test_a_corrupt_checkpoint_is_kept_aside(finished: Study, tmp_path: Path, monkeypatch) -> None:
    study = Study(tmp_path / "run", finished.settings)
    run_killed_after(study, 5, monkeypatch)
    path = study.directory / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match=r"moved to .*checkpoint\.pt\.corrupt"):
        run(study)
    assert (study.directory / "checkpoint.pt.corrupt").exists()
    assert without_times(run(study)) == without_times(finished.result())


def test_what_cannot_work_is_said_before_anything_is_spent(tiny: Settings, toy_platform, tmp_path) -> None:
    def attempt(**groups):
        tree = tiny.to_dict()
        for group, values in groups.items():
            tree[group] |= values
        settings = Settings.model_validate(tree)
        run(Study(tmp_path / str(len(list(tmp_path.iterdir()))), settings))

    with pytest.raises(InfeasibleDesignError, match="limits lanes=-1"):
        attempt(platform={"limits": {"lanes": -1}})
    with pytest.raises(SettingsError, match="network space"):
        attempt(task={"space": "digit"})
    with pytest.raises(DataError):
        attempt(task={"data": "no_such_folder"})
    with pytest.raises(DataError):
        attempt(task={"train": 10**6})
    with pytest.raises(SettingsError, match="agent must be one of"):
        attempt(agent={"name": "pppo"})


def test_a_device_that_is_not_there_is_refused(tiny: Settings, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    tree = tiny.to_dict() | {"run": {"device": "cuda"}}
    with pytest.raises(SettingsError, match="use cpu or auto"):
        run(Study(tmp_path / "run", Settings.model_validate(tree)))


def test_cost_never_buys_accuracy_off() -> None:
    cheap = Finalist(architecture=(0,), accuracy=0.90, cost=1.0)
    good = Finalist(architecture=(1,), accuracy=0.99, cost=9.0)
    close = Finalist(architecture=(2,), accuracy=0.987, cost=5.0)
    assert choose([cheap, good, close], None, 0.003) is close, "equality with the tolerance counts"
    assert choose([cheap, good, close], 0.90, 0.0) is cheap
    assert choose([cheap, close], 0.999, 0.003) is close


@pytest.mark.slow
@pytest.mark.parametrize(("wait_s", "workers"), [(4.0, 1), (8.0, 1), (12.0, 1), (8.0, 2), (14.0, 2)])
def test_kill_9_on_the_real_thing(tiny: Settings, tmp_path: Path, wait_s: float, workers: int) -> None:
    config = tmp_path / "tiny.toml"
    settings = parse_settings(tiny.to_toml(), ["run.optimum=false", "platform.fpga=xczu3eg"])
    config.write_text(settings.to_toml())

    def command(name: str, workers: int) -> list[str]:
        options = ["--out", str(tmp_path / name), "--resume", "--json", "--workers", str(workers)]
        return [sys.executable, "-m", "rhnas", "search", str(config), *options]

    whole = subprocess.run(command("whole", 1), capture_output=True, text=True, check=True)
    process = subprocess.Popen(command("cut", workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(wait_s)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resumed = subprocess.run(command("cut", 1), capture_output=True, text=True, check=True)
    assert without_times(json.loads(resumed.stdout)) == without_times(json.loads(whole.stdout))
