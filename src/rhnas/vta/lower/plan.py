"""Where a whole network's tensors lie in memory: activations share places, everything else follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rhnas.vta.lower.memory import PAGE_BYTES


@dataclass(frozen=True, kw_only=True)
class Lifetime:
    """A tensor and the steps in which it must stay where it is.

    Attributes:
        size: Bytes.
        first: Step that writes it.
        last: Last step that reads it.
    """

    size: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether both are alive in some step."""
        return self.first <= other.last and other.first <= self.last


def pages(size: int) -> int:
    """Bytes of whole pages that hold so many.

    Example:
        >>> pages(1), pages(4096), pages(4097)
        (4096, 4096, 8192)
    """
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def share(tensors: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Addresses at which tensors alive in one step never overlap, and the bytes they take together.

    The largest is placed first, each at the lowest page where nothing it meets lies.

    Example:
        >>> chain = [Lifetime(size=4096, first=step, last=step + 1) for step in range(4)]
        >>> share(chain)
        ([0, 4096, 0, 4096], 8192)
    """
    placed: list[tuple[int, Lifetime]] = []
    addresses = [0] * len(tensors)
    for index in sorted(range(len(tensors)), key=lambda i: (-tensors[i].size, i)):
        tensor, at = tensors[index], 0
        for start, other in sorted(placed, key=lambda pair: pair[0]):
            if tensor.meets(other) and at < start + pages(other.size) and start < at + pages(tensor.size):
                at = start + pages(other.size)
        placed.append((at, tensor))
        addresses[index] = at
    return addresses, max((at + pages(tensor.size) for at, tensor in placed), default=0)
