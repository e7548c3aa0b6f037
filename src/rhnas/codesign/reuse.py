"""Stages taken over from another run: where only the chip differs, the baselines' networks do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rhnas.checkpoint import unpack
from rhnas.codesign.problem import Problem
from rhnas.codesign.schemes.table import SCHEMES, searches_of
from rhnas.codesign.stages import State
from rhnas.errors import SettingsError
from rhnas.settings import Settings, parse_settings
from rhnas.study import CONFIG, Study

MAY_DIFFER = ("platform.fpga", "platform.limits", "run.threads", "run.optimum", "run.checkpoint_s")
"""Keys by which neither a search for the baseline accelerator nor the training of a network is changed."""


class Donor:
    """The stages of a finished run that another run with the same baseline would repeat to the letter.

    Those are the network searches that know one accelerator only, the baseline, and the training of any
    network from scratch. The seconds they took count in the new run as well.

    Args:
        directory: Of the finished run.
        problem: Of the new run.

    Raises:
        SettingsError: The runs differ in more than the chip, or the other is not finished.
    """

    def __init__(self, directory: Path, problem: Problem) -> None:
        study = self._study(directory, problem.settings)
        baseline = study.result()["baseline"]["accelerator"]
        if baseline != problem.row(problem.baseline):
            raise SettingsError(
                f"the run in {directory} must have the baseline accelerator of this one", got=baseline
            )
        content = study.load_checkpoint()
        if content is None:
            raise SettingsError(f"{directory} must hold the checkpoint of its run", got="none")
        state = unpack(content)
        alone = {f"search/{search.name}" for search in searches_of(SCHEMES) if not search.joint}
        self._stages: dict[str, State] = {
            name: result
            for name, result in state["results"].items()
            if name in alone or name.startswith("train/")
        }
        self._seconds: dict[str, float] = state["seconds"]
        self._trials = study.trials()

    @staticmethod
    def _study(directory: Path, settings: Settings) -> Study:
        config = directory / CONFIG
        if not config.is_file() or not (directory / "result.json").is_file():
            raise SettingsError("a run to reuse must be finished", got=str(directory), fix="resume it first")
        theirs = parse_settings(config.read_text(encoding="utf-8"))
        other = [
            difference for difference in settings.differences(theirs) if not difference.startswith(MAY_DIFFER)
        ]
        if other:
            raise SettingsError(
                f"the run in {directory} must differ in {' and '.join(MAY_DIFFER[:2])} only",
                got="; ".join(other),
            )
        return Study(directory, theirs)

    def stage(self, name: str) -> tuple[State, float, list[dict[str, Any]]] | None:
        """A stage's result, its seconds and its trials; None where the donor does not have it."""
        if name not in self._stages:
            return None
        _, _, rest = name.partition("/")
        return self._stages[name], self._seconds[name], [t for t in self._trials if _is_of(t, name, rest)]


def _is_of(trial: dict[str, Any], name: str, search: str) -> bool:
    """Trials name a training by its stage, a network search by its scheme and the stage ``search``."""
    return bool(trial["stage"] == name or (trial["stage"] == "search" and trial["scheme"] == search))
