"""Write ``docs/api.md``: every public name with its signature and the first line of its docstring."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import rhnas

TARGET = Path(__file__).parent.parent / "docs" / "api.md"


def api() -> str:
    """The page as it should be."""
    lines = [
        "# Public names",
        "",
        "Written by `python scripts/api.py`; a test compares. Import from `rhnas` or from there.",
        "",
    ]
    for name, place in rhnas.PUBLIC.items():
        value = getattr(rhnas, name)
        signature = "" if isinstance(value, type) else str(inspect.signature(value))
        summary = (inspect.getdoc(value) or "").splitlines()[0]
        lines += [f"## `{name}`", "", f"`{place.replace(':', '.')}{signature}`", "", summary, ""]
        if isinstance(value, type):
            lines += _methods(value)
    return "\n".join(lines).rstrip() + "\n"


def _methods(kind: type) -> list[str]:
    rows = []
    for name, member in vars(kind).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            rows.append(f"- `{name}`: {(inspect.getdoc(member) or '').splitlines()[0]}")
        elif inspect.isfunction(member) or isinstance(member, classmethod):
            shown = inspect.signature(getattr(kind, name))
            rows.append(f"- `{name}{shown}`: {(inspect.getdoc(getattr(kind, name)) or ' ').splitlines()[0]}")
    return [*rows, ""] if rows else []


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(TARGET.read_text() != api())
    TARGET.write_text(api())
