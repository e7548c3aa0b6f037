"""``python -m rhnas``: the same as the command ``rhnas``."""

from rhnas.cli.app import main

main()
