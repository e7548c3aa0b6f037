"""Cost models that bound a whole range of designs at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from rhnas.platform import Cost, CostModel
from rhnas.space import DesignBatch
from rhnas.workload import Layer


class RelaxableCostModel(CostModel):
    """A cost model that branch and bound can prove optima with.

    Attributes:
        relaxable: Choices along which a range of designs is bounded.
    """

    relaxable: tuple[str, ...]

    @abstractmethod
    def relaxed(self, low: DesignBatch, high: DesignBatch, layers: Sequence[Layer]) -> Cost:
        """Hulls below those of every design between two corners.

        Args:
            low: B designs, the lower corners.
            high: The upper ones; equal to ``low`` but for the choices in ``relaxable``.
            layers: L layers.

        Returns:
            At any exchange rate no more than the cost of any design in between; exact where the corners are
            one design; unmapped only where no design in between has a mapping.
        """
