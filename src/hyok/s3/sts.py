"""AssumeRoleWithWebIdentity: a workload's token in, credentials for a while out.

The one operation of AWS's token service that the S3 door speaks, since the SDKs of workloads call
it by themselves.  Whether a token is worth anything is not decided here.

Source: AWS Security Token Service API Reference, AssumeRoleWithWebIdentity and Common Errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from hyok.errors import Malformed, Refused
from hyok.s3.elements import DECLARATION, leaf, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.s3.request import S3Request

ACTION = "AssumeRoleWithWebIdentity"
API_VERSION = "2011-06-15"
NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
FORM = "application/x-www-form-urlencoded"

BODY_BYTES_MAX = 64 << 10
PARAMETERS_MAX = 64
TOKEN_CHARS_MAX = 20_000
DURATION_S_MIN, DURATION_S_MAX, DURATION_S_DEFAULT = 900, 43_200, 3600

_SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}").fullmatch
_ROLE = re.compile(r"[\x21-\x7e]{20,2048}").fullmatch
_TOKEN = re.compile(r"[\x21-\x7e]{4,20000}").fullmatch

# What would make the credentials weaker than the role.  Passed over, they would be too strong.
_NARROWING = ("Policy", "PolicyArns.")

CODES: Mapping[str, int] = MappingProxyType(
    {
        "AccessDenied": 403,
        "ExpiredTokenException": 400,
        "IDPCommunicationError": 400,
        "IDPRejectedClaim": 403,
        "InternalFailure": 500,
        "InvalidAction": 400,
        "InvalidIdentityToken": 400,
        "MalformedInput": 400,
        "MissingAction": 400,
        "NotImplemented": 501,
        "RegionDisabledException": 403,
        "ServiceUnavailable": 503,
        "ValidationError": 400,
    }
)
"""The errors of this service with their statuses."""


@dataclass(frozen=True, slots=True)
class RoleAsked:
    """What a workload asks for."""

    role: str
    session_name: str
    token: str = field(repr=False)
    duration_s: int = DURATION_S_DEFAULT


def is_for_sts(request: S3Request) -> bool:
    """Return whether a request is for this service: a form at the root, or an action in the query.

    No request of S3 looks like either.
    """
    if request.bucket or request.key:
        return False
    if request.method == "GET":
        return "Action" in request.query
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    return request.method == "POST" and (kind == FORM or "Action" in request.query)


def parse_request(request: S3Request, body: bytes | memoryview) -> RoleAsked:
    """Read the parameters, from the query and the form alike.

    Raises:
        Malformed: a parameter is missing, twice there or none (``MissingAction``,
            ``ValidationError``, ``MalformedInput``).
        Refused: another action (``InvalidAction``), or a session policy (``NotImplemented``).
    """
    given = dict(request.query)
    for name, value in _form(body):
        if name in given:
            raise Malformed(f"The parameter {name[:64]} is given twice.", reason="MalformedInput")
        given[name] = value
    action = given.get("Action")
    if not action:
        raise Malformed("The request must contain the parameter Action", reason="MissingAction")
    if action != ACTION or given.get("Version") != API_VERSION:
        raise Refused(
            f"Could not find operation {action[:64]} for version "
            f"{given.get('Version', 'NO_VERSION_SPECIFIED')[:64]}",
            reason="InvalidAction",
        )
    for name in given:
        if name.startswith(_NARROWING):
            raise Refused(
                "Session policies are not offered: the policy bundle says what a role may do. "
                "Ask without Policy and PolicyArns.",
                reason="NotImplemented",
            )
    return _asked(given)


def _form(body: bytes | memoryview) -> list[tuple[str, str]]:
    if len(body) > BODY_BYTES_MAX:
        raise Malformed("The request is too large.", reason="MalformedInput")
    try:
        return parse_qsl(
            bytes(body).decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=PARAMETERS_MAX,
        )
    except ValueError:
        raise Malformed("The body is not a form.", reason="MalformedInput") from None


def _asked(given: Mapping[str, str]) -> RoleAsked:
    role, name = given.get("RoleArn", ""), given.get("RoleSessionName", "")
    token = given.get("WebIdentityToken", "")
    if not _ROLE(role):
        raise _invalid("roleArn", "20 to 2048 characters without blanks")
    if not _SESSION_NAME(name):
        raise _invalid("roleSessionName", "2 to 64 of letters, digits and _+=,.@-")
    if not _TOKEN(token):
        raise _invalid("webIdentityToken", f"4 to {TOKEN_CHARS_MAX} characters without blanks")
    duration = given.get("DurationSeconds", str(DURATION_S_DEFAULT))
    if not (duration.isascii() and duration.isdigit() and len(duration) <= 6) or not (
        DURATION_S_MIN <= int(duration) <= DURATION_S_MAX
    ):
        raise _invalid("durationSeconds", f"{DURATION_S_MIN} to {DURATION_S_MAX} seconds")
    return RoleAsked(role, name, token, int(duration))


def _invalid(name: str, form: str) -> Malformed:
    # Never with the value: it may be a token.
    return Malformed(
        f"1 validation error detected: Value at '{name}' failed to satisfy constraint: {form}",
        reason="ValidationError",
    )


@dataclass(frozen=True, slots=True)
class SessionCredentials:
    """What a workload gets; ``expires_ms`` in unix milliseconds."""

    access_key: str
    secret: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_ms: int = 0


def render(
    credentials: SessionCredentials,
    *,
    asked: RoleAsked,
    role_id: str,
    subject: str,
    audience: str,
    issuer: str,
    request_id: str,
) -> bytes:
    """Return AssumeRoleWithWebIdentityResponse."""
    user = (
        f"{leaf('Arn', f'{asked.role}/{asked.session_name}')}"
        f"{leaf('AssumedRoleId', f'{role_id}:{asked.session_name}')}"
    )
    secrets = (
        f"{leaf('AccessKeyId', credentials.access_key)}"
        f"{leaf('SecretAccessKey', credentials.secret)}"
        f"{leaf('SessionToken', credentials.session_token)}"
        f"{leaf('Expiration', timestamp(credentials.expires_ms))}"
    )
    result = (
        f"{leaf('SubjectFromWebIdentityToken', subject)}{leaf('Audience', audience)}"
        f"<AssumedRoleUser>{user}</AssumedRoleUser><Credentials>{secrets}</Credentials>"
        f"{leaf('Provider', issuer)}"
    )
    return _document(
        f"{ACTION}Response",
        f"<{ACTION}Result>{result}</{ACTION}Result>"
        f"<ResponseMetadata>{leaf('RequestId', request_id)}</ResponseMetadata>",
    )


def render_error(code: str, message: str, request_id: str) -> bytes:
    """Return ErrorResponse; whose fault it is follows from the status of the code."""
    whose = "Sender" if CODES[code] < 500 else "Receiver"
    error = f"{leaf('Type', whose)}{leaf('Code', code)}{leaf('Message', message)}"
    return _document("ErrorResponse", f"<Error>{error}</Error>{leaf('RequestId', request_id)}")


def _document(root: str, inner: str) -> bytes:
    return f'{DECLARATION}<{root} xmlns="{NAMESPACE}">{inner}</{root}>'.encode()
