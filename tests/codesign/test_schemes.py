"""Further schemes of a search on the toy platform: one contract, and what each is by definition."""

from pathlib import Path

import numpy as np
import pytest
from tests.codesign.test_run import run_killed_after, without_times

from rhnas.codesign.experiment import Run
from rhnas.codesign.problem import Problem
from rhnas.codesign.run import run
from rhnas.codesign.schemes import responses
from rhnas.codesign.schemes.responses import NEGLIGIBLE, RESPONSES, TURNS, Moment
from rhnas.codesign.schemes.table import ACCURATE, FURTHER, JOINT, SCHEMES, schemes_with, searches_of
from rhnas.codesign.stages import Stages
from rhnas.errors import SettingsError
from rhnas.settings import Settings, parse_settings
from rhnas.study import Study


@pytest.fixture(scope="module")
def settings(tiny: Settings) -> Settings:
    return parse_settings(tiny.to_toml(), ['run.schemes=["alternation", "exact"]', "nas.epochs=5"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("further") / "run"


@pytest.fixture
def finished(place: Path, settings: Settings, toy_platform) -> Study:
    study = Study(place, settings)
    if not study.finished:
        run(study)
    return study


def test_further_schemes_keep_the_contract_of_the_four(finished: Study, settings: Settings) -> None:
    result = finished.result()
    for key in ("found", *FURTHER):
        row = result[key]
        assert row["realizable"]
        assert row["gap"] >= 0
        assert row["certified_gap"] == pytest.approx(row["gap"], abs=1e-9)
        assert (finished.directory / key / "network.npz").exists()
        trials = [t for t in finished.trials() if t.get("scheme") == key and t["stage"] == "search"]
        assert trials[-1]["step"] == trials[-1]["steps"]
    assert result["alternation"]["evaluations"] <= settings.agent.evaluations
    assert result["exact"]["evaluations"] == result["feasible_designs"]
    assert result["exact"]["gap"] == pytest.approx(0, abs=1e-12)
    assert result["certificate"]["trained"]["networks"] >= 1


def test_a_kill_changes_nothing(finished: Study, settings: Settings, tmp_path: Path, monkeypatch) -> None:
    first = [trial.get("scheme") for trial in finished.trials()].index("alternation")
    run_killed_after(Study(tmp_path / "run", settings), first + TURNS + 2, monkeypatch)
    resumed = run(Study(tmp_path / "run", settings))
    assert without_times(resumed) == without_times(finished.result())


@pytest.fixture
def side(settings: Settings, toy_platform, tmp_path: Path):
    one = Run(Problem.of(settings), Stages(Study(tmp_path / "run", settings), 60))
    return one.codesign(searches_of(SCHEMES)[2])


def test_alternation_holds_a_design_between_its_turns(side, settings: Settings) -> None:
    response = RESPONSES["alternation"]()
    weights = side.counts.expected(side.networks.supernet.probabilities())
    held, spent = [], []
    for share in np.linspace(0, 0.99, 4 * TURNS):
        moment = Moment(weights=weights, share=float(share), likeliest=lambda: weights)
        _, rows = response.turn(side.hardware, moment, settings.agent)
        held.append(tuple(rows.tolist()))
        spent.append(side.hardware.evaluations)
    assert {len(rows) for rows in held} == {1}
    assert held[0] == (0,), "it begins with the baseline accelerator"
    assert len(set(spent)) == TURNS
    assert spent[-1] == int(responses.JOINT_SHARE * settings.agent.evaluations)
    assert held[-1] == tuple(side.hardware.best(weights).tolist())


def test_exact_response_is_the_soft_minimum_over_all_designs(side, settings: Settings) -> None:
    weights = side.counts.expected(side.networks.supernet.probabilities())
    moment = Moment(weights=weights, share=0.0, likeliest=lambda: weights)
    proposed, rows = RESPONSES["exact"]().turn(side.hardware, moment, settings.agent)
    scores = side.hardware.archive.scores(weights)
    assert len(proposed) == 0
    assert len(scores) == side.hardware.archive.visit(Problem.of(settings).designs.all()).max() + 1
    assert len(rows) < len(scores)
    share = np.exp(-(scores - scores.min()) / settings.agent.temperature)
    share /= share.sum()
    assert share[rows].sum() == pytest.approx(1, abs=len(scores) * np.exp(-NEGLIGIBLE))


def test_without_a_weight_one_search_serves_every_scheme(
    tiny: Settings, toy_platform, tmp_path: Path
) -> None:
    free = parse_settings(tiny.to_toml(), ["objective.weight=0", 'run.schemes=["alternation"]'])
    study = Study(tmp_path / "run", free)
    result = run(study)
    searched = {trial["scheme"] for trial in study.trials() if trial["stage"] == "search"}
    assert searched == {"hardware_only"}
    rows = [result[key] for key in ("baseline", "hardware_only", "two_stage", "found", "alternation")]
    assert len({tuple(row["options"]) for row in rows}) == 1
    assert rows[0]["accelerator"] == toy_platform.default()
    assert len({row["label"] for row in rows[1:]}) == 1
    assert all(row["gap"] < rows[0]["edp_uj_ms"] / rows[1]["edp_uj_ms"] - 1 for row in rows[1:])
    assert result["certificate"]["candidates"] is None


def test_without_a_weight_a_joint_search_ends_with_the_same_networks(
    tiny: Settings, toy_platform, tmp_path: Path
) -> None:
    free = parse_settings(tiny.to_toml(), ["objective.weight=0"])
    one = Run(Problem.of(free), Stages(Study(tmp_path / "run", free), 60))
    ends = []
    for search in (ACCURATE, JOINT):
        loop = one.codesign(search)
        assert [trial.learning for trial in loop][-1]
        settled = loop.settle(6, loop.networks.seeds.child("settle"))
        ends.append((settled.architectures, settled.accuracies))
    assert ends[0] == ends[1]


def test_names_and_sizes_are_checked_before_anything_is_spent(
    tiny: Settings, toy_platform, tmp_path: Path, monkeypatch
) -> None:
    with pytest.raises(SettingsError, match="did you mean alternation"):
        schemes_with(["alternations"], 0.1)
    monkeypatch.setattr("rhnas.codesign.experiment.MOST_DESIGNS", 10)
    exact = parse_settings(tiny.to_toml(), ['run.schemes=["exact"]'])
    with pytest.raises(SettingsError, match="at most 10"):
        run(Study(tmp_path / "run", exact))
