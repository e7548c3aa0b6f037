"""Errors, seeds and files: the ground everything stands on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rhnas import errors
from rhnas.errors import InfeasibleDesignError, MissingToolError, RhnasError
from rhnas.files import canonical_json, read_json, write_atomically, write_json
from rhnas.seeds import Seeds


def test_every_error_is_also_a_builtin():
    family = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, RhnasError)]
    assert len(family) > 5
    for error in family:
        assert error is RhnasError or issubclass(error, ValueError | RuntimeError)


def test_an_error_says_what_was_got_and_what_to_change():
    error = InfeasibleDesignError("the buffer must hold a tile", got=-1, fix="raise LOG_INP_BUFF_SIZE")
    assert error.to_json() == {
        "error": {"what": "the buffer must hold a tile", "got": "-1", "fix": "raise LOG_INP_BUFF_SIZE"}
    }
    assert (error.exit_code, MissingToolError("x").exit_code) == (2, 3)


def test_children_of_a_seed_are_reproducible_and_distinct():
    root = Seeds(root=7)
    draws = {name: root.child(name).numpy().integers(1 << 62) for name in ("agent", "data", "alpha")}
    assert len(set(draws.values())) == 3
    assert root.child("agent").numpy().integers(1 << 62) == draws["agent"]
    assert Seeds(root=8).child("agent").numpy().integers(1 << 62) != draws["agent"]
    assert root.child("a").child("b").integer() != root.child("a").integer()
    assert 0 <= root.child("a").integer() < 1 << 63


def test_seeds_do_not_depend_on_the_hash_seed_of_the_process():
    code = "from rhnas.seeds import Seeds; print(Seeds(root=3).child('agent').integer())"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {f"{Seeds(root=3).child('agent').integer()}\n"}


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "result.json"
    write_json(target, {"a": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RhnasError, match="No space left") as caught:
        write_atomically(target, "half")
    assert "free disk space" in str(caught.value)
    assert read_json(target) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_json_files_are_checked(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{"a": ')
    with pytest.raises(RhnasError, match="must hold JSON"):
        read_json(broken)
    broken.write_text("[]")
    with pytest.raises(RhnasError, match="one JSON object"):
        read_json(broken)
    with pytest.raises(RhnasError, match="must be readable"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "nan.json", {"a": float(np.nan)})
    assert canonical_json({"b": 1, "a": [1.5, None]}) == json.dumps({"a": [1.5, None], "b": 1}).replace(
        " ", ""
    )


def test_a_relative_path_in_a_new_folder_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomically(Path("deep/er/file.txt"), b"bytes")
    assert Path("deep/er/file.txt").read_bytes() == b"bytes"
