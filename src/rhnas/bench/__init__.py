"""Agents and schemes at equal budgets."""
