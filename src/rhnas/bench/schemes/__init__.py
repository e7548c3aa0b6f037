"""Schemes on tabular problems."""
