"""What a request claims about its signature, read strictly from its header or its query.

Nothing here is proven; `hyok.sigv4.verify` does that, once the secret has been looked up.

Source: AWS "Authenticating requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

from hyok.errors import Malformed, NotAuthenticated, Refused
from hyok.sigv4.canonical import ALGORITHM, TERMINATOR
from hyok.sigv4.times import header_time, parse_time_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXPIRES_SECONDS_MAX = 604_800
AUTHORIZATION_BYTES_MAX = 4096
SESSION_TOKEN_CHARS_MAX = 4096

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING_MODES = frozenset(
    {STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER}
)
_MODES = STREAMING_MODES | {UNSIGNED_PAYLOAD}

_HEX_64 = re.compile(r"[0-9a-f]{64}").fullmatch
_TOKEN = re.compile(rf"[\x21-\x7e]{{1,{SESSION_TOKEN_CHARS_MAX}}}").fullmatch
_SIGNATURE = "Signature="
_BEFORE_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<credential>[^,\s]+)\s*,\s*"
    r"SignedHeaders=(?P<signed>[^,\s]+)\s*,\s*"
).fullmatch

SIGNERS_MAX = 1024
"""Authorization headers remembered, read as far as their signature: a client sends one all day."""

SIGV2_REFUSED = (
    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
)


class SignedRequest(NamedTuple):
    """What a request claims about its signature.  Nothing of it is proven yet."""

    access_key: str
    date: str
    region: str
    service: str
    signed_names: bytes
    signature: str
    presigned: bool
    expires_s: int
    session_token: str
    amz_date: str
    at_ms: int
    payload_hash: str
    method: bytes
    raw_path: bytes
    raw_query: bytes
    header_lines: bytes


def parse_credentials(
    method: str,
    raw_path: bytes,
    raw_query: bytes,
    headers: Sequence[tuple[bytes, bytes]],
) -> SignedRequest | None:
    """Return what the request claims; None when it makes no claim at all (anonymous).

    Args:
        method: as received.
        raw_path: as received, before any decoding.
        raw_query: as received, without the question mark.
        headers: names in lower case, in order of arrival.

    Raises:
        Malformed: the claim does not follow the specification.
        NotAuthenticated: a header that must be signed is not.
        Refused: an algorithm that we do not speak (reason ``NotImplemented``).
    """
    fields = _gather(headers)
    authorization = fields.get("authorization")
    query = _auth_query(raw_query) if b"ignature=" in raw_query or b"mz-" in raw_query else {}
    by_query = "X-Amz-Algorithm" in query or "X-Amz-Signature" in query or "Signature" in query
    if authorization is None and not by_query:
        return None
    if authorization is not None and by_query:
        raise Malformed("Only one auth mechanism allowed.", reason="InvalidArgument")
    if authorization is not None:
        claim = _from_header(authorization, fields)
    else:
        claim = _from_query(query, fields)
    signed = claim.signed
    _check_signed(signed, fields)
    lines = b""
    for name, label in signed.labels:
        lines += label + fields[name] + b"\n"
    return SignedRequest(
        access_key=claim.access_key,
        date=claim.date,
        region=claim.region,
        service=claim.service,
        signed_names=signed.joined,
        signature=claim.signature,
        presigned=by_query,
        expires_s=claim.expires_s,
        session_token=claim.session_token,
        amz_date=claim.amz_date,
        at_ms=parse_time_ms(claim.amz_date, claim.wrong),
        payload_hash=_check_payload(claim.payload_hash),
        method=method.encode(),
        raw_path=raw_path,
        raw_query=raw_query,
        header_lines=lines,
    )


class _Signed(NamedTuple):
    """The names under a signature: as a set, as their lines begin, and joined as it has them."""

    names: frozenset[str]
    labels: tuple[tuple[str, bytes], ...]
    joined: bytes


class _Signer(NamedTuple):
    """What an Authorization header says before its signature."""

    access_key: str
    date: str
    region: str
    service: str
    signed: _Signed


class _Claim(NamedTuple):
    access_key: str
    date: str
    region: str
    service: str
    signed: _Signed
    signature: str
    expires_s: int
    session_token: str
    amz_date: str
    payload_hash: str
    wrong: str  # the S3 code for anything wrong with this form


def _gather(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, bytes]:
    """Return trimmed values by name; repeated headers joined by a comma in order of arrival."""
    fields: dict[str, bytes] = {}
    for raw_name, value in headers:
        name = raw_name.decode("latin-1")
        trimmed = value.strip()
        if b"  " in trimmed or b"\t" in trimmed:
            trimmed = b" ".join(trimmed.split())
        fields[name] = fields[name] + b"," + trimmed if name in fields else trimmed
    return fields


def _auth_query(raw_query: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in raw_query.split(b"&"):
        name, _, value = piece.partition(b"=")
        if b"%" in name:
            name = unquote_to_bytes(name)
        if name[:6] == b"X-Amz-" or name in (b"Signature", b"AWSAccessKeyId"):
            text = name.decode("latin-1")
            if text in found:
                raise Malformed(
                    f"The query parameter {text} is given twice.",
                    reason="AuthorizationQueryParametersError",
                )
            found[text] = unquote_to_bytes(value).decode("utf-8", "replace")
    return found


def _from_header(authorization: bytes, fields: Mapping[str, bytes]) -> _Claim:
    wrong = "AuthorizationHeaderMalformed"
    text = authorization.decode("latin-1")
    if text.startswith("AWS "):
        raise Malformed(SIGV2_REFUSED, reason="InvalidRequest")
    if text.startswith("AWS4-ECDSA-P256-SHA256"):
        raise Refused("Signature Version 4A is not supported.", reason="NotImplemented")
    if not text.startswith(ALGORITHM):
        raise Malformed("Unsupported Authorization Type", reason="InvalidArgument")
    if len(text) > AUTHORIZATION_BYTES_MAX:
        raise Malformed("The authorization header is malformed.", reason=wrong)
    before, _, given = text.rpartition(_SIGNATURE)
    signer = _signer(before, wrong)
    payload = fields.get("x-amz-content-sha256")
    if payload is None:
        raise Malformed(
            "Missing required header for this request: x-amz-content-sha256",
            reason="InvalidRequest",
        )
    return _Claim(
        access_key=signer.access_key,
        date=signer.date,
        region=signer.region,
        service=signer.service,
        signed=signer.signed,
        signature=check_signature_form(given.rstrip(), wrong),
        expires_s=0,
        session_token=_header_token(fields),
        amz_date=header_time(fields),
        payload_hash=payload.decode("latin-1"),
        wrong=wrong,
    )


@lru_cache(maxsize=SIGNERS_MAX)
def _signer(before: str, wrong: str) -> _Signer:
    """Read an Authorization header as far as its signature."""
    parts = _BEFORE_SIGNATURE(before)
    if parts is None:
        raise Malformed("The authorization header is malformed.", reason=wrong)
    access_key, date, region, service = split_credential(parts["credential"], wrong)
    return _Signer(access_key, date, region, service, _signed_names(parts["signed"], wrong))


def _header_token(fields: Mapping[str, bytes]) -> str:
    token = fields.get("x-amz-security-token")
    return "" if token is None else check_session_token(token.decode("latin-1"), "")


def _from_query(query: Mapping[str, str], fields: Mapping[str, bytes]) -> _Claim:
    wrong = "AuthorizationQueryParametersError"
    if "Signature" in query:
        raise Malformed(SIGV2_REFUSED, reason="InvalidRequest")
    algorithm = query.get("X-Amz-Algorithm", "")
    if algorithm == "AWS4-ECDSA-P256-SHA256":
        raise Refused("Signature Version 4A is not supported.", reason="NotImplemented")
    if algorithm != ALGORITHM:
        raise Malformed('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"', reason=wrong)
    for name in ("Credential", "Date", "Expires", "SignedHeaders", "Signature"):
        if not query.get(f"X-Amz-{name}"):
            raise Malformed(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, "
                "X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and "
                "X-Amz-Expires parameters.",
                reason=wrong,
            )
    access_key, date, region, service = split_credential(query["X-Amz-Credential"], wrong)
    return _Claim(
        access_key=access_key,
        date=date,
        region=region,
        service=service,
        signed=_signed_names(query["X-Amz-SignedHeaders"], wrong),
        signature=check_signature_form(query["X-Amz-Signature"], wrong),
        expires_s=_expires(query["X-Amz-Expires"], wrong),
        session_token=check_session_token(
            # A header counts too: `_check_signed` refuses it unless it is signed.
            fields.get("x-amz-security-token", b"").decode("latin-1"),
            query.get("X-Amz-Security-Token", ""),
        ),
        amz_date=query["X-Amz-Date"],
        payload_hash=_presigned_payload(query, fields),
        wrong=wrong,
    )


def _presigned_payload(query: Mapping[str, str], fields: Mapping[str, bytes]) -> str:
    # The header counts too: `_check_signed` refuses it unless it is signed.
    by_header = fields.get("x-amz-content-sha256", b"").decode("latin-1")
    by_query = query.get("X-Amz-Content-Sha256", "")
    if by_header and by_query and by_header != by_query:
        raise Malformed("x-amz-content-sha256 is given twice.", reason="InvalidArgument")
    return by_header or by_query or UNSIGNED_PAYLOAD


def check_session_token(by_header: str, by_query: str) -> str:
    """Return the token, which is under the signature wherever it stands; empty when there is none.

    Raises:
        Malformed: two different ones (``InvalidArgument``), or none that we gave out
            (``InvalidToken``).
    """
    if by_header and by_query and by_header != by_query:
        raise Malformed("x-amz-security-token is given twice.", reason="InvalidArgument")
    token = by_header or by_query
    if token and not _TOKEN(token):
        raise Malformed(
            "The provided token is malformed or otherwise invalid.", reason="InvalidToken"
        )
    return token


def split_credential(text: str, wrong: str) -> tuple[str, str, str, str]:
    """Return access key, day, region and service of a Credential; ``wrong``: the code if none."""
    pieces = text.rsplit("/", 4)  # an access key may itself hold a slash
    if len(pieces) != 5 or pieces[4] != TERMINATOR or not all(pieces):
        raise Malformed(
            'The Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/'
            'aws4_request".',
            reason=wrong,
        )
    return pieces[0], pieces[1], pieces[2], pieces[3]


@lru_cache(maxsize=SIGNERS_MAX)
def _signed_names(text: str, wrong: str) -> _Signed:
    names = tuple(text.split(";"))
    if any(a >= b for a, b in pairwise(names)) or text != text.lower():
        raise Malformed("SignedHeaders must be sorted, distinct and in lower case.", reason=wrong)
    labels = tuple((name, name.encode() + b":") for name in names)
    return _Signed(frozenset(names), labels, text.encode())


def check_signature_form(text: str, wrong: str) -> str:
    """Return the text if it has the form of a signature; ``wrong``: the code if it has not."""
    if not _HEX_64(text):
        raise Malformed("The Signature must be 64 hexadecimal digits.", reason=wrong)
    return text


def _expires(text: str, wrong: str) -> int:
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
    if not 1 <= seconds <= EXPIRES_SECONDS_MAX:
        raise Malformed(
            f"X-Amz-Expires must be between 1 and {EXPIRES_SECONDS_MAX} seconds.", reason=wrong
        )
    return seconds


def _check_signed(signed: _Signed, fields: Mapping[str, bytes]) -> None:
    """Every header that could change what the request means must be under the signature."""
    if not signed.names <= fields.keys():
        missing = [name for name, _ in signed.labels if name not in fields]
        # A signature over an absent header would be one over an empty header too.
        raise NotAuthenticated(
            f"Signed headers are missing from the request: {', '.join(missing)[:200]}",
            reason="SignatureDoesNotMatch",
        )
    loose = []
    for name in fields.keys() - signed.names:
        if name[:6] == "x-amz-":
            loose.append(name)
    if "host" not in signed.names:
        loose.append("host")
    if loose:
        raise NotAuthenticated(
            "There were headers present in the request which were not signed: "
            + ", ".join(loose)[:200],
            reason="AccessDenied",
        )


def _check_payload(value: str) -> str:
    if value in _MODES or _HEX_64(value):
        return value
    if value.startswith("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"):
        raise Refused("Signature Version 4A is not supported.", reason="NotImplemented")
    raise Malformed(
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a streaming mode, or a valid sha256 value.",
        reason="InvalidArgument",
    )
