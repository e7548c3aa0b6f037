"""Hardware agents behind ask and tell."""
