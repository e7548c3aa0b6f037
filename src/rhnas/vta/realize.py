"""Whole networks on VTA accelerators: compiled, written with all a driver needs, read back and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np

from rhnas.errors import ProgramError, RhnasError
from rhnas.files import write_atomically, write_json
from rhnas.platform import Objective
from rhnas.pricing import LAUNCH
from rhnas.quantized import Int8Array, QuantizedNetwork
from rhnas.space import DesignBatch
from rhnas.toolchain import Execution, Realization, Toolchain
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.cost import SCHEDULES, VtaCostModel
from rhnas.vta.fpga import XC7Z020
from rhnas.vta.lower.describe import describe_layers, describe_pictures, describe_scores
from rhnas.vta.lower.layer import LoweredLayer
from rhnas.vta.lower.network import CompiledNetwork, Region, compile_network, picture_name, stored_layers
from rhnas.vta.mapping import Mapping as Tiles
from rhnas.vta.place import place
from rhnas.vta.program import CONFIGURATION, Program, read_program, write_program
from rhnas.vta.retime import network_mappings
from rhnas.vta.simulate.memory import PAGE_BYTES, PAGES, Dram
from rhnas.vta.simulate.run import Simulation, simulate
from rhnas.vta.synthesize import synthesize
from rhnas.vta.timing import TIMING
from rhnas.workload import IntArray, Layer

PROGRAM = "program"
INSTRUCTIONS = "instructions.bin"
"""The region of the instruction stream."""


@final
class VtaToolchain(Toolchain):
    """Our compiler, the simulator and the generated RTL under Verilator."""

    def compile(
        self,
        network: QuantizedNetwork,
        row: Mapping[str, int],
        objective: Objective,
        *,
        technology: str,
        schedule: str = "best",
    ) -> VtaRealization:
        """Under the mappings that simulation finds best by the laws of the generated machine."""
        config = AcceleratorConfig.from_row(row)
        model = VtaCostModel(technology=technology, timing=TIMING, schedule=schedule)
        mappings = network_mappings(model, config, network, objective)
        return VtaRealization(compile_network(network, mappings, config, SCHEDULES[schedule]), schedule)

    def read(self, network: QuantizedNetwork, folder: Path, description: Mapping[str, Any]) -> VtaRealization:
        """The program as it lies in the folder; mappings and addresses as the description has them."""
        program = read_program(folder / PROGRAM)
        try:
            return VtaRealization(_compiled(network, program, description), description["schedule"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            if isinstance(error, RhnasError):
                raise
            raise ProgramError(
                f"the manifest of {folder} must describe its program", got=repr(error), fix="build it again"
            ) from error

    def synthesize(self, row: Mapping[str, int], part: str | None) -> dict[str, Any]:
        """For the part named, else the default accelerator's board."""
        return synthesize(AcceleratorConfig.from_row(row), part or XC7Z020.name).to_json()

    def place(self, row: Mapping[str, int], tell: Callable[[str], None]) -> dict[str, Any]:
        """On LFE5U-85F, the part that open tools route."""
        return place(AcceleratorConfig.from_row(row), tell=tell).to_json()


def _compiled(network: QuantizedNetwork, program: Program, description: Mapping[str, Any]) -> CompiledNetwork:
    """A network's program from what was written of it."""
    config = AcceleratorConfig.from_row(description["accelerator"])
    if program.config != config:
        raise ProgramError(
            f"the program must be made for {config.name}", got=program.config.name, fix="build it again"
        )
    rows = description["layers"]
    quantized = stored_layers(network, config)
    names = [layer.layer.name for layer in quantized]
    if [row["name"] for row in rows] != names:
        raise ProgramError(
            f"the program must be made for the layers of {network.name}",
            got=[row["name"] for row in rows],
            fix="build it again",
        )
    lowered = tuple(
        LoweredLayer.of(layer, Tiles(**row["mapping"]), config)
        for layer, row in zip(quantized, rows, strict=True)
    )
    regions = tuple(Region(**region) for region in description["regions"])
    first = np.array([row["first_instruction"] for row in rows] + [len(program.instructions) - 1], np.int64)
    pictures = {f"{picture_name(layer)}.bin" for layer in lowered}
    constant = tuple(segment for segment in program.segments if segment.name not in pictures)
    return CompiledNetwork(
        network, lowered, regions, replace(program, segments=constant, expected=None), first
    )


@final
class VtaRealization(Realization):
    """A compiled network.

    Args:
        compiled: Its program and memory map.
        schedule: That it was compiled by.
    """

    def __init__(self, compiled: CompiledNetwork, schedule: str) -> None:
        self.compiled, self.schedule = compiled, schedule
        self.config = compiled.program.config
        self.batch = self.config.batch

    def write(self, folder: Path, pictures: Int8Array, scores: Int8Array) -> Mapping[str, Any]:
        """``vta_config.json``, ``program/`` and ``pixels.bin``, the table that pictures go through."""
        compiled = self.compiled
        write_json(folder / CONFIGURATION, self.config.to_json())
        write_atomically(folder / "pixels.bin", compiled.network.pixels.tobytes())
        write_program(compiled.expecting(compiled.reading(pictures), scores), folder / PROGRAM)
        return {
            "accelerator": self.config.to_row(),
            "timing": compiled.program.timing,
            "schedule": self.schedule,
            "instructions": len(compiled.program.instructions),
            "registers": self.registers,
            "regions": [asdict(region) for region in compiled.regions],
            "pictures": describe_pictures(compiled),
            "scores": describe_scores(compiled),
            "layers": describe_layers(compiled, self.modelled_cycles()),
        }

    @property
    def registers(self) -> dict[str, int]:
        """What the driver writes before it launches, by name of the register."""
        return self.compiled.program.registers(self.compiled.region(INSTRUCTIONS).address)

    def modelled_cycles(self) -> dict[str, int]:
        """The closed form's price of the compiled mappings, by the laws of the generated machine."""
        model = VtaCostModel(timing=TIMING, schedule=self.schedule)
        batch = DesignBatch.of(self.config.to_row())
        layers: list[tuple[Layer, Tiles]] = [
            (lowered.quantized.layer, lowered.mapping) for lowered in self.compiled.layers
        ]
        cycles = {layer.name: model.breakdown(batch, layer, tiles).cycles for layer, tiles in layers}
        launch = model.evaluate(batch, [layer for layer, _ in layers]).launch_cycles
        return {**cycles, LAUNCH: int(launch[0])}

    def simulate(self, pictures: Int8Array) -> Execution:
        """Launch by launch; nothing questionable is allowed."""
        done: list[Simulation] = []

        def launch(program: Program) -> tuple[int, Dram]:
            done[:] = [simulate(program, strict=True)]
            return done[0].cycles, done[0].dram

        execution = self._run(pictures, launch)
        split = layer_cycles(done[0], self.compiled.first_instruction)
        names = [lowered.quantized.layer.name for lowered in self.compiled.layers]
        return replace(execution, layer_cycles=dict(zip([*names, LAUNCH], split, strict=True)))

    def run_rtl(self, pictures: Int8Array) -> Execution:
        """On the generated Verilog under Verilator, its memory as the simulator's: latency 16, no stalls."""
        from rhnas.vta.verilate import RtlModel

        model = RtlModel(self.config)
        end = max(region.address + region.size for region in self.compiled.regions)

        def launch(program: Program) -> tuple[int, Dram]:
            memory = program.in_memory(self.registers["address"], end + PAGE_BYTES)
            ended = model.run(memory, registers=self.registers)
            if ended.status:
                raise ProgramError("the accelerator must end without an error", got=f"status {ended.status}")
            return ended.cycles, Dram.holding([(0, memory)], np.zeros(PAGES, np.bool_))

        return self._run(pictures, launch)

    def _run(self, pictures: Int8Array, launch: Callable[[Program], tuple[int, Dram]]) -> Execution:
        """Scores and cycles of as many launches as the pictures need."""
        scores, cycles = [], []
        for start in range(0, len(pictures), self.batch):
            some = pictures[start : start + self.batch]
            taken, dram = launch(self.compiled.reading(some))
            cycles.append(taken)
            scores.append(self.compiled.scores(dram, len(some)))
        return Execution(scores=np.concatenate(scores), cycles=tuple(cycles))


def layer_cycles(run: Simulation, first_instruction: IntArray) -> list[int]:
    """Cycles of every layer, then of the launch; they sum up to the run's.

    An instruction belongs to the layer that issued it, a cycle in which two layers worked to the earlier one.

    Args:
        run: Of a whole network.
        first_instruction: int64 (L + 1,): of each layer, then of what follows them.
    """
    ends = [int(run.end[a:b].max()) for a, b in pairwise(first_instruction)]
    begin = int(run.start[: first_instruction[-1]].min()) - 1
    reached = np.maximum.accumulate([begin, *ends])
    return [*np.diff(reached).tolist(), run.cycles - int(reached[-1]) + begin]
