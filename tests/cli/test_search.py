"""``rhnas search``: mistakes are named before anything is spent, a finished run is printed."""

import json
from pathlib import Path

import pytest

from rhnas.cli.app import main
from rhnas.settings import load_settings
from rhnas.study import Study


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    with pytest.raises(SystemExit) as end:
        main(["search", *arguments, "--json"])
    return int(end.value.code or 0), json.loads(capsys.readouterr().out)


def test_unknown_keys_presets_and_values_are_named(capsys, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "run"))
    code, said = call(capsys, "digits", *out, "--set", "agent.evaluation=3")
    assert code == 2
    assert said["error"]["fix"] == "did you mean agent.evaluations?"
    code, said = call(capsys, "digit", *out)
    assert (code, said["error"]["got"]) == (2, "digit")
    code, said = call(capsys, "digits", *out, "--set", "run.seed=-1")
    assert code == 2
    assert "run.seed" in said["error"]["what"]
    assert not (tmp_path / "run").exists(), "nothing is written for a mistake"


def test_a_finished_run_is_refused_printed_or_replaced(capsys, tmp_path: Path) -> None:
    study = Study(tmp_path, load_settings("digits"))
    written = study.finish({"how": "modelled"})
    (tmp_path / "report.html").write_text("kept")
    code, said = call(capsys, "digits", "--out", str(tmp_path))
    assert code == 2
    assert "--resume" in said["error"]["fix"]
    assert "--overwrite" in said["error"]["fix"]
    assert call(capsys, "digits", "--out", str(tmp_path), "--resume") == (0, written)
    code, said = call(capsys, "digits", "--out", str(tmp_path), "--resume", "--set", "run.seed=5")
    assert code == 2
    assert said["error"]["got"] == "run.seed = 5 against 0"
