"""The interface between a design and what is built of it: programs, their runs, synthesis and placement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhnas.errors import MissingToolError
from rhnas.quantized import Int8Array, QuantizedNetwork

if TYPE_CHECKING:
    from rhnas.platform import Objective


@dataclass(frozen=True, kw_only=True)
class ProgramRun:
    """What a program did in simulation.

    Attributes:
        cycles: Launch to the end.
        matches: Whether memory is as the program expects it; None without an expectation.
        first_difference: Byte address of the first difference, None if there is none.
        busy_cycles: Cycles each part of the machine worked; parts overlap.
        warnings: Questionable things the program did, one line each.
    """

    cycles: int
    matches: bool | None
    first_difference: int | None
    busy_cycles: Mapping[str, int]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What running pictures gave.

    Attributes:
        scores: int8 (N, classes).
        cycles: Of each launch, launch to end; a launch takes as many pictures as the machine has rows.
        layer_cycles: Of one launch by layer in execution order, then ``launch``; empty where the run does
            not tell. A cycle in which two layers worked counts for the earlier one.
    """

    scores: Int8Array
    cycles: tuple[int, ...]
    layer_cycles: Mapping[str, int] = field(default_factory=dict)


class Realization(ABC):
    """A network as a program of one accelerator."""

    batch: int
    """Pictures of one launch."""

    @abstractmethod
    def write(self, folder: Path, pictures: Int8Array, scores: Int8Array) -> Mapping[str, Any]:
        """Write everything a driver needs, with pictures to run and the scores they must give.

        Args:
            folder: Gets ``program/`` and files beside it; created if absent.
            pictures: int8 (batch, C, H, W).
            scores: int8 (batch, classes).

        Returns:
            The description that ``Toolchain.read`` needs, as plain values for a manifest: memory map,
            layouts, registers, layers with their instructions and modelled cycles.
        """

    @abstractmethod
    def modelled_cycles(self) -> Mapping[str, int]:
        """The cost model's cycles by layer in execution order, then ``launch``."""

    @abstractmethod
    def simulate(self, pictures: Int8Array) -> Execution:
        """Run pictures on the platform's simulator, int8 (N, C, H, W).

        Raises:
            ProgramError: The program does what the machine forbids, or reads what was never written.
        """

    def run_rtl(self, pictures: Int8Array) -> Execution:
        """Run pictures on the generated hardware description, int8 (N, C, H, W).

        Raises:
            MissingToolError: A tool is absent, or the platform has no such run.
        """
        raise MissingToolError("the platform must be able to run its hardware description")


class Toolchain(ABC):
    """What turns a design of a platform and a network into things that run and can be measured."""

    @abstractmethod
    def compile(
        self,
        network: QuantizedNetwork,
        row: Mapping[str, int],
        objective: Objective,
        *,
        technology: str,
        schedule: str,
    ) -> Realization:
        """Compile a network under the mappings that serve the objective best.

        Args:
            network: In integers.
            row: A full row of the accelerator.
            objective: What the layers' mappings minimise together.
            technology: Energy profile by which they do.
            schedule: In the platform's own names, as its cost model takes it.

        Raises:
            InfeasibleDesignError: The accelerator is not realizable, or cannot run the network.
        """

    @abstractmethod
    def read(self, network: QuantizedNetwork, folder: Path, description: Mapping[str, Any]) -> Realization:
        """What ``Realization.write`` left in a folder.

        Args:
            network: That the program was made for.
            folder: As given to ``write``.
            description: As returned by it.

        Raises:
            ProgramError: Files are missing or truncated, or belong to another network or accelerator.
        """

    def synthesize(self, row: Mapping[str, int], part: str | None) -> Mapping[str, Any]:
        """Resources of an accelerator by synthesis: the value of ``synthesis`` in ``verify.json``.

        Args:
            row: The accelerator.
            part: FPGA that it is meant for; the platform's own choice if None.

        Raises:
            MissingToolError: A tool is absent, or the platform has no synthesis.
        """
        raise MissingToolError("synthesis must be available on this platform", got="none yet")

    def place(self, row: Mapping[str, int], tell: Callable[[str], None]) -> Mapping[str, Any]:
        """An accelerator placed: the value of ``placement`` in ``verify.json``.

        Args:
            row: The accelerator.
            tell: Called with each step that is begun, in a few words.

        Returns:
            ``fmax_mhz``, the clock it reaches, and what the platform tells beside it. Shown where they are
            there: ``part``, ``speed_grade``, ``routed``, ``critical_modules`` (that the limiting path
            passes, in order), ``used`` and ``available`` (cells by kind).

        Raises:
            MissingToolError: A tool is absent, or the platform has no placement.
        """
        raise MissingToolError("placement must be available on this platform", got="none yet")
