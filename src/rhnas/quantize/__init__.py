"""From a trained network to integers."""
