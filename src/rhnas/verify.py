"""The proof of a design: its program run and compared, its cycles counted, its hardware measured."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rhnas.build import FOUND, MANIFEST, SCHEMES, Design, Tell, build
from rhnas.errors import RhnasError, SettingsError
from rhnas.files import read_json, write_json
from rhnas.platform import CLOCK_MHZ
from rhnas.provenance import SCHEMA, provenance
from rhnas.quantize import golden
from rhnas.quantized import Int8Array
from rhnas.toolchain import Execution, Realization

VERIFY = "verify.json"
HOW = {
    "bit_exact": "simulated, and rtl where that ran",
    "cycles": {"modelled": "modelled", "simulated": "simulated", "rtl": "rtl"},
    "layers": {"modelled": "modelled", "simulated": "simulated"},
    "latency_ms": "simulated",
    "accuracy_int8": "measured",
    "synthesis": "synthesized",
    "fits": "synthesized",
    "placement": "synthesized",
    "fmax_mhz": "synthesized",
    "latency_ms_at_fmax": "synthesized",
}
NOTHING: dict[str, Any] = {
    "bit_exact": None,
    "cycles": {"modelled": None, "simulated": None, "rtl": None},
    "synthesis": None,
    "fits": None,
    "placement": None,
    "fmax_mhz": None,
}
"""The fixed keys before anything was verified."""
CYCLES_PER_MHZ_MS = 1_000
"""Cycles in a millisecond at one megahertz."""


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What is asked for.

    Attributes:
        images: Test pictures that are run.
        rtl: Whether they run on the generated hardware description too.
        synthesize: Whether the accelerator is synthesized.
        place: Whether it is placed.

    Raises:
        SettingsError: There is no picture to run.
    """

    images: int = 20
    rtl: bool = False
    synthesize: bool = False
    place: bool = False

    def __post_init__(self) -> None:
        if self.images < 1:
            raise SettingsError("--images must be at least 1", got=self.images)


def verify(
    directory: Path,
    schemes: Sequence[str],
    checks: Checks,
    tell: Tell = lambda text: None,
    *,
    schedule: str | None = None,
) -> dict[str, Any]:
    """Prove designs of a finished search; builds them first where needed.

    ``verify.json`` is written after every finished step, so that a missing tool or a kill loses nothing
    before it. What earlier calls found of the same builds is kept.

    Args:
        directory: Of the search.
        schemes: Which of its designs.
        checks: How.
        tell: Who is told what is being done.
        schedule: Another than the search's: built and proved beside it, in ``verify-NAME.json``.

    Returns:
        What stands in ``verify.json``.

    Raises:
        RhnasError: As ``Design.of`` and ``build``; a tool that was asked for is missing or fails.
    """
    for scheme in schemes:
        design = Design.of(directory, scheme, schedule)
        manifest = _built(design, tell)
        for entry in _prove(design, manifest, checks, tell):
            _write(design, {**entry, **_derived(entry, design.settings.platform.fpga)})
    return read_json(_proof(design))


def _proof(design: Design) -> Path:
    """The file of its proof."""
    return (design.directory / VERIFY).with_stem(f"verify{design.variant}")


def proven(entry: Mapping[str, Any]) -> bool:
    """Whether everything that was compared is equal, and the design fits the run's FPGA if that was tried.

    Example:
        >>> proven({"bit_exact": True, "cycles_equal": None, "accuracy_int8_equal": True})
        True
    """
    refuted = any(entry.get(key) is False for key in ("cycles_equal", "accuracy_int8_equal", "fits"))
    return entry.get("bit_exact") is True and not refuted


def excess(entry: Mapping[str, Any]) -> dict[str, int]:
    """By resource what the synthesized design takes beyond what its part has.

    Example:
        >>> budget = {"luts": {"used": 90, "available": 100}, "dsps": {"used": 9, "available": 6}}
        >>> excess({"synthesis": {"budget": budget}})
        {'dsps': 3}
    """
    budget = (entry.get("synthesis") or {}).get("budget", {})
    return {
        name: counts["used"] - counts["available"]
        for name, counts in budget.items()
        if counts["used"] > counts["available"]
    }


def _built(design: Design, tell: Tell) -> dict[str, Any]:
    """The manifest of the design's build; its files are taken as they lie there, for the runs to judge."""
    path = design.folder / MANIFEST
    if path.exists():
        manifest = read_json(path)
        if manifest.get("identity") == design.identity:
            return manifest
    return build(design, tell)


def _prove(
    design: Design, manifest: Mapping[str, Any], checks: Checks, tell: Tell
) -> Iterator[dict[str, Any]]:
    """The design's entry in ``verify.json`` after every step."""
    toolchain, name = design.platform.toolchain(), design.scheme
    realization = toolchain.read(design.network, design.folder, manifest)
    pictures = design.network.read_pixels(design.test.pixels[: checks.images])
    expected = golden.run(design.network, pictures)
    known = {
        "build": manifest["identity"],
        "program": _sha256_of_files(design.folder / "program"),
        "judged": _sha256_of_judged(design),
    }
    entry = {**NOTHING, **_kept(design, known), **known, "label": manifest["label"]}
    twin = _twin(design, entry)
    tell(f"{name}: simulating {len(pictures)} pictures")
    simulated = realization.simulate(pictures)
    entry |= _accuracy(design, known["judged"]) | _simulated(entry, realization, simulated, expected)
    yield entry
    if checks.rtl:
        if twin.get("images_rtl", 0) >= len(pictures):
            tell(f"{name}: the same program has run on the same Verilog")
            entry |= _rtl_of(entry, twin)
        else:
            tell(f"{name}: running {len(pictures)} pictures on the generated Verilog")
            entry |= _rtl(entry, realization.run_rtl(pictures), simulated, expected)
        yield entry
    if checks.synthesize:
        tell(f"{name}: synthesizing")
        fpga = design.settings.platform.fpga
        entry["synthesis"] = twin.get("synthesis") or dict(toolchain.synthesize(design.accelerator, fpga))
        yield entry
    if checks.place:
        entry["placement"] = twin.get("placement") or dict(
            toolchain.place(design.accelerator, lambda doing: tell(f"{name}: {doing}"))
        )
        entry["fmax_mhz"] = entry["placement"]["fmax_mhz"]
        yield entry


def _derived(entry: Mapping[str, Any], fpga: str | None) -> dict[str, Any]:
    """What follows from measurements, maybe of different calls, and from the run's FPGA if it names one."""
    asked = fpga is not None and entry["synthesis"] is not None
    derived: dict[str, Any] = {"fits": entry["synthesis"].get("fits") if asked else None}
    if entry["fmax_mhz"] is not None:
        cycles = entry["cycles"]
        counted = cycles["simulated"] if cycles["rtl"] is None else cycles["rtl"]
        derived["latency_ms_at_fmax"] = _milliseconds(counted, entry["fmax_mhz"])
    return derived


def _accuracy(design: Design, judged: str) -> dict[str, Any]:
    """The integer network's accuracy on the whole test part, counted once for all schemes that have it."""
    counts = [
        entry["accuracy_int8"]
        for scheme, entry in _entries(design).items()
        if entry.get("judged") == judged and "accuracy_int8" in entry and _current(design, scheme, entry)
    ]
    counted = counts[0] if counts else golden.accuracy(design.network, design.test.pixels, design.test.labels)
    said = design.result.get("accuracy_int8")
    return {
        "accuracy_int8": counted,
        "accuracy_int8_equal": None if said is None else counted == said,
        "test_images": len(design.test.labels),
    }


def _simulated(
    entry: Mapping[str, Any], realization: Realization, run: Execution, expected: Int8Array
) -> dict[str, Any]:
    modelled = realization.modelled_cycles()
    total = sum(modelled.values())
    return {
        "images": len(expected),
        **_exactness(entry, "simulated", _equal(run, expected)),
        "cycles": {**entry["cycles"], "modelled": total, "simulated": run.cycles[0]},
        "cycles_error": total / run.cycles[0] - 1,
        "clock_mhz": CLOCK_MHZ,
        "latency_ms": _milliseconds(run.cycles[0], CLOCK_MHZ),
        "layers": [
            {"name": name, "modelled": modelled[name], "simulated": cycles}
            for name, cycles in run.layer_cycles.items()
        ],
    }


def _rtl(
    entry: Mapping[str, Any], run: Execution, simulated: Execution, expected: Int8Array
) -> dict[str, Any]:
    return {
        "images_rtl": len(expected),
        **_exactness(entry, "rtl", _equal(run, expected)),
        "cycles": {**entry["cycles"], "rtl": run.cycles[0]},
        "cycles_equal": run.cycles == simulated.cycles,
    }


def _rtl_of(entry: Mapping[str, Any], twin: Mapping[str, Any]) -> dict[str, Any]:
    """As ``_rtl``, from another scheme's run of the same program on the same hardware."""
    cycles = {**entry["cycles"], "rtl": twin["cycles"]["rtl"]}
    return {
        "images_rtl": twin["images_rtl"],
        **_exactness(entry, "rtl", twin["exact"]["rtl"]),
        "cycles": cycles,
        "cycles_equal": twin["cycles_equal"] and cycles["rtl"] == cycles["simulated"],
    }


def _equal(run: Execution, expected: Int8Array) -> bool:
    """Whether every picture's scores are the golden model's."""
    return bool(np.array_equal(run.scores, expected))


def _exactness(entry: Mapping[str, Any], how: str, equal: bool) -> dict[str, Any]:
    """The same of this run, and of all kinds of run."""
    exact = {**entry.get("exact", {}), how: equal}
    return {"exact": exact, "bit_exact": all(exact.values())}


def _milliseconds(cycles: int, clock_mhz: float) -> float:
    return cycles / (clock_mhz * CYCLES_PER_MHZ_MS)


def _kept(design: Design, known: Mapping[str, str]) -> dict[str, Any]:
    """What an earlier call found of the same build and program."""
    entry = _entries(design).get(design.scheme, {})
    return entry if known.items() <= entry.items() else {}


def _twin(design: Design, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Another scheme's entry, where it ended with the same network on the same accelerator; else empty."""
    same = ("program", "judged", "label")
    twins = (
        other
        for scheme, other in _entries(design).items()
        if scheme != design.scheme
        and all(other.get(key) == entry[key] for key in same)
        and _current(design, scheme, other)
    )
    return next(twins, {})


def _entries(design: Design) -> dict[str, dict[str, Any]]:
    """The schemes of an earlier ``verify.json``; one that cannot be read is made again."""
    try:
        schemes = read_json(_proof(design))["schemes"]
        return {name: dict(schemes[name]) for name in SCHEMES if name in schemes}
    except (RhnasError, KeyError, TypeError, ValueError):
        return {}


def _current(design: Design, scheme: str, entry: Mapping[str, Any]) -> bool:
    """Whether a scheme's entry is about its design, and by the code, as they are now."""
    try:
        return entry.get("build") == Design.of(design.directory, scheme, design.schedule).identity
    except RhnasError:
        return False


def _write(design: Design, entry: Mapping[str, Any]) -> None:
    """Put a scheme's entry into ``verify.json``; entries of designs that changed are dropped."""
    entries = {
        name: other
        for name, other in _entries(design).items()
        if name != design.scheme and _current(design, name, other)
    }
    entries[design.scheme] = dict(entry)
    ordered = {name: entries[name] for name in SCHEMES if name in entries}
    run = design.settings.run
    whole = {
        "schema": SCHEMA,
        "provenance": provenance(configuration=design.settings.identity(), seed=run.seed),
        "how": HOW,
        **ordered.get(FOUND, NOTHING),
        "schemes": ordered,
    }
    write_json(_proof(design), whole)


def _sha256_of_judged(design: Design) -> str:
    """Of an integer network and the test part."""
    digest = hashlib.sha256(design.network.packed())
    for array in (design.test.pixels, design.test.labels):
        digest.update(array.tobytes())
    return digest.hexdigest()


def _sha256_of_files(folder: Path) -> str:
    """Of every file's name and content."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
