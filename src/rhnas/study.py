"""A run's directory: append-only trials, checkpoints as opaque bytes, one result; safe against kill -9."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rhnas.errors import CheckpointError, RhnasError, SettingsError
from rhnas.files import read_json, write_atomically, write_json
from rhnas.provenance import SCHEMA, provenance
from rhnas.settings import Settings, parse_settings

CONFIG = "config.toml"
TRIALS = "trials.jsonl"
CHECKPOINT = "checkpoint.pt"
RESULT = "result.json"
PARTS = "workers"


class Study:
    """One search on disk.

    A checkpoint says how many trials stood when it was made; what was appended after it is repeated on
    resume, so it is cut off first. A last line torn by a kill falls under the same cut.

    Args:
        directory: Made if absent.
        settings: What the run is configured by; written as ``config.toml`` on the first opening.

    Raises:
        SettingsError: The directory belongs to a run with other settings.
        RhnasError: The directory cannot be written.

    Example:
        >>> import tempfile
        >>> study = Study(Path(tempfile.mkdtemp()), Settings())
        >>> study.append({"step": 0})
        >>> study.trials()
        [{'step': 0}]
    """

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.directory = directory
        self.settings = settings
        config = directory / CONFIG
        if config.exists():
            self._require_same(config)
        else:
            write_atomically(config, settings.to_toml())

    def _require_same(self, config: Path) -> None:
        kept = parse_settings(config.read_text(encoding="utf-8"))
        if kept.identity() != self.settings.identity():
            raise SettingsError(
                f"{self.directory} must be resumed with the settings it was started with",
                got="; ".join(self.settings.differences(kept)),
                fix="leave the options out, choose another --out, or start anew with --overwrite",
            )

    @property
    def finished(self) -> bool:
        """Whether the run has a result."""
        return (self.directory / RESULT).exists()

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one trial; it is in the hands of the operating system when this returns.

        Raises:
            RhnasError: The disk is full; earlier trials are untouched.
        """
        line = json.dumps(record, allow_nan=False) + "\n"
        try:
            with (self.directory / TRIALS).open("a", encoding="utf-8") as stream:
                stream.write(line)
        except OSError as error:
            raise RhnasError(
                f"{self.directory / TRIALS} must be writable",
                got=error.strerror or error,
                fix="free disk space, then resume with --resume; finished trials are kept",
            ) from error

    def trials(self) -> list[dict[str, Any]]:
        """Every whole trial; a torn last line is left out.

        Raises:
            CheckpointError: A line before the last is not JSON.
        """
        return [json.loads(line) for line in self._lines()]

    def _lines(self) -> list[bytes]:
        path = self.directory / TRIALS
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")
        whole = [line for line in lines[:-1] if line]
        for number, line in enumerate(whole, 1):
            try:
                json.loads(line)
            except ValueError as error:
                if number == len(whole):
                    return whole[:-1]
                raise CheckpointError(
                    f"line {number} of {path} must be JSON", got=error, fix="start anew with --overwrite"
                ) from error
        return whole

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` trials.

        Raises:
            CheckpointError: There are fewer.
        """
        lines = self._lines()
        if len(lines) < count:
            raise CheckpointError(
                f"{self.directory / TRIALS} must hold the {count} trials of its checkpoint",
                got=f"{len(lines)} whole lines",
                fix="start anew with --overwrite",
            )
        path = self.directory / TRIALS
        if path.exists():
            with path.open("r+b") as stream:
                stream.truncate(sum(len(line) + 1 for line in lines[:count]))
                os.fsync(stream.fileno())

    def save_checkpoint(self, content: bytes) -> None:
        """Replace the checkpoint in one step."""
        write_atomically(self.directory / CHECKPOINT, content)

    def load_checkpoint(self) -> bytes | None:
        """The checkpoint, None if the run has none yet."""
        path = self.directory / CHECKPOINT
        return path.read_bytes() if path.exists() else None

    def set_checkpoint_aside(self) -> Path:
        """Rename a checkpoint that cannot be used, so that a new start does not lose it."""
        target = self.directory / f"{CHECKPOINT}.corrupt"
        (self.directory / CHECKPOINT).replace(target)
        return target

    def finish(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Write ``result.json`` with schema and provenance; returns what was written."""
        run = self.settings.run
        origin = provenance(configuration=self.settings.identity(), seed=run.seed, threads=run.threads)
        whole = {"schema": SCHEMA, "provenance": origin, **result}
        write_json(self.directory / RESULT, whole)
        return whole

    def result(self) -> dict[str, Any]:
        """The finished run's result.

        Raises:
            RhnasError: There is none.
        """
        return read_json(self.directory / RESULT)

    def part(self, stage: str) -> Study:
        """A study for one stage, beneath this one; see ``Crew``."""
        return Study(self.directory / PARTS / stage.replace("/", "-"), self.settings)

    def drop_parts(self) -> None:
        """Remove the studies of single stages."""
        shutil.rmtree(self.directory / PARTS, ignore_errors=True)

    def clear(self) -> None:
        """Remove what an earlier run of this kind left, and nothing else."""
        self.drop_parts()
        for name in (RESULT, CHECKPOINT, f"{CHECKPOINT}.corrupt", TRIALS, "report.html", "verify.json"):
            (self.directory / name).unlink(missing_ok=True)
        write_atomically(self.directory / CONFIG, self.settings.to_toml())


def open_study(directory: Path, settings: Settings, *, resume: bool, overwrite: bool) -> Study:
    """The study of a directory, new or continued.

    Args:
        directory: Where the run lives.
        settings: Its settings.
        resume: Continue what is there; on an absent or empty directory a new start.
        overwrite: Throw away what an earlier run left.

    Raises:
        SettingsError: There is a run and neither was said, or it has other settings.
    """
    if resume and overwrite:
        raise SettingsError("--resume and --overwrite exclude each other")
    if overwrite and (directory / CONFIG).exists():
        write_atomically(directory / CONFIG, settings.to_toml())
        study = Study(directory, settings)
        study.clear()
        return study
    if not resume and (directory / CONFIG).exists():
        state = "a finished run" if (directory / RESULT).exists() else "an unfinished run"
        raise SettingsError(
            f"{directory} must be new or empty",
            got=state,
            fix="say --resume to continue (or print its result), --overwrite to start anew",
        )
    return Study(directory, settings)
