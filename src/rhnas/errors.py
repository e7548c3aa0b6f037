"""The package's errors: each says what must hold, what was got, and what to change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class RhnasError(Exception):
    """Base of every error a user can cause or meet.

    Args:
        what: The invariant that does not hold, in one sentence.
        got: The offending value, as the user wrote it.
        fix: What to change.

    Example:
        >>> str(RhnasError("budget must be positive", got="-3", fix="use --budget 300"))
        'budget must be positive; got -3; use --budget 300'
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, got: object = None, fix: str | None = None) -> None:
        self.what = what
        self.got = None if got is None else str(got)
        self.fix = fix
        parts = [what]
        if self.got is not None:
            parts.append(f"got {self.got}")
        if fix is not None:
            parts.append(fix)
        super().__init__("; ".join(parts))

    def to_json(self) -> dict[str, dict[str, str | None]]:
        """The error as the command line prints it under ``--json``."""
        return {"error": {"what": self.what, "got": self.got, "fix": self.fix}}


class InfeasibleDesignError(RhnasError, ValueError):
    """A design that cannot be built was asked for."""


class SettingsError(RhnasError, ValueError):
    """An option, key or value of a configuration is wrong."""


class UnsupportedNetworkError(RhnasError, ValueError):
    """A network holds an operation or a shape that the accelerator cannot run."""


class DataError(RhnasError, ValueError):
    """A data set is missing, truncated or malformed."""


class CheckpointError(RhnasError, ValueError):
    """A run directory or checkpoint cannot be read back."""


class ProgramError(RhnasError, ValueError):
    """An accelerator program is malformed or does what the machine forbids."""


class MissingToolError(RhnasError, RuntimeError):
    """A tool or an optional part of the installation is absent."""

    exit_code: ClassVar[int] = 3


class ToolFailedError(RhnasError, RuntimeError):
    """An external tool ended with an error; the message carries its last lines."""


def did_you_mean(got: str, known: Iterable[str]) -> str | None:
    """A fix that names the nearest known name; None where none is near.

    Example:
        >>> did_you_mean("two_stages", ["two_stage", "rhnas"])
        'did you mean two_stage?'
    """
    near = difflib.get_close_matches(got, list(known), n=1, cutoff=0.4)
    return f"did you mean {near[0]}?" if near else None
