"""The joint loop of network and hardware search."""
