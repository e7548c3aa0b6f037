"""How commands speak: one JSON object or text on stdout, everything else on stderr, fixed exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]

PlatformName = Annotated[
    str, typer.Option("--platform", help="vta, systolic, command:FILE.toml or table:FILE.csv.")
]
"""Whose accelerators; docs/platforms.md."""

stderr = Console(stderr=True, highlight=False)
"""Progress and warnings go here."""


def emit(value: Mapping[str, Any], json_output: bool, text: Callable[[Console], None]) -> None:
    """Print a result once: as JSON, or as text rendered by ``text``."""
    if json_output:
        sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")
    else:
        text(Console(highlight=False))
