"""Differentiable architecture search: supernet, strategies, training."""
