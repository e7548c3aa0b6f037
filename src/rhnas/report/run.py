"""What a report knows: the files of one run directory, read once, with nothing filled in."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rhnas.errors import CheckpointError, RhnasError
from rhnas.files import read_json

SCHEMES = ("baseline", "hardware_only", "two_stage", "found")
"""Keys of result.json that every finished run has."""

ORDER = (*SCHEMES, "alternation", "exact")
"""Of every table and plot, with the schemes that a run may have beside."""

TITLES = {
    "baseline": "Baseline",
    "hardware_only": "Hardware only",
    "two_stage": "Two stages",
    "found": "Found together",
    "alternation": "Alternation",
    "exact": "Exact best response",
}

KEYS = {"nas_only": "baseline", "rhnas": "found"}
"""What trials.jsonl calls a scheme where it is not its key in result.json."""

EXPLANATIONS = {
    "baseline": "network searched for the default accelerator",
    "hardware_only": "network searched for accuracy alone, then its best accelerator",
    "two_stage": "the baseline’s network, then its best accelerator",
    "found": "network and accelerator searched together",
    "alternation": "network and accelerator searched in turns, the other one held",
    "exact": "searched together, against all accelerators at once in place of an agent",
}


@dataclass(frozen=True, kw_only=True)
class Chip:
    """The sizes of a VTA accelerator as physical values."""

    batch: int
    block_in: int
    block_out: int
    uop_bytes: int
    inp_bytes: int
    wgt_bytes: int
    acc_bytes: int
    bus_bits: int

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> Chip | None:
        """The chip of ``vta_config`` keys; None for another family's accelerator.

        Example:
            >>> Chip.of({"LOG_BATCH": 0}) is None
            True
        """
        names = ("BATCH", "BLOCK_IN", "BLOCK_OUT", *(f"{b}_BUFF_SIZE" for b in ("UOP", "INP", "WGT", "ACC")))
        logs = [keys.get(f"LOG_{name}") for name in names]
        bus = keys.get("SHL_MEM_AXI_DATA_BITS")
        if not isinstance(bus, int) or not all(isinstance(log, int) for log in logs):
            return None
        batch, block_in, block_out, uop, inp, wgt, acc = (1 << int(log or 0) for log in logs)
        return cls(
            batch=batch,
            block_in=block_in,
            block_out=block_out,
            uop_bytes=uop,
            inp_bytes=inp,
            wgt_bytes=wgt,
            acc_bytes=acc,
            bus_bits=bus,
        )

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle."""
        return self.batch * self.block_in * self.block_out

    @property
    def sram_bytes(self) -> int:
        """All scratchpads; the output buffer is derived and not counted."""
        return self.uop_bytes + self.inp_bytes + self.wgt_bytes + self.acc_bytes

    @property
    def array(self) -> str:
        """The array as the family writes it."""
        return f"{self.batch}×{self.block_in}×{self.block_out}"


def number(values: Mapping[str, Any], *path: str) -> float | None:
    """The finite number at a path of keys; None where there is none.

    Example:
        >>> number({"cycles": {"rtl": 12}}, "cycles", "rtl")
        12.0
    """
    node: Any = values
    for key in path:
        if not isinstance(node, Mapping):
            return None
        node = node.get(key)
    if isinstance(node, bool) or not isinstance(node, int | float) or not math.isfinite(node):
        return None
    return float(node)


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One of the results.

    Attributes:
        name: Its key in result.json.
        values: What stands there.
        default_how: How figures were obtained where the scheme itself does not say.
    """

    name: str
    values: Mapping[str, Any]
    default_how: Any = None

    @property
    def title(self) -> str:
        """Its name in the text."""
        return TITLES[self.name]

    @cached_property
    def chip(self) -> Chip | None:
        """The accelerator, if it is of the VTA family."""
        return Chip.of(self.values.get("accelerator") or {})

    @property
    def layers(self) -> Sequence[Mapping[str, Any]]:
        """One row per layer, as ``rhnas cost`` prints them."""
        rows = self.values.get("layers")
        return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []

    @property
    def architecture(self) -> dict[str, str]:
        """The network in words: decision to option."""
        given = self.values.get("architecture")
        return {str(k): str(v) for k, v in given.items()} if isinstance(given, Mapping) else {}

    def number(self, *path: str) -> float | None:
        """A figure of this scheme."""
        return number(self.values, *path)

    def how(self, key: str) -> str | None:
        """How a figure was obtained, as the file says it."""
        for said in (self.values.get("how"), self.default_how):
            if isinstance(said, str):
                return said
            if isinstance(said, Mapping) and isinstance(said.get(key), str):
                return str(said[key])
        return None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run directory.

    Attributes:
        directory: Where it lies.
        config: ``config.toml`` as plain values.
        trials: ``trials.jsonl``, whole lines only.
        result: ``result.json``; empty while the search has not finished.
        verify: ``verify.json``; empty if ``rhnas verify`` has not run.
    """

    directory: Path
    config: Mapping[str, Any]
    trials: Sequence[Mapping[str, Any]]
    result: Mapping[str, Any]
    verify: Mapping[str, Any]

    @classmethod
    def load(cls, directory: Path) -> Run:
        """Read a run directory.

        Raises:
            RhnasError: It is not one.
            CheckpointError: A file in it cannot be read back.
        """
        if not (directory / "config.toml").exists() and not (directory / "result.json").exists():
            raise RhnasError(
                "a report needs the directory of a search",
                got=directory,
                fix="run rhnas search PRESET --out DIR first",
            )
        return cls(
            directory=directory,
            config=_toml(directory / "config.toml"),
            trials=_trials(directory / "trials.jsonl"),
            result=_optional_json(directory / "result.json"),
            verify=_optional_json(directory / "verify.json"),
        )

    @cached_property
    def schemes(self) -> dict[str, Scheme]:
        """The schemes that have run, in fixed order."""
        how = self.result.get("how")
        return {
            name: Scheme(name=name, values=self.result[name], default_how=how)
            for name in ORDER
            if isinstance(self.result.get(name), Mapping)
        }

    @property
    def title(self) -> str:
        """The task in two words."""
        task, platform = self.config.get("task", {}), self.config.get("platform", {})
        return f"{task.get('data', 'a network')} on {platform.get('space', 'an accelerator')}"

    @property
    def clock_mhz(self) -> float | None:
        """The clock at which cycles become milliseconds."""
        return number(self.config, "platform", "clock_mhz")

    def series(self, stage: str) -> dict[str, list[Mapping[str, Any]]]:
        """Trials of a stage (``search``, ``hardware``) by scheme, in order."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for record in self.trials:
            name = str(record.get("scheme"))
            if record.get("stage") == stage:
                found.setdefault(KEYS.get(name, name), []).append(record)
        return {name: found[name] for name in ORDER if name in found}

    @cached_property
    def candidates(self) -> list[Mapping[str, Any]]:
        """Pairs of network and accelerator with a validation accuracy, from trials and schemes."""
        listed = [row for scheme in self.schemes.values() for row in scheme.values.get("candidates") or ()]
        return [
            row
            for row in (*self.trials, *listed)
            if isinstance(row, Mapping) and number(row, "accuracy_validation") is not None
        ]


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _toml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CheckpointError(f"{path} must be TOML", got=error) from error


def _trials(path: Path) -> list[dict[str, Any]]:
    """Whole lines; a last line torn by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = []
    for position, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            if position == len(lines):
                break
            raise CheckpointError(f"line {position} of {path} must be JSON", got=error) from error
        if isinstance(record, dict):
            found.append(record)
    return found
