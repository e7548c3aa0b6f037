"""How the cost model's inner loops are compiled: once per machine, kept on disk, without Python's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""Divisors are positive, so division is not checked."""


def compiled(function: Function) -> Function:
    """Compile a function of integers and arrays that only compiled code calls."""
    inner: Function = njit(**OPTIONS, no_cpython_wrapper=True)(function)
    return inner


def entry(function: Function) -> Function:
    """Compile a function that Python calls."""
    outer: Function = njit(**OPTIONS)(function)
    return outer
