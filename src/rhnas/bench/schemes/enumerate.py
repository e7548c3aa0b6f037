"""Codesign-NAS's way: pairs are enumerated as far as the budget goes, every network on every design."""

from __future__ import annotations

from typing import final

import numpy as np

from rhnas.bench.ledger import Ledger
from rhnas.bench.schemes.base import TabularScheme
from rhnas.seeds import Seeds


@final
class EnumerateScheme(TabularScheme):
    """Random networks without repetition, each on all designs.

    With a budget of all networks this is the true front (Abdelfattah et al., "Best of Both Worlds: AutoML
    Codesign of a CNN and its Hardware Accelerator", DAC 2020).
    """

    enumerates = True

    def run(self, ledger: Ledger, seeds: Seeds) -> None:
        """Look up as many as the budget allows."""
        ledger.enumerate()
        networks = np.unique(ledger.problem.identity)
        ledger.look_up(seeds.numpy().permutation(networks)[: ledger.budget.lookups])
