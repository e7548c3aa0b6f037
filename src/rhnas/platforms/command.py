"""Anybody's accelerator by a command: a file names choices and rules, a program answers what layers cost."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rhnas.errors import SettingsError, did_you_mean
from rhnas.files import canonical_json
from rhnas.platform import CostModel, Platform
from rhnas.platforms.command_call import Command
from rhnas.platforms.command_cost import CommandCostModel
from rhnas.platforms.points import Peaks, names_in, product
from rhnas.platforms.rows import only_space, parse_row, refuse_fpga, require_realizable
from rhnas.space import Choice, DesignBatch, Rule, Space
from rhnas.workload import FloatArray, Layer

Factors = tuple[str | float, ...]


class Part(BaseModel):
    """A table of the file: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RulePart(Part):
    """A rule: a product of choices and numbers within limits.

    Attributes:
        name: Short and stable.
        product: Its factors.
        at_most: Upper limit, if any.
        at_least: Lower limit, if any.
        reason: Why a design that breaks it cannot be built.
        source: Where that comes from.
    """

    name: str = Field(min_length=1)
    product: Factors = Field(min_length=1)
    at_most: float | None = None
    at_least: float | None = None
    reason: str = Field(min_length=1)
    source: str = Field(min_length=1)


class BoundsPart(Part):
    """The most that a design does in a cycle, as products of choices and numbers."""

    macs_per_cycle: Factors = ()
    bytes_per_cycle: Factors = ()


class CommandFile(Part):
    """A platform's file, TOML or JSON.

    Attributes:
        name: Of the platform and of its space.
        command: Program and arguments, run in the file's folder; ``python`` is the interpreter in use.
        time_limit_s: After which a question counts as failed.
        retries: Further attempts after a failed one.
        workers: Questions asked at once.
        files: Further files that the answers depend on; those among ``command`` are known.
        infeasible: ``data``: a refusal is an evaluation spent; ``mask``: all designs are asked about first.
        choices: Values by name, ascending.
        default: One value for each choice.
        bounds: What makes answers that are physically impossible known as such.
        limits: Products that ``--limit NAME=VALUE`` bounds, by name.
        rules: What every design must meet.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    command: tuple[str, ...] = Field(min_length=1)
    time_limit_s: float = Field(default=60.0, gt=0)
    retries: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=1)
    files: tuple[str, ...] = ()
    infeasible: Literal["data", "mask"] = "data"
    choices: dict[str, tuple[int, ...]] = Field(min_length=1)
    default: dict[str, int]
    bounds: BoundsPart = BoundsPart()
    limits: dict[str, Factors] = Field(default_factory=dict)
    rules: tuple[RulePart, ...] = ()


@final
class CommandPlatform(Platform):
    """Accelerators whose costs a command tells; see docs/platforms.md.

    Args:
        path: The platform's file, TOML, or JSON if it ends in ``.json``.

    Raises:
        SettingsError: The file cannot be read, or a key in it is unknown, missing or wrong.
    """

    options = ("workers",)
    expensive = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = read_command_file(path)
        self.name = self._file.name
        self.spaces = (self._file.name,)
        self._space = Space(
            name=self.name,
            choices=tuple(Choice(name=key, values=values) for key, values in self._file.choices.items()),
            rules=tuple(_structural(rule) for rule in self._file.rules),
        )

    def parse(self, text: str) -> dict[str, int]:
        """``default``, a JSON object in a file, or ``KEY=VAL,KEY=VAL`` changes to the default."""
        return parse_row(text, self._file.default)

    def label(self, row: Mapping[str, int]) -> str:
        """The values in the order of the choices."""
        return "_".join(str(row[key]) for key in self._file.choices)

    def space(self, name: str) -> Space:
        """The one space, of the platform's name."""
        return only_space(self._space, name)

    def cost_model(self, **options: Any) -> CostModel:
        """The command; option ``workers``: questions asked at once."""
        return self._model(**options)

    def rules(
        self,
        *,
        layers: Sequence[Layer] = (),
        chainable: bool = False,
        fpga: str | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> tuple[Rule, ...]:
        """Limits, and with ``infeasible = "mask"`` that the command has a mapping for every layer."""
        refuse_fpga(fpga)
        limited = tuple(self._limit(name, bound) for name, bound in (limits or {}).items())
        asked = self._file.infeasible == "mask" and bool(layers)
        return (*limited, *((self._mapping(layers),) if asked else ()))

    def default(self) -> dict[str, int]:
        """As the file gives it."""
        return dict(self._file.default)

    def config(self, row: Mapping[str, int]) -> dict[str, int]:
        """The row itself; exists only if realizable."""
        require_realizable(self._space, row, self._file.default, self.label(row))
        return {key: row[key] for key in self._file.choices}

    def _model(self, *, workers: int | None = None) -> CommandCostModel:
        file = self._file
        command = Command(
            words=file.command,
            folder=self._path.resolve().parent,
            time_limit_s=file.time_limit_s,
            retries=file.retries,
        )
        return CommandCostModel(
            command, Peaks(**file.bounds.model_dump()), self._fingerprint(), workers or file.workers
        )

    def _fingerprint(self) -> str:
        """Of the command's words and of the files it is made of."""
        folder = self._path.resolve().parent
        asked = [list(self._file.command), self._file.bounds.model_dump()]
        digest = hashlib.sha256(canonical_json(asked).encode())
        named = [word for word in self._file.command if (folder / word).is_file()]
        for name in (*named, *self._file.files):
            try:
                digest.update(f"\0{name}\0".encode() + (folder / name).read_bytes())
            except OSError as error:
                raise SettingsError(
                    f"{self._path}: files must name readable files", got=f"{name}: {error.strerror}"
                ) from error
        return digest.hexdigest()[:32]

    def _limit(self, name: str, bound: int) -> Rule:
        if name not in self._file.limits:
            raise SettingsError(f"a limit must be one of {sorted(self._file.limits)}", got=name)
        if bound <= 0:
            raise SettingsError(f"limit {name!r} must be positive", got=bound)
        factors = self._file.limits[name]
        return Rule(
            name=f"limit.{name}",
            level="limit",
            invariant=f"{_text(factors)} <= {bound}",
            reason="the chip budget asked for is exceeded",
            source="--limit",
            slack=lambda batch: bound - product(factors, batch),
            reads=names_in(factors),
        )

    def _mapping(self, layers: Sequence[Layer]) -> Rule:
        model = self._model()

        def slack(batch: DesignBatch) -> FloatArray:
            return np.where(model.evaluate(batch, layers).mapped.all(axis=1), 0.0, -1.0)

        return Rule(
            name="mapping.command",
            level="mapping",
            invariant="the command has a mapping for every layer",
            reason="the command refuses the design or a layer; rhnas cost prints its reason",
            source=str(self._path),
            slack=slack,
        )


def read_command_file(path: Path) -> CommandFile:
    """A platform's file, checked.

    Raises:
        SettingsError: It cannot be read, or a key is unknown, missing or wrong; names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        file = CommandFile.model_validate(tree)
    except OSError as error:
        raise SettingsError(f"the platform's file {path} must be readable", got=error.strerror) from error
    except ValidationError as error:
        raise _explained(path, error) from error
    except ValueError as error:
        raise SettingsError(f"{path} must be TOML, or JSON if it ends in .json", got=error) from error
    _check_names(path, file)
    return file


def _check_names(path: Path, file: CommandFile) -> None:
    """Products name choices, and the default has one value of each."""
    products = {
        **{f"rules.{rule.name}": rule.product for rule in file.rules},
        **{f"limits.{name}": factors for name, factors in file.limits.items()},
        "bounds.macs_per_cycle": file.bounds.macs_per_cycle,
        "bounds.bytes_per_cycle": file.bounds.bytes_per_cycle,
    }
    for where, factors in products.items():
        for name in names_in(factors):
            if name not in file.choices:
                raise SettingsError(
                    f"{path}: {where} must name choices", got=name, fix=did_you_mean(name, file.choices)
                )
    if len({rule.name for rule in file.rules}) < len(file.rules):
        raise SettingsError(f"{path}: rules must have names of their own", got=[r.name for r in file.rules])
    if list(file.default) != list(file.choices):
        raise SettingsError(
            f"{path}: default must have the choices' names in their order",
            got=", ".join(file.default) or "none",
            fix=f"write {', '.join(file.choices)}",
        )


def _explained(path: Path, error: ValidationError) -> SettingsError:
    """The first complaint in our own words."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        fix = did_you_mean(str(first["loc"][-1]), CommandFile.model_fields)
        return SettingsError(f"{path}: every key must be known", got=key, fix=fix)
    if first["type"] == "missing":
        return SettingsError(f"{path} must have {key}", fix="docs/platforms.md has an example")
    return SettingsError(f"{path}: {key}: {first['msg'].lower()}", got=repr(first["input"]))


def _structural(part: RulePart) -> Rule:
    both = (("<=", part.at_most), (">=", part.at_least))
    limits = [(sign, bound) for sign, bound in both if bound is not None]
    if not limits:
        raise SettingsError(f"rule {part.name!r} must have at_most or at_least")
    text = " and ".join(f"{_text(part.product)} {sign} {bound:g}" for sign, bound in limits)

    def slack(batch: DesignBatch) -> FloatArray:
        value = product(part.product, batch)
        upper = np.inf if part.at_most is None else part.at_most - value
        lower = np.inf if part.at_least is None else value - part.at_least
        return np.asarray(np.minimum(upper, lower), dtype=np.float64)

    return Rule(
        name=part.name,
        level="structural",
        invariant=text,
        reason=part.reason,
        source=part.source,
        slack=slack,
        reads=names_in(part.product),
    )


def _text(factors: Factors) -> str:
    return " x ".join(factor if isinstance(factor, str) else f"{factor:g}" for factor in factors)
