"""Where `hyok` begins: what needs no installation is run without loading one.

An auditor's machine has the log and the public key, and neither HSM nor database nor settings.
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
    if sys.argv[1:2] == ["serve"]:
        # Every worker begins here: half its start would be commands that it does not run.
        from hyok.cli.serve import app as serving  # noqa: PLC0415 - only this is loaded
        from hyok.cli.telling import run_told  # noqa: PLC0415

        del sys.argv[1]
        run_told(serving, "hyok serve")
        return
    from hyok.cli.main import main as everything  # noqa: PLC0415 - takes a second

    everything()
