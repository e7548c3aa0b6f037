"""The run directory: what a kill can leave, and that nothing finished is lost."""

import errno
import json
from pathlib import Path

import pytest

import rhnas
from rhnas.errors import CheckpointError, RhnasError, SettingsError
from rhnas.provenance import provenance
from rhnas.settings import Settings, parse_settings
from rhnas.study import CHECKPOINT, TRIALS, Study, open_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "run", Settings())


def test_a_torn_last_line_is_dropped_wherever_the_kill_fell(study: Study) -> None:
    for step in range(3):
        study.append({"step": step, "name": "ü"})
    path = study.directory / TRIALS
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        count = whole[:end].count(b"\n")
        assert study.trials() == [{"step": s, "name": "ü"} for s in range(count)]
        study.truncate(count)
        study.append({"step": "next"})
        assert len(study.trials()) == count + 1
        assert study.trials()[-1] == {"step": "next"}


def test_trials_after_a_checkpoint_are_cut_off(study: Study) -> None:
    for step in range(5):
        study.append({"step": step})
    study.truncate(2)
    study.append({"step": 2})
    assert [trial["step"] for trial in study.trials()] == [0, 1, 2]
    with pytest.raises(CheckpointError, match="must hold the 9 trials"):
        study.truncate(9)


def test_a_broken_line_in_the_middle_is_an_error(study: Study) -> None:
    (study.directory / TRIALS).write_bytes(b'{"step": 0}\nnonsense\n{"step": 2}\n')
    with pytest.raises(CheckpointError, match="line 2"):
        study.trials()


def test_checkpoints_are_opaque_and_replaced_whole(study: Study) -> None:
    assert study.load_checkpoint() is None
    study.save_checkpoint(b"one")
    study.save_checkpoint(b"two")
    assert study.load_checkpoint() == b"two"
    aside = study.set_checkpoint_aside()
    assert aside.read_bytes() == b"two"
    assert study.load_checkpoint() is None
    assert sorted(p.name for p in study.directory.iterdir()) == ["checkpoint.pt.corrupt", "config.toml"]


def test_a_result_carries_schema_and_provenance(study: Study) -> None:
    written = study.finish({"found": {"cycles": 3}})
    assert study.finished
    assert study.result() == json.loads(json.dumps(written))
    assert written["provenance"]["configuration"] == Settings().identity()
    assert written["provenance"]["version"] == rhnas.__version__
    assert written["schema"] == 1


def test_a_run_is_neither_overwritten_nor_mixed_by_mistake(tmp_path: Path) -> None:
    settings, other = Settings(), parse_settings("[run]\nseed = 9\n")
    directory = tmp_path / "run"
    open_study(directory, settings, resume=True, overwrite=False).append({"step": 0})
    with pytest.raises(SettingsError, match="unfinished run"):
        open_study(directory, settings, resume=False, overwrite=False)
    assert len(open_study(directory, settings, resume=True, overwrite=False).trials()) == 1
    with pytest.raises(SettingsError, match=r"run\.seed = 9 against 0"):
        open_study(directory, other, resume=True, overwrite=False)
    fresh = open_study(directory, other, resume=False, overwrite=True)
    assert fresh.trials() == []
    assert parse_settings((directory / "config.toml").read_text()) == other
    with pytest.raises(SettingsError, match="exclude each other"):
        open_study(directory, other, resume=True, overwrite=True)


def test_other_peoples_files_survive_overwrite(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    study = open_study(tmp_path, Settings(), resume=False, overwrite=False)
    study.save_checkpoint(b"x")
    open_study(tmp_path, Settings(), resume=False, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_full_disk_says_so_and_keeps_what_was_there(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.append({"step": 0})
    study.save_checkpoint(b"kept")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RhnasError, match="No space left"):
        study.save_checkpoint(b"new")
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(RhnasError, match="resume with --resume"):
        study.append({"step": 1})
    monkeypatch.undo()
    assert study.load_checkpoint() == b"kept"
    assert study.trials() == [{"step": 0}]
    assert not list(study.directory.glob(".checkpoint*")), "no temporary file stays behind"


def test_provenance_names_no_host_and_imports_no_torch() -> None:
    import platform
    import subprocess
    import sys

    assert platform.node() not in json.dumps(provenance(seed=1))
    code = "import sys; from rhnas import provenance, study; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
