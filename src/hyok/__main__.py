"""``python -m hyok``."""

from hyok.cli.entry import main

main()
