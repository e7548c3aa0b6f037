"""Run directories for the report's tests."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.report.runs import recorded, write_run


@pytest.fixture
def result() -> dict[str, Any]:
    """A result.json that a test may change."""
    return copy.deepcopy(recorded())


@pytest.fixture
def run_directory(tmp_path: Path, result: dict[str, Any]) -> Path:
    """A finished and verified run."""
    return write_run(tmp_path / "run", result, verify=True)
