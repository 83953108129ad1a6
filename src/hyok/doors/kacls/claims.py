"""What the two tokens of a call say, once their signatures are proven.  Pure.

`authorization` is Google's: this user may do that to this resource.  `authentication` is of the
municipality's own identity provider: this is the user.

Source: Google "Client-side encryption API", authentication and authorization tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from hyok.errors import NotAuthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

EMAIL_CHARS_MAX = 320
NAME_BYTES_MAX = 128
GMAIL_NAME_BYTES_MAX = 512
GUEST_CLAIM = "hyok_guest"
"""In a token of ours: the provider that knew the user is one for guests."""


class Application(StrEnum):
    """Whose authorizations there are."""

    DRIVE = "drive"
    MEET = "meet"
    CALENDAR = "calendar"
    GMAIL = "gmail"
    MIGRATION = "migration"


@dataclass(frozen=True, slots=True)
class Authorization:
    """What Google says may be done."""

    email: str
    role: str
    resource_name: str
    kacls_url: str
    perimeter_id: str = ""
    email_type: str = "google"
    delegated_to: str = ""
    owner_domain: str = ""
    message_id: str = ""
    spki_hash: str = ""
    spki_hash_algorithm: str = ""
    application: Application = Application.DRIVE


@dataclass(frozen=True, slots=True)
class Authentication:
    """Who the identity provider says it is."""

    email: str  # google_email where there is one: then nobody looks at email
    delegated_to: str = ""
    resource_name: str = ""
    guest: bool = False  # of a provider for guests
    own: bool = False  # a token of ours, for a delegate
    claims: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)


def authorization_of(claims: Mapping[str, object], application: Application) -> Authorization:
    """Return what an authorization token says.

    Args:
        claims: of a token whose signature, issuer, audience and times hold.
        application: whose token it is.

    Raises:
        NotAuthenticated: a claim is missing, or not what it must be (code HY-2680).
    """
    most = GMAIL_NAME_BYTES_MAX if application is Application.GMAIL else NAME_BYTES_MAX
    # A migration is asked for by Google itself, for no user.
    person = application is not Application.MIGRATION
    return Authorization(
        email=_text(claims, "email", EMAIL_CHARS_MAX, needed=person),
        role=_text(claims, "role", NAME_BYTES_MAX),
        resource_name=_text(claims, "resource_name", most),
        kacls_url=_text(claims, "kacls_url", 1024),
        perimeter_id=_text(claims, "perimeter_id", NAME_BYTES_MAX, needed=False),
        email_type=_text(claims, "email_type", NAME_BYTES_MAX, needed=False) or "google",
        delegated_to=_text(claims, "delegated_to", EMAIL_CHARS_MAX, needed=False),
        owner_domain=_text(claims, "kacls_owner_domain", 255, needed=False),
        message_id=_text(claims, "message_id", 512, needed=False),
        spki_hash=_text(claims, "spki_hash", 128, needed=False),
        spki_hash_algorithm=_text(claims, "spki_hash_algorithm", 32, needed=False),
        application=application,
    )


def authentication_of(
    claims: Mapping[str, object], *, guest: bool = False, own: bool = False
) -> Authentication:
    """Return whom an authentication token names.

    ``guest``: its provider is for guests; ``own``: it is a token of ours, which says so itself.

    Raises:
        NotAuthenticated: a claim is missing, or not what it must be (code HY-2680).
    """
    google = "google_email" if "google_email" in claims else "email"
    # OpenID Connect Core 5.1; some providers write it as a word.  It speaks of `email` alone.
    if google == "email" and claims.get("email_verified", True) not in (True, "true"):
        raise _wrong("The token's provider has not verified the email (email_verified).")
    found = Authentication(
        email=_text(claims, google, EMAIL_CHARS_MAX),
        delegated_to=_text(claims, "delegated_to", EMAIL_CHARS_MAX, needed=own),
        resource_name=_text(claims, "resource_name", GMAIL_NAME_BYTES_MAX, needed=own),
        guest=claims.get(GUEST_CLAIM) is True if own else guest,
        own=own,
        claims=claims,
    )
    if found.delegated_to and not found.resource_name:
        raise _wrong("The token delegates without a resource.")
    return found


def _text(claims: Mapping[str, object], name: str, most: int, *, needed: bool = True) -> str:
    value = claims.get(name)
    if value is None and not needed:
        return ""
    # What is printable has no half of a surrogate pair, which has no bytes.
    if not isinstance(value, str) or not value.isprintable() or len(value.encode()) > most:
        raise _wrong(f"The token's {name} is not what it must be.")
    if needed and not value:
        raise _wrong(f"The token has no {name}.")
    return value


def _wrong(cause: str) -> NotAuthenticated:
    return NotAuthenticated(cause, code="HY-2680")
