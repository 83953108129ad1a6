"""Where `hyok` begins: a command is run without loading the others, and help without any.

What needs no installation loads none: an auditor's machine has the log and the public key, and
neither HSM nor database nor settings.
"""

from __future__ import annotations

import gc
import os
import sys

from hyok import __version__

OFFLINE = frozenset({"verify", "check-proof"})
COMPLETING = "_HYOK_COMPLETE"
LINES = ("_TYPER_COMPLETE_ARGS", "COMP_WORDS")
"""Where the scripts that Typer makes for shells put the line so far."""

OBJECTS_BETWEEN_LOOKS = 50_000
"""What cycles of garbage may hold meanwhile is some tens of MiB.

Loading makes hundreds of thousands of objects that all stay: looking among them for garbage was a
tenth of a command's CPU.
"""


def main() -> None:
    """Run the command that the arguments name."""
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS, 20, 100)
    if sys.argv[1:2] == ["audit"] and OFFLINE.intersection(sys.argv[2:3]):
        from hyok.cli.audit_verify import main as offline  # noqa: PLC0415 - only this is loaded

        del sys.argv[1]
        offline()
        return
    if sys.argv[1:2] == ["--version"]:
        print(f"hyok {__version__}")
        return
    from hyok.cli.table import build, entry_of  # noqa: PLC0415 - not where an auditor verifies
    from hyok.cli.telling import run_told  # noqa: PLC0415

    words = _words()
    entry = entry_of(words[0]) if words else None
    if entry is not None:
        run_told(build([entry]), "hyok")
        return
    from hyok.cli.overview import build_overview  # noqa: PLC0415 - no command needs it

    run_told(build_overview(), "hyok")


def _words() -> list[str]:
    """Return the words behind `hyok`: of this command, or of the line that a shell completes."""
    if COMPLETING not in os.environ:
        return sys.argv[1:]
    return next((os.environ[name] for name in LINES if name in os.environ), "").split()[1:]
