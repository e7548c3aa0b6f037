"""Realizability both ways: what the rules accept can be built and works; the generator refuses the rest."""

from functools import cache

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from amaranth.hdl import Fragment, Module, Signal
from amaranth.lib.wiring import Out

from rhnas.errors import InfeasibleDesignError
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.generate import generate
from rhnas.vta.isa import INSTRUCTION_BYTES, Opcode, layout
from rhnas.vta.rtl.fields import fields
from rhnas.vta.rtl.walk import Walk
from rhnas.vta.rules import STRUCTURAL
from rhnas.vta.simulate.run import simulate
from rhnas.vta.spaces import VTA_INTEL, VTA_WIDE
from rhnas.vta.uops import uop_layout
from rhnas.vta.verilate import RtlModel

from .designs import all_pairs, one_per_word
from .streams import DRAM_BYTES, random_program
from .test_accelerator import needs_tools, run_rtl

SPACES = [pytest.param(space, id=space.name) for space in (VTA_INTEL, VTA_WIDE)]
MACS, SAMPLE = 4_096, 112


@cache
def sample():
    """Designs with every pair of values that a design can have."""
    return all_pairs(VTA_WIDE, macs=MACS, seed=0)


def config_at(space, flat):
    return AcceleratorConfig.from_row(space.at(np.array([flat])).row(0))


def apart(slices, bits):
    """Fields lie within the word and share no bit."""
    taken = 0
    for low, width in slices:
        mask = ((1 << width) - 1) << low
        assert width > 0
        assert low + width <= bits
        assert not taken & mask
        taken |= mask


@pytest.mark.parametrize("space", SPACES)
def test_every_accepted_design_has_room_for_all_its_fields(space):
    flats = one_per_word(space)
    assert len(flats) >= 700
    for flat in flats:
        config = config_at(space, flat)
        for opcode in Opcode:
            apart([(f.low, f.width) for f in layout(opcode, config)], 8 * INSTRUCTION_BYTES)
        for opcode in (Opcode.GEMM, Opcode.ALU):
            apart([(f.low, f.width) for f in uop_layout(opcode, config)], 32)


def elaborate(config):
    """All that is sized by index widths, without the array: the fields, and the loops they drive."""
    acc, inp, wgt = config.acc_index_bits, config.inp_index_bits, config.wgt_index_bits
    walks = {
        Opcode.GEMM: {"dst": (0, acc), "src": (acc, inp), "wgt": (acc + inp, wgt)},
        Opcode.ALU: {"dst": (0, acc), "src": (acc, acc)},
    }
    m = Module()
    instruction = Signal(8 * INSTRUCTION_BYTES)
    for opcode, indices in walks.items():
        walk = Walk(uop_bits=config.uop_index_bits, fields=indices)
        m.submodules[opcode.name] = walk
        sliced = fields(instruction, opcode, config)
        assert {f.name: f.width for f in layout(opcode, config)} == {n: len(v) for n, v in sliced.items()}
        for name, member in walk.signature.members.items():
            source = sliced.get({"uop_begin": "uop_bgn"}.get(name, name))
            if source is not None and member.flow is not Out:
                m.d.comb += getattr(walk, name).eq(source)
    Fragment.get(m, None)


@pytest.mark.parametrize("space", SPACES)
def test_fields_and_loops_of_accepted_designs_elaborate(space):
    flats = one_per_word(space)
    for flat in flats[:: len(flats) // 40]:
        elaborate(config_at(space, flat))


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES)
def test_fields_and_loops_of_every_accepted_width_elaborate(space):
    for flat in one_per_word(space):
        elaborate(config_at(space, flat))


def kept(space):
    """Whether each point keeps each rule of our generator, bool (points, rules)."""
    batch = space.at(np.arange(space.points))
    return np.stack([rule.slack(batch) >= 0 for rule in STRUCTURAL], axis=1)


def broken_rules(space):
    """Refused points, one for each set of rules that a point can break, with the names of these."""
    holds = kept(space)
    codes = holds @ (1 << np.arange(len(STRUCTURAL)))
    kinds, first = np.unique(codes, return_index=True)
    return [
        (
            space.at(first[i : i + 1]).row(0),
            {r.name for r, h in zip(STRUCTURAL, holds[first[i]], strict=True) if not h},
        )
        for i in range(len(kinds))
        if not holds[first[i]].all()
    ]


def named_rules(caught):
    words = str(caught.value).split("; got")[0]
    return {rule.name for rule in STRUCTURAL if f"{rule.name}: " in words}


def test_the_generator_refuses_what_the_rules_refuse_and_names_the_same_ones(tmp_path):
    refused = broken_rules(VTA_INTEL)
    assert len(refused) >= 5
    for row, names in refused:
        with pytest.raises(InfeasibleDesignError) as caught:
            generate(row, tmp_path / "out")
        assert named_rules(caught) == names
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_every_design_that_the_rules_refuse_is_refused_for_the_same_reasons():
    holds = kept(VTA_INTEL)
    for flat in np.flatnonzero(~holds.all(axis=1)):
        with pytest.raises(InfeasibleDesignError) as caught:
            config_at(VTA_INTEL, flat)
        assert named_rules(caught) == {r.name for r, h in zip(STRUCTURAL, holds[flat], strict=True) if not h}


def test_the_sample_has_every_pair_of_values_that_a_design_can_have():
    assert len(sample()) == SAMPLE
    rows = VTA_WIDE.unravel(sample())
    assert VTA_WIDE.feasible().contains(rows).all()
    # Every bus with every batch, every micro-op buffer and every array of each side, to name a few.
    assert len(np.unique(rows[:, [0, 7]], axis=0)) == 12
    assert len(np.unique(rows[:, [3, 7]], axis=0)) == 24


def runs_right(config, seed):
    program = random_program(seed, config)
    expected = simulate(program, timing="rhnas")
    run, memory = run_rtl(RtlModel(config), program)
    assert (run.status, run.cycles) == (0, expected.cycles), config.name
    assert np.array_equal(memory, expected.dram.read(0, DRAM_BYTES)), config.name


@pytest.mark.hardware
@needs_tools
@pytest.mark.slow
@pytest.mark.parametrize("number", range(SAMPLE))
def test_a_sampled_design_runs_a_program_as_the_simulator_does(number):
    runs_right(config_at(VTA_WIDE, sample()[number]), seed=number)
