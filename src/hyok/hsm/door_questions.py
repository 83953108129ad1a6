"""What each verb about the keys of doors asks of the token; none of them takes a KEK.

Source: docs/adr/0028-doors-and-their-keys.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.hsm.questions import Asked, Fields, flag, number, text
from hyok.hsm.wire import Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.hsm.pkcs11 import Pkcs11Token


def _seal(token: Pkcs11Token, name: bytes, plain: bytes, data: bytes) -> Fields:
    return token.doors.seal(text(name), plain, data)


def _open(token: Pkcs11Token, name: bytes, iv: bytes, sealed: bytes, data: bytes) -> Fields:
    return (token.doors.open(text(name), iv, sealed, data),)


def _check(token: Pkcs11Token, name: bytes, value: bytes) -> Fields:
    return (token.doors.check(text(name), value),)


def _create(token: Pkcs11Token, name: bytes) -> Fields:
    return (token.doors.create(text(name)),)


def _probe(token: Pkcs11Token) -> Fields:
    return (token.doors.probe().encode(),)


def _seal_many(token: Pkcs11Token, name: bytes, *plains: bytes) -> Fields:
    return tuple(part for each in token.doors.seal_many(text(name), plains) for part in each)


def _open_many(token: Pkcs11Token, name: bytes, *parts: bytes) -> Fields:
    if len(parts) % 2:
        raise Malformed("an IV without a ciphertext")
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return tuple(token.doors.open_many(text(name), list(pairs)))


def _mac_many(token: Pkcs11Token, name: bytes, *texts: bytes) -> Fields:
    return tuple(token.macs.mac_many(text(name), texts))


def _pair_open(token: Pkcs11Token, name: bytes, sealed: bytes) -> Fields:
    return (token.pairs.open(text(name), sealed),)


def _pair_open_sha1(token: Pkcs11Token, name: bytes, sealed: bytes) -> Fields:
    return (token.pairs.open(text(name), sealed, sha1=True),)


def _pair_check(token: Pkcs11Token, name: bytes, value: bytes) -> Fields:
    return token.pairs.check(text(name), value)


def _pair_create(token: Pkcs11Token, name: bytes, bits: bytes) -> Fields:
    return token.pairs.create(text(name), number(bits))


def _pair_probe(token: Pkcs11Token) -> Fields:
    return (token.pairs.probe().encode(),)


def _mac(token: Pkcs11Token, name: bytes, data: bytes) -> Fields:
    return (token.macs.mac(text(name), data),)


def _mac_check(token: Pkcs11Token, name: bytes) -> Fields:
    return (token.macs.check(text(name)),)


def _mac_create(token: Pkcs11Token, name: bytes) -> Fields:
    return (token.macs.create(text(name)),)


def _random(token: Pkcs11Token, size: bytes) -> Fields:
    return (token.macs.random(number(size)),)


def _sign(token: Pkcs11Token, name: bytes, digest: bytes) -> Fields:
    return (token.signers.sign_digest(text(name), digest),)


def _sign_create(token: Pkcs11Token, name: bytes) -> Fields:
    return (token.signers.make(text(name)),)


def _wrap(token: Pkcs11Token, name: bytes, padded: bytes, value: bytes) -> Fields:
    return (token.wraps.wrap(text(name), value, padded=flag(padded)),)


def _unwrap(token: Pkcs11Token, name: bytes, padded: bytes, wrapped: bytes) -> Fields:
    return (token.wraps.unwrap(text(name), wrapped, padded=flag(padded)),)


def _wrap_check(token: Pkcs11Token, name: bytes) -> Fields:
    return (token.wraps.check(text(name)),)


def _wrap_create(token: Pkcs11Token, name: bytes) -> Fields:
    return (token.wraps.create(text(name)),)


def _wrap_probe(token: Pkcs11Token) -> Fields:
    return (token.wraps.probe().encode(),)


def _rsa_sign(token: Pkcs11Token, name: bytes, digest: bytes) -> Fields:
    return (token.rsa_signers.sign_digest(text(name), digest),)


def _rsa_sign_create(token: Pkcs11Token, name: bytes, bits: bytes) -> Fields:
    return token.rsa_signers.create(text(name), number(bits))


def _private_sign(
    token: Pkcs11Token,
    name: bytes,
    wrapped: bytes,
    spki: bytes,
    padding: bytes,
    of: bytes,
    digest: bytes,
    salt: bytes,
) -> Fields:
    how = (text(padding), text(of), digest, number(salt))
    return (token.private.sign(text(name), wrapped, spki, *how),)


def _private_decrypt(
    token: Pkcs11Token,
    name: bytes,
    wrapped: bytes,
    spki: bytes,
    padding: bytes,
    of: bytes,
    label: bytes,
    sealed: bytes,
) -> Fields:
    how = (text(padding), text(of), label, sealed)
    return (token.private.decrypt(text(name), wrapped, spki, *how),)


def _private_wrap(token: Pkcs11Token, name: bytes, private: bytes) -> Fields:
    return (token.private.wrap(text(name), private),)


def _private_check(token: Pkcs11Token, name: bytes, value: bytes) -> Fields:
    return (token.private.check(text(name), value),)


def _private_create(token: Pkcs11Token, name: bytes) -> Fields:
    return (token.private.create(text(name)),)


def _private_probe(token: Pkcs11Token) -> Fields:
    return (token.private.probe().encode(),)


OF_DOORS: Mapping[Verb, Asked] = {
    Verb.DOOR_SEAL: Asked(3, _seal),
    Verb.DOOR_OPEN: Asked(4, _open),
    Verb.DOOR_CHECK: Asked(2, _check),
    Verb.DOOR_CREATE: Asked(1, _create),
    Verb.DOOR_PROBE: Asked(0, _probe),
    Verb.DOOR_SEAL_MANY: Asked(1, _seal_many, more=True),
    Verb.DOOR_OPEN_MANY: Asked(1, _open_many, more=True),
    Verb.DOOR_MAC_MANY: Asked(1, _mac_many, more=True),
    Verb.PAIR_OPEN: Asked(2, _pair_open),
    Verb.PAIR_OPEN_SHA1: Asked(2, _pair_open_sha1),
    Verb.PAIR_CHECK: Asked(2, _pair_check),
    Verb.PAIR_CREATE: Asked(2, _pair_create),
    Verb.PAIR_PROBE: Asked(0, _pair_probe),
    Verb.DOOR_MAC: Asked(2, _mac),
    Verb.DOOR_MAC_CHECK: Asked(1, _mac_check),
    Verb.DOOR_MAC_CREATE: Asked(1, _mac_create),
    Verb.DOOR_RANDOM: Asked(1, _random),
    Verb.DOOR_SIGN: Asked(2, _sign),
    Verb.DOOR_SIGN_CREATE: Asked(1, _sign_create),
    Verb.WRAP: Asked(3, _wrap),
    Verb.UNWRAP: Asked(3, _unwrap),
    Verb.WRAP_CHECK: Asked(1, _wrap_check),
    Verb.WRAP_CREATE: Asked(1, _wrap_create),
    Verb.WRAP_PROBE: Asked(0, _wrap_probe),
    Verb.RSA_SIGN: Asked(2, _rsa_sign),
    Verb.RSA_SIGN_CREATE: Asked(2, _rsa_sign_create),
    Verb.PRIVATE_SIGN: Asked(7, _private_sign),
    Verb.PRIVATE_DECRYPT: Asked(7, _private_decrypt),
    Verb.PRIVATE_WRAP: Asked(2, _private_wrap),
    Verb.PRIVATE_CHECK: Asked(2, _private_check),
    Verb.PRIVATE_CREATE: Asked(1, _private_create),
    Verb.PRIVATE_PROBE: Asked(0, _private_probe),
}
