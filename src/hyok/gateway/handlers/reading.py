"""Small readings that several handlers share: numbers of a query, facts of a write, conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.gateway.bodies import plaintext
from hyok.objects.conditions import ALWAYS, Condition
from hyok.objects.facts import PutFacts
from hyok.objects.locking import NO_LOCK
from hyok.s3.checksums import encode
from hyok.s3.locks import asks_bypass, parse_headers
from hyok.s3.metadata import (
    SYSTEM_HEADERS,
    USER_METADATA_PREFIX,
    check_user_metadata,
    content_encoding,
    parse_tagging_header,
)
from hyok.s3.names import parse_version_id
from hyok.s3.preconditions import UNCONDITIONAL, parse_write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.gateway.bodies import RequestBody
    from hyok.gateway.call import Call, Services
    from hyok.s3.checksums import Declared
    from hyok.s3.locks import LockAsked
    from hyok.s3.request import S3Request

_SYSTEM_NAMES = frozenset(SYSTEM_HEADERS)


def write_facts(
    request: S3Request,
    checksums: Mapping[str, str] | None = None,
    lock: LockAsked = NO_LOCK,
) -> PutFacts:
    """Return what the client says beside the body.

    Raises:
        Malformed, Refused: metadata or tags that may not be kept.
    """
    headers: dict[str, str] = {}
    if request.has_any(_SYSTEM_NAMES):
        headers = {name: value for name in SYSTEM_HEADERS if (value := request.header(name))}
    if "content-encoding" in headers:
        headers["content-encoding"] = content_encoding(headers["content-encoding"])
    user_metadata = request.headers_under(USER_METADATA_PREFIX)
    check_user_metadata(user_metadata)
    for name, value in [*headers.items(), *user_metadata.items()]:
        # A control character would forge a header when the object is read.
        if not value.isprintable() and any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise Malformed(f"The value of {name[:64]} is not valid.", reason="InvalidArgument")
    return PutFacts(
        headers={name: value for name, value in headers.items() if value} if headers else {},
        user_metadata=user_metadata,
        tags=parse_tagging_header(request.header("x-amz-tagging")),
        checksums=dict(checksums or {}),
        lock=lock,
    )


def known_checksum(declared: Declared) -> dict[str, str]:
    """Return the checksum that the client gave before the body, where it can be kept; by name."""
    algorithm, value = declared.algorithm, declared.value
    if algorithm is None or value is None or not algorithm.kept:
        return {}
    return {algorithm.name: encode(value)}


def document(call: Call, bytes_max: int, *, checksums_of_body: bool = True) -> RequestBody:
    """Return the body of a request that brings a document, bounded, nothing of it read yet.

    Raises:
        Malformed: it is too long (reason ``MaxMessageLengthExceeded``).
    """
    assert call.verified is not None
    body = plaintext(
        call.exchange,
        call.request,
        call.verified,
        checksums_of_body=checksums_of_body,
        may_be_absent=True,
    )
    if body.size > bytes_max:
        raise Malformed("Your request was too big.", reason="MaxMessageLengthExceeded")
    return body


def write_condition(request: S3Request) -> Condition:
    """Return what must hold at the destination of a write."""
    asked = parse_write(request.header)
    if asked is UNCONDITIONAL:
        return ALWAYS
    return Condition(
        if_match=asked.if_match,
        absent=asked.absent,
        exists=asked.exists,
        not_match=asked.not_match,
    )


def number(request: S3Request, name: str, default: int, most: int) -> int:
    """Return a number of the query, at most ``most``.

    Raises:
        Malformed: it is none (reason ``InvalidArgument``).
    """
    text = request.query.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > 2**31 - 1:
        raise Malformed(
            f"Provided {name} not an integer or within integer range", reason="InvalidArgument"
        )
    return min(int(text), most)


def wants_url_encoding(request: S3Request) -> bool:
    """Say whether names shall be percent-encoded in the answer.

    Raises:
        Malformed: another encoding was asked for.
    """
    encoding = request.query.get("encoding-type")
    if encoding in (None, ""):
        return False
    if encoding != "url":
        raise Malformed("Invalid Encoding Method specified in Request", reason="InvalidArgument")
    return True


def version_asked(request: S3Request) -> str:
    """Return the version that the query names; empty for the newest.

    Raises:
        Malformed: no store gives such an id (reason ``InvalidArgument``).
    """
    return parse_version_id(request.query.get("versionId"))


async def lock_asked(services: Services, call: Call) -> LockAsked:
    """Return the lock that the headers of a write ask for; the caller needs the right to it.

    Raises:
        Refused, Malformed: the headers are wrong, or policy says no.
    """
    asked = parse_headers(call.request.header, call.at_ms)
    if asked != NO_LOCK:
        await permitted(services, call, "object:lock")
    return asked


async def bypass_asked(services: Services, call: Call) -> bool:
    """Return whether governance is to be bypassed; the caller needs a right of its own to that.

    Raises:
        Refused: policy says no.
    """
    asked = asks_bypass(call.request.header)
    if asked:
        await permitted(services, call, "object:bypass-governance")
    return asked


async def permitted(services: Services, call: Call, action: str) -> None:
    """Return quietly if the caller may do this here beside what the request is about.

    Raises:
        Refused: policy says no.
    """
    ask = call.ask(action=action)
    await services.vault.custodian.decide(ask)
    await services.vault.custodian.conclude(ask, "done")
