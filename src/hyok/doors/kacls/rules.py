"""May this call be served?  The checks of the protocol on what two tokens say, in its order.  Pure.

Source: Google "Client-side encryption API", wrap and unwrap, "required checks".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING

from hyok.doors.kacls.claims import Application
from hyok.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from hyok.doors.kacls.claims import Authentication, Authorization

GUESTS = frozenset({"google-visitor", "customer-idp"})


class Method(StrEnum):
    """What can be asked, by its path."""

    STATUS = "status"
    CERTS = "certs"
    WRAP = "wrap"
    UNWRAP = "unwrap"
    DIGEST = "digest"
    REWRAP = "rewrap"
    DELEGATE = "delegate"
    PRIVILEGED_WRAP = "privilegedwrap"
    PRIVILEGED_UNWRAP = "privilegedunwrap"
    PRIVATE_KEY_DECRYPT = "privatekeydecrypt"
    PRIVATE_KEY_SIGN = "privatekeysign"
    PRIVILEGED_PRIVATE_KEY_DECRYPT = "privilegedprivatekeydecrypt"
    WRAP_PRIVATE_KEY = "wrapprivatekey"


PRIVILEGED = frozenset(
    {
        Method.PRIVILEGED_WRAP,
        Method.PRIVILEGED_UNWRAP,
        Method.PRIVILEGED_PRIVATE_KEY_DECRYPT,
        Method.WRAP_PRIVATE_KEY,
    }
)
"""What no authorization of Google's stands behind: officers have to."""

ROLES: Mapping[Method, frozenset[str]] = {
    Method.WRAP: frozenset({"writer", "upgrader"}),
    Method.UNWRAP: frozenset({"reader", "writer"}),
    Method.DIGEST: frozenset({"verifier"}),
    Method.REWRAP: frozenset({"migrator"}),
    Method.PRIVATE_KEY_DECRYPT: frozenset({"decrypter"}),
    Method.PRIVATE_KEY_SIGN: frozenset({"signer"}),
}
"""Those of `delegate` are whatever the token says: what is delegated is asked for later."""

_PERSONAL = frozenset(Application) - {Application.MIGRATION}
APPLICATIONS: Mapping[Method, frozenset[Application]] = {
    Method.WRAP: _PERSONAL,
    Method.UNWRAP: _PERSONAL,
    Method.DELEGATE: _PERSONAL,
    Method.DIGEST: frozenset({Application.MIGRATION}),
    Method.REWRAP: frozenset({Application.MIGRATION}),
    Method.PRIVATE_KEY_DECRYPT: frozenset({Application.GMAIL}),
    Method.PRIVATE_KEY_SIGN: frozenset({Application.GMAIL}),
}
"""Whose authorization a method takes."""


@dataclass(frozen=True, slots=True)
class Perimeter:
    """From where, and by whom, data of one perimeter is opened; nothing said: by anybody."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    claims: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Own:
    """What this service is: its address as Google knows it, and whose keys it keeps.

    ``perimeters``: those that there are, by id; None: any, and none.
    ``moves``: data may be asked for under another perimeter than it was wrapped under.
    """

    url: str
    owner_domain: str = ""
    perimeters: Mapping[str, Perimeter] | None = None
    moves: bool = False
    administrators: frozenset[str] = frozenset()


def check_user(method: Method, who: Authentication, may: Authorization) -> None:
    """Return quietly if both tokens are of one user, who is no guest that is not let in.

    Raises:
        Refused: they are not (code HY-2681).
    """
    if folded(who.email) != folded(may.email):
        raise no("the tokens are of two users")
    if may.email_type != "google" and (may.email_type not in GUESTS or not who.guest):
        raise no("guests are not let in")
    if may.email_type == "google" and who.guest:
        raise no("the provider that knows the user is for guests alone")
    if method is Method.DELEGATE:
        if who.own or who.delegated_to or not may.delegated_to:
            raise no("nothing is delegated, or by a delegate")
    elif who.delegated_to:
        same = folded(who.delegated_to) == folded(may.delegated_to)
        if not same or who.resource_name != may.resource_name:
            raise no("the delegation is for somebody else, or for another resource")
    elif may.delegated_to:
        raise no("the delegate shows no token of a delegation")


def check_call(method: Method, may: Authorization, own: Own) -> None:
    """Return quietly if the authorization is for this method, of this service.

    Raises:
        Refused: it is not (code HY-2681).
    """
    if may.application not in APPLICATIONS[method]:
        raise no(f"the authorization is of {may.application}, which does not {method}")
    if method in ROLES and may.role not in ROLES[method]:
        raise no(f"the role {may.role!r} does not {method}")
    if address(may.kacls_url) != address(own.url):
        raise no("the authorization is for another key service")
    if may.owner_domain and folded(may.owner_domain) != folded(own.owner_domain):
        raise no("the authorization is for another domain's key service")


def check_perimeter(perimeter_id: str, own: Own, who: Authentication | None, origin: str) -> None:
    """Return quietly if data of this perimeter may be opened here, from there, by them.

    Args:
        perimeter_id: empty for data of none.
        own: which perimeters there are.
        who: None where nobody comes but Google itself, or an administrator with an approval.
        origin: the caller's network address.

    Raises:
        Refused: it may not (code HY-2681).
    """
    if own.perimeters is None:
        return
    rule = own.perimeters.get(perimeter_id)
    if rule is None:
        raise no("the perimeter is none of ours")
    if who is None:
        return
    if rule.networks and not _is_within(origin, rule.networks):
        raise no("the perimeter is not opened from that network")
    for name, wanted in rule.claims.items():
        if not wanted & _texts(who.claims.get(name)):
            raise no(f"the perimeter is not for this user, as {name} says")


def check_same_perimeter(held: str, asked: str, own: Own) -> None:
    """Return quietly if data is asked for under the perimeter that it was wrapped under.

    Raises:
        Refused: it is asked for under another, and data does not move (code HY-2681).
    """
    if held != asked and not own.moves:
        raise no("the wrapped key is of another perimeter")


def check_resource(held: str, asked: str) -> None:
    """Return quietly if a wrapped key is of the resource that is asked for.

    Raises:
        Refused: it is another's (code HY-2681).
    """
    if held != asked:
        raise no("the wrapped key is of another resource")


def check_administrator(who: Authentication, own: Own) -> None:
    """Return quietly if the settings name this user, who comes with a token of no delegation.

    Raises:
        Refused: they do not (code HY-2685).
    """
    if who.own or who.guest or who.delegated_to or folded(who.email) not in own.administrators:
        raise Refused(
            "The user is no administrator of this key service.",
            reason="AccessDenied",
            code="HY-2685",
            next_step="administrators in [doors.kacls]",
        )


def folded(text: str) -> str:
    """Return a mail address or domain without case.

    Of ASCII alone: where Unicode folds, two people's addresses can become one.
    """
    return text.lower() if text.isascii() else text


def address(url: str) -> str:
    """Return an address as it is compared: without one slash at its end."""
    return url.removesuffix("/")


def no(why: str) -> Refused:
    """Return the refusal."""
    return Refused(f"Not permitted: {why}.", reason="AccessDenied", code="HY-2681")


def _is_within(origin: str, networks: Collection[IPv4Network | IPv6Network]) -> bool:
    try:
        found = ip_address(origin)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in network for network in networks)


def _texts(value: object) -> frozenset[str]:
    given = value if isinstance(value, list) else [value]
    return frozenset(one for one in given if isinstance(one, str))
