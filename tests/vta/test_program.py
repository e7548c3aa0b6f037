"""Program folders: written and read back, run from the command line, refused when damaged."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from rhnas.cli.app import main
from rhnas.errors import ProgramError, RhnasError
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Alu, AluOp, Finish, Gemm, Load, Memory, Store, assemble
from rhnas.vta.program import Program, Segment, read_instructions, read_program, write_program

from .reference import in_sequence

PUBLIC_CYCLES = 96 + 2 + 2 + 22 + 1
"""Of ``increment`` with two loads: the second takes two beats to fetch, b + 6 + D, and a cycle before it."""
RTL_CYCLES = PUBLIC_CYCLES - 2 + 3
"""Of the same: both accumulator loads take b + 5 + D, the ALU N + 9 instead of N + 6."""


def increment(config: AcceleratorConfig, expected: int = 8, *, loads: int = 1) -> Program:
    """Adds one to a tensor of sevens."""
    steps = in_sequence(
        [
            Load(memory_type=Memory.UOP),
            *loads * [Load(memory_type=Memory.ACC_8BIT)],
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


class Done(NamedTuple):
    """What a call of ``rhnas simulate`` gave."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> dict:
        """The one JSON object on stdout."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys):
    """Calls ``rhnas simulate``."""

    def call(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as end:
            main(["simulate", *map(str, arguments)])
        return Done(int(end.value.code or 0), *capsys.readouterr())

    return call


def test_the_command_prints_cycles_and_whether_memory_matches(tmp_path, run):
    write_program(increment(AcceleratorConfig(), loads=2), tmp_path / "good")
    done = run(tmp_path / "good", "--json", "--strict", "--timing", "public")
    assert done.code == 0, done.err
    assert done.value == {"cycles": PUBLIC_CYCLES, "matches": True}
    # The program's own profile is our RTL's.
    assert run(tmp_path / "good", "--json").value["cycles"] == RTL_CYCLES
    write_program(increment(AcceleratorConfig(), expected=9), tmp_path / "bad")
    done = run(tmp_path / "bad", "--timing", "public")
    assert done.code == 1
    assert "memory differs from the expectation, first at byte 0x80000000" in done.out


def test_the_timing_given_wins_over_the_program_s_and_public_is_for_neither(tmp_path, run):
    folder, public = edited(tmp_path, loads=2), PUBLIC_CYCLES
    ours = run(folder, "--json").value["cycles"]
    assert run(folder, "--json", "--timing", "rhnas").value["cycles"] == ours == RTL_CYCLES
    assert run(folder, "--json", "--timing", "public").value["cycles"] == public
    for nothing in ({"timing": None}, {"timing": "public"}):
        assert run(edited(tmp_path, loads=2, **nothing), "--json").value["cycles"] == public
        assert run(folder, "--json", "--timing", "rhnas").value["cycles"] == ours


def test_bases_are_zero_and_nothing_is_expected_unless_said(tmp_path, run):
    zeros = dict.fromkeys(("uop", "inp", "wgt", "acc", "out"), 0)
    segments = [{"file": "input.bin", "address": 0}]  # the micro-op is whatever lies there: 7, 7, 7, 7
    whole = run(edited(tmp_path, bases=zeros, segments=segments, expected=None), "--json")
    assert (whole.code, whole.value["matches"]) == (0, None)
    assert run(edited(tmp_path, bases=None, segments=segments, expected=None), "--json") == whole
    only = edited(tmp_path, bases={"acc": 0}, segments=segments, expected=None)
    assert run(only, "--json") == whole


def test_every_memory_is_counted_in_its_tensors_from_its_own_base(tmp_path, run):
    """One GEMM whose operands, micro-op and bias lie behind five unlike bases, two tensors on."""
    config, rng = (
        AcceleratorConfig(log_block_in=3, log_block_out=5, log_inp_buff_size=12),
        np.random.default_rng(0),
    )
    inp, wgt = rng.integers(-128, 128, 8, np.int8), rng.integers(-128, 128, (32, 8), np.int8)
    bias = rng.integers(-99, 99, 32, np.int32)
    steps = in_sequence(
        [
            Load(memory_type=Memory.UOP, dram_base=2),
            Load(memory_type=Memory.ACC, dram_base=2),
            Load(memory_type=Memory.INP, dram_base=2),
            Load(memory_type=Memory.WGT, dram_base=2),
            Gemm(),
            Store(dram_base=2),
        ]
    )
    bases = {"uop": 0x1000, "inp": 0x2000, "wgt": 0x3000, "acc": 0x5000, "out": 0x7000}
    contents = {
        "uop": (4, np.zeros(4, np.uint8)),
        "inp": (8, inp.view(np.uint8)),
        "wgt": (256, wgt.reshape(-1).view(np.uint8)),
        "acc": (128, bias.view(np.uint8)),
    }
    segments = tuple(
        Segment(name=f"{name}.bin", address=bases[name] + 2 * size, content=content)
        for name, (size, content) in contents.items()
    )
    result = (wgt.astype(np.int32) @ inp + bias).astype(np.int8).view(np.uint8)
    expected = Segment(name="expected.bin", address=bases["out"] + 2 * 32, content=result)
    words = assemble(steps, config)
    program = Program(config=config, instructions=words, segments=segments, bases=bases, expected=expected)
    write_program(program, tmp_path)
    done = run(tmp_path, "--json", "--strict")
    assert (done.code, done.value["matches"]) == (0, True), done.err


@pytest.mark.parametrize("count", [1, 9, 65])
def test_instructions_are_fetched_beside_the_segments_wherever_these_lie(count, tmp_path, run):
    nothing = Load(memory_type=Memory.UOP, x_size=0)
    config = AcceleratorConfig()
    program = Program(config=config, instructions=assemble([nothing] * (count - 1) + [Finish()], config))
    cycles = set()
    for address in (0, 24, (1 << 32) - 4096):
        covered = Segment(name="all.bin", address=address, content=np.full(4096, 255, np.uint8))
        write_program(replace(program, segments=(covered,)), tmp_path)
        cycles.add(run(tmp_path, "--json").value["cycles"])
    assert cycles == {{1: 25, 9: 70, 65: 385}[count]}, "launch to FINISH on the public RTL"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            [Load(memory_type=Memory.INP, sram_base=2047, x_size=2)],
            r"instruction 0 \(LOAD INP .*2048 tensors",
        ),
        ([Load(memory_type=Memory.WGT, dram_base=1 << 24)], r"instruction 0 \(LOAD WGT .*4294967296 bytes"),
        ([Store(pop_prev=True)], r"instruction 0 \(STORE .*must get the token it waits for"),
    ],
)
def test_what_the_machine_forbids_is_said_with_the_instruction(steps, message, tmp_path, run):
    config = AcceleratorConfig()
    finish = Finish(pop_next=isinstance(steps[0], Store))
    write_program(Program(config=config, instructions=assemble([*steps, finish], config)), tmp_path)
    done = run(tmp_path, "--json")
    assert done.code == 2
    assert re.match(message, done.value["error"]["what"])


def test_what_was_never_written_is_a_warning_or_with_strict_an_error(tmp_path, run):
    write_program(increment(AcceleratorConfig()), tmp_path)
    (tmp_path / "input.bin").write_bytes(b"\x07" * 5)  # truncated: the rest of the tensor reads as zero
    done = run(tmp_path, "--json")
    assert (done.code, done.value["matches"]) == (1, False)
    said = (
        "instruction 1 (LOAD ACC_8BIT sram 0 <- dram 0, 1 x 1 stride 1) loads memory that was never written"
    )
    assert done.err.strip() == f"warning: {said}"
    done = run(tmp_path, "--json", "--strict")
    assert (done.code, done.value["error"]["what"], done.err) == (2, said, "")


def test_a_program_for_another_accelerator_is_told_by_bits_beyond_its_fields(tmp_path, run):
    wide, narrow = AcceleratorConfig(), AcceleratorConfig(log_acc_buff_size=16)
    steps = in_sequence([Load(memory_type=Memory.UOP), Gemm(iter_in=2, wgt_factor_in=512), Store()])
    program = Program(config=wide, instructions=assemble(steps, wide))
    write_program(program, tmp_path)
    assert "for another" not in run(tmp_path).err
    write_program(replace(program, config=narrow), tmp_path)
    done = run(tmp_path)
    assert re.search(r"warning: instruction 1 \(GEMM .*\) sets bits that no field .* for another\?", done.err)
    assert run(tmp_path, "--strict").code == 2


def edited(folder, loads=1, **changes):
    """A folder whose program.json is changed; None removes a key."""
    write_program(increment(AcceleratorConfig(), loads=loads), folder)
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
        ({"segments": {}}, "segments must be a JSON array"),
        ({"bases": []}, "bases must be a JSON object"),
        ({"accelerator": 7}, "accelerator must be a JSON string"),
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


def test_a_truncated_stream_names_the_byte(tmp_path, run):
    write_program(increment(AcceleratorConfig()), tmp_path)
    path = tmp_path / "instructions.bin"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ProgramError, match=r"instructions.bin .*77 bytes; an instruction begins at byte 64"):
        read_instructions(path)
    path.write_bytes(b"")
    with pytest.raises(ProgramError, match="0 bytes"):
        read_instructions(path)
    done = run(tmp_path, "--json")
    assert done.code == 2
    assert "truncated" in done.value["error"]["fix"]


def test_an_empty_expectation_is_refused(tmp_path):
    write_program(increment(AcceleratorConfig()), tmp_path)
    (tmp_path / "out.bin").write_bytes(b"")
    with pytest.raises(ProgramError, match=r"out.bin must hold what memory is compared with; got 0 bytes"):
        read_program(tmp_path)
