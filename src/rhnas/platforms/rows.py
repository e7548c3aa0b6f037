"""What platforms whose accelerators are plain rows of numbers have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rhnas.assignments import assignments
from rhnas.errors import InfeasibleDesignError, SettingsError, did_you_mean
from rhnas.files import read_json
from rhnas.nearest import describe_change, nearest_design
from rhnas.space import DesignBatch, Space


def parse_row(text: str, default: Mapping[str, int]) -> dict[str, int]:
    """A full row from what a user wrote, not checked for realizability.

    Args:
        text: ``default``, the path of a JSON object, or ``KEY=VAL,KEY=VAL``: changes to the default.
        default: Says which keys there are.

    Raises:
        SettingsError: An unknown key (the nearest known one is named) or a value that is no whole number.
        RhnasError: The file cannot be read.

    Example:
        >>> parse_row("COLS=8", {"ROWS": 16, "COLS": 16})
        {'ROWS': 16, 'COLS': 8}
    """
    if text == "default":
        return dict(default)
    given = assignments(text) if "=" in text and not Path(text).is_file() else read_json(Path(text))
    for key, value in given.items():
        if key not in default:
            raise SettingsError(
                f"a key of an accelerator must be one of {', '.join(default)}",
                got=key,
                fix=did_you_mean(key.upper(), default),
            )
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise SettingsError(f"{key} must be a whole number, not negative", got=repr(value))
    return {**default, **given}


def only_space(space: Space, name: str) -> Space:
    """The one space of a platform, asked for by name.

    Raises:
        SettingsError: It has another name.
    """
    if name != space.name:
        raise SettingsError(f"accelerator space must be one of {[space.name]}", got=name)
    return space


def refuse_fpga(fpga: str | None) -> None:
    """Raise if a part is named to a platform that has no model of FPGAs.

    Raises:
        SettingsError: It is.
    """
    if fpga is not None:
        raise SettingsError("fpga must not be given: this platform has no model of FPGAs", got=fpga)


def require_realizable(space: Space, row: Mapping[str, int], default: Mapping[str, int], label: str) -> None:
    """Raise unless a row keeps every structural rule of a space.

    Args:
        space: Whose rules, and where the nearest realizable design is sought.
        row: A full row.
        default: Breaks ties among fixes.
        label: The row's short name.

    Raises:
        InfeasibleDesignError: Names each broken rule with its slack, and the nearest realizable design.
    """
    slacks = space.slack(DesignBatch.of(row))[0]
    broken = [
        f"{rule.name}: {rule.invariant} (slack {slack:g})"
        for rule, slack in zip(space.rules, slacks, strict=True)
        if slack < 0
    ]
    if not broken:
        return
    fixed = nearest_design(space, row, space.rules, default)
    raise InfeasibleDesignError(
        f"the accelerator must keep {', '.join(broken)}",
        got=label,
        fix=None if fixed is None else f"nearest realizable: {describe_change(row, fixed)}",
    )
