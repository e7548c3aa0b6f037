"""``KEY=VAL,KEY=VAL``, as accelerators are written on the command line of every platform."""

from __future__ import annotations

from rhnas.errors import SettingsError


def assignments(text: str, example: str | None = None) -> dict[str, int]:
    """Whole numbers by key.

    Args:
        text: ``KEY=VAL,KEY=VAL``.
        example: Of the platform, for the error.

    Raises:
        SettingsError: A key stands twice, or a value is no whole number.

    Example:
        >>> assignments("ROWS=8, COLS=16")
        {'ROWS': 8, 'COLS': 16}
    """
    given: dict[str, int] = {}
    for part in text.split(","):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key in given:
            raise SettingsError("each accelerator key must be given once", got=key)
        try:
            given[key] = int(value)
        except ValueError as error:
            raise SettingsError(
                "an accelerator must be 'default', a .json file, or KEY=VAL,KEY=VAL with whole numbers",
                got=part,
                fix=None if example is None else f"for example {example}",
            ) from error
    return given
