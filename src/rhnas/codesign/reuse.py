"""Finished stages taken over from another run, or from what is kept of one in a few small files.

What a network search and a training end with is a function of the settings. So a run of the same settings may
go on from another's stages, on another machine too; and where only the chip differs, the baselines' networks
do not.
"""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Any

from rhnas.checkpoint import pack, unpack
from rhnas.codesign.problem import Problem
from rhnas.codesign.schemes.table import FURTHER, SCHEMES, searches_of
from rhnas.codesign.stages import KINDS, Lent, as_state, quantize_name
from rhnas.errors import CheckpointError, SettingsError
from rhnas.files import write_atomically
from rhnas.quantized import NETWORK_FILE
from rhnas.settings import Settings, parse_settings
from rhnas.study import CHECKPOINT, CONFIG, PARTS, Study

CHIP = ("platform.fpga", "platform.limits")
"""Keys by which neither a search for the baseline accelerator nor the training of a network is changed."""
WEIGHT = "objective.weight"
"""Key by which neither a search for accuracy alone nor the training of a network is changed."""
INTEGERS = "quantize"
"""Group of settings by which only a network's integers are changed."""
MAY_DIFFER = (*CHIP, WEIGHT, INTEGERS, "run.threads", "run.optimum", "run.checkpoint_s")
"""Keys in which a lender may differ."""

KEPT = "stages"
"""Folder of kept stages, one file each."""
MOST_BYTES = 5_000_000
"""Size of a file that is still kept; what is larger is carried out again."""


class Donor:
    """The stages of a run that another one would repeat to the letter.

    Of a run with the same settings those are all network searches, trainings and integers that it has
    finished. Of a run for another chip with the same baseline accelerator: the network searches that know one
    accelerator only, the baseline; of a run with another weight of the cost: those for accuracy alone; and of
    both the training of any network from scratch with its integers. Of a run with another recipe for
    integers: all but these. The seconds they took count in the new run as well.

    Args:
        directory: Of the run, or of what is kept of it (``keep_stages``).
        problem: Of the new run.

    Raises:
        SettingsError: The runs differ in more than chip, weight and recipe for integers, or in the
            baseline accelerator.
        CheckpointError: A kept stage cannot be read.
    """

    def __init__(self, directory: Path, problem: Problem) -> None:
        config = directory / CONFIG
        if not config.is_file():
            raise SettingsError("a run to reuse must be there", got=str(directory))
        settings = parse_settings(config.read_text(encoding="utf-8"))
        study = Study(directory, settings)
        chip, weight, integers = _differ(directory, settings, problem.settings)
        if chip:
            _require_same_baseline(settings, problem)
        self._stages = {
            name: lent
            for name, lent in finished_stages(study).items()
            if _ends_alike(name, chip=chip, weight=weight, integers=integers)
        }

    def stage(self, name: str) -> Lent | None:
        """A finished stage; None where the donor does not have it."""
        return self._stages.get(name)


def _ends_alike(stage: str, *, chip: bool, weight: bool, integers: bool) -> bool:
    """Whether a stage ends with the same in runs that differ so; a training always does."""
    kind, _, what = stage.partition("/")
    if kind == "search":
        search = _SEARCHES[what]
        return not (chip and search.joint) and not (weight and search.weighted)
    return not (integers and kind == INTEGERS)


_SEARCHES = {search.name: search for search in searches_of((*SCHEMES, *FURTHER.values()))}


def _differ(directory: Path, theirs: Settings, ours: Settings) -> tuple[bool, bool, bool]:
    """Whether two runs differ in chip, weight, recipe for integers; that nothing else counts is required."""
    differences = ours.differences(theirs)
    other = [difference for difference in differences if not difference.startswith(MAY_DIFFER)]
    if other:
        raise SettingsError(
            f"the run in {directory} must differ in {', '.join(CHIP)}, {WEIGHT} and {INTEGERS}.* only",
            got="; ".join(other),
        )
    chip, weight, integers = (
        any(difference.startswith(keys) for difference in differences) for keys in (CHIP, WEIGHT, INTEGERS)
    )
    return chip, weight, integers


def _require_same_baseline(theirs: Settings, problem: Problem) -> None:
    lender = Problem.of(theirs)
    baseline = lender.row(lender.baseline)
    if baseline != problem.row(problem.baseline):
        raise SettingsError("a run to reuse must have the baseline accelerator of this one", got=baseline)


class Finished:
    """What stands in a run's own checkpoint, for a stage that needs it in another process.

    Args:
        study: Of the run.
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def stage(self, name: str) -> Lent | None:
        """A finished stage; None for any other."""
        return stages_of(self._study).get(name)


def keep_stages(study: Study, target: Path) -> list[str]:
    """Copy a run's finished network searches, trainings and integers into a folder that can take its place.

    Each becomes one file, written once: what it ended with (candidates and alpha of a search, the weights of
    a training, the integers of a network), its seconds and its trials. Integers that a finished run ended
    with are left out: they lie as ``network.npz`` beside its result and are read from there.

    Args:
        study: The run, finished or not.
        target: Where ``config.toml`` and the files go.

    Returns:
        Stages left out because their file would be larger than ``MOST_BYTES``.
    """
    target.mkdir(parents=True, exist_ok=True)
    Study(target, study.settings)
    left_out, beside = [], _integer_files(study)
    for name, (result, seconds, trials) in finished_stages(study).items():
        if name in beside:
            continue
        path = target / KEPT / f"{name.replace('/', '-')}.pt.xz"
        if path.exists():
            continue
        content = lzma.compress(pack({"name": name, "result": result, "seconds": seconds, "trials": trials}))
        if len(content) > MOST_BYTES:
            left_out.append(name)
        else:
            write_atomically(path, content)
    return left_out


def finished_stages(study: Study) -> dict[str, Lent]:
    """Network searches, trainings and integers of a run that are done: kept ones, workers' and its own."""
    found: dict[str, Lent] = {
        name: (as_state(path.read_bytes()), 0.0, []) for name, path in _integer_files(study).items()
    }
    found |= dict(_read_kept(path) for path in sorted((study.directory / KEPT).glob("*.pt.xz")))
    for part in sorted((study.directory / PARTS).glob(f"*/{CHECKPOINT}")):
        found |= stages_of(Study(part.parent, study.settings))
    found |= stages_of(study)
    return {name: lent for name, lent in found.items() if name.partition("/")[0] in KINDS}


def _integer_files(study: Study) -> dict[str, Path]:
    """By stage, the integer networks that a finished run ended with: they need not be kept as stages."""
    result = study.result() if study.finished else {}
    keys = [scheme.key for scheme in (*SCHEMES, *FURTHER.values()) if scheme.key in result]
    files = {
        quantize_name(tuple(result[key]["options"])): study.directory / key / NETWORK_FILE for key in keys
    }
    return {name: path for name, path in files.items() if path.exists()}


def _read_kept(path: Path) -> tuple[str, Lent]:
    try:
        kept = unpack(lzma.decompress(path.read_bytes()))
    except lzma.LZMAError as error:
        raise CheckpointError(
            f"{path} must be whole", got=error, fix="delete it, and the stage is repeated"
        ) from error
    return kept["name"], (kept["result"], kept["seconds"], kept["trials"])


def stages_of(study: Study) -> dict[str, Lent]:
    """Whatever is done of one study, with what each took and tried."""
    content = study.load_checkpoint()
    if content is None:
        return {}
    state, trials = unpack(content), study.trials()
    return {
        name: (result, state["seconds"][name], [trial for trial in trials if _is_of(trial, name)])
        for name, result in state["results"].items()
    }


def _is_of(trial: dict[str, Any], stage: str) -> bool:
    """Trials name a training by its stage, a network search by its scheme and the stage ``search``."""
    _, _, search = stage.partition("/")
    return bool(trial["stage"] == stage or (trial["stage"] == "search" and trial["scheme"] == search))
