"""The public names: importable, documented, and in ``docs/api.md`` with their signatures."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import rhnas

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", rhnas.PUBLIC)
def test_every_public_name_is_there_and_documented(name):
    assert (getattr(rhnas, name).__doc__ or "").strip()
    assert name in dir(rhnas)


def test_the_page_of_public_names_is_up_to_date():
    page = runpy.run_path(str(ROOT / "scripts" / "api.py"))["api"]()
    assert (ROOT / "docs" / "api.md").read_text() == page, "run: python scripts/api.py"


def test_importing_the_package_imports_nothing_else():
    code = "import sys, rhnas; sys.exit(any(m in sys.modules for m in ('torch', 'numba', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="nonsense"):
        _ = rhnas.nonsense
