"""Where `hyok` begins: a command is run without loading the others.

What needs no installation loads none: an auditor's machine has the log and the public key, and
neither HSM nor database nor settings.
"""

from __future__ import annotations

import sys

OFFLINE = frozenset({"verify", "check-proof"})


def main() -> None:
    """Run the command that the arguments name."""
    if sys.argv[1:2] == ["audit"] and OFFLINE.intersection(sys.argv[2:3]):
        from hyok.cli.audit_verify import main as offline  # noqa: PLC0415 - only this is loaded

        del sys.argv[1]
        offline()
        return
    from hyok.cli.table import build, entry_of  # noqa: PLC0415 - not where an auditor verifies
    from hyok.cli.telling import run_told  # noqa: PLC0415

    entry = entry_of(sys.argv[1]) if len(sys.argv) > 1 else None
    if entry is not None:
        run_told(build([entry]), "hyok")
        return
    from hyok.cli.main import main as everything  # noqa: PLC0415 - takes seconds

    everything()
