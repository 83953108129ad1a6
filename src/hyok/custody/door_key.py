"""DoorKey: a key that a door uses for others, and what it may be put to; pure values.

A KEK serves no door and a door's key seals nothing of ours (docs/format.md, section 10), so that
what somebody outside has us encrypt or decrypt can never be an envelope.

Source: NIST SP 800-57 part 1 rev. 5, section 7 (states); NIST SP 800-38D, section 8.3 (uses).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hyok.custody.key_states import ALLOWED_USES, KeyState, Use
from hyok.errors import Malformed, NotFound, Refused

if TYPE_CHECKING:
    from hyok.hsm.port import KekSpec
    from hyok.vocabulary import KeyUse

PREFIX = "hyok-door/"
"""How the names of such keys begin in the HSM; the agent holds it against every question."""

USES_MAX = 2**32 - 2**20
"""Encryptions under one version: with random IVs of 96 bits no more than 2^32 (SP 800-38D, 8.3)."""

USES_AT_ONCE = 4096
"""So many are set aside in the database at once; a process that ends loses what is left of them."""

KEY_STATE, KEY_USAGE, KEY_UNKNOWN = "KeyState", "KeyUsage", "KeyNotFound"
"""Reasons of refusals, for doors to tell in their own words."""

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}").fullmatch


class Usage(StrEnum):
    """What a key was made for."""

    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"


@dataclass(frozen=True, slots=True)
class DoorVersion:
    """One version; ``spec`` is its key in the HSM."""

    number: int
    spec: KekSpec
    state: KeyState
    uses: int  # encryptions set aside so far, as of the last look


@dataclass(frozen=True, slots=True)
class DoorKey:
    """A named key of a tenant; the newest version encrypts, older ones decrypt."""

    tenant: str
    name: str
    classification: str
    apps: frozenset[str]
    usage: frozenset[Usage]
    state: KeyState
    versions: tuple[DoorVersion, ...]  # the oldest first
    created_ms: int

    @property
    def newest(self) -> DoorVersion:
        """The version that encrypts."""
        return self.versions[-1]

    def version(self, number: int) -> DoorVersion | None:
        """Return a version by its number."""
        return next((one for one in self.versions if one.number == number), None)


def check_name(name: str) -> str:
    """Return the name if a key may have it.

    Raises:
        Malformed: it may not (code HY-2600).
    """
    if not _NAME(name):
        raise Malformed(
            f"A door's key has a name of 1 to 64 letters, digits and hyphens, not {name[:80]!r}.",
            code="HY-2600",
            effect="Nothing was made.",
        )
    return name


def token_name(tenant: str, name: str, version: int) -> str:
    """Return the name of a version in the HSM: never read from the database, always made anew."""
    return f"{PREFIX}{tenant}/{name}/{version}"


def check_serves(key: DoorKey | None, use: KeyUse, app: str) -> DoorKey:
    """Return the key if it serves this app.

    Raises:
        NotFound: there is none, or it serves others (code HY-2601): the same words for both.
    """
    if key is None or app not in key.apps or not key.versions:
        raise NotFound(f"There is no key {use.name} here.", reason=KEY_UNKNOWN, code="HY-2601")
    return key


def check_state(key: DoorKey, version: DoorVersion, use: Use) -> None:
    """Return quietly if key and version may be put to this use in their states.

    Raises:
        Refused: they may not (code HY-2602).
    """
    for state in (key.state, version.state):
        if use not in ALLOWED_USES[state]:
            raise Refused(
                f"The key is {state} and may not be used for this.",
                reason=KEY_STATE,
                code="HY-2602",
                effect="The HSM was not asked.",
                next_step="the key's owner may resume it: hyok doors keys list",
            )


def check_usage(key: DoorKey, *wanted: Usage) -> None:
    """Return quietly if the key was made for this.

    Raises:
        Refused: it was not (code HY-2603).
    """
    if not key.usage.issuperset(wanted):
        raise Refused("The key was not made for this.", reason=KEY_USAGE, code="HY-2603")
