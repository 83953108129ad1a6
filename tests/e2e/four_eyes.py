"""Acts that take several officers, done by the two of `hyok dev` or by three with keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e import operated

if TYPE_CHECKING:
    from collections.abc import Sequence

DEMO = (("--as", "demo-anna"), ("--as", "demo-bram"))
ROLES = {
    "anna": ("security-officer",),
    "bram": ("security-officer", "process-owner"),
    "chris": ("process-owner", "privacy-officer"),
}


def logins(home: Path) -> list[tuple[str, ...]]:
    """Return how each officer of `found` signs: with a key of their own."""
    secret = ("--passphrase-file", str(home / "passphrase"))
    return [("--key", str(home / f"{person}.pem"), *secret) for person in ROLES]


def found(config: Path) -> list[tuple[str, ...]]:
    """Make three officers with keys, as production wants them; return their logins."""
    home = config.parent
    (home / "passphrase").write_text("paard batterij nietje\n")
    secret = ("--passphrase-file", str(home / "passphrase"))
    shown = operated.cli(
        config,
        [["officers", "key", str(home / f"{who}.pem"), *secret, "--json"] for who in ROLES],
    )
    publics = [json.loads(text)[0]["public_key"] for text in shown[: len(ROLES)]]
    adding = [
        [
            *("officers", "add", person, "--name", person.title(), "--public-key", public),
            *(word for role in roles for word in ("--role", role)),
        ]
        for (person, roles), public in zip(ROLES.items(), publics, strict=True)
    ]
    operated.cli(config, adding[:2])
    [third] = propose(config, logins(home), [*adding[2], "--reason", "een derde"])
    done(config, logins(home)[:2], third)
    return logins(home)


def propose(config: Path, who: Sequence[Sequence[str]], *commands: Sequence[str]) -> list[str]:
    """Propose each command as the first officer; return the proposals."""
    why = () if "--reason" in commands[0] else ("--reason", "proef")
    shown = operated.cli(config, [[*command, *who[0], *why, "--json"] for command in commands])
    return [json.loads(text)[0]["proposal"] for text in shown[: len(commands)]]


def done(config: Path, who: Sequence[Sequence[str]], *proposals: str) -> list[str]:
    """Approve each by all others, and execute it; return what each execution printed."""
    commands = []
    for proposal in proposals:
        commands += [["approvals", "approve", proposal, *other] for other in who[1:]]
        commands += [["approvals", "execute", proposal, *who[0]]]
    shown = operated.cli(config, commands)
    return [shown[len(who) * (n + 1) - 1] for n in range(len(proposals))]


def together(
    config: Path, *commands: Sequence[str], who: Sequence[Sequence[str]] = DEMO
) -> list[str]:
    """Have each command proposed, approved and executed."""
    return done(config, who, *propose(config, who, *commands))
