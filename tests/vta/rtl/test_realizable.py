"""Realizability both ways: what the rules accept can be built and works; the generator refuses the rest."""

from functools import cache

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the hardware extra is not installed")

from amaranth.hdl import Fragment, Module, Signal
from amaranth.lib.wiring import Out

from rhnas.errors import InfeasibleDesignError
from rhnas.quantize import golden
from rhnas.space import DesignBatch
from rhnas.vta import verilate
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.generate import generate
from rhnas.vta.isa import INSTRUCTION_BYTES, Opcode, layout
from rhnas.vta.lower.layer import compile_layer
from rhnas.vta.rtl.fields import fields
from rhnas.vta.rtl.walk import Walk
from rhnas.vta.rules import CHAINABLE, STRUCTURAL
from rhnas.vta.simulate.run import simulate
from rhnas.vta.spaces import VTA_INTEL, VTA_WIDE
from rhnas.vta.uops import uop_layout
from rhnas.vta.verilate import RtlModel
from rhnas.workload import LayerKind
from tests.tools import needs_verilator
from tests.vta.lower.random_networks import small_network
from tests.vta.lower.test_compile import MODEL
from tests.vta.lower.test_network import compiled_for

from .designs import all_pairs, one_per_word
from .streams import DRAM_BYTES, random_program
from .test_accelerator import run_rtl

SPACES = [pytest.param(space, id=space.name) for space in (VTA_INTEL, VTA_WIDE)]
MACS, SAMPLE = 4_096, 112
PAGE_BYTES = 4_096


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
    assert len(refused) == 6
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


def runs_right(model, seed):
    """A random program: memory and cycles are the simulator's."""
    program = random_program(seed, model.config)
    expected = simulate(program, timing="rhnas")
    run, memory = run_rtl(model, program)
    assert (run.status, run.cycles) == (0, expected.cycles), model.config.name
    assert np.array_equal(memory, expected.dram.read(0, DRAM_BYTES)), model.config.name


def compiled(config, seed):
    """A network whose layers chain on this design, or else one of its layers, in random integers."""
    rng = np.random.default_rng(seed)
    network = small_network(rng)
    whole = compiled_for(network, config, 0.0) if chains(config) else None
    if whole is not None:
        stem = network.layers[0].layer
        pixels = rng.integers(0, 256, (config.batch, stem.channels[0], *stem.size)).astype(np.uint8)
        pictures = network.read_pixels(pixels)
        return whole.expecting(whole.reading(pictures), golden.run(network, pictures))
    batch = DesignBatch.of(config.to_row())
    for quantized in network:
        best = MODEL.best_mapping(batch, quantized.layer, 0.0)
        if best is not None and quantized.layer.kind is LayerKind.CONV:
            layer = quantized.layer
            shape = (config.batch, layer.channels[0], *layer.size)
            inputs = rng.integers(-128, 128, shape).astype(np.int8)
            part = compile_layer(quantized, best[0], config)
            output = golden.compute(quantized, inputs)
            output = output.reshape(config.batch, layer.channels[1], *layer.output_size)
            return part.expecting(part.reading(inputs), output)
    return None


def chains(config):
    return CHAINABLE.slack(DesignBatch.of(config.to_row()))[0] >= 0


def computes_right(model, program):
    """A compiled program leaves what the golden model says, in the simulator's cycles."""
    want = program.expected
    ends = [part.address + len(part.content) for part in (*program.segments, want)]
    place = -(-max(ends) // PAGE_BYTES) * PAGE_BYTES
    memory = program.in_memory(place, place + program.instructions.nbytes + PAGE_BYTES)
    run = model.run(memory, registers=program.registers(place))
    assert (run.status, run.cycles) == (0, simulate(program, timing="rhnas").cycles), model.config.name
    assert np.array_equal(memory[want.address :][: len(want.content)], want.content), model.config.name


@pytest.mark.hardware
@needs_verilator
@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("number", range(SAMPLE))
def test_a_sampled_design_runs_programs_as_the_simulator_does(number, monkeypatch):
    monkeypatch.setattr(verilate, "LEVELS", ("-O0", "-O0"))  # of a short program's time compilation is most
    config = config_at(VTA_WIDE, sample()[number])
    model = RtlModel(config)
    runs_right(model, seed=number)
    program = compiled(config, seed=number)
    if program is not None:
        computes_right(model, program)


def test_most_sampled_designs_run_a_compiled_network_and_nearly_all_a_layer():
    configs = [config_at(VTA_WIDE, flat) for flat in sample()]
    programs = [compiled(config, seed=number) for number, config in enumerate(configs)]
    assert sum(chains(config) for config in configs) >= SAMPLE / 3
    assert sum(program is not None for program in programs) >= 0.9 * SAMPLE
    assert all(simulate(program).matches for program in programs if program is not None)
