"""Bodies of the REST API: what a request says, strictly read, and answers.  Pure.

A member that nobody knows is refused: a `contxt` that binds nothing would look like one that does.

Source: docs/keyservices/payloads.md; docs/keyservices/payloads.openapi.json.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hyok.doors.payloads import jwe, pointers
from hyok.doors.payloads.literal_json import Json, Number, parse, render
from hyok.doors.payloads.refusals import invalid_field, invalid_request, media_type

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hyok.doors.payloads.pointers import Pattern

BODY_BYTES_MAX = 2 << 20
"""Of a request without a document: a plaintext of 1 MiB in base64, and what is beside it."""

FIELDS_MAX = 256
FIELD_LENGTH_MAX = 2**31
PREFIX = "hyok:1:"
"""How a string begins that stands where a value was."""

PTR = "ptr"
"""The member of a field's context that says which field it was."""

API_VERSION = "1.0.0"
KEYS = "/v1/public-keys/"
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}").fullmatch
_WHOLE = re.compile(r"[1-9][0-9]{0,8}").fullmatch
_JSON_TYPE = re.compile(
    rb"application/json[ \t]*(;[ \t]*charset[ \t]*=[ \t]*\"?utf-8\"?[ \t]*)?", re.IGNORECASE
).fullmatch


class Operation(StrEnum):
    """What can be asked, by the path below `/v1/`."""

    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    ENCRYPT_JSON = "encrypt-json"
    DECRYPT_JSON = "decrypt-json"
    REWRAP = "rewrap"
    INDEX = "index"
    ENCRYPT_BSN = "encrypt-bsn"
    DECRYPT_BSN = "decrypt-bsn"
    SEAL = "seal"
    OPEN = "open"


OF_DOCUMENTS = frozenset({Operation.ENCRYPT_JSON, Operation.DECRYPT_JSON})
OF_FILES = frozenset({Operation.SEAL, Operation.OPEN})

Members = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Index:
    """A second value by which equal ones are found."""

    key: str
    member: str
    over: tuple[str, ...] | None  # members of the context that count; None: all


@dataclass(frozen=True, slots=True)
class Field:
    """A field to encrypt."""

    pattern: Pattern
    longest: int | None = None
    index: Index | None = None


@dataclass(frozen=True, slots=True)
class Encrypt:
    key: str
    plain: bytes = field(repr=False)
    context: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Decrypt:
    token: str = field(repr=False)
    context: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EncryptJson:
    key: str
    document: Json = field(repr=False)
    fields: Sequence[Field]
    context: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DecryptJson:
    document: Json = field(repr=False)
    context: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AskIndex:
    key: str
    pointer: str  # canonical
    value: Json = field(repr=False)
    context: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bsn:
    """A BSN, or what stands for one."""

    key: str
    digits: str = field(repr=False)
    context: Mapping[str, str]
    version: int = 0


def parse_place(target: bytes) -> tuple[str, str]:
    """Return bucket and name of a sealed file, as a request's address says them.

    Raises:
        Malformed: one is missing or there twice, another stands beside them, or one does not read.
    """
    query = target.partition(b"?")[2].decode("latin-1")
    try:
        found = parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=8
        )
    except ValueError as error:
        raise invalid_request("The address needs ?bucket=…&name=…, in UTF-8.") from error
    said = dict(found)
    if len(found) != 2 or set(said) != {"bucket", "name"}:
        raise invalid_request("The address says bucket and name, once each, and nothing else.")
    return said["bucket"], said["name"]


def check_type(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Return quietly if the body is said to be JSON.

    Raises:
        Malformed: it is said to be something else, or nothing is said (code HY-2709).
    """
    told = [value for name, value in headers if name == b"content-type"]
    encoded = any(name == b"content-encoding" for name, _ in headers)
    if len(told) != 1 or encoded or not _JSON_TYPE(told[0].strip()):
        raise media_type()


def _members(raw: bytes, needed: Collection[str], also: Collection[str] = ()) -> Members:
    return _object(parse(raw), needed, also, "The body")


def _object(found: Json, needed: Collection[str], also: Collection[str], what: str) -> Members:
    if not isinstance(found, dict):
        raise invalid_request(f"{what} is a JSON object.")
    if missing := [name for name in needed if name not in found]:
        raise invalid_request(f"{what} has no {missing[0]}.")
    if strange := [name for name in found if name not in {*needed, *also}]:
        raise invalid_request(f"{what} has a member {strange[0][:40]!r} that nobody knows.")
    return found


def public_key_named(path: str) -> str:
    """Return the name of the pair that a path asks for; empty: it asks for none."""
    name = path.removeprefix(KEYS)
    return name if name != path and _NAME(name) else ""


def _text(members: Members, name: str) -> str:
    found = members[name]
    if not isinstance(found, str):
        raise invalid_request(f"{name} is a string.")
    return found


def _key(members: Members, name: str = "key") -> str:
    found = _text(members, name)
    if not _NAME(found):
        raise invalid_request(f"{name} is a name of 1 to 64 letters, digits and hyphens.")
    return found


def _context(members: Members) -> dict[str, str]:
    return jwe.check_context(members.get("context", {}), invalid_request, "context")


def _token(members: Members) -> str:
    return _text(members, "token")


def parse_encrypt(raw: bytes) -> Encrypt:
    """Return what `/v1/encrypt` is asked.

    Raises:
        Malformed: the body is not what it takes.
    """
    members = _members(raw, ("key", "plaintext"), ("context",))
    try:
        plain = b64decode(_text(members, "plaintext").encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise invalid_request("plaintext is base64, standard and padded.") from error
    if len(plain) > jwe.PLAIN_BYTES_MAX:
        raise invalid_request(f"A token holds at most {jwe.PLAIN_BYTES_MAX:,} bytes.")
    return Encrypt(_key(members), plain, _context(members))


def parse_decrypt(raw: bytes) -> Decrypt:
    """Return what `/v1/decrypt` is asked.

    Raises:
        Malformed: the body is not what it takes.
    """
    members = _members(raw, ("token",), ("context",))
    return Decrypt(_token(members), _context(members))


def parse_rewrap(raw: bytes) -> str:
    """Return the token that `/v1/rewrap` is asked about.

    Raises:
        Malformed: the body is not what it takes.
    """
    return _token(_members(raw, ("token",)))


def parse_encrypt_json(raw: bytes) -> EncryptJson:
    """Return what `/v1/encrypt-json` is asked.

    Raises:
        Malformed: the body is not what it takes.
    """
    members = _members(raw, ("key", "document", "fields"), ("context",))
    document, listed = _document(members), members["fields"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= FIELDS_MAX:
        raise invalid_field(f"fields is a list of 1 to {FIELDS_MAX} pointers.")
    fields = [_field(one) for one in listed]
    taken = [one.pattern for one in fields]
    # What is written beside a field must be none that is encrypted itself.
    taken += [_sister(one.pattern, one.index) for one in fields if one.index is not None]
    pointers.check_apart(taken)
    return EncryptJson(_key(members), document, fields, _bound(members))


def parse_decrypt_json(raw: bytes) -> DecryptJson:
    """Return what `/v1/decrypt-json` is asked.

    Raises:
        Malformed: the body is not what it takes.
    """
    members = _members(raw, ("document",), ("context",))
    return DecryptJson(_document(members), _bound(members))


def parse_index(raw: bytes) -> AskIndex:
    """Return what `/v1/index` is asked.

    Raises:
        Malformed: the body is not what it takes.
    """
    members = _members(raw, ("key", "pointer", "value"), ("context",))
    pattern = pointers.parse(_text(members, "pointer"))
    return AskIndex(_key(members), pattern.text, members["value"], _bound(members))


def parse_encrypt_bsn(raw: bytes) -> Bsn:
    """Return what `/v1/encrypt-bsn` is asked.

    Raises:
        Malformed: the body is not what it takes.
    """
    members = _members(raw, ("key", "bsn"), ("context",))
    return Bsn(_key(members), _text(members, "bsn"), _context(members))


def parse_decrypt_bsn(raw: bytes) -> Bsn:
    """Return what `/v1/decrypt-bsn` is asked.

    Raises:
        Malformed: the body is not what it takes.
    """
    members = _members(raw, ("key", "version", "token"), ("context",))
    told = members["version"]
    if not isinstance(told, Number) or not _WHOLE(told.text):
        raise invalid_request("version is a whole number.")
    return Bsn(_key(members), _text(members, "token"), _context(members), int(told.text))


def _document(members: Members) -> Json:
    found = members["document"]
    if not isinstance(found, dict | list):
        raise invalid_request("document is a JSON object or array.")
    return found


def _bound(members: Members) -> dict[str, str]:
    context = _context(members)
    if PTR in context:
        raise invalid_request(f"{PTR} is what each field's own pointer is kept in.")
    return context


def _field(found: Json) -> Field:
    if isinstance(found, str):
        return Field(pointers.parse(found))
    members = _object(found, ("pointer",), ("maxLength", "index"), "A field")
    longest = None
    if "maxLength" in members:
        told = members["maxLength"]
        if not isinstance(told, Number) or not _WHOLE(told.text):
            raise invalid_field("maxLength is a whole number of characters.")
        longest = int(told.text)
    index = _index(members["index"]) if "index" in members else None
    pattern = pointers.parse(_text(members, "pointer"))
    if index is not None and pattern.segments[-1] is pointers.ANY:
        raise invalid_field("A field with an index is a member of an object, by its name.")
    return Field(pattern, longest, index)


def _index(found: Json) -> Index:
    members = _object(found, ("key", "member"), ("context",), "An index")
    over = None
    if "context" in members:
        told = members["context"]
        if not isinstance(told, list) or not all(isinstance(name, str) for name in told):
            raise invalid_field("context of an index is a list of names of the context's members.")
        over = tuple(cast("list[str]", told))
    return Index(_key(members), _text(members, "member"), over)


def _sister(pattern: Pattern, index: Index) -> Pattern:
    above = pattern.text.rpartition("/")[0]
    return pointers.parse(f"{above}/{pointers.escape(index.member)}")


def public_key(kid: str, der: bytes) -> bytes:
    """Return the public half of a pair as a JSON Web Key."""
    key = load_der_public_key(der)
    assert isinstance(key, RSAPublicKey)
    numbers, size = key.public_numbers(), key.key_size // 8
    exponent = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
    return answer(
        kty="RSA",
        use="enc",
        alg=str(jwe.Alg.OAEP),
        kid=kid,
        n=jwe.encode(numbers.n.to_bytes(size, "big")),
        e=jwe.encode(exponent),
    )


def base64_of(raw: bytes) -> str:
    """Return bytes as answers have them."""
    return b64encode(raw).decode("ascii")


def whole(number: int) -> Number:
    """Return a number for an answer."""
    return Number(str(number))


def answer(**members: Json) -> bytes:
    """Return the body of an answer."""
    return render(members)
