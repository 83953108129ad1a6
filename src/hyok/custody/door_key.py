"""DoorKey: a key that a door uses for others, and what it may be put to; pure values.

A KEK serves no door and a door's key seals nothing of ours (docs/format.md, section 10), so that
what somebody outside has us encrypt or decrypt can never be an envelope.

Source: NIST SP 800-57 part 1 rev. 5, section 7 (states); NIST SP 800-38D, section 8.3 (uses).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import UUID

from hyok.custody.key_states import ALLOWED_USES, KeyState, Use, check_transition
from hyok.errors import Conflict, Malformed, NotFound, Refused
from hyok.hsm.port import (
    DOOR,
    DOOR_MAC,
    DOOR_PAIR,
    DOOR_PRIVATE,
    DOOR_RSA_SIGN,
    DOOR_SIGN,
    DOOR_WRAP,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from hyok.hsm.port import KekSpec
    from hyok.vocabulary import KeyUse

PREFIX = "hyok-door/"
"""How the names of such keys begin in the HSM; the agent holds it against every question."""

USES_MAX = 2**32 - 2**20
"""Encryptions under one version: with random IVs of 96 bits no more than 2^32 (SP 800-38D, 8.3)."""

USES_AT_ONCE = 4096
"""So many are set aside in the database at once; a process that ends loses what is left of them."""

AES = "aes-256"
PAIRS = {"rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096}
"""Kinds of keys: secrets of 256 bits, and pairs whose public half others have."""

KEY_STATE, KEY_USAGE, KEY_UNKNOWN = "KeyState", "KeyUsage", "KeyNotFound"
"""Reasons of refusals, for doors to tell in their own words."""

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}").fullmatch


class Usage(StrEnum):
    """What a key was made for."""

    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    HMAC = "hmac"
    SIGN = "sign"
    WRAP = "wrap"  # other keys, and unwrap them
    BSN = "bsn"  # tokens of nine digits for citizens' numbers
    PRIVATE = "private"  # private keys of others, which come into the HSM for one use


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort of door's key: what it is in the HSM, and all that one key may be put to together.

    ``kinds``: which it may be of.  ``profile``: as `hyok.hsm.port` numbers it.
    """

    kinds: frozenset[str]
    usage: frozenset[Usage]
    profile: int


CIPHER = frozenset({Usage.ENCRYPT, Usage.DECRYPT})
SECRET = Sort(frozenset({AES}), CIPHER, DOOR)
MAC = Sort(frozenset({AES}), frozenset({Usage.HMAC}), DOOR_MAC)
BSN = Sort(frozenset({AES}), frozenset({Usage.BSN}), DOOR_MAC)
SIGNER = Sort(frozenset({AES}), frozenset({Usage.SIGN}), DOOR_SIGN)
WRAPPER = Sort(frozenset({AES}), frozenset({Usage.WRAP}), DOOR_WRAP)
PRIVATE = Sort(frozenset({AES}), frozenset({Usage.PRIVATE}), DOOR_PRIVATE)
PAIR = Sort(frozenset(PAIRS), frozenset({Usage.DECRYPT}), DOOR_PAIR)
WRAPPING_PAIR = Sort(frozenset(PAIRS), frozenset({Usage.WRAP}), DOOR_PAIR)
RSA_SIGNER = Sort(frozenset(PAIRS), frozenset({Usage.SIGN}), DOOR_RSA_SIGN)
SORTS = (SECRET, MAC, BSN, SIGNER, WRAPPER, PRIVATE, PAIR, WRAPPING_PAIR, RSA_SIGNER)
"""All there are: a key is of one of them, for good.  `Sort.kinds` and `usage` tell them apart."""

SECRETS = frozenset({SECRET, MAC, BSN, SIGNER, WRAPPER, PRIVATE})
WRAPPERS = frozenset({WRAPPER, WRAPPING_PAIR})
NO_PROFILE = 255
"""Of a row that is of no sort we know: no HSM has a key of it, so it serves nobody."""


@dataclass(frozen=True, slots=True)
class DoorVersion:
    """One version; ``spec`` is its key in the HSM."""

    number: int
    spec: KekSpec
    state: KeyState
    uses: int  # encryptions set aside so far, as of the last look
    created_ms: int = 0

    @property
    def key_id(self) -> str:
        """Return the id of a pair's public key, in the form of a GUID; of no other key."""
        raw = bytearray(sha256(self.spec.public_key).digest()[:16])
        raw[6], raw[8] = raw[6] & 0x0F | 0x80, raw[8] & 0x3F | 0x80  # RFC 9562, version 8
        return str(UUID(bytes=bytes(raw)))


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
    kind: str = AES

    @property
    def sort(self) -> Sort | None:
        """What sort of key it is; None: none that we know."""
        return sort_of(self.kind, self.usage)

    @property
    def newest(self) -> DoorVersion:
        """The version that encrypts."""
        return self.versions[-1]

    @property
    def living(self) -> tuple[DoorVersion, ...]:
        """The versions that were not destroyed."""
        return tuple(one for one in self.versions if one.state is not KeyState.DESTROYED)

    def version(self, number: int) -> DoorVersion | None:
        """Return a version by its number."""
        return next((one for one in self.versions if one.number == number), None)


def sort_of(kind: str, usage: Collection[Usage]) -> Sort | None:
    """Return the sort of a key of this kind that is put to all of this; None: there is no such."""
    fits = (one for one in SORTS if kind in one.kinds and one.usage.issuperset(usage))
    return next(fits, None) if usage else None


def profile_of(kind: str, usage: Collection[Usage]) -> int:
    """Return what the HSM calls such a key; `NO_PROFILE` where there is no such sort."""
    sort = sort_of(kind, usage)
    return NO_PROFILE if sort is None else sort.profile


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


def check_serves(
    key: DoorKey | None, use: KeyUse, app: str, sorts: Collection[Sort] | None = SECRETS
) -> DoorKey:
    """Return the key if it serves this app, and is of these sorts; None: whatever it is.

    One of no sort is found among secrets: `check_usage` refuses it, whatever it shall do.

    Raises:
        NotFound: there is none, it serves others or is of another sort (code HY-2601): the same
            words for all.
    """
    found = key is not None and (sorts is None or key.sort in sorts)
    fits = found or (key is not None and key.sort is None and sorts is SECRETS)
    if key is None or not fits or app not in key.apps or not key.versions:
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
    """Return quietly if the key was made for this, and is of a sort that we know.

    Raises:
        Refused: it was not (code HY-2603).
    """
    if key.sort is None or not key.usage.issuperset(wanted):
        raise Refused("The key was not made for this.", reason=KEY_USAGE, code="HY-2603")


def check_may_end(key: DoorKey, versions: Collection[int]) -> None:
    """Return quietly if these versions may be destroyed; those that are count as done.

    The newest ends with the whole key alone, and a key ends that nobody uses any more.

    Raises:
        NotFound: there is no such version (code HY-2632).
        Conflict: the state of the key or of a version does not allow it (code HY-2302), or it is
            the version that encrypts (code HY-2633).
    """
    for number in versions:
        if key.version(number) is None:
            raise NotFound(
                f"The key {key.tenant}/{key.name} has no version {number}.",
                code="HY-2632",
                effect="Nothing was destroyed.",
                next_step="hyok doors keys list",
            )
    ending = [one for one in key.living if one.number in versions]
    if len(ending) == len(key.living):
        if ending:
            check_transition(key.state, KeyState.DESTROYED)
        return
    for one in ending:
        if one is key.newest:
            raise Conflict(
                f"Version {one.number} is the one that encrypts.",
                code="HY-2633",
                effect="Nothing was destroyed.",
                next_step=f"the whole key, or first hyok doors keys rotate {key.name} "
                f"--tenant {key.tenant}",
            )
        check_transition(one.state, KeyState.DESTROYED)
