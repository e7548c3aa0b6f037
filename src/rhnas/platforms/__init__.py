"""Other accelerators behind the same interface."""
