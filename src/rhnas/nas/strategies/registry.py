"""Strategies by name."""

from __future__ import annotations

from difflib import get_close_matches

from rhnas.errors import SettingsError
from rhnas.nas.strategies.base import Strategy
from rhnas.nas.strategies.dsnas import Dsnas
from rhnas.nas.strategies.mixed import Darts, FbNet
from rhnas.nas.strategies.proxyless import Proxyless
from rhnas.nas.supernet import SuperNet
from rhnas.settings import NasSettings

STRATEGIES: dict[str, type[Strategy]] = {
    "dsnas": Dsnas,
    "fbnet": FbNet,
    "proxyless": Proxyless,
    "darts": Darts,
}
"""Every strategy that ``nas.strategy`` may name."""


def make_strategy(supernet: SuperNet, settings: NasSettings) -> Strategy:
    """The strategy that the settings name.

    Raises:
        SettingsError: There is none of that name.
    """
    if settings.strategy not in STRATEGIES:
        near = get_close_matches(settings.strategy, STRATEGIES, n=1)
        fix = f"did you mean {near[0]!r}?" if near else None
        raise SettingsError(
            f"nas.strategy must be one of {sorted(STRATEGIES)}", got=settings.strategy, fix=fix
        )
    return STRATEGIES[settings.strategy](supernet, settings)
