"""The VTA family as a platform: what searches see of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

from rhnas.platform import CostModel, Objective, Platform
from rhnas.quantized import QuantizedNetwork
from rhnas.space import DesignBatch, Rule, Space
from rhnas.toolchain import ProgramRun, Toolchain
from rhnas.vta.config import AcceleratorConfig, parse_accelerator, row_name
from rhnas.vta.fpga import PARTS, fpga_named
from rhnas.vta.resources import fpga_rules
from rhnas.vta.rules import CHAINABLE, KEYS, limit_rules
from rhnas.vta.spaces import DEFAULT, SPACES, space_named
from rhnas.workload import FloatArray, IntArray, Layer, Workload


@final
class VtaPlatform(Platform):
    """The VTA generator with its spaces ``vta-intel`` and ``vta``.

    Example:
        >>> VtaPlatform().space("vta-intel").feasible().count
        6472
    """

    name = "vta"
    spaces = tuple(SPACES)
    options = ("technology", "timing", "schedule")
    fpgas = tuple(PARTS)
    limits = MappingProxyType({"macs": (16, 4096), "bus_bits": (64, 512), "sram_kib": (16, 800)})

    def parse(self, text: str) -> dict[str, int]:
        """``default``, a ``vta_config.json``, or ``KEY=VAL,KEY=VAL`` changes to the default."""
        return parse_accelerator(text)

    def label(self, row: Mapping[str, int]) -> str:
        """``BATCHxINxOUT_uop_inp_wgt_acc_bus``, as Intel Labs name their configurations."""
        return row_name(row)

    def space(self, name: str) -> Space:
        """``vta-intel`` (Intel Labs' explorer) or ``vta`` (the wide one)."""
        return space_named(name)

    def cost_model(self, **options: Any) -> CostModel:
        """The analytical model; options ``technology``, ``timing`` and ``schedule``."""
        from rhnas.vta.cost import VtaCostModel

        return VtaCostModel(**options)

    def rules(
        self,
        *,
        layers: Sequence[Layer] = (),
        chainable: bool = False,
        fpga: str | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> tuple[Rule, ...]:
        """Rules of the levels limit, chainable, fpga and mapping as asked for, cheapest first."""
        return (
            *limit_rules(limits or {}),
            *((CHAINABLE,) if chainable else ()),
            *(() if fpga is None else fpga_rules(fpga_named(fpga))),
            *mapping_rules(layers),
        )

    def default(self) -> dict[str, int]:
        """1x16x16, 15/15/18/17, 64-bit bus."""
        return dict(DEFAULT)

    def config(self, row: Mapping[str, int]) -> AcceleratorConfig:
        """The configuration; exists only if realizable."""
        return AcceleratorConfig.from_row(row)

    def simulate(self, folder: Path, *, timing: str | None = None, strict: bool = False) -> ProgramRun:
        """Run ``program.json`` and what it names, bit for bit and cycle for cycle."""
        from rhnas.vta.program import read_program
        from rhnas.vta.simulate.run import simulate

        done = simulate(read_program(folder), timing=timing, strict=strict)
        return ProgramRun(
            cycles=done.cycles,
            matches=done.matches,
            first_difference=done.first_difference,
            busy_cycles=done.busy_cycles,
            warnings=done.warnings,
        )

    def simulated_cycles(
        self,
        row: Mapping[str, int],
        network: Workload | QuantizedNetwork,
        objective: Objective,
        **options: Any,
    ) -> IntArray | None:
        """By our compiler, the best few mappings of each layer timed."""
        from rhnas.vta.cost import VtaCostModel
        from rhnas.vta.retime import network_cycles

        return network_cycles(VtaCostModel(**options), AcceleratorConfig.from_row(row), network, objective)

    def generate(self, row: Mapping[str, int], folder: Path, fpga: str | None = None) -> dict[str, Any]:
        """Write Verilog, ``vta_config.json`` and ``manifest.json``, as ``rhnas.vta.generate``."""
        from rhnas.vta.generate import generate

        return generate(row, folder, fpga)

    def toolchain(self) -> Toolchain:
        """Our compiler, the simulator and the generated RTL under Verilator."""
        from rhnas.vta.realize import VtaToolchain

        return VtaToolchain()


def mapping_rules(layers: Sequence[Layer]) -> tuple[Rule, ...]:
    """One rule per distinct layer shape: its smallest mapping fits the scratchpads."""
    distinct = {layer.shape: layer for layer in reversed(layers)}
    return tuple(_mapping_rule(layer) for layer in reversed(distinct.values()))


def _mapping_rule(layer: Layer) -> Rule:
    def slack(batch: DesignBatch) -> FloatArray:
        from rhnas.vta.mapping import mapping_slack

        return mapping_slack(batch, layer)

    return Rule(
        name=f"mapping.{layer.name}",
        level="mapping",
        invariant=f"layer {layer.name!r} has a mapping",
        reason="its smallest tile does not fit a scratchpad or the micro-op buffer",
        source="docs/realizability.md, mapping level",
        slack=slack,
        reads=KEYS[:7],
    )
