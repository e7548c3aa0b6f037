"""How the simulator's functions are compiled: cached on disk, with C's division."""

from __future__ import annotations

from numba import njit

entry = njit(cache=True, error_model="numpy")
"""For functions called from Python."""

inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions called from compiled code only; without the wrappers they compile several times faster."""
