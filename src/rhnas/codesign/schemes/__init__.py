"""The joint scheme and its yardsticks."""
