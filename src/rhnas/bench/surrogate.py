"""What the accuracies seen so far say about other networks: the table's counterpart of a supernet's ranking.

In a real search candidates are ranked with the supernet's weights; a table has none, so a Gaussian process
over the decisions, fitted to the networks looked up, takes its place. Legend: n networks, D decisions.
"""

from __future__ import annotations

from typing import final

import numpy as np
from scipy.special import ndtr

from rhnas.workload import FloatArray, IntArray

NOISE = 0.05
"""Variance of an accuracy's noise, as a share of that of all accuracies seen."""
OUTLIER = 3.0
"""Accuracies further below the median than so many quartile ranges count as that far."""


@final
class AccuracyModel:
    """A Gaussian process whose covariance falls with the number of decisions in which two networks differ.

    Args:
        options: int64 (n, D): networks looked up.
        accuracy: float64 (n,): theirs, percent.

    Example:
        >>> model = AccuracyModel(np.array([[0, 0], [1, 1]]), np.array([90.0, 92.0]))
        >>> mean, deviation = model.predict(np.array([[1, 1], [0, 1]]))
        >>> bool(91.5 < mean[0] < 92), bool(deviation[0] < deviation[1])
        (True, True)
    """

    def __init__(self, options: IntArray, accuracy: FloatArray) -> None:
        low, middle, high = np.quantile(accuracy, [0.25, 0.5, 0.75])
        clipped = np.maximum(accuracy, middle - OUTLIER * max(high - low, 1e-9))
        self._options = options
        self._mean, self._scale = clipped.mean(), max(float(clipped.std()), 1e-9)
        covariance = self._covariance(options) + NOISE * np.eye(len(options))
        self._factor = np.linalg.cholesky(covariance)
        half = np.linalg.solve(self._factor, (clipped - self._mean) / self._scale)
        self._solution = np.linalg.solve(self._factor.T, half)

    def predict(self, options: IntArray) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the accuracies of networks int64 (n, D), each float64 (n,)."""
        across = self._covariance(options)  # (n, seen)
        half = np.linalg.solve(self._factor, across.T)
        variance = np.maximum(1.0 - (half**2).sum(axis=0), 1e-12)
        return across @ self._solution * self._scale + self._mean, np.sqrt(variance) * self._scale

    def holds(self, options: IntArray, threshold: float) -> FloatArray:
        """Probability that networks int64 (n, D) reach a threshold in percent, float64 (n,)."""
        mean, deviation = self.predict(options)
        return np.asarray(ndtr((mean - threshold) / deviation))

    def _covariance(self, options: IntArray) -> FloatArray:
        differ = (options[:, None, :] != self._options[None, :, :]).sum(axis=2)
        return np.asarray(np.exp(-2.0 * differ / options.shape[1]))
