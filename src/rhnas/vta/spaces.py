"""The accelerator spaces of the VTA family."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rhnas.errors import SettingsError
from rhnas.space import Choice, Rule, Space
from rhnas.vta.rules import BUS_WIDTHS_BITS, KEYS, STRUCTURAL, UPSTREAM

DEFAULT: Mapping[str, int] = MappingProxyType(dict(zip(KEYS, (0, 4, 4, 15, 15, 18, 17, 64), strict=True)))
"""1x16x16, 32/32/256/128 KiB, 64-bit bus: every sample configuration of main, the baseline of all ratios."""


def _space(name: str, *values: tuple[int, ...], rules: tuple[Rule, ...] = STRUCTURAL) -> Space:
    choices = tuple(Choice(name=key, values=allowed) for key, allowed in zip(KEYS, values, strict=True))
    return Space(name=name, choices=choices, rules=rules)


def _span(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


VTA_INTEL = _space(
    "vta-intel",
    _span(0, 4),
    _span(0, 6),
    _span(0, 6),
    (15,),
    _span(15, 18),
    _span(15, 18),
    _span(15, 18),
    (64,),
    rules=(*STRUCTURAL, *UPSTREAM),
)
"""Intel Labs' own explorer (IL ``apps/params/dsexplorer.py``): 15,680 points; what their generator builds."""

VTA_WIDE = _space(
    "vta",
    _span(0, 2),
    _span(0, 6),
    _span(0, 6),
    _span(10, 15),
    _span(10, 18),
    _span(10, 18),
    _span(10, 18),
    BUS_WIDTHS_BITS,
)
"""Small buffers, all micro-op depths and all buses: 2,571,912 points; what ours builds."""

SPACES: Mapping[str, Space] = MappingProxyType({space.name: space for space in (VTA_INTEL, VTA_WIDE)})


def space_named(name: str) -> Space:
    """The space of that name.

    Raises:
        SettingsError: There is none.

    Example:
        >>> space_named("vta-intel").points
        15680
    """
    if name not in SPACES:
        raise SettingsError(f"accelerator space must be one of {sorted(SPACES)}", got=name)
    return SPACES[name]
