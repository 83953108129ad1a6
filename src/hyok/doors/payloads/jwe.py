"""Tokens: JWE in compact form, as the profile has them, strictly read.  Pure.

Everything that binds a token stands in its protected header, which is what the content is
authenticated with.  What the profile does not name is refused, not passed over: there is one way
to write a token.

Source: RFC 7516; RFC 7518, sections 4.3, 4.7 and 5.3; docs/keyservices/payloads.md.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typing_extensions import override

from hyok.doors.payloads.literal_json import Json, parse
from hyok.doors.payloads.refusals import invalid_token
from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PLAIN_BYTES_MAX = 1 << 20
HEADER_CHARS_MAX = 40_000
"""In base64url: a context of which every byte is an escape of six, and what is beside it."""

TOKEN_CHARS_MAX = PLAIN_BYTES_MAX * 4 // 3 + HEADER_CHARS_MAX + 1_024
TYP, ENC = "hyok+jwe", "A256GCM"
IV_BYTES, TAG_BYTES = 12, 16
CONTEXT_MEMBERS_MAX, CONTEXT_BYTES_MAX = 32, 4096

_TO_URL, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")
_LAST = {2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
"""What such texts end in, by their length over a multiple of 4: no bit is there for nothing."""

_HEADER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*").fullmatch
_KID = re.compile(r"([^/\s]{1,160})/([A-Za-z0-9-]{1,64})/([1-9][0-9]{0,8})").fullmatch


class Alg(StrEnum):
    """How the content key is wrapped."""

    GCM = "A256GCMKW"
    OAEP = "RSA-OAEP-256"


_MEMBERS = {
    Alg.GCM: frozenset({"alg", "enc", "typ", "kid", "ctx", "crit", "iv", "tag"}),
    Alg.OAEP: frozenset({"alg", "enc", "typ", "kid", "ctx", "crit"}),
}


@dataclass(frozen=True, slots=True)
class Kid:
    """The version of a key that a token names."""

    tenant: str
    name: str
    version: int

    @override
    def __str__(self) -> str:
        return f"{self.tenant}/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Key:
    """A wrapped content key; without IV and tag it is sealed to the public half of a pair."""

    wrapped: bytes
    iv: bytes = b""
    tag: bytes = b""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, read and not yet opened."""

    alg: Alg
    kid: Kid
    context: Mapping[str, str] = field(repr=False)
    key: Key
    head: bytes  # as it stands in the token: what the content is authenticated with
    iv: bytes
    sealed: bytes = field(repr=False)  # ciphertext ‖ tag


def encode(raw: bytes) -> str:
    """Return base64url without padding."""
    return b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Return what base64url without padding says.

    Raises:
        Malformed: it is not, or another text says the same (code HY-2701).
    """
    over = len(text) % 4
    if not _BASE64URL(text) or over == 1 or (over and text[-1] not in _LAST[over]):
        raise invalid_token("A part of the token is not the one base64url of its bytes.")
    return a2b_base64(text.encode("ascii").translate(_FROM_URL) + b"=" * (-over % 4))


def read(text: str) -> Token:
    """Return a token.

    Raises:
        Malformed: it is none of the profile (code HY-2701).
    """
    if len(text) > TOKEN_CHARS_MAX:
        raise invalid_token(f"A token has at most {TOKEN_CHARS_MAX:,} characters.")
    parts = text.split(".")
    if len(parts) != 5 or not text.isascii() or len(parts[0]) > HEADER_CHARS_MAX:
        raise invalid_token("This is no JWE in compact form.")
    members = _header(decode(parts[0]))
    wrapped, iv, ciphertext, tag = map(decode, parts[1:])
    alg = _alg(members)
    if (len(iv), len(tag)) != (IV_BYTES, TAG_BYTES):
        raise invalid_token("IV and tag of the content have 96 and 128 bits.")
    key = Key(wrapped)
    if alg is Alg.GCM:
        key = Key(wrapped, decode(_text(members, "iv")), decode(_text(members, "tag")))
        if (len(wrapped), len(key.iv), len(key.tag)) != (32, IV_BYTES, TAG_BYTES):
            raise invalid_token("A wrapped key has 32 bytes, its IV 96 bits and its tag 128.")
    return Token(
        alg, _kid(members), _context(members), key, parts[0].encode(), iv, ciphertext + tag
    )


def _header(raw: bytes) -> Mapping[str, Json]:
    try:
        found = parse(raw)
    except Malformed as error:
        raise invalid_token("The token's header is no JSON object.") from error
    if not isinstance(found, dict):
        raise invalid_token("The token's header is no JSON object.")
    return found


def _alg(members: Mapping[str, Json]) -> Alg:
    told = _text(members, "alg")
    if told not in set(Alg):
        raise invalid_token(f"alg is {' or '.join(Alg)}.")
    alg = Alg(told)
    if _text(members, "enc") != ENC or _text(members, "typ") != TYP:
        raise invalid_token(f"enc is {ENC} and typ {TYP}.")
    if strange := set(members) - _MEMBERS[alg]:
        raise invalid_token(f"A token of this profile has no {min(strange)[:40]!r} in its header.")
    if "crit" in members and (members["crit"] != ["ctx"] or "ctx" not in members):
        raise invalid_token('crit is ["ctx"], and ctx is there.')
    return alg


def _kid(members: Mapping[str, Json]) -> Kid:
    if (found := _KID(_text(members, "kid"))) is None:
        raise invalid_token("kid is tenant/key/version.")
    return Kid(found[1], found[2], int(found[3]))


def _context(members: Mapping[str, Json]) -> Mapping[str, str]:
    if "ctx" not in members:
        return {}
    return check_context(members["ctx"], invalid_token, "ctx")


def check_context(found: Json, wrong: Callable[[str], Malformed], what: str) -> dict[str, str]:
    """Return a context: an object of strings, and not a large one.

    Raises:
        Malformed: it is none; ``wrong`` makes the error of a sentence.
    """
    if not isinstance(found, dict) or len(found) > CONTEXT_MEMBERS_MAX:
        raise wrong(f"{what} is an object of at most {CONTEXT_MEMBERS_MAX} strings.")
    kept = {name: text for name, text in found.items() if isinstance(text, str)}
    if len(kept) != len(found) or "" in kept:
        raise wrong(f"{what} is an object of strings.")
    if sum(len(name.encode()) + len(text.encode()) for name, text in kept.items()) > (
        CONTEXT_BYTES_MAX
    ):
        raise wrong(f"{what} has at most {CONTEXT_BYTES_MAX:,} bytes.")
    return kept


def _text(members: Mapping[str, Json], name: str) -> str:
    found = members.get(name)
    if not isinstance(found, str):
        raise invalid_token(f"The token's header has no {name} that is a string.")
    return found


def write(
    kid: Kid, context: Mapping[str, str], key: Key, content_key: bytes, iv: bytes, plain: bytes
) -> str:
    """Return the token of a plaintext; content key and IV are fresh and never used again.

    ``ctx`` and ``crit`` are left out where nothing is bound, so that every library reads it.
    """
    members: dict[str, object] = {
        "alg": str(Alg.GCM if key.iv else Alg.OAEP),
        "enc": ENC,
        "typ": TYP,
        "kid": str(kid),
    }
    if context:
        members |= {"ctx": dict(context), "crit": ["ctx"]}
    if key.iv:
        members |= {"iv": encode(key.iv), "tag": encode(key.tag)}
    head = encode(_HEADER.encode(members).encode())
    sealed = AESGCM(content_key).encrypt(iv, plain, head.encode())
    parts = (key.wrapped, iv, sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])
    return ".".join((head, *map(encode, parts)))


def open_content(token: Token, content_key: bytes) -> bytes | None:
    """Return the plaintext; None: the token is not what was written."""
    try:
        return AESGCM(content_key).decrypt(token.iv, token.sealed, token.head)
    except InvalidTag:
        return None
