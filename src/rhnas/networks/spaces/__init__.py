"""Network spaces, declared without torch."""
