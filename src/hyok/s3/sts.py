"""STS on the wire: one operation, AssumeRoleWithWebIdentity, and the errors it may have.

A form in, a document out.  Who holds the token and what it is worth is decided elsewhere.

Source: AWS Security Token Service API Reference, "AssumeRoleWithWebIdentity"; version 2011-06-15.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from hyok.errors import Malformed
from hyok.s3.elements import escape, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

OPERATION = "AssumeRoleWithWebIdentity"
VERSION = "2011-06-15"
NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
FORM_TYPE = "application/x-www-form-urlencoded"

FORM_BYTES_MAX = 64 << 10
"""A token of the greatest length with every other character escaped, and the rest."""

FIELDS_MAX = 32
TOKEN_CHARS_MAX = 20_000
DURATION_SECONDS_MIN = 900
DURATION_SECONDS_MAX = 43_200
DURATION_SECONDS_DEFAULT = 3_600

CODES: Mapping[str, int] = MappingProxyType(
    {
        "AccessDenied": 403,
        "ExpiredTokenException": 400,
        "IDPCommunicationError": 400,
        "InternalFailure": 500,
        "InvalidAction": 400,
        "InvalidIdentityToken": 400,
        "ServiceUnavailable": 503,
        "Throttling": 400,
        "ValidationError": 400,
    }
)
"""Errors of STS by name, each with its HTTP status.  SDKs try again by name, not by status."""

_NAME = r"[a-z0-9][a-z0-9_.-]{0,63}"
_ROLE_ARN = re.compile(
    rf"arn:(?:hyok:iam::(?P<tenant>{_NAME})|aws:iam::000000000000):role/(?P<app>{_NAME})"
).fullmatch
_SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}").fullmatch
_DURATION = re.compile(r"[0-9]{1,6}").fullmatch
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})").search


@dataclass(frozen=True, slots=True)
class RoleAsked:
    """An app as a role: ``tenant`` is empty where the ARN names none."""

    tenant: str
    app_id: str


@dataclass(frozen=True, slots=True)
class AssumeAsked:
    """What the client asks for.  Nothing of it is proven."""

    role: RoleAsked
    session_name: str
    token: str = field(repr=False)
    duration_seconds: int | None  # None: the client leaves it to us


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the client gets."""

    access_key: str
    secret: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_ms: int
    role_arn: str
    session_name: str
    subject: str
    audience: str
    issuer: str


def parse_form(raw: bytes | memoryview) -> dict[str, str]:
    """Return the fields of a form or a query.

    Raises:
        Malformed: not a form, or a name is given twice (reason ``ValidationError``).
    """
    fields: dict[str, str] = {}
    pieces = bytes(raw).split(b"&") if len(raw) else []
    if len(pieces) > FIELDS_MAX:
        raise _invalid(f"The request has more than {FIELDS_MAX} parameters.")
    for piece in pieces:
        name, _, value = (_decoded(part) for part in piece.partition(b"="))
        if name in fields:
            # Two values of one name: whichever we took, somebody else would take the other.
            raise _invalid("A parameter is given twice.")
        fields[name] = value
    return fields


def is_ours(content_type: str, raw_query: bytes) -> bool:
    """Is a POST to the root of the service meant for STS?"""
    form = content_type.partition(";")[0].strip().lower() == FORM_TYPE
    return form or raw_query.startswith(b"Action=") or b"&Action=" in raw_query


def parse_assume(fields: Mapping[str, str]) -> AssumeAsked:
    """Return what the fields ask for.

    Raises:
        Malformed: another operation (reason ``InvalidAction``), or a parameter that cannot stand
            (reason ``ValidationError``).
    """
    if fields.get("Action") != OPERATION or fields.get("Version") != VERSION:
        raise Malformed(
            f"Only {OPERATION} of version {VERSION} is served here.", reason="InvalidAction"
        )
    for name in fields:
        if name.partition(".")[0] in ("Policy", "PolicyArns", "ProviderId"):
            # To ignore a policy would hand out more than the client asked for.
            raise _invalid(f"{name[:64]} is not served: rights follow from the app alone.")
    role = _ROLE_ARN(fields.get("RoleArn", ""))
    if role is None:
        raise _invalid(
            "RoleArn must be arn:hyok:iam::<tenant>:role/<app> or "
            "arn:aws:iam::000000000000:role/<app>."
        )
    session_name = fields.get("RoleSessionName", "")
    if not _SESSION_NAME(session_name):
        raise _invalid("RoleSessionName must be 2 to 64 characters of A-Z a-z 0-9 _ + = , . @ -.")
    token = fields.get("WebIdentityToken", "")
    if not 4 <= len(token) <= TOKEN_CHARS_MAX:
        raise _invalid(f"WebIdentityToken must be 4 to {TOKEN_CHARS_MAX} characters long.")
    return AssumeAsked(
        RoleAsked(role["tenant"] or "", role["app"]),
        session_name,
        token,
        _duration(fields.get("DurationSeconds")),
    )


def render_assumed(assumed: Assumed, request_id: str) -> bytes:
    """Return the answer to AssumeRoleWithWebIdentity."""
    name = assumed.session_name
    user = _leaf("Arn", f"{assumed.role_arn}/{name}") + _leaf(
        "AssumedRoleId", f"{assumed.access_key}:{name}"
    )
    credentials = (
        _leaf("AccessKeyId", assumed.access_key)
        + _leaf("SecretAccessKey", assumed.secret)
        + _leaf("SessionToken", assumed.session_token)
        + _leaf("Expiration", timestamp(assumed.expires_ms))
    )
    result = (
        f"<Credentials>{credentials}</Credentials>"
        + _leaf("SubjectFromWebIdentityToken", assumed.subject)
        + f"<AssumedRoleUser>{user}</AssumedRoleUser>"
        + _leaf("Provider", assumed.issuer)
        + _leaf("Audience", assumed.audience)
    )
    metadata = f"<ResponseMetadata>{_leaf('RequestId', request_id)}</ResponseMetadata>"
    return _document(
        f"{OPERATION}Response", f"<{OPERATION}Result>{result}</{OPERATION}Result>{metadata}"
    )


def render_error(code: str, message: str, request_id: str) -> bytes:
    """Return the document of an error."""
    fault = "Sender" if CODES[code] < 500 else "Receiver"
    inner = _leaf("Type", fault) + _leaf("Code", code) + _leaf("Message", message)
    return _document("ErrorResponse", f"<Error>{inner}</Error>{_leaf('RequestId', request_id)}")


def _duration(text: str | None) -> int | None:
    if text is None:
        return None
    seconds = int(text) if _DURATION(text) else 0
    if not DURATION_SECONDS_MIN <= seconds <= DURATION_SECONDS_MAX:
        raise _invalid(f"DurationSeconds must be {DURATION_SECONDS_MIN} to {DURATION_SECONDS_MAX}.")
    return seconds


def _decoded(raw: bytes) -> str:
    if _BAD_ESCAPE(raw):
        raise _invalid("The parameters hold a broken percent escape.")
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise _invalid("The parameters are not UTF-8.") from None


def _invalid(sentence: str) -> Malformed:
    return Malformed(sentence, reason="ValidationError")


def _leaf(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"


def _document(root: str, inner: str) -> bytes:
    return f'<{root} xmlns="{NAMESPACE}">{inner}</{root}>\n'.encode()
