"""A way to a network and an accelerator on a table; all schemes are peers behind ``run``."""

from __future__ import annotations

from abc import ABC, abstractmethod

from rhnas.bench.ledger import Ledger
from rhnas.seeds import Seeds
from rhnas.workload import IntArray


class TabularScheme(ABC):
    """Asks a ledger for accuracies and costs until its budget is spent.

    Attributes:
        enumerates: Whether it prices every design, which spaces beyond a table do not allow.
    """

    enumerates: bool = False

    @abstractmethod
    def run(self, ledger: Ledger, seeds: Seeds) -> IntArray | None:
        """Search.

        Args:
            ledger: The only way to accuracies and costs.
            seeds: Where all randomness comes from.

        Returns:
            Networks the scheme answers with, int64 (n,); None for whichever of those it looked up is best.
        """
