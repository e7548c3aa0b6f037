"""The generated Verilog as a native model: built once per configuration, cached, run on whole programs."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rhnas.errors import ProgramError, ToolFailedError
from rhnas.files import cache_folder
from rhnas.tools import find_compiler, find_verilator, tail
from rhnas.vta.config import AcceleratorConfig

if TYPE_CHECKING:
    from rhnas.vta.rtl.target import Target

MEMORY_LATENCY_CYCLES = 16
"""Default delay of the memory model (main ``VTAMemDPI.scala``, dpiDelay)."""
RUNTIME = ("verilated", "verilated_threads")
"""Sources of Verilator's own that every model is linked with."""
OPTIONS = (
    *("--cc", "-O3", "--x-assign", "fast", "--noassert", "--inline-mult", "100"),
    *("-Wno-fatal", "-Wno-lint", "-Wno-style"),
)
"""Of Verilator. Modules that repeat are functions of their own rather than copies of their text: a model
compiles in less time and runs no slower."""
FLAGS = ("-fPIC", "-std=gnu++20", "-fno-semantic-interposition", "-fno-plt")
"""Of the C++ compiler; the last two let a shared library's functions call each other directly."""
LEVELS = ("-O0", "-O2")
"""Of code that runs once, and of what runs each cycle."""


@dataclass(frozen=True)
class RtlRun:
    """What a run of the RTL gives: launch to FINISH in cycles, and the status word (0: no error)."""

    cycles: int
    status: int


def _run(command: list[str], tool: str, environment: Mapping[str, str] | None = None) -> None:
    merged = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, env=merged, check=False)  # noqa: S603
    if done.returncode:
        last = tail(done.stdout + done.stderr)
        raise ToolFailedError(f"{tool} must succeed", got=f"exit {done.returncode}:\n{last}")


def build_model(
    verilog: str, bus_bytes: int, cache: Path | None = None, *, harness: str | None = None
) -> Path:
    """Compile Verilog into a shared library; the same text is compiled once.

    Args:
        verilog: With the top module ``accelerator``.
        bus_bytes: Bytes of a beat, for the harness.
        cache: Where libraries are kept.
        harness: C++ that drives the model; by default the one that runs whole programs.

    Returns:
        The library's path, named by the hash of the text and of all that compiles it.

    Raises:
        MissingToolError: Verilator or a C++ compiler is absent.
        ToolFailedError: One of them fails; carries its last lines.
    """
    harness = harness or files("rhnas.vta.rtl").joinpath("harness.cpp").read_text()
    compiler, verilator = find_compiler(), find_verilator()
    how = [verilator.version, *OPTIONS, compiler, *FLAGS, *LEVELS]
    identity = hashlib.sha256("\n".join([*how, str(bus_bytes), harness, verilog]).encode()).hexdigest()[:20]
    library = (cache or cache_folder() / "rtl") / f"{identity}.so"
    if library.exists():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as name:
        folder = Path(name)
        (folder / "accelerator.v").write_text(verilog)
        (folder / "harness.cpp").write_text(harness)
        places = ["--Mdir", str(folder / "model"), str(folder / "accelerator.v")]
        command = [verilator.command, *OPTIONS, "--top-module", "accelerator", *places]
        _run(command, "Verilator", verilator.environment)
        sources = [*sorted((folder / "model").glob("*.cpp")), folder / "harness.cpp"]
        own = [f"-DBUS_BYTES={bus_bytes}", f"-I{folder / 'model'}"]
        runtime = _runtime(compiler, verilator.include, library.parent)
        objects = [*runtime, *_compile(compiler, sources, verilator.include, own)]
        built = folder / "model.so"
        _run([compiler, "-shared", *map(str, objects), "-o", str(built), "-lpthread"], "the C++ linker")
        built.replace(library)
    return library


def _compile(compiler: str, sources: Sequence[Path], include: Path, own: Sequence[str]) -> list[Path]:
    """Compile sources side by side, each into an object beside it; code that runs once is not optimised."""
    flags = [*FLAGS, *own, f"-I{include}"]

    def compile_one(source: Path) -> Path:
        level, target = LEVELS["Slow" not in source.name], source.with_suffix(".o")
        _run([compiler, *flags, level, "-c", str(source), "-o", str(target)], "the C++ compiler")
        return target

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(compile_one, sources))


def _runtime(compiler: str, include: Path, cache: Path) -> list[Path]:
    """Verilator's own part of a model, which is the same in all of them and compiled once."""
    digest = hashlib.sha256("\n".join([compiler, *FLAGS, *LEVELS]).encode())
    for source in sorted(path for path in include.glob("verilated*") if path.is_file()):
        digest.update(source.read_bytes())
    kept = [cache / f"{name}-{digest.hexdigest()[:20]}.o" for name in RUNTIME]
    if not all(path.exists() for path in kept):
        with tempfile.TemporaryDirectory(dir=cache) as name:
            sources = [Path(name) / f"{part}.cpp" for part in RUNTIME]
            for source in sources:
                shutil.copyfile(include / source.name, source)
            for built, path in zip(_compile(compiler, sources, include, ()), kept, strict=True):
                built.replace(path)
    return kept


class RtlModel:
    """One configuration's RTL, ready to run programs.

    Args:
        config: The accelerator; its Verilog is generated and built unless it is in the cache.
        cache: Where built models are kept.
        target: What the Verilog is for (``rtl.target``): a family's multipliers are simulated by models of
            them; by default plain arithmetic.
    """

    def __init__(
        self, config: AcceleratorConfig, cache: Path | None = None, *, target: Target | None = None
    ) -> None:
        from rhnas.vta.rtl.emit import verilog_of
        from rhnas.vta.rtl.target import GENERIC, primitive_models

        self.config = config
        chosen = target or GENERIC
        verilog = verilog_of(config, chosen) + ("" if chosen == GENERIC else primitive_models())
        library = ctypes.CDLL(str(build_model(verilog, config.bus_bytes, cache)))
        self._run_program = library.run_program
        self._run_program.restype = ctypes.c_int

    def run(
        self,
        dram: npt.NDArray[np.uint8],
        *,
        registers: Mapping[str, int],
        earlier: Sequence[Mapping[str, int]] = (),
        latency: int = MEMORY_LATENCY_CYCLES,
        burst_beats: int = 0,
        shared: bool = False,
        stall_percent: int = 0,
        seed: int = 1,
        fault_address: int | None = None,
        max_cycles: int = 1 << 32,
    ) -> RtlRun:
        """Run a program that lies in ``dram``; the memory is changed in place.

        Args:
            dram: uint8 (bytes,): the whole memory, from address 0.
            registers: By name (``rtl.control.REGISTERS``): count, address and the five bases.
            earlier: Registers of launches that the same machine runs before; nothing is told of them.
            latency: Cycles from a read request to its first beat, less the model's two.
            burst_beats: Beats of a burst after which memory rests for a cycle; 0: any number.
            shared: Reads and writes have one data port, writes first: a beat a cycle in all.
            stall_percent: Chance that any handshake waits, each cycle; for tests of back-pressure.
            seed: Of those chances.
            fault_address: In the 4 KB from here on memory answers with AXI slave errors; by default nowhere.
            max_cycles: Give up after so many.

        Raises:
            ProgramError: FINISH does not come, or the program leaves the memory.
        """
        from rhnas.vta.rtl.control import REGISTERS, WRITTEN

        launches = [*earlier, registers]
        values = np.array([[launch.get(name, 0) for name in WRITTEN] for launch in launches], dtype=np.uint32)
        addresses = np.array([REGISTERS[name] for name in WRITTEN], dtype=np.uint32)
        cycles, status = ctypes.c_uint32(), ctypes.c_uint32()
        code = self._run_program(
            dram.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_uint64(len(dram)),
            values.ctypes.data_as(ctypes.c_void_p),
            addresses.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_uint(len(WRITTEN)),
            ctypes.c_uint(len(launches)),
            ctypes.c_uint(latency),
            ctypes.c_uint(burst_beats),
            ctypes.c_uint(shared),
            ctypes.c_uint(stall_percent),
            ctypes.c_uint64(seed),
            ctypes.c_uint64(len(dram) if fault_address is None else fault_address),
            ctypes.c_uint64(max_cycles),
            ctypes.byref(cycles),
            ctypes.byref(status),
        )
        if code == 1:
            raise ProgramError(
                "the program must reach FINISH", got=f"still running after {max_cycles} cycles"
            )
        if code:
            raise ProgramError(
                "the program must stay within its memory", got=f"an access beyond {len(dram)} bytes"
            )
        return RtlRun(cycles=cycles.value, status=status.value)
