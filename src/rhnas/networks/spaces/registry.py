"""Network spaces by name, or from a file of one's own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from rhnas.errors import SettingsError
from rhnas.networks.spaces.base import NetworkSpace
from rhnas.networks.spaces.cifar import CIFAR, CIFAR_LARGE, CIFAR_WIDE
from rhnas.networks.spaces.digits import DIGITS
from rhnas.networks.spaces.macro import Macro
from rhnas.networks.spaces.mbconv import MBCONV
from rhnas.networks.spaces.nasbench201 import NasBench201, NasBench201Imagenet16
from rhnas.networks.spaces.residual import ResidualSpace
from rhnas.networks.spaces.sizes import DIGITS_SIZES

NETWORK_SPACES: dict[str, Callable[[], NetworkSpace]] = {
    "digits": partial(ResidualSpace, DIGITS),
    "cifar": partial(ResidualSpace, CIFAR),
    "cifar-large": partial(ResidualSpace, CIFAR_LARGE),
    "cifar-wide": partial(ResidualSpace, CIFAR_WIDE),
    "macro": Macro,
    "nasbench201": NasBench201,
    "nasbench201-imagenet16": NasBench201Imagenet16,
    "mbconv": partial(ResidualSpace, MBCONV),
    "digits-sizes": partial(ResidualSpace, DIGITS_SIZES),
}
"""The spaces that come with the package; each call makes one."""


def network_space(name: str, classes: int | None = None) -> NetworkSpace:
    """The network space of that name, or of a class in a Python file: ``FILE.py:CLASS``.

    Args:
        name: Of the space.
        classes: Outputs of its networks; the space's own number if None.

    Raises:
        SettingsError: There is none, the file does not define it, or it is for another number of classes.

    Example:
        >>> network_space("digits").picture
        (1, 8, 8)
    """
    space = _named(name)
    return space if classes is None else space.with_classes(classes)


def _named(name: str) -> NetworkSpace:
    path, colon, cls = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _own(Path(path), cls)
    if name not in NETWORK_SPACES:
        near = get_close_matches(name, NETWORK_SPACES, n=1)
        fix = f"did you mean {near[0]!r}?" if near else "one of your own is named FILE.py:CLASS"
        raise SettingsError(f"network space must be one of {sorted(NETWORK_SPACES)}", got=name, fix=fix)
    return NETWORK_SPACES[name]()


def _own(path: Path, cls: str) -> NetworkSpace:
    """An instance of a class in a file, made without arguments."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SettingsError(f"the file of network space {cls!r} must exist", got=path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SettingsError(f"{path} must be a Python module that can be loaded", got=repr(error)) from error
    kind = getattr(module, cls, None)
    if not (isinstance(kind, type) and issubclass(kind, NetworkSpace)):
        raise SettingsError(f"{path} must define a NetworkSpace called {cls!r}", got=repr(kind))
    return kind()
