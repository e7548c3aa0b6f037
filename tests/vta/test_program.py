"""Program folders: written and read back, run from the command line, refused when damaged."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from rhnas.errors import ProgramError, RhnasError
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Alu, AluOp, Load, Memory, Store, assemble
from rhnas.vta.program import Program, Segment, read_instructions, read_program, write_program

from .reference import in_sequence


def increment(config: AcceleratorConfig, expected: int = 8) -> Program:
    """Adds one to a tensor of sevens."""
    steps = in_sequence(
        [
            Load(memory_type=Memory.UOP),
            Load(memory_type=Memory.ACC_8BIT),
            Alu(alu_opcode=AluOp.ADD, use_imm=True, imm=1),
            Store(),
        ]
    )
    size = config.out_tensor_bytes
    return Program(
        config=config,
        instructions=assemble(steps, config),
        segments=(
            Segment(name="input.bin", address=0, content=np.full(size, 7, np.uint8)),
            Segment(name="uops.bin", address=1 << 20, content=np.zeros(4, np.uint8)),
        ),
        bases={"uop": 1 << 20, "out": 1 << 31},
        expected=Segment(name="out.bin", address=1 << 31, content=np.full(size, expected, np.uint8)),
        timing="rhnas",
    )


@pytest.mark.parametrize("config", [AcceleratorConfig(), AcceleratorConfig(log_block_in=5)])
def test_reading_undoes_writing(config, tmp_path):
    program = increment(config)
    write_program(program, tmp_path)
    again = read_program(tmp_path)
    assert (again.config, again.timing) == (config, "rhnas")
    assert again.base("uop") == 1 << 20
    assert again.base("wgt") == 0
    np.testing.assert_array_equal(again.instructions, program.instructions)
    for ours, theirs in zip(
        (*program.segments, program.expected), (*again.segments, again.expected), strict=True
    ):
        assert (ours.name, ours.address) == (theirs.name, theirs.address)
        np.testing.assert_array_equal(ours.content, theirs.content)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rhnas", "simulate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_prints_cycles_and_whether_memory_matches(tmp_path):
    write_program(increment(AcceleratorConfig()), tmp_path / "good")
    done = run(tmp_path / "good", "--json", "--strict", "--timing", "public")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"cycles": 96, "matches": True}
    # The program's own profile is our RTL's, which waits less around transfers.
    assert json.loads(run(tmp_path / "good", "--json").stdout)["cycles"] < 96
    write_program(increment(AcceleratorConfig(), expected=9), tmp_path / "bad")
    done = run(tmp_path / "bad", "--timing", "public")
    assert done.returncode == 1
    assert "memory differs from the expectation, first at byte 0x80000000" in done.stdout


def edited(folder, **changes):
    """A folder whose program.json is changed; None removes a key."""
    write_program(increment(AcceleratorConfig()), folder)
    value = json.loads((folder / "program.json").read_text()) | changes
    kept = {key: item for key, item in value.items() if item is not None}
    (folder / "program.json").write_text(json.dumps(kept))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instructions": None}, "must have the key 'instructions'"),
        ({"instrucions": "a"}, "key must be one of .*; got instrucions; did you mean instructions"),
        ({"timing": "fast"}, "timing must be one of public, rhnas; got fast"),
        ({"segments": {}}, "segments must be a JSON list"),
        ({"segments": [{"file": "input.bin"}]}, "exactly the keys 'file' and 'address'"),
        (
            {"segments": [{"file": "nowhere.bin", "address": 0}]},
            r"nowhere.bin must be readable; got No such",
        ),
        ({"segments": [{"file": "input.bin", "address": 1 << 32}]}, "within the first 4 GiB of memory"),
        (
            {"segments": [{"file": "input.bin", "address": "0"}]},
            "address must be a whole number of bytes",
        ),
        ({"bases": {"inputs": 0}}, "bases key must be one of .*did you mean inp"),
        ({"bases": {"inp": 1 << 32}}, "base inp must be a 32-bit address"),
        ({"accelerator": "missing.json"}, "missing.json must be readable"),
    ],
)
def test_a_wrong_description_is_refused_by_name(changes, message, tmp_path):
    with pytest.raises(RhnasError, match=message):
        read_program(edited(tmp_path, **changes))


def test_a_truncated_stream_names_the_byte(tmp_path):
    write_program(increment(AcceleratorConfig()), tmp_path)
    path = tmp_path / "instructions.bin"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ProgramError, match=r"instructions.bin .*77 bytes; an instruction begins at byte 64"):
        read_instructions(path)
    path.write_bytes(b"")
    with pytest.raises(ProgramError, match="0 bytes"):
        read_instructions(path)
    done = run(tmp_path, "--json")
    assert done.returncode == 2
    assert "truncated" in json.loads(done.stdout)["error"]["fix"]
