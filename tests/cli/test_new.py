"""rhnas new writes presets and never destroys a file unasked."""

import json
import subprocess
import sys

import pytest

from rhnas.cli import app
from rhnas.settings import load_settings, preset_names, preset_text


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        app.main([*arguments])
    return int(ended.value.code)


@pytest.mark.parametrize("preset", preset_names())
def test_the_written_file_is_the_preset_and_loads(preset, tmp_path, capsys):
    target = tmp_path / "sub" / "mine.toml"
    assert run("new", preset, str(target), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "preset": preset, "file": str(target)}
    assert target.read_text() == preset_text(preset)
    assert load_settings(target) == load_settings(preset)


def test_a_file_of_the_users_is_kept_unless_overwrite_is_said(tmp_path, capsys):
    target = tmp_path / "mine.toml"
    target.write_text("precious")
    assert run("new", "digits", str(target)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert target.read_text() == "precious"
    assert run("new", "digits", str(target), "--overwrite") == 0
    assert target.read_text() == preset_text("digits")


def test_an_unknown_preset_names_the_nearest(tmp_path, capsys):
    assert run("new", "digit", str(tmp_path / "mine.toml"), "--json") == 2
    assert "digits" in json.loads(capsys.readouterr().out)["error"]["fix"]
    assert not (tmp_path / "mine.toml").exists()


@pytest.mark.parametrize("command", ["new", "doctor", "report"])
def test_small_commands_start_without_torch(command):
    code = f"""
import sys
from rhnas.cli import app
try:
    app.main([{command!r}, "--help"])
except SystemExit as ended:
    assert not ended.code
assert "torch" not in sys.modules and "plotly" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
