"""Is this request signed by whoever holds the secret of the access key it names?

Two steps: `parse_credentials` reads what the request claims (so that the access key can be looked
up), `verify` holds it against the secret.  Only `verify` makes a `Verified`.

Source: AWS "Authenticating requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, NamedTuple

from hyok.errors import Malformed, NotAuthenticated
from hyok.sigv4.canonical import (
    TERMINATOR,
    canonical_request,
    encode_path,
    encode_query,
    signature,
    signing_key,
    string_to_sign,
)
from hyok.sigv4.claims import (
    STREAMING_MODES,
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
    SignedRequest,
    parse_credentials,
)

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "STREAMING_MODES",
    "STREAMING_SIGNED",
    "STREAMING_SIGNED_TRAILER",
    "STREAMING_UNSIGNED_TRAILER",
    "UNSIGNED_PAYLOAD",
    "SignedRequest",
    "Verified",
    "parse_credentials",
    "verify",
]

SKEW_MS_MAX = 15 * 60 * 1000


class Verified(NamedTuple):
    """Proof that the request was signed with the secret; what a streaming body goes on from."""

    access_key: str
    signing_key: bytes
    seed_signature: str
    scope: str
    amz_date: str
    payload: str


def verify(
    request: SignedRequest,
    secret: str,
    *,
    now_ms: int,
    regions: Collection[str],
    service: str = "s3",
) -> Verified:
    """Return the proof that ``request`` was signed with ``secret``, for here and for now.

    Raises:
        NotAuthenticated: wrong signature, or not at this time.
        Malformed: made for another region, service or day.
    """
    _check_place(request, regions, service)
    _check_time(request, now_ms)
    scope = f"{request.date}/{request.region}/{request.service}/{TERMINATOR}"
    canonical = canonical_request(
        request.method,
        encode_path(request.raw_path),
        encode_query(request.raw_query, without=b"X-Amz-Signature" if request.presigned else b""),
        request.header_lines,
        request.signed_names,
        request.payload_hash.encode(),
    )
    key = signing_key(secret, request.date, request.region, request.service)
    expected = signature(key, string_to_sign(request.amz_date, scope, canonical))
    if not hmac.compare_digest(expected.encode(), request.signature.encode()):
        raise NotAuthenticated(
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
            reason="SignatureDoesNotMatch",
        )
    return Verified(
        request.access_key, key, expected, scope, request.amz_date, request.payload_hash
    )


def _check_place(request: SignedRequest, regions: Collection[str], service: str) -> None:
    wrong = (
        "AuthorizationQueryParametersError" if request.presigned else "AuthorizationHeaderMalformed"
    )
    if request.region not in regions:
        expected = next(iter(regions), "")
        raise Malformed(
            f"The region '{request.region[:64]}' is wrong; expecting '{expected}'", reason=wrong
        )
    if request.service != service:
        raise Malformed(
            f"The service '{request.service[:64]}' is wrong; expecting '{service}'", reason=wrong
        )
    if request.date != request.amz_date[:8]:
        raise Malformed(
            "The date of the Credential is not the day of the request's time.", reason=wrong
        )


def _check_time(request: SignedRequest, now_ms: int) -> None:
    if not request.presigned:
        if abs(now_ms - request.at_ms) > SKEW_MS_MAX:
            raise NotAuthenticated(
                "The difference between the request time and the current time is too large.",
                reason="RequestTimeTooSkewed",
            )
        return
    if request.at_ms - now_ms > SKEW_MS_MAX:
        raise NotAuthenticated("Request is not valid yet", reason="AccessDenied")
    if now_ms > request.at_ms + request.expires_s * 1000:
        raise NotAuthenticated("Request has expired", reason="AccessDenied")
