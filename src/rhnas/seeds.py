"""Randomness is an argument: one root seed, named children, nothing global."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """A node in a tree of seeds; adding a child never shifts its siblings.

    Attributes:
        root: The one seed of a run.
        path: Names from the root to this node.

    Example:
        >>> a, b = Seeds(root=0).child("agent"), Seeds(root=0).child("agent")
        >>> int(a.numpy().integers(100)) == int(b.numpy().integers(100))
        True
    """

    root: int
    path: tuple[str, ...] = ()

    def child(self, name: str) -> Seeds:
        """The child called ``name``; the same name gives the same child."""
        return Seeds(root=self.root, path=(*self.path, name))

    def numpy(self) -> np.random.Generator:
        """A fresh NumPy generator, always in the same initial state for this node."""
        return np.random.default_rng(self._sequence())

    def integer(self) -> int:
        """A 63-bit seed for libraries that take one integer (``torch.Generator.manual_seed``)."""
        return int(self._sequence().generate_state(1, np.uint64)[0] >> np.uint64(1))

    def _sequence(self) -> np.random.SeedSequence:
        digest = hashlib.sha256("/".join(self.path).encode()).digest()
        words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
        return np.random.SeedSequence(self.root, spawn_key=words)
