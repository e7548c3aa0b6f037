"""Network spaces by name."""

from __future__ import annotations

from difflib import get_close_matches

from rhnas.errors import SettingsError
from rhnas.networks.spaces.cifar import CIFAR
from rhnas.networks.spaces.digits import DIGITS
from rhnas.networks.spaces.residual import ResidualSpace

NETWORK_SPACES = {settings.name: settings for settings in (DIGITS, CIFAR)}
"""Settings of the spaces that come with the package."""


def network_space(name: str) -> ResidualSpace:
    """The network space of that name.

    Raises:
        SettingsError: There is none.

    Example:
        >>> network_space("digits").picture
        (1, 8, 8)
    """
    if name not in NETWORK_SPACES:
        near = get_close_matches(name, NETWORK_SPACES, n=1)
        fix = f"did you mean {near[0]!r}?" if near else None
        raise SettingsError(f"network space must be one of {sorted(NETWORK_SPACES)}", got=name, fix=fix)
    return ResidualSpace(NETWORK_SPACES[name])
