"""The external key store proxy protocol of AWS KMS, version 1: requests, answers.  Pure.

Requests are read strictly in what they must have, and members that nobody knows are passed over,
as the protocol says.  Answers are one line of JSON.

Source: AWS "XKS Proxy API Specification", version 1.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, cast

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BODY_BYTES_MAX = 48 << 10
"""What the largest request that we serve needs, twice over."""

SERVICE = "kms-xks-proxy"
ALGORITHM, DIGEST = "AES_GCM", "SHA_256"
ID_CHARS_MAX, TEXT_CHARS_MAX = 256, 2048
METADATA_BYTES_MAX = 20
IV_BYTES = frozenset({12, 16})
TAG_BYTES = 16

_TARGET = re.compile(
    rb"(?P<prefix>(?:/[A-Za-z0-9_-]+)*)/kms/xks/v1/"
    rb"(?:(?P<health>health)|keys/(?P<key>[A-Za-z0-9._-]{1,128})/"
    rb"(?P<operation>metadata|encrypt|decrypt))"
).fullmatch
_VERSION = re.compile(rb"v([1-9][0-9]{0,8})").fullmatch


class Operation(StrEnum):
    """What can be asked."""

    HEALTH = "health"
    METADATA = "metadata"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"


@dataclass(frozen=True, slots=True)
class Place:
    """What a request's path names."""

    prefix: str
    operation: Operation
    key: str = ""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Why KMS asks, in its words; none of it is proven beyond the request's signature."""

    request_id: str
    operation: str
    principal_arn: str = ""
    key_arn: str = ""
    via: str = ""


@dataclass(frozen=True, slots=True)
class Encrypt:
    metadata: Metadata
    plaintext: bytes
    data: bytes
    wants_digest: bool


@dataclass(frozen=True, slots=True)
class Decrypt:
    metadata: Metadata
    ciphertext: bytes
    iv: bytes
    tag: bytes
    data: bytes
    ciphertext_metadata: bytes


def parse_target(target: bytes) -> Place | None:
    """Return what a path names; None: it is none of the protocol's."""
    found = _TARGET(target) if len(target) <= 512 else None
    if found is None:
        return None
    prefix = found["prefix"].decode("ascii")
    if found["health"]:
        return Place(prefix, Operation.HEALTH)
    return Place(prefix, Operation(found["operation"].decode()), found["key"].decode("ascii"))


def parse_body(raw: bytes) -> Mapping[str, object]:
    """Return the members of a body.

    Raises:
        Malformed: it is no JSON object, or names a member twice.
    """
    try:
        found = json.loads(raw, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed("The body is not JSON.", code="HY-2621") from error
    if not isinstance(found, dict):
        raise Malformed("The body is not a JSON object.", code="HY-2621")
    return cast("Mapping[str, object]", found)


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is named twice")
    return found


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON")


def parse_metadata(body: Mapping[str, object], operation: Operation) -> Metadata:
    """Return the requestMetadata that this operation must have.

    Raises:
        Malformed: a member is missing or of another type.
    """
    told = body.get("requestMetadata")
    if not isinstance(told, dict):
        raise _wrong("requestMetadata")
    for_key = operation is not Operation.HEALTH
    crypto = operation in {Operation.ENCRYPT, Operation.DECRYPT}
    return Metadata(
        request_id=_text(told, "kmsRequestId", ID_CHARS_MAX),
        operation=_text(told, "kmsOperation", ID_CHARS_MAX),
        principal_arn=_text(told, "awsPrincipalArn", TEXT_CHARS_MAX, needed=for_key),
        key_arn=_text(told, "kmsKeyArn", TEXT_CHARS_MAX, needed=crypto),
        via=_text(told, "kmsViaService", TEXT_CHARS_MAX, needed=False),
    )


def _text(members: Mapping[str, object], name: str, most: int, *, needed: bool = True) -> str:
    found = members.get(name)
    if found is None and not needed:
        return ""
    if not isinstance(found, str) or not 1 <= len(found) <= most or not found.isprintable():
        raise _wrong(name)
    return found


def parse_encrypt(body: Mapping[str, object]) -> Encrypt:
    """Return what to encrypt.

    Raises:
        Malformed: a member is missing or not what it must be.
    """
    metadata = parse_metadata(body, Operation.ENCRYPT)
    _check_algorithm(body)
    digest = body.get("ciphertextDataIntegrityValueAlgorithm")
    if digest not in {None, DIGEST}:
        raise _wrong("ciphertextDataIntegrityValueAlgorithm")
    plaintext = _bytes(body, "plaintext")
    if not plaintext:
        raise _wrong("plaintext")
    data = _bytes(body, "additionalAuthenticatedData", needed=False)
    return Encrypt(metadata, plaintext, data, digest is not None)


def parse_decrypt(body: Mapping[str, object]) -> Decrypt:
    """Return what to decrypt.

    Raises:
        Malformed: a member is missing or not what it must be.
    """
    metadata = parse_metadata(body, Operation.DECRYPT)
    _check_algorithm(body)
    told = _bytes(body, "ciphertextMetadata", needed=False)
    if len(told) > METADATA_BYTES_MAX:
        raise _wrong("ciphertextMetadata")
    iv, tag = _bytes(body, "initializationVector"), _bytes(body, "authenticationTag")
    if len(iv) not in IV_BYTES:
        raise _wrong("initializationVector")
    if len(tag) != TAG_BYTES:
        raise _wrong("authenticationTag")
    ciphertext = _bytes(body, "ciphertext")
    data = _bytes(body, "additionalAuthenticatedData", needed=False)
    return Decrypt(metadata, ciphertext, iv, tag, data, told)


def _check_algorithm(body: Mapping[str, object]) -> None:
    if body.get("encryptionAlgorithm") != ALGORITHM:
        raise _wrong("encryptionAlgorithm")


def _bytes(body: Mapping[str, object], name: str, *, needed: bool = True) -> bytes:
    """Return a member's bytes: standard alphabet, padded, the one way in which it is written."""
    found = body.get(name)
    if found is None and not needed:
        return b""
    if not isinstance(found, str):
        raise _wrong(name)
    try:
        raw = b64decode(found.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise _wrong(name) from error
    if b64encode(raw).decode() != found:
        raise _wrong(name)
    return raw


def _wrong(name: str) -> Malformed:
    return Malformed(f"{name} is missing, or not what it must be.", code="HY-2621")


def metadata_of(version: int) -> bytes:
    """Return the ciphertextMetadata of a key's version."""
    return f"v{version}".encode()


def version_of(metadata: bytes) -> int:
    """Return the version that a ciphertextMetadata names; 0, which no key has: none."""
    found = _VERSION(metadata)
    return int(found[1]) if found else 0


def joined_data(data: bytes, metadata: bytes) -> bytes:
    """Return what the HSM authenticates: each with its length, so that neither runs into the other.

    Source: XKS Proxy API, Encrypt, "additionalAuthenticatedData".
    """
    return len(data).to_bytes(2, "big") + data + bytes([len(metadata)]) + metadata


def integrity_value(data: bytes, metadata: bytes, iv: bytes, ciphertext: bytes, tag: bytes) -> str:
    """Return the ciphertextDataIntegrityValue."""
    return _text_of(sha256(data + metadata + iv + ciphertext + tag).digest())


def render_encrypted(
    ciphertext: bytes, iv: bytes, tag: bytes, metadata: bytes, integrity: str
) -> bytes:
    """Return the answer to Encrypt; ``integrity``: empty where it was not asked for."""
    told = {
        "authenticationTag": _text_of(tag),
        "ciphertext": _text_of(ciphertext),
        "ciphertextMetadata": _text_of(metadata),
        "initializationVector": _text_of(iv),
    }
    if integrity:
        told["ciphertextDataIntegrityValue"] = integrity
    return render(told)


def render_decrypted(plaintext: bytes) -> bytes:
    """Return the answer to Decrypt."""
    return render({"plaintext": _text_of(plaintext)})


def render_error(name: str, message: str) -> bytes:
    """Return an error; of the message only what the protocol lets through."""
    told = {"errorName": name}
    clean = "".join(mark for mark in message if " " <= mark <= "~")[:500]
    if clean:
        told["errorMessage"] = clean
    return render(told)


def render(document: Mapping[str, object]) -> bytes:
    """Return one line of JSON."""
    return json.dumps(document, separators=(",", ":")).encode()


def _text_of(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")
