"""``python -m hyok``."""

from hyok.cli.main import main

main()
