"""Timing laws of the machine: one table that the cost model, the simulator and the RTL share.

Measured laws were read off the Verilog that the Chisel sources of apache/tvm-vta generate (default
configuration, 64-bit bus, 16-beat bursts, memory delay 16), running single instructions and counting the
cycles of the executing state. Notation: N steps of a GEMM or ALU instruction, b data beats, D memory delay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from rhnas.errors import SettingsError

AXI_BOUNDARY_BYTES = 4096
"""A burst never crosses this boundary (AMBA AXI4 specification, A3.4.1)."""

INSTRUCTION_BYTES = 16
"""An instruction has 128 bits (main ``hw_spec.h``)."""

UOP_BYTES = 4
"""A micro-op has 32 bits (main ``hw_spec.h``)."""

TIMING = "rhnas"
"""The profile of our RTL, of the programs we write, and of what their compiler weighs."""

NARROW_BUS_BITS = 64
"""The bus with a fetch unit of its own (main ``Fetch.scala``)."""


def _law(value: int, source: str) -> int:
    law: int = field(default=value, metadata={"source": source})
    return law


@dataclass(frozen=True, kw_only=True)
class TimingProfile:
    """Cycles of every instruction as constants of closed-form laws; each field's metadata has its source.

    Attributes:
        name: Of the profile.
        gemm_constant: GEMM takes N + this.
        reset_constant: GEMM with reset takes N + this.
        alu_constant: An ALU instruction takes ``steps * N`` + this.
        alu_immediate_steps: Cycles per step with an immediate operand.
        alu_tensor_steps: Cycles per step with two tensors: the accumulator has one read port.
        memory_delay: D, cycles from a read request to its first beat beside the constants.
        load_constant: LOAD of inp, wgt, acc takes b + this + D, whatever its rows and bursts.
        uop_load_constant: LOAD of micro-ops takes b + this + D.
        padding_hidden: Zero tensors of a padded load written in its latency; each further one takes a cycle.
        padding_ahead: Cycles by which a LOAD ends before its last zero tensor is stored.
        store_setup: A STORE takes this beside its bursts.
        store_constant: Each burst of a STORE takes this + its beats + its tensors.
        wide_store_constant: Each burst of a STORE of tensors no wider than the bus takes this + its beats.
        dispatch: Cycles a module idles between two of its instructions.
        sync: Cycles of an instruction that only synchronises (x_size 0).
        finish: Cycles of FINISH.
        burst_beats: Longest burst.
        fetch_constant: A batch of instructions takes this + its beats + one cycle per instruction.
        wide_fetch_constant: Likewise for buses of 128 bits and more.
        wide_fetch_instructions: Most instructions in such a batch.
        request_delay: Cycles from the begin of a LOAD to the port taking its first burst.
        pad_row_delay: Cycles by which each row of ``y_pad_0`` delays that.
        fetch_request_delay: Cycles from launch, or from the cycle after a batch, to the port taking the next.
        hand_out_delay: Cycles from an instruction's hand-out to its module seeing it.
        return_delay: Cycles for which the port takes no request when one in flight ends.
        request_interval: Cycles between two bursts of one LOAD; the port itself takes one a cycle.
        max_tokens: Tokens that can wait between two modules.
        queue_entries: Instructions each of the three queues holds.
        outstanding_reads: Read requests in flight.

    Example:
        >>> PROFILES["public"].gemm_cycles(1024)
        1030
        >>> PROFILES["public"].launch_cycles(64)
        25
    """

    name: str
    gemm_constant: int = _law(6, "measured: GEMM, initiation interval 1, accumulator bypass")
    reset_constant: int = _law(6, "measured: GEMM with reset")
    alu_constant: int = _law(6, "measured: ALU")
    alu_immediate_steps: int = _law(1, "measured: ALU with immediate, N + 6")
    alu_tensor_steps: int = _law(2, "measured: ALU tensor-tensor, 2N + 6")
    memory_delay: int = _law(16, "main VTAMemDPI.scala, dpiDelay")
    load_constant: int = _law(6, "measured: LOAD inp, wgt, acc, b + 22 at D = 16; ACC_8BIT assumed alike")
    uop_load_constant: int = _law(5, "measured: LOAD uop, b + 21 at D = 16")
    padding_hidden: int = _law(20, "measured: 14x14 of a 56-wide picture with 60 zero tensors, 414 -> 454")
    padding_ahead: int = _law(0, "measured: as padding_hidden")
    store_setup: int = _law(0, "measured: STORE, sum over bursts of 3 + beats + tensors")
    store_constant: int = _law(3, "measured: STORE, sum over bursts of 3 + beats + tensors")
    wide_store_constant: int = _law(4, "read, not run: main TensorStoreWideVME.scala, no pauses")
    dispatch: int = _law(1, "main Load.scala, Compute.scala, Store.scala: back to sIdle between instructions")
    sync: int = _law(2, "main Load.scala, Compute.scala, Store.scala: sIdle and sSync")
    finish: int = _law(1, "measured: FINISH")
    burst_beats: int = _law(16, "main shell/Configs.scala, De10Config: lenBits 4")
    fetch_constant: int = _law(21, "measured: launch to FINISH is 25 for 1 instruction, 70 for 9, 385 for 65")
    wide_fetch_constant: int = _law(24, "read, not run: main FetchWideVME.scala, three registers more")
    wide_fetch_instructions: int = _law(16, "read, not run: main TensorUtil.scala, memDepth of fetch")
    request_delay: int = _law(2, "main GenVMECmd, VME.scala: command, then its queue")
    pad_row_delay: int = _law(1, "docs/simulator.md, LOAD: one per row of y_pad_0")
    fetch_request_delay: int = _law(2, "as request_delay, which the simulator used for fetch too")
    hand_out_delay: int = _law(1, "docs/simulator.md, Fetch: handed out in t, begins in t + 1")
    return_delay: int = _law(1, "docs/simulator.md, Read port: none as one completes")
    request_interval: int = _law(2, "main VME.scala: command queues of one entry; measured 406 and 533")
    max_tokens: int = _law(255, "main Semaphore.scala, 8 bits")
    queue_entries: int = _law(512, "main Core.scala, instQueueEntries")
    outstanding_reads: int = _law(16, "main VME.scala, tag table")

    @classmethod
    def sources(cls) -> Mapping[str, str]:
        """Where each number comes from, by field."""
        return {law.name: law.metadata["source"] for law in fields(cls) if law.name != "name"}

    def gemm_cycles(self, steps: int, *, reset: bool = False) -> int:
        """Cycles of a GEMM instruction of ``steps`` micro-op executions; BATCH rows work side by side."""
        return steps + (self.reset_constant if reset else self.gemm_constant)

    def load_cycles(self, beats: int, zero_tensors: int = 0) -> int:
        """Cycles of a LOAD of inp, wgt, acc or ACC_8BIT.

        Args:
            beats: Data beats over all rows.
            zero_tensors: Tensors that padding writes.
        """
        exposed = max(0, zero_tensors - self.padding_hidden)
        return beats + self.load_constant + self.memory_delay + exposed

    def burst_bytes(self, bus_bits: int) -> int:
        """Longest burst, and the alignment at which bursts are cut, in bytes.

        Example:
            >>> PROFILES["public"].burst_bytes(64), PROFILES["public"].burst_bytes(512)
            (128, 1024)
        """
        return min(self.burst_beats * bus_bits // 8, AXI_BOUNDARY_BYTES)

    def fetch_instructions(self, bus_bits: int) -> int:
        """Instructions per fetch; the next is requested when they are handed out.

        Example:
            >>> [PROFILES["public"].fetch_instructions(bus) for bus in (64, 128, 512)]
            [8, 16, 16]
        """
        burst = self.burst_bytes(bus_bits) // INSTRUCTION_BYTES
        return burst if bus_bits == NARROW_BUS_BITS else min(burst, self.wide_fetch_instructions)

    def fetch_latency(self, bus_bits: int) -> int:
        """Cycles of a fetch beside its beats and its instructions."""
        return self.fetch_constant if bus_bits == NARROW_BUS_BITS else self.wide_fetch_constant

    def fetch_cycles(self, instructions: int, bus_bits: int) -> int:
        """Cycles of one fetch of at most ``fetch_instructions``: latency, beats, one hand-out per cycle.

        Example:
            >>> PROFILES["public"].fetch_cycles(8, 64)
            45
        """
        beats = -(-instructions * INSTRUCTION_BYTES * 8 // bus_bits)
        return self.fetch_latency(bus_bits) + beats + instructions

    def launch_cycles(self, bus_bits: int) -> int:
        """Launch to FINISH of an empty program: fetch of one instruction and FINISH."""
        return self.fetch_cycles(1, bus_bits) + self.hand_out_delay - 1 + self.finish


RTL: Mapping[str, int] = MappingProxyType(
    {
        "gemm_constant": 12,
        "reset_constant": 12,
        "alu_constant": 9,
        "load_constant": 5,
        "uop_load_constant": 5,
        "padding_hidden": 19,
        "padding_ahead": 1,
        "store_setup": 1,
        "store_constant": 2,
        "wide_store_constant": 3,
        "fetch_constant": 19,
        "wide_fetch_constant": 19,
        "wide_fetch_instructions": 64,
        "pad_row_delay": 0,
        "fetch_request_delay": 1,
        "hand_out_delay": 3,
        "return_delay": 0,
        "request_interval": 1,
    }
)
"""Where our RTL differs from the published one: register stages of ``vta/rtl``, asserted by its tests."""

PROFILES: Mapping[str, TimingProfile] = MappingProxyType(
    {"public": TimingProfile(name="public"), "rhnas": TimingProfile(name="rhnas", **RTL)}
)
"""``public``: the published RTL. ``rhnas``: our RTL."""


def profile_named(name: str) -> TimingProfile:
    """The profile of that name.

    Raises:
        SettingsError: There is none.
    """
    if name not in PROFILES:
        raise SettingsError(f"timing must be one of {sorted(PROFILES)}", got=name)
    return PROFILES[name]
