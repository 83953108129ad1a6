"""The statement of destruction (verklaring van vernietiging), as data.

What it says is covered by the audit log: its SHA-256 stands in a record there, and the HSM signs
checkpoints over that log.  Pure.

Source: docs/shredding.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.custody.proposal import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORM = "hyok-destruction-statement/1"
ACTION = "shred:statement"
KEY_DESTROYED = "HY-2304"
KEK_DESTROYED, NOT_IN_HSM = "HY-2301", "HY-2103"
"""How what a destroyed key version kept is refused: by a gateway, and by the HSM itself."""

SHARED, ALONE = "shared", "alone"
"""Why a key lives on: it keeps other objects too, or a KEK keeps each object by itself."""
REASON = "statement-sha256:"
"""In front of the digest, in the record of the audit log."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one bucket lost: versions of objects and their sealed bytes."""

    bucket: str
    store: str
    versions: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Key:
    """One intermediate key that was destroyed."""

    ik_id: str
    kek_id: str
    classification: str
    created_ms: int
    mirrored: bool = False  # copies of its record stood in buckets, where a store may have kept one


@dataclass(frozen=True, slots=True)
class EndedKek:
    """One key version that was destroyed in the HSM; it was asked afterwards, and had it no more.

    ``tokens``: of the group, by their names in the settings.
    """

    kek_id: str
    check_value: str
    tokens: Sequence[str]
    at_ms: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """Versions that were removed while their keys live on, and why these do.

    ``why``: ``shared``, the key keeps other objects; ``alone``, a KEK keeps each by itself.
    """

    bucket: str
    why: str
    versions: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Person:
    """Who decided, and how they signed in."""

    person: str
    verdict: str
    method: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """A decryption that was tried after the keys were destroyed."""

    bucket: str
    at_ms: int
    answer: str  # the code with which it failed


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything that is stated.  Times are unix milliseconds."""

    installation: str
    proposal: str
    proposal_sha256: str
    tenant: str
    scope: str
    classification: str
    selection: str
    reason: str
    persons: Sequence[Person]
    executed_by: str
    begun_ms: int
    ended_ms: int
    keys: Sequence[Key]
    parts: Sequence[Part]
    remaining: int
    attempts: Sequence[Attempt]
    horizon_ms: int
    deleted: Sequence[Deleted] = ()  # part of `parts`
    keys_count: int = 0  # of a classification, whose `keys` are not all of them
    keys_sha256: str = ""  # of the ids of all, in order, without a separator
    keks: Sequence[EndedKek] = ()
    keks_kept: Mapping[str, int] = field(default_factory=dict)  # kek_id: records that it keeps
    written_since: int = 0  # versions of a classification under its new key, which live on

    def document(self) -> dict[str, object]:
        """Return it as JSON has it."""
        document: dict[str, object] = json.loads(json.dumps({"format": FORM} | asdict(self)))
        return document


def digest(document: Mapping[str, object]) -> str:
    """Return the SHA-256 of a statement's canonical bytes, hex."""
    return sha256(canonical(document)).hexdigest()
