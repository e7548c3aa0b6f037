"""One frozen tree of options: read from TOML, checked, hashed, and saved with every run."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rhnas.errors import SettingsError
from rhnas.files import canonical_json
from rhnas.platform import Objective

Scalar = bool | int | float | str


class Group(BaseModel):
    """A table of the configuration: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)


class TaskSettings(Group):
    """What is learnt, and from which networks.

    Attributes:
        data: ``digits``, ``cifar10`` or the path of an image folder.
        space: The network space, or one of your own as ``FILE.py:CLASS``.
        train: Training images used, ``None`` for all beyond the validation part.
        validation: Images of the training set that choose and never train.
        test: Test images read once, after the choice; ``None`` for all.
        classes: Outputs of the networks where the space's own number is not the data's.
        skip_broken: Leave out pictures of a folder that cannot be decoded, each with a warning.
    """

    data: str = "digits"
    space: str = "digits"
    train: int | None = Field(default=None, ge=1)
    validation: int = Field(default=200, ge=1)
    test: int | None = Field(default=None, ge=1)
    classes: int | None = Field(default=None, ge=2)
    skip_broken: bool = False


class PlatformSettings(Group):
    """The accelerators that may be chosen, and how their cost is counted.

    Attributes:
        name: The platform (entry point ``rhnas.platforms``), with its file where it needs one: ``NAME:FILE``.
        space: Its design space.
        fpga: The part every design must fit; ``None`` for no such condition.
        limits: Upper bounds in the platform's own names (VTA: ``macs``, ``bus_bits``, ``sram_kib``).
        technologies: Energy profiles; the first is searched with, all are reported.
        timing: Profile of timing laws.
        schedule: Which mappings are allowed.
        clock_mhz: Clock at which cycles become milliseconds.
    """

    name: str = "vta"
    space: str = "vta"
    fpga: str | None = None
    limits: dict[str, int] = Field(default_factory=dict)
    technologies: tuple[str, ...] = Field(default=("dosa40", "horowitz45"), min_length=1)
    timing: str = "rhnas"
    schedule: str = "best"
    clock_mhz: float = Field(default=100.0, gt=0)


class ObjectiveSettings(Group):
    """What is minimised beside the error.

    Attributes:
        minimize: ``latency``, ``energy`` or ``edp``.
        weight: Lambda, loss per unit of log cost (METHOD 5).
        tolerance: Validation accuracy, as a fraction, that a network may lie below the baseline's.
    """

    minimize: Objective = Objective.EDP
    weight: float = Field(default=0.1, ge=0)
    tolerance: float = Field(default=0.003, ge=0, lt=1)


class AgentSettings(Group):
    """The hardware agent.

    Attributes:
        name: The agent.
        evaluations: Distinct designs one scheme may ask the cost model about.
        batch: Designs asked for at a time.
        every: Alpha steps between two turns of the agent.
        archive: Best designs whose soft minimum alpha descends on.
        temperature: Of that soft minimum, in units of log cost.
        options: The agent's own options by name.
    """

    name: str = "ppo"
    evaluations: int = Field(default=400, ge=1)
    batch: int = Field(default=16, ge=1)
    every: int = Field(default=10, ge=1)
    archive: int = Field(default=8, ge=1)
    temperature: float = Field(default=0.05, gt=0)
    options: dict[str, Scalar] = Field(default_factory=dict)


class NasSettings(Group):
    """The differentiable search over networks.

    Attributes:
        strategy: How alpha learns: ``dsnas``, ``fbnet``, ``proxyless`` or ``darts``.
        epochs: Passes over the training images, warm-up included.
        warmup: First epochs, in which alpha stands still.
        batch: Images per step.
        learning_rate: Of the supernet's weights, falling to zero along a cosine.
        weight_decay: Of the supernet's weights.
        alpha_rate: Of alpha (Adam).
        freeze: Lead in probability from which ``dsnas`` fixes a decision.
        candidates: Networks scored with the supernet's weights at the end: half come from alpha, the others
            are neighbours of the best.
        finalists: Best candidates that are trained from scratch.
    """

    strategy: str = "dsnas"
    epochs: int = Field(default=40, ge=1)
    warmup: int = Field(default=10, ge=0)
    batch: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=0.05, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    alpha_rate: float = Field(default=1e-2, gt=0)
    freeze: float = Field(default=0.3, gt=0, le=1)
    candidates: int = Field(default=24, ge=1)
    finalists: int = Field(default=2, ge=1)


class TrainSettings(Group):
    """The recipe by which every scheme's network is trained from scratch.

    Attributes:
        epochs: Passes over the training images.
        batch: Images per step.
        learning_rate: Of SGD with momentum, falling to zero along a cosine.
        weight_decay: L2 penalty.
        label_smoothing: Share of the target spread over all classes.
        cutout: Side of the square of each training picture that is hidden (DeVries and Taylor 2017), pixels.
        average: Decay per step of the moving average of the weights that is kept; 0 keeps the last weights.
    """

    epochs: int = Field(default=60, ge=1)
    batch: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=0.05, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    cutout: int = Field(default=0, ge=0)
    average: float = Field(default=0.0, ge=0, lt=1)


class QuantizeSettings(Group):
    """How a trained network becomes an integer network.

    Attributes:
        epochs: Of quantization-aware fine-tuning; 0 for calibration alone.
        batch: Images per step.
        learning_rate: At the start of the fine-tuning.
        label_smoothing: As in training.
        per_channel: Whether each output channel's weights get a scale, and its result a shift, of their own.
        calibration: Training images that the scales are chosen on.
    """

    epochs: int = Field(default=5, ge=0)
    batch: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=3e-4, gt=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    per_channel: bool = False
    calibration: int = Field(default=512, ge=1)


class RunSettings(Group):
    """How a run is carried out.

    Attributes:
        seed: Everything random comes from named children of it.
        threads: Threads of torch; part of what makes two runs equal.
        device: ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one.
        precision: Of training: ``float32``, ``bfloat16``, or ``auto`` for the faster one.
        schemes: Schemes carried out beside the four: ``alternation``, ``exact``.
        optimum: Whether the exact optimum of each hardware choice is computed beside the search.
        effort: Boxes of designs that each proof of a certified gap may price; 0 for no proofs.
        checkpoint_s: Seconds between checkpoints within a stage.
    """

    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=2, ge=1)
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    schemes: tuple[str, ...] = ()
    optimum: bool = True
    effort: int = Field(default=400, ge=0)
    checkpoint_s: float = Field(default=10.0, ge=0)


class Settings(Group):
    """Everything a search depends on.

    Example:
        >>> Settings().platform.space
        'vta'
    """

    task: TaskSettings = TaskSettings()
    platform: PlatformSettings = PlatformSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    agent: AgentSettings = AgentSettings()
    nas: NasSettings = NasSettings()
    train: TrainSettings = TrainSettings()
    quantize: QuantizeSettings = QuantizeSettings()
    run: RunSettings = RunSettings()

    def to_dict(self) -> dict[str, Any]:
        """The tree as plain values, groups as dictionaries."""
        return self.model_dump(mode="json")

    def identity(self) -> str:
        """Sixteen hexadecimal digits that two trees share exactly when they are equal.

        Example:
            >>> Settings().identity() == parse_settings("").identity()
            True
        """
        return hashlib.sha256(canonical_json(self.to_dict()).encode()).hexdigest()[:16]

    def to_toml(self) -> str:
        """The tree as TOML; reading it back gives an equal tree."""
        return "\n".join(_toml_table(self.to_dict(), ())).lstrip() + "\n"

    def differences(self, other: Settings) -> list[str]:
        """Dotted keys in which two trees differ, each with both values."""
        mine, theirs = dict(_leaves(self.to_dict())), dict(_leaves(other.to_dict()))
        keys = sorted(mine.keys() | theirs.keys())
        return [
            f"{key} = {mine.get(key)!r} against {theirs.get(key)!r}"
            for key in keys
            if mine.get(key) != theirs.get(key)
        ]


def preset_names() -> tuple[str, ...]:
    """Names of the configurations that come with the package.

    Example:
        >>> "digits" in preset_names()
        True
    """
    entries = resources.files("rhnas.presets").iterdir()
    return tuple(sorted(entry.name[:-5] for entry in entries if entry.name.endswith(".toml")))


def preset_text(name: str) -> str:
    """The TOML of a preset, comments included.

    Raises:
        SettingsError: There is none of that name.
    """
    if name not in preset_names():
        raise SettingsError(
            f"a preset must be one of {', '.join(preset_names())}",
            got=name,
            fix=_did_you_mean(name, preset_names()),
        )
    return (resources.files("rhnas.presets") / f"{name}.toml").read_text(encoding="utf-8")


def load_settings(source: str | Path, overrides: Sequence[str] = ()) -> Settings:
    """Settings of a preset or of a TOML file.

    Args:
        source: A preset's name, or a path ending in ``.toml``.
        overrides: ``group.key=value`` texts, applied in order.

    Raises:
        SettingsError: The file cannot be read, a key is unknown or a value is wrong.

    Example:
        >>> load_settings("digits", ["run.seed=3"]).run.seed
        3
    """
    if not str(source).endswith(".toml"):
        return parse_settings(preset_text(str(source)), overrides)
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the configuration {source} must be readable",
            got=getattr(error, "strerror", None) or error,
            fix=f"use a preset ({', '.join(preset_names())}) or rhnas new PRESET FILE.toml",
        ) from error
    return parse_settings(text, overrides)


def parse_settings(text: str, overrides: Sequence[str] = ()) -> Settings:
    """Settings from TOML text.

    Raises:
        SettingsError: Not TOML, an unknown key (with the nearest known one) or a wrong value.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("a configuration must be TOML", got=error) from error
    for override in overrides:
        _override(tree, override)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise _explained(error) from error


def _override(tree: dict[str, Any], text: str) -> None:
    """Put ``a.b=v`` into the tree; ``v`` is a TOML value, or a string where it is not one."""
    key, equals, value = text.partition("=")
    *groups, last = key.strip().split(".")
    if not equals or not groups:
        raise SettingsError("--set takes group.key=value", got=text, fix="for example --set run.seed=1")
    node = tree
    for name in groups:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise SettingsError(f"{name} is a value and has no keys of its own", got=text)
    if value.strip() == "none":
        node.pop(last, None)
        return
    try:
        node[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        node[last] = value.strip()


def _explained(error: ValidationError) -> SettingsError:
    """The first complaint in our own words."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return SettingsError(
            "every key of a configuration must be known",
            got=key,
            fix=_did_you_mean(key, [*_known_keys(Settings), *Settings.model_fields]),
        )
    return SettingsError(f"{key}: {first['msg'].lower()}", got=repr(first["input"]))


def _did_you_mean(got: str, known: Sequence[str]) -> str:
    """A hint with the nearest name; a key written into the wrong group is found by its last part."""
    tails = {name.rpartition(".")[2]: name for name in known}
    tail = got.rpartition(".")[2]
    if tail in tails:
        return f"did you mean {tails[tail]}?"
    near = difflib.get_close_matches(got, known, n=1, cutoff=0.6)
    near += [tails[name] for name in difflib.get_close_matches(tail, list(tails), n=1, cutoff=0.6)]
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            yield from _known_keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _toml_table(table: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Lines of a table: its own values, then its tables; TOML has no null, so ``None`` is left out."""
    if path:
        yield f"[{'.'.join(path)}]"
    for name, value in table.items():
        if value is not None and not isinstance(value, dict):
            yield f"{name} = {_toml_value(value)}"
    for name, value in table.items():
        if isinstance(value, dict) and (value or len(path) == 0):
            yield ""
            yield from _toml_table(value, (*path, name))


def _toml_value(value: Any) -> str:
    """A scalar or a list; JSON's literals are TOML's, but for DEL and surrogate pairs."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
