"""Speed of the simulator: simulated cycles per second, with and without computing.

Run ``python benchmarks/simulator.py``; with ``--rtl`` the default's Verilog runs the program under Verilator
instead, and must take the cycles of the simulator. The program has the proportions of a convolution layer:
weights and inputs loaded in double buffers, long GEMMs, an ALU epilogue and a store per tile, on several
accelerators.
"""

from __future__ import annotations

import argparse
import time as clock
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Alu, AluOp, Finish, Gemm, Instruction, Load, Memory, Opcode, Store, assemble
from rhnas.vta.program import Program, Segment
from rhnas.vta.simulate.run import simulate, time
from rhnas.vta.uops import MicroOp, encode_uops
from rhnas.vta.verilate import RtlModel, RtlRun

DESIGNS = {
    "default": AcceleratorConfig(),
    "4x8x8": AcceleratorConfig(log_batch=2, log_block_in=3, log_block_out=3),
    "1x32x32, 256-bit bus": AcceleratorConfig(
        log_block_in=5, log_block_out=5, log_inp_buff_size=15, log_wgt_buff_size=18, shl_mem_axi_data_bits=256
    ),
}
CODE_ADDRESS = 1 << 26
TILES, PIXELS, TAPS = 64, 196, 9
"""Tiles of 14 x 14 pixels under 3 x 3 kernels."""


def layer(config: AcceleratorConfig) -> Program:
    """A program of TILES tiles."""
    uops = encode_uops([MicroOp(0, tap, tap) for tap in range(TAPS)], Opcode.GEMM, config)
    body: list[Instruction] = [Load(memory_type=Memory.UOP, x_size=TAPS)]
    each: dict[str, Any] = {"iter_in": PIXELS, "dst_factor_in": 1}
    alu = {**each, "src_factor_in": 1, "use_imm": True}
    for tile in range(TILES):
        first, last = tile < 2, tile >= TILES - 2
        body += [
            Load(memory_type=Memory.INP, x_size=PIXELS + TAPS, pop_next=not first),
            Load(memory_type=Memory.WGT, x_size=TAPS, push_next=True),
            Gemm(**each, reset=True, pop_prev=True, pop_next=not first),
            Gemm(**each, uop_end=TAPS, src_factor_in=1, push_prev=not last),
            Alu(**alu, alu_opcode=AluOp.SHR, imm=7),
            Alu(**alu, alu_opcode=AluOp.CLP, imm=127, push_next=True),
            Store(x_size=PIXELS, pop_prev=True, push_prev=True),
        ]
    nothing = Load(memory_type=Memory.UOP, x_size=0, pop_next=True)
    words = assemble([*body, nothing, Finish(pop_next=True)], config)
    content = np.random.default_rng(0).integers(0, 256, 1 << 20, dtype=np.uint8)
    segments = (
        Segment(name="data.bin", address=0, content=content),
        Segment(name="uops.bin", address=1 << 24, content=uops.view(np.uint8)),
    )
    return Program(
        config=config, instructions=words, segments=segments, bases={"uop": 1 << 24, "out": 1 << 25}
    )


def seconds(call: Callable[[], object]) -> float:
    """Processor time of the fastest of five calls."""
    best = np.inf
    for _ in range(5):
        start = clock.process_time()
        call()
        best = min(best, clock.process_time() - start)
    return float(best)


def run_rtl(config: AcceleratorConfig) -> None:
    """Print how fast the Verilog runs the layer.

    Raises:
        ValueError: It takes other cycles than the simulator, or ends with an error.
    """
    program = layer(config)
    dram = program.in_memory(CODE_ADDRESS, CODE_ADDRESS + program.instructions.nbytes + (1 << 16))
    registers = program.registers(CODE_ADDRESS)
    model = RtlModel(config)
    run = model.run(dram, registers=registers)
    expected = RtlRun(cycles=simulate(program, timing="rhnas").cycles, status=0)
    if run != expected:
        raise ValueError(f"the RTL must run as the simulator does: {expected}; got {run}")
    best = seconds(lambda: model.run(dram, registers=registers))
    print(f"RTL under Verilator: {run.cycles:,} cycles, {run.cycles / best / 1e6:.2f} M cycles/s on one core")


def main() -> None:
    """Print a line per design."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rtl", action="store_true", help="run the default's Verilog instead")
    if parser.parse_args().rtl:
        run_rtl(DESIGNS["default"])
        return
    for name, config in DESIGNS.items():
        program = layer(config)
        cycles = simulate(program).cycles  # compiles
        both, alone = seconds(partial(simulate, program)), seconds(partial(time, program))
        print(
            f"{name:22} {cycles:>9,} cycles: {cycles / both / 1e6:5.1f} M cycles/s computing and timing, "
            f"{cycles / alone / 1e6:5.1f} timing only"
        )


if __name__ == "__main__":
    main()
