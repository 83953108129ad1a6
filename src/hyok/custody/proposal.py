"""A proposal and the decisions about it, as the bytes that are approved, signed and executed.

Canonical JSON: sorted names, no blanks, UTF-8.  What is executed is read back from exactly the
bytes whose SHA-256 every decision carries, so an effect that was changed is another proposal.

Source: docs/officers.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.custody.quorum import Act, Quorum, Role, Verdict
from hyok.errors import Tampered

if TYPE_CHECKING:
    from collections.abc import Mapping

PROPOSAL = "hyok proposal 1"
DECISION = "hyok decision 1"
EXECUTION = "hyok execution 1"
BYTES_MAX = 65_536

Effect = dict[str, "str | int | list[str]"]
"""What an act does, spelled out: nothing in it is looked up when it is executed."""


def canonical(document: Mapping[str, object]) -> bytes:
    """Return a document as the one sequence of bytes that stands for it."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


@dataclass(frozen=True, slots=True)
class Proposal:
    """One act on one thing, as somebody wants it done.  Times are unix milliseconds."""

    proposal_id: str
    act: Act
    tenant: str
    classification: str
    effect: Effect
    reason: str
    author: str
    quorum: Quorum
    created_ms: int
    expires_ms: int

    def render(self) -> bytes:
        """Return the canonical bytes."""
        return canonical(
            {
                "type": PROPOSAL,
                "id": self.proposal_id,
                "act": str(self.act),
                "tenant": self.tenant,
                "classification": self.classification,
                "effect": self.effect,
                "reason": self.reason,
                "author": self.author,
                "quorum": {
                    "approvals": self.quorum.approvals,
                    "among": [str(role) for role in self.quorum.among],
                    "development": self.quorum.development,
                },
                "created_ms": self.created_ms,
                "expires_ms": self.expires_ms,
            }
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes, hex."""
        return sha256(self.render()).hexdigest()


def parse_proposal(raw: bytes) -> Proposal:
    """Return the proposal of canonical bytes.

    Raises:
        Tampered: they are not what `Proposal.render` returns (code HY-2507).
    """
    try:
        found = json.loads(raw)
        quorum = found["quorum"]
        parsed = Proposal(
            proposal_id=found["id"],
            act=Act(found["act"]),
            tenant=found["tenant"],
            classification=found["classification"],
            effect=found["effect"],
            reason=found["reason"],
            author=found["author"],
            quorum=Quorum(
                quorum["approvals"], tuple(map(Role, quorum["among"])), quorum["development"]
            ),
            created_ms=found["created_ms"],
            expires_ms=found["expires_ms"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise not_genuine("a proposal") from error
    if parsed.render() != raw:
        raise not_genuine("a proposal")
    return parsed


@dataclass(frozen=True, slots=True)
class Decision:
    """What one person said of one proposal.  ``sequence`` 0 is the author's own act."""

    proposal_id: str
    digest: str  # of the proposal's canonical bytes, hex
    person: str
    verdict: Verdict
    at_ms: int
    sequence: int
    method: str  # ed25519 | webauthn | oidc | development
    reason: str = ""

    def statement(self) -> bytes:
        """Return the bytes that are signed."""
        return canonical(
            {
                "type": DECISION,
                "proposal": self.proposal_id,
                "digest": self.digest,
                "person": self.person,
                "verdict": str(self.verdict),
                "at_ms": self.at_ms,
                "sequence": self.sequence,
                "method": self.method,
                "reason": self.reason,
            }
        )


@dataclass(frozen=True, slots=True)
class Beginning:
    """That somebody sets off what was approved; ``sequence`` counts the decisions before it."""

    proposal_id: str
    digest: str
    person: str
    at_ms: int
    sequence: int
    method: str

    def statement(self) -> bytes:
        """Return the bytes that are signed."""
        return canonical(
            {
                "type": EXECUTION,
                "proposal": self.proposal_id,
                "digest": self.digest,
                "person": self.person,
                "at_ms": self.at_ms,
                "sequence": self.sequence,
                "method": self.method,
            }
        )


def not_genuine(what: str) -> Tampered:
    """Return the error of a row that is not what was written."""
    return Tampered(
        f"The row of {what} is not genuine: it was changed, moved or taken from elsewhere.",
        code="HY-2507",
        effect="Nothing was done.",
        next_step="look who can write to the database; propose the act anew",
    )
