"""The compiler: from integer layers and mappings to programs; see ``docs/compiler.md``."""
