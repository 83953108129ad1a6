"""The external key management of Azure Managed HSM, `0.1-preview`: requests and answers.  Pure.

Requests are read strictly in what they must have, and members that nobody knows are passed over:
the protocol is a preview.  Values are base64url without padding, in the one way to write them.

Source: Microsoft "EKM Proxy API", 0.1-preview; RFC 4648, section 5.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from hyok.custody.door_wraps import UNSUPPORTED, Algorithm
from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

API_VERSION = "0.1-preview"
BODY_BYTES_MAX = 8 << 10
"""What the longest value that we serve needs, four times over."""

VERSION = "ApiVersion"
"""The reason of a refusal that blames the api-version."""

ID_CHARS_MAX = 256
_TARGET_BYTES_MAX = 512
_TARGET = re.compile(
    rb"(?P<prefix>(?:/[A-Za-z0-9-]+)*?)/"
    rb"(?:(?P<info>info)|(?P<key>[A-Za-z0-9-]{1,64})/(?P<operation>metadata|wrapkey|unwrapkey))"
).fullmatch
_VALUE = re.compile(r"[A-Za-z0-9_-]+").fullmatch


class Operation(StrEnum):
    """What can be asked."""

    INFO = "info"
    METADATA = "metadata"
    WRAP = "wrapkey"
    UNWRAP = "unwrapkey"


@dataclass(frozen=True, slots=True)
class Place:
    """What a request's path names."""

    prefix: str
    operation: Operation
    key: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """Why Azure asks, in its words; none of it is proven."""

    correlation_id: str
    pool_name: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to wrap or unwrap."""

    algorithm: Algorithm
    value: bytes


def parse_target(target: bytes) -> Place | None:
    """Return what a path names; None: it is none of the protocol's."""
    path = target.partition(b"?")[0]
    found = _TARGET(path) if len(target) <= _TARGET_BYTES_MAX else None
    if found is None:
        return None
    prefix = found["prefix"].decode("ascii")
    if found["info"]:
        return Place(prefix, Operation.INFO)
    return Place(prefix, Operation(found["operation"].decode()), found["key"].decode("ascii"))


def check_version(target: bytes) -> None:
    """Return quietly if the request names the version of the protocol that is spoken here, once.

    Raises:
        Malformed: it does not (code HY-2649).
    """
    pairs = [part.partition(b"=") for part in target.partition(b"?")[2].split(b"&")]
    named = [value for name, _, value in pairs if name == b"api-version"]
    if named != [API_VERSION.encode()]:
        raise Malformed(
            f"The only api-version that is served is {API_VERSION}.", reason=VERSION, code="HY-2649"
        )


def check_type(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Return quietly if the body is said to be JSON.

    Raises:
        Malformed: it is not (code HY-2649).
    """
    told = [value.partition(b";")[0].strip().lower() for name, value in headers if name == _TYPE]
    if told != [b"application/json"]:
        raise Malformed("The content type is application/json.", code="HY-2649")


_TYPE = b"content-type"


def parse_body(raw: bytes) -> Mapping[str, object]:
    """Return the members of a body.

    Raises:
        Malformed: it is no JSON object, or names a member twice (code HY-2649).
    """
    try:
        found = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise Malformed("The body is not JSON.", code="HY-2649") from error
    if not isinstance(found, dict):
        raise Malformed("The body is not a JSON object.", code="HY-2649")
    return cast("Mapping[str, object]", found)


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is named twice")
    return found


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON")


def parse_context(body: Mapping[str, object]) -> Context:
    """Return the request_context.

    Raises:
        Malformed: a member is missing or of another type (code HY-2649).
    """
    told = body.get("request_context")
    if not isinstance(told, dict):
        raise _wrong("request_context")
    return Context(
        correlation_id=_text(told, "correlation_id"),
        pool_name=_text(told, "pool_name"),
        request_id=_text(told, "request_id", needed=False),
    )


def _text(members: Mapping[str, object], name: str, *, needed: bool = True) -> str:
    found = members.get(name)
    if found is None and not needed:
        return ""
    if not isinstance(found, str) or len(found) > ID_CHARS_MAX or not found.isprintable():
        raise _wrong(name)
    return found


def parse_asked(body: Mapping[str, object]) -> Asked:
    """Return what to wrap or unwrap.

    Raises:
        Malformed: a member is missing or not what it must be (code HY-2649), or the algorithm is
            none of the protocol's (code HY-2647).
    """
    word = body.get("alg")
    if not isinstance(word, str):
        raise _wrong("alg")
    value = parse_value(body.get("value"))
    try:
        return Asked(Algorithm(word), value)
    except ValueError as error:
        raise Malformed(
            "alg is none of the algorithms that are served.", reason=UNSUPPORTED, code="HY-2647"
        ) from error


def parse_value(found: object) -> bytes:
    """Return a value's bytes.

    Raises:
        Malformed: it is not base64url without padding, or empty (code HY-2649).
    """
    if not isinstance(found, str) or not _VALUE(found):
        raise _wrong("value")
    try:
        raw = urlsafe_b64decode(found + "=" * (-len(found) % 4))
    except (ValueError, binascii.Error) as error:
        raise _wrong("value") from error
    if render_value(raw) != found:  # bits that stand for nothing
        raise _wrong("value")
    return raw


def _wrong(name: str) -> Malformed:
    return Malformed(f"{name} is missing, or not what it must be.", code="HY-2649")


def render_value(raw: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def render_info(*, proxy: str, vendor: str, product: str) -> bytes:
    """Return the answer to info."""
    return render(
        {
            "api_version": API_VERSION,
            "proxy_vendor": "hyok",
            "proxy_name": proxy,
            "ekm_vendor": vendor,
            "ekm_product": product,
        }
    )


def render_metadata(size: int, modulus: bytes = b"", exponent: bytes = b"") -> bytes:
    """Return the answer to metadata; ``modulus`` and ``exponent``: of RSA."""
    told: dict[str, object] = {
        "key_type": "RSA" if modulus else "oct",
        "key_size": size,
        "key_ops": ["wrapKey", "unwrapKey"],
    }
    if modulus:
        told |= {"n": render_value(modulus), "e": render_value(exponent)}
    return render(told)


def render_wrapped(value: bytes) -> bytes:
    """Return the answer to wrapkey and unwrapkey."""
    return render({"value": render_value(value)})


def render_error(code: str, message: str) -> bytes:
    """Return an error."""
    return render({"code": code, "message": message})


def render(document: Mapping[str, object]) -> bytes:
    """Return one line of JSON."""
    return json.dumps(document, separators=(",", ":")).encode()
