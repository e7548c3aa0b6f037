"""Stages side by side: same results, nothing lost with a worker, errors as the stage raised them."""

import os
import signal
from pathlib import Path

import pytest

from rhnas.codesign.stages import Halt, PausedError, Progress, Silence, Stage, Stages, State
from rhnas.codesign.workers import KILLS, CarryOut, Crew
from rhnas.errors import DataError, RhnasError
from rhnas.settings import Settings
from rhnas.study import Study

STEPS = 8


class Heard(Silence):
    """Progress that keeps what it is told, with all that stands beside it."""

    def __init__(self, said: list[tuple[str, int]]) -> None:
        self.said = said

    def stage(self, name: str, total: int) -> None:
        self.said.append((name, total))

    def beside(self) -> "Heard":
        return Heard(self.said)


def prepare(settings: Settings) -> CarryOut:
    """Stages that count to ``STEPS``; by name they fail or are killed from their middle on."""

    def carry_out(study: Study, name: str, progress: Progress) -> None:
        stages = Stages(study.part(name), every_s=0, halt=Halt(deadline=0) if name == "paused" else None)

        def count(resume: State | None) -> Stage:
            state = resume or {"starts": [], "step": 0}
            state["starts"].append(state["step"])
            progress.stage(name, STEPS)
            while state["step"] < STEPS:
                state["step"] += 1
                stages.record({"stage": name, "step": state["step"]})
                yield lambda: state
                if state["step"] >= STEPS // 2:
                    meet(name, len(state["starts"]))
            return {"starts": state["starts"], "seed": settings.run.seed}

        stages.run(name, count)

    return carry_out


def meet(name: str, starts: int) -> None:
    if name == "missing":
        raise DataError("pictures must be there", got="none", fix="fetch them")
    if name.startswith("killed") and starts <= int(name[-1]):
        os.kill(os.getpid(), signal.SIGKILL)


def seeded(directory: Path) -> Study:
    return Study(directory, Settings.model_validate({"run": {"seed": 7}}))


def test_stages_side_by_side_lend_their_results_and_trials(tmp_path: Path) -> None:
    study, heard = seeded(tmp_path), Heard([])
    names = [f"count/{index}" for index in range(3)]
    with Crew(study, 2, prepare, heard) as crew:
        crew.carry_out(names)
        stages = Stages(study, every_s=0, lenders=[crew])
        assert stages.open(["other", *names]) == ["other"]
        results = [stages.run(name, lambda _: pytest.fail("must be taken over")) for name in names]
    assert results == [{"starts": [0], "seed": 7}] * 3
    steps = range(1, STEPS + 1)
    assert study.trials() == [{"stage": name, "step": step} for name in names for step in steps]
    assert sorted(heard.said) == [(name, STEPS) for name in names]


def test_a_killed_worker_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    study = seeded(tmp_path)
    name = f"killed/{KILLS}"
    with Crew(study, 1, prepare, Silence()) as crew:
        crew.carry_out([name])
        result, _, trials = crew.stage(name) or pytest.fail("must be finished")
    assert result["starts"] == [0, STEPS // 2, STEPS // 2 + 1]
    assert len(trials) == STEPS


@pytest.mark.slow
def test_a_stage_that_always_kills_its_worker_ends_the_run_and_is_kept(tmp_path: Path) -> None:
    study = seeded(tmp_path)
    with Crew(study, 1, prepare, Silence()) as crew, pytest.raises(RhnasError) as error:
        crew.carry_out(["killed/9"])
    assert "killed by SIGKILL" in str(error.value)
    assert "--resume" in str(error.value)
    assert study.part("killed/9").load_checkpoint() is not None


def test_an_error_arrives_as_it_was_raised(tmp_path: Path) -> None:
    with Crew(seeded(tmp_path), 2, prepare, Silence()) as crew, pytest.raises(DataError) as error:
        crew.carry_out(["missing"])
    assert error.value.to_json()["error"] == {
        "what": "pictures must be there",
        "got": "none",
        "fix": "fetch them",
    }


def test_a_pause_lets_the_others_come_to_a_stop_and_begins_nothing_more(tmp_path: Path) -> None:
    study = seeded(tmp_path)
    with Crew(study, 2, prepare, Silence()) as crew:
        with pytest.raises(PausedError) as pause:
            crew.carry_out(["count/0", "paused", *(f"count/{index}" for index in range(1, 99))])
        assert pause.value.stage == "paused"
        assert crew.stage("count/0") is not None
        assert crew.stage("count/98") is None


def test_an_unknown_stage_is_not_lent(tmp_path: Path) -> None:
    with Crew(seeded(tmp_path), 2, prepare, Silence()) as crew:
        assert crew.stage("count/0") is None
