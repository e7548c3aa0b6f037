"""Ways to move alpha."""
