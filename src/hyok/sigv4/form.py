"""The signature of a browser's form: over the text of its policy, and nothing else.

What the policy says of the other fields is held against them in `hyok.s3.form_policy`.

Source: AWS "Authenticating requests: browser-based uploads using POST".
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.errors import Malformed, NotAuthenticated, Refused
from hyok.sigv4.canonical import ALGORITHM, TERMINATOR, signature, signing_key
from hyok.sigv4.claims import (
    SIGV2_REFUSED,
    UNSIGNED_PAYLOAD,
    check_session_token,
    check_signature_form,
    split_credential,
)
from hyok.sigv4.times import parse_time_ms
from hyok.sigv4.verify import SKEW_MS_MAX, Verified

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LIFE_MS_MAX = 7 * 86_400_000
"""How long a signed policy may be used at most, whatever its expiration says."""

_WRONG = "InvalidArgument"


@dataclass(frozen=True, slots=True)
class SignedPolicy:
    """What a form claims about its signature.  Nothing of it is proven yet."""

    access_key: str
    date: str
    region: str
    service: str
    amz_date: str
    at_ms: int
    signature: str
    session_token: str
    policy: str  # in base64, as it was signed


def parse_form_credentials(fields: Mapping[str, str]) -> SignedPolicy | None:
    """Return what the fields of a form claim; None when they make no claim at all (anonymous).

    Args:
        fields: by lower-case name.

    Raises:
        Malformed: the claim does not follow the specification.
        Refused: an algorithm that we do not speak (reason ``NotImplemented``).
    """
    if "awsaccesskeyid" in fields or "signature" in fields:
        raise Malformed(SIGV2_REFUSED, reason="InvalidRequest")
    needed = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
    if "policy" not in fields and not any(name in fields for name in needed):
        return None
    for name in ("policy", *needed):
        if not fields.get(name):
            raise Malformed(
                f"Bucket POST must contain a field named '{name}'.  If it is specified, please "
                "check the order of the fields.",
                reason=_WRONG,
            )
    algorithm = fields["x-amz-algorithm"]
    if algorithm == "AWS4-ECDSA-P256-SHA256":
        raise Refused("Signature Version 4A is not supported.", reason="NotImplemented")
    if algorithm != ALGORITHM:
        raise Malformed(f'x-amz-algorithm only supports "{ALGORITHM}"', reason=_WRONG)
    access_key, date, region, service = split_credential(fields["x-amz-credential"], _WRONG)
    return SignedPolicy(
        access_key=access_key,
        date=date,
        region=region,
        service=service,
        amz_date=fields["x-amz-date"],
        at_ms=parse_time_ms(fields["x-amz-date"], _WRONG),
        signature=check_signature_form(fields["x-amz-signature"], _WRONG),
        session_token=check_session_token("", fields.get("x-amz-security-token", "")),
        policy=fields["policy"],
    )


def verify_form(
    claim: SignedPolicy,
    secret: str,
    *,
    now_ms: int,
    regions: Collection[str],
    service: str = "s3",
) -> Verified:
    """Return the proof that the policy was signed with ``secret``, for here and for now.

    Raises:
        NotAuthenticated: wrong signature, or not at this time.
        Malformed: made for another region, service or day.
    """
    if claim.region not in regions or claim.service != service:
        raise Malformed(
            f"The Credential is for {claim.region[:64]}/{claim.service[:64]}; expecting "
            f"'{next(iter(regions), '')}/{service}'",
            reason=_WRONG,
        )
    if claim.date != claim.amz_date[:8]:
        raise Malformed("The date of the Credential is not the day of x-amz-date.", reason=_WRONG)
    if claim.at_ms - now_ms > SKEW_MS_MAX:
        raise NotAuthenticated("Request is not valid yet", reason="AccessDenied")
    if now_ms - claim.at_ms > LIFE_MS_MAX:
        raise NotAuthenticated("Request has expired", reason="AccessDenied")
    key = signing_key(secret, claim.date, claim.region, claim.service)
    expected = signature(key, claim.policy.encode())
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise NotAuthenticated(
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
            reason="SignatureDoesNotMatch",
        )
    scope = f"{claim.date}/{claim.region}/{claim.service}/{TERMINATOR}"
    return Verified(claim.access_key, key, expected, scope, claim.amz_date, UNSIGNED_PAYLOAD)
