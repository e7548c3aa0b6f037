"""Find a neural network and the accelerator it runs on together, and get a design that can be built."""

__version__ = "0.1.0"
