"""Signatures on requests to a service other than S3: header only, over the whole body.

Two steps, as in `hyok.sigv4.verify`: `parse_claim` reads what is claimed, so that the access key
can be looked up; `check_claim` holds it against secret, body and time.  Whatever is wrong is one
kind of error, and its sentence does not help whoever guesses.

Source: AWS "Authenticating requests (AWS Signature Version 4)"; XKS proxy API v1, "Authentication".
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.errors import HyokError, NotAuthenticated
from hyok.sigv4.canonical import (
    TERMINATOR,
    canonical_request,
    signature,
    signing_key,
    string_to_sign,
    trim,
)
from hyok.sigv4.claims import check_signature_form, split_credential
from hyok.sigv4.times import parse_time_ms

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

SKEW_MS_MAX = 5 * 60 * 1000
AUTHORIZATION_BYTES_MAX = 4096
NEEDED = frozenset({"host", "x-amz-date"})

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<credential>[^,\s]+) *, *"
    r"SignedHeaders=(?P<signed>[a-z0-9;_.-]+) *, *Signature=(?P<signature>[^,\s]+)"
).fullmatch
_ACCESS_KEY = re.compile(r"[A-Z2-7]{20,30}").fullmatch
_DAY = re.compile(r"[0-9]{8}").fullmatch


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request claims about its signature.  Nothing of it is proven."""

    access_key: str
    date: str
    region: str
    service: str
    amz_date: str
    at_ms: int
    signed_names: str
    header_lines: bytes
    signature: str


def parse_claim(headers: Sequence[tuple[bytes, bytes]]) -> Claim:
    """Return what a request claims; ``headers``: names in lower case, in order of arrival.

    Raises:
        NotAuthenticated: it makes no claim of this form.
    """
    fields: dict[str, bytes] = {}
    for raw_name, value in headers:
        name = raw_name.decode("latin-1")
        held = fields.get(name)
        # Joined, so that a second Authorization or date makes neither of them good.
        fields[name] = trim(value) if held is None else held + b"," + trim(value)
    text = fields.get("authorization", b"").decode("latin-1")
    parts = _AUTHORIZATION(text) if len(text) <= AUTHORIZATION_BYTES_MAX else None
    if parts is None:
        raise refused("The request has no Authorization header of Signature Version 4.")
    names = parts["signed"].split(";")
    if sorted(set(names)) != names or not set(names) >= NEEDED or not set(names) <= set(fields):
        raise refused("The signed headers must be sorted, present, and name host and x-amz-date.")
    amz_date = fields["x-amz-date"].decode("latin-1")
    try:
        access_key, date, region, service = split_credential(parts["credential"], "")
        claimed = check_signature_form(parts["signature"], "")
        at_ms = parse_time_ms(amz_date, "")
    except HyokError as error:
        raise refused("The Authorization header or the date is not of the right form.") from error
    if not _ACCESS_KEY(access_key) or not _DAY(date):
        raise refused("The access key is not known.")
    lines = b"".join([name.encode() + b":" + fields[name] + b"\n" for name in names])
    return Claim(
        access_key, date, region, service, amz_date, at_ms, parts["signed"], lines, claimed
    )


def check_claim(
    claim: Claim,
    secret: str,
    *,
    method: str,
    path: bytes,
    body_sha256_hex: str,
    now_ms: int,
    service: str,
    regions: Collection[str],
) -> None:
    """Return quietly if whoever holds ``secret`` signed this request, for here and for now.

    ``path``: as received; one in which canonical form and received form are the same.

    Raises:
        NotAuthenticated: they did not.
    """
    if claim.service != service or claim.region not in regions:
        raise refused("The request was signed for another region or service.")
    if claim.date != claim.amz_date[:8] or abs(now_ms - claim.at_ms) > SKEW_MS_MAX:
        raise refused("The request was not signed just now.")
    scope = f"{claim.date}/{claim.region}/{claim.service}/{TERMINATOR}"
    canonical = canonical_request(
        method.encode(),
        path,
        b"",
        claim.header_lines,
        claim.signed_names.encode(),
        body_sha256_hex.encode(),
    )
    key = signing_key(secret, claim.date, claim.region, claim.service)
    expected = signature(key, string_to_sign(claim.amz_date, scope, canonical))
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise refused("The signature does not match.")


def refused(cause: str) -> NotAuthenticated:
    """Return the error of a request that did not prove who sent it."""
    return NotAuthenticated(cause, reason="AuthenticationFailed", code="HY-2620")
