"""Is this JSON web token genuine, and whose is it?  Pure: keys and the time are given.

PyJWT checks signatures, over a list of algorithms that never holds `none` or a shared secret.  The
claims are judged here: with the clock we are given, and with no two readings of one name.

Source: RFC 7519 (JWT), RFC 8725 (best current practice), OpenID Connect Core section 2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import jwt
from jwt.api_jws import PyJWS

from hyok.errors import NotAuthenticated

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hyok.identity.jwks import VerifyingKey

TOKEN_CHARS_MAX = 20_000
TEXT_CHARS_MAX = 255
AUDIENCES_MAX = 64
SECONDS_MAX = 1 << 53  # beyond it a float is no count of seconds any more


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a token says of itself: enough to look up the key, and to be believed in nothing."""

    algorithm: str
    key_id: str
    issuer: str


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """Whose token it was.  Only `verify_token` makes one."""

    issuer: str
    subject: str
    audiences: frozenset[str]
    expires_s: float  # unix time
    claims: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)


def read_unverified(token: str) -> UnverifiedToken:
    """Return algorithm, key id and issuer that a token names.

    Raises:
        NotAuthenticated: it is no signed JSON web token (reason ``InvalidIdentityToken``).
    """
    if not token.isascii() or len(token) > TOKEN_CHARS_MAX:
        raise _invalid("The token is not a JSON web token.")
    try:
        parts = PyJWS().decode_complete(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise _invalid("The token is not a JSON web token.") from None
    header = parts["header"]
    if "crit" in header or "b64" in header:
        raise _invalid("The token asks for an extension that is not known.")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not 1 <= len(key_id) <= TEXT_CHARS_MAX:
        raise _invalid("The token does not name its key (kid).")
    issuer = _claims(parts["payload"]).get("iss")
    return UnverifiedToken(str(header.get("alg")), key_id, _text(issuer, "iss"))


def verify_token(
    token: str,
    keys: Sequence[VerifyingKey],
    *,
    issuer: str,
    algorithms: Collection[str],
    now_s: float,
    skew_s: float,
) -> WebIdentity:
    """Return whose token this is, proven by one of the issuer's ``keys``.

    Args:
        token: as received.
        keys: the issuer's.
        issuer: the only one expected.
        algorithms: those that the issuer may sign with.
        now_s: unix time.
        skew_s: by how much the issuer's clock may differ from ours.

    Raises:
        NotAuthenticated: it is not genuine, or not for now (reason ``InvalidIdentityToken`` or
            ``ExpiredTokenException``).
    """
    claims = verify_claims(
        token, keys, issuer=issuer, algorithms=algorithms, now_s=now_s, skew_s=skew_s
    )
    return WebIdentity(
        issuer=_text(claims.get("iss"), "iss"),
        subject=_text(claims.get("sub"), "sub"),
        audiences=audiences_of(claims),
        expires_s=_seconds(claims, "exp") or 0.0,
        claims=claims,
    )


def verify_claims(
    token: str,
    keys: Sequence[VerifyingKey],
    *,
    issuer: str,
    algorithms: Collection[str],
    now_s: float,
    skew_s: float,
) -> Mapping[str, object]:
    """Return the claims of a token, which need name no subject; else as `verify_token`.

    Raises:
        NotAuthenticated: as `verify_token` does.
    """
    said = read_unverified(token)
    if said.issuer != issuer or said.algorithm not in algorithms:
        raise _invalid("The token is not signed the way its issuer signs.")
    fitting = [k for k in keys if k.key_id == said.key_id and said.algorithm in k.algorithms]
    if not fitting:
        raise _invalid("The token's key is not one of its issuer's.")
    try:
        payload = PyJWS(algorithms=[said.algorithm]).decode(
            token, fitting[0].key, algorithms=[said.algorithm]
        )
    except (jwt.PyJWTError, ValueError, TypeError):
        raise _invalid("The token's signature does not hold.") from None
    claims = _claims(payload)
    _check_times(claims, now_s, skew_s)
    return claims


def audiences_of(claims: Mapping[str, object]) -> frozenset[str]:
    """Return whom a token is made for.

    Raises:
        NotAuthenticated: it does not say, or not in words.
    """
    return _audiences(claims.get("aud"))


def _check_times(claims: dict[str, object], now_s: float, skew_s: float) -> None:
    expires, begins, made = (_seconds(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise _invalid("The token has no end (exp).")
    if now_s >= expires + skew_s:
        raise NotAuthenticated("The token has expired.", reason="ExpiredTokenException")
    if any(at is not None and at > now_s + skew_s for at in (begins, made)):
        raise _invalid("The token is not valid yet.")


def _seconds(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # A bool is an int to Python, and 1e999 is an infinite float to JSON.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(f"The token's {name} is not a time.")
    if not 0 <= value < SECONDS_MAX:
        raise _invalid(f"The token's {name} is not a time.")
    return float(value)


def _audiences(value: object) -> frozenset[str]:
    given = value if isinstance(value, list) else [value]
    if not 1 <= len(given) <= AUDIENCES_MAX:
        raise _invalid("The token's aud is missing or too long.")
    return frozenset(_text(one, "aud") for one in given)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_CHARS_MAX:
        raise _invalid(f"The token's {name} is not a text of 1 to {TEXT_CHARS_MAX} characters.")
    if not value.isprintable():
        raise _invalid(f"The token's {name} holds control characters.")  # it goes into logs
    return value


def _claims(payload: bytes) -> dict[str, object]:
    try:
        claims = json.loads(payload, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _invalid("The token's claims are not JSON.") from None
    if not isinstance(claims, dict):
        raise _invalid("The token's claims are not JSON.")
    return claims


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _invalid(sentence: str) -> NotAuthenticated:
    return NotAuthenticated(sentence, reason="InvalidIdentityToken")
