"""What each verb about KEKs and signing keys asks of the token, and how a question's fields read.

Source: docs/format.md, section 13.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.envelope.profiles import Profile
from hyok.errors import Malformed
from hyok.hsm.wire import DOOR_PREFIX, Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.hsm.pkcs11 import Pkcs11Token

Fields = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """How one verb is done: by `do(token, *fields)`, whose answer is the answer's fields.

    Attributes:
        fields: how many the question has; with `more`, the least that it has.
    """

    fields: int
    do: Callable[..., Fields]
    more: bool = False

    def answered(self, token: Pkcs11Token, fields: Fields) -> Fields:
        """Return the answer's fields.

        Raises:
            Malformed: another number of fields than the verb has, or one that does not read.
        """
        count = len(fields)
        if count != self.fields and not (self.more and count > self.fields):
            raise Malformed("the question has fields that its verb does not know")
        return self.do(token, *fields)


# ── fields ──────────────────────────────────────────────────────────────────────────────────────


def text(field: bytes) -> str:
    try:
        return field.decode()
    except UnicodeDecodeError as error:
        raise Malformed("a name is not UTF-8") from error


def kek_name(field: bytes) -> str:
    """Return the name of a KEK; a door's key is put to nothing that a KEK is for."""
    name = text(field)
    if name.startswith(DOOR_PREFIX):
        raise Malformed("a door's key opens and seals nothing of ours")
    return name


def flag(field: bytes) -> bool:
    if field not in {b"\0", b"\x01"}:
        raise Malformed("a flag is 00 or 01")
    return field == b"\x01"


def number(field: bytes) -> int:
    return int.from_bytes(field, "big")


def profile(field: bytes) -> Profile:
    try:
        return Profile(field[0] if len(field) == 1 else -1)
    except ValueError as error:
        raise Malformed("no profile has this number") from error


# ── verbs ───────────────────────────────────────────────────────────────────────────────────────


def _hmac(token: Pkcs11Token, kek_id: bytes, scope: bytes, value: bytes) -> Fields:
    return (token.hmac(kek_name(kek_id), text(scope), value),)


def _hmac_check(token: Pkcs11Token, kek_id: bytes) -> Fields:
    return (token.hmac_check(kek_name(kek_id)),)


def _open(token: Pkcs11Token, of: bytes, kek_id: bytes, scope: bytes, value: bytes) -> Fields:
    return (token.open(profile(of), kek_name(kek_id), text(scope), value, trusted=False),)


def _open_trusted(
    token: Pkcs11Token, of: bytes, kek_id: bytes, scope: bytes, value: bytes
) -> Fields:
    return (token.open(profile(of), kek_name(kek_id), text(scope), value, trusted=True),)


def _seal(token: Pkcs11Token, of: bytes, kek_id: bytes, scope: bytes) -> Fields:
    seed, iv = os.urandom(32), os.urandom(12)
    return (token.seal(profile(of), kek_name(kek_id), text(scope), seed, iv), seed)


def _create(token: Pkcs11Token, of: bytes, kek_id: bytes) -> Fields:
    return token.create(profile(of), text(kek_id))


def _mechanisms(token: Pkcs11Token) -> bytes:
    numbers = sorted(token.mechanisms())
    return struct.pack(f">{len(numbers)}I", *numbers)


def _about(token: Pkcs11Token) -> Fields:
    return (json.dumps(token.about()).encode(),)


def _discard(token: Pkcs11Token, kek_id: bytes) -> Fields:
    token.discard(text(kek_id))
    return ()


def _destroy(token: Pkcs11Token, kek_id: bytes) -> Fields:
    token.destroy(text(kek_id))
    return ()


def _same_key(token: Pkcs11Token, of: bytes, kek_id: bytes, other: bytes) -> Fields:
    return (bytes([token.is_same_key(profile(of), kek_name(kek_id), kek_name(other))]),)


def _find(token: Pkcs11Token) -> Fields:
    return tuple(part for name, value in token.find() for part in (name.encode(), value))


def _create_signing(token: Pkcs11Token, name: bytes) -> Fields:
    return (token.signing.create(text(name)),)


def _signing_key(token: Pkcs11Token, name: bytes) -> Fields:
    return (token.signing.public_point(text(name)),)


def _sign_checkpoint(
    token: Pkcs11Token, name: bytes, origin: bytes, size: bytes, root: bytes, *more: bytes
) -> Fields:
    lines = tuple(text(line) for line in more)
    return (token.signing.sign(text(name), text(origin), size, root, lines),)


def of_keys(tested: Callable[[], str]) -> Mapping[Verb, Asked]:
    """Return how the verbs about KEKs and signing keys are done.

    Args:
        tested: what the self-test of this process has shown, as PROBE and DESCRIBE tell it.
    """

    def _probe(token: Pkcs11Token) -> Fields:
        return (_mechanisms(token), tested().encode())

    def _describe(token: Pkcs11Token, name: bytes) -> Fields:
        return (token.describe(text(name), tested()),)

    return {
        Verb.HMAC: Asked(3, _hmac),
        Verb.HMAC_CHECK: Asked(1, _hmac_check),
        Verb.OPEN: Asked(4, _open),
        Verb.OPEN_TRUSTED: Asked(4, _open_trusted),
        Verb.SEAL: Asked(3, _seal),
        Verb.CREATE: Asked(2, _create),
        Verb.PROBE: Asked(0, _probe),
        Verb.ABOUT: Asked(0, _about),
        Verb.DISCARD: Asked(1, _discard),
        Verb.DESTROY: Asked(1, _destroy),
        Verb.SAME_KEY: Asked(3, _same_key),
        Verb.DESCRIBE: Asked(1, _describe),
        Verb.FIND: Asked(0, _find),
        Verb.CREATE_SIGNING: Asked(1, _create_signing),
        Verb.SIGNING_KEY: Asked(1, _signing_key),
        Verb.SIGN_CHECKPOINT: Asked(4, _sign_checkpoint, more=True),
    }
