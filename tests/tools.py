"""Marks of tests that need outside programs; where one is missing they are skipped and say so."""

from collections.abc import Callable

import pytest

from rhnas.errors import MissingToolError
from rhnas.tools import find_compiler, find_tool, find_verilator


def is_there(find: Callable[[], object]) -> bool:
    """Whether what is looked for is found."""
    try:
        find()
    except MissingToolError:
        return False
    return True


def needs(name: str, *finders: Callable[[], object]) -> pytest.MarkDecorator:
    """Skips where one of them finds nothing."""
    return pytest.mark.skipif(not all(map(is_there, finders)), reason=f"{name} is not installed")


needs_verilator = needs("Verilator or g++", find_verilator, find_compiler)
needs_yosys = needs("Yosys", lambda: find_tool("yosys"))
needs_nextpnr = needs("Yosys or nextpnr-ecp5", lambda: find_tool("yosys"), lambda: find_tool("nextpnr-ecp5"))
