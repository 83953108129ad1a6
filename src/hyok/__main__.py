"""``python -m hyok``."""

from hyok.cli import main

main()
