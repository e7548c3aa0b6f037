"""Exit codes and error output of the command line as a whole."""

import json
import subprocess
import sys

import pytest


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rhnas", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nosuch"], "nosuch"),
        (["space"], "name"),
        (["space", "nosuch"], "vta-intel"),
        (["explain", "--accelerator", "absent.json"], "absent.json"),
    ],
)
def test_the_users_mistakes_exit_with_2_and_no_stack_trace(arguments, complaint):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error:" in done.stderr
    assert complaint in done.stderr.lower()
    assert "Traceback" not in done.stderr
    in_json = run(*arguments, "--json")
    assert in_json.returncode == 2
    assert set(json.loads(in_json.stdout)["error"]) == {"what", "got", "fix"}


def test_help_lists_every_command_with_an_example():
    listed = run("--help")
    assert listed.returncode == 0
    for command in ("space", "explain"):
        assert command in listed.stdout
        assert f"rhnas {command}" in run(command, "--help").stdout
