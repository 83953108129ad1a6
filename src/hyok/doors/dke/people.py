"""Who may open with a key: by mail address or role, as a genuine token of theirs says.  Pure.

Source: Microsoft "Double Key Encryption", access by mail address or role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.doors.dke.config import DkeKeySettings

ROLE_CLAIMS = ("roles", "groups")
MAIL_CHARS_MAX = 255
NOT_LISTED = "NotListed"


def mail_of(claims: Mapping[str, object], names: Sequence[str]) -> str:
    """Return a person's mail address in lower case, of the first claim there is; else nothing."""
    for name in names:
        value = claims.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not value.isprintable() or len(value) > MAIL_CHARS_MAX:
            return ""
        return value.strip().lower()
    return ""


def check_listed(key: DkeKeySettings, claims: Mapping[str, object], mail: str) -> None:
    """Return quietly if this person may open with this key.

    Raises:
        Refused: neither address nor role is listed (code HY-2642).
    """
    name, _, domain = mail.rpartition("@")
    listed = bool(name and domain) and (mail in key.people or f"@{domain}" in key.people)
    held: set[str] = set()
    for claim in ROLE_CLAIMS:
        values = claims.get(claim)
        if isinstance(values, list):
            held.update(one for one in values if isinstance(one, str))
    if not listed and not held & set(key.roles):
        raise Refused(
            f"The token names nobody who may open with {key.name}.",
            reason=NOT_LISTED,
            code="HY-2642",
            effect="The HSM was not asked.",
            next_step="people and roles in [[doors.dke.keys]]",
        )
