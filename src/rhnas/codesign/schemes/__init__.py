"""Schemes of co-design: how network and accelerator are found, at the same budget."""
