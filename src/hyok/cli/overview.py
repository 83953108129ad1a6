"""What `hyok --help` and a wrong command show: each command in one line, and none loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.cli.table import root_app

if TYPE_CHECKING:
    from collections.abc import Mapping

    import typer

SUMMARIES: Mapping[str, str] = {
    "dev": "Set up what is missing, start everything, and say what to try.",
    "init": "Write settings for production: six questions, or a file with the answers to them.",
    "doctor": (
        "Check settings, policies, HSM, keys, stores, backup, audit log and door, in this order."
    ),
    "peek": "Show what the supplier has of an object, beside what it says to its owner.",
    "explain": (
        "Say what happened to a request: who asked, what was decided by which rule, which key."
    ),
    "export": "Propose to write sealed files, their keyring records and a sealed manifest.",
    "open": "Decrypt without gateway and database: the sealed files and the HSM are enough.",
    "recover": "Rebuild a lost database; what is there already stays. The gateway must be stopped.",
    "backup": (
        "Copy the database, also while the gateway runs, into one file that only your HSM opens."
    ),
    "restore": "Put a backup back; the gateway must be stopped, and the HSM there.",
    "freeze": (
        "Stop every use of an app, bucket, tenant, store, supplier, key or door, within seconds."
    ),
    "thaw": "Let what was frozen be used again, also what is not there any more.",
    "freezes": "List what is frozen, since when, by whom and why.",
    "login": (
        "Sign in at the identity provider of an officer API, and keep the login for this user."
    ),
    "logout": "Forget the login on this machine.",
    "work": "Work at the shards of every open job, beside other workers, until it is stopped.",
    "serve": "Run a service in the foreground.",
    "hsm": "HSM tokens.",
    "bench": "Measure an HSM or a gateway.",
    "audit": "The security audit log: verify it, prove records.",
    "keys": "Keys in the HSM.",
    "doors": "Doors through which clouds and SaaS use your keys.",
    "custodian": "Custodians of a backup.",
    "drill": "Drills.",
    "apps": "Applications and their access keys.",
    "buckets": "Registered buckets.",
    "jobs": "Bulk work on buckets.",
    "objects": "Acts on single objects.",
    "officers": "The persons who decide together.",
    "approvals": "Proposals that take several officers.",
    "policy": "What each classification demands, and who may.",
    "evidence": "What auditors ask for, from the live state.",
    "shred": "Destroy a case, bucket, object or classification for good.",
    "break-glass": "Reading beyond one's rights in an emergency.",
}
"""The first paragraph of each command's help, in the order in which they are shown."""


def build_overview() -> typer.Typer:
    """Return `hyok` with commands that do nothing but stand in the list."""
    root = root_app()
    for word, summary in SUMMARIES.items():
        root.command(word, help=summary)(_nothing)
    return root


def _nothing() -> None:
    """Stands for a command: whoever names one is given the command itself."""
