"""Trusts: whose tokens may act as which app, as rows.

A trust names issuer, audience and subject, and all three have to fit.  A subject may end in ``*``
and hold no other wildcard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select, update

from hyok.database.rows import bump_epoch, epoch
from hyok.database.tables import web_identity_trusts
from hyok.errors import Conflict, Malformed, NotFound
from hyok.identity.apps import EPOCH, find_app
from hyok.s3.sts import DURATION_SECONDS_MAX, DURATION_SECONDS_MIN

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from hyok.identity.apps import App

TRUSTS_MAX = 50
"""Of one app; a look-up reads them all."""

TEXT_CHARS_MAX = 255
_KUBERNETES = "system:serviceaccount:"
_NAMESPACE = re.compile(r"system:serviceaccount:[a-z0-9-]{1,63}:").match


@dataclass(frozen=True, slots=True)
class Trust:
    """Holders of such tokens may act as the app, in sessions of bounded length."""

    trust_id: str
    app_id: str
    issuer: str
    subject: str  # exact, or a prefix that ends in *
    audience: str
    duration_seconds_max: int
    state: str = "active"  # active | revoked
    created_ms: int = 0

    def fits_subject(self, subject: str) -> bool:
        """Is this subject one of those trusted?"""
        if self.subject.endswith("*"):
            return subject.startswith(self.subject[:-1])
        return subject == self.subject


@dataclass(frozen=True, slots=True)
class FoundTrust:
    """What one look at the database tells about a trust, at one epoch."""

    epoch: int
    app: App | None  # None: no such trust, or it or its app is revoked
    issuer: str


def check_trust(trust: Trust) -> None:
    """Return quietly if a trust may be registered so.

    Raises:
        Malformed: a field cannot stand; the sentence says why.
    """
    for field, value in (
        ("issuer", trust.issuer),
        ("subject", trust.subject),
        ("audience", trust.audience),
    ):
        if not 1 <= len(value) <= TEXT_CHARS_MAX or not value.isprintable():
            raise _malformed(f"{field} must be 1 to {TEXT_CHARS_MAX} printable characters")
    prefix, star = trust.subject.removesuffix("*"), trust.subject.endswith("*")
    if "*" in prefix or "?" in prefix:
        raise _malformed("subject: a wildcard stands at the end only, and it is *")
    if star and not prefix:
        raise _malformed("subject: * alone would trust everyone whom the issuer knows")
    kubernetes = prefix.startswith(_KUBERNETES) or _KUBERNETES.startswith(prefix)
    if star and kubernetes and not _NAMESPACE(prefix):
        raise _malformed(
            "subject: name the whole namespace before *, as in system:serviceaccount:zaken:*; "
            "else namespaces that others make would be trusted too"
        )
    if "*" in trust.audience:
        raise _malformed("audience: no wildcard; name the audience that the tokens are made for")
    if not DURATION_SECONDS_MIN <= trust.duration_seconds_max <= DURATION_SECONDS_MAX:
        raise _malformed(
            f"max duration must be {DURATION_SECONDS_MIN} to {DURATION_SECONDS_MAX} seconds"
        )


def add_trust(connection: Connection, trust: Trust) -> None:
    """Keep a new trust of an active app.

    Raises:
        NotFound: no active app of this id.
        Conflict: it is registered already, or the app has as many as it may.
    """
    app = find_app(connection, trust.app_id)
    if app is None or app.state != "active":
        raise NotFound(f"There is no active app {trust.app_id!r}.", next_step="hyok apps list")
    there = list_trusts(connection, trust.app_id)
    active = [held for held in there if held.state == "active"]
    if len(active) >= TRUSTS_MAX:
        raise Conflict(f"App {trust.app_id!r} has {TRUSTS_MAX} trusts, which is the most.")
    for held in active:
        if (held.issuer, held.subject, held.audience) == (
            trust.issuer,
            trust.subject,
            trust.audience,
        ):
            raise Conflict(
                f"App {trust.app_id!r} trusts these tokens already, as {held.trust_id}.",
                next_step=f"To change it: hyok apps trust remove {held.trust_id}, then add it anew",
            )
    connection.execute(
        insert(web_identity_trusts).values(
            **{name: getattr(trust, name) for name in Trust.__dataclass_fields__}
        )
    )
    bump_epoch(connection, EPOCH)


def list_trusts(connection: Connection, app_id: str | None) -> list[Trust]:
    """Return the trusts of an app, or of all, oldest first, revoked ones too."""
    rows = select(web_identity_trusts).order_by(
        web_identity_trusts.c.app_id,
        web_identity_trusts.c.created_ms,
        web_identity_trusts.c.trust_id,
    )
    if app_id is not None:
        rows = rows.where(web_identity_trusts.c.app_id == app_id)
    return [_trust(row) for row in connection.execute(rows)]


def revoke_trust(connection: Connection, trust_id: str, now_ms: int) -> str:
    """Revoke a trust, and with it every session issued under it; return its app's id.

    Raises:
        NotFound: no such trust.
    """
    place = web_identity_trusts.c.trust_id == trust_id
    app_id: str | None = connection.scalar(select(web_identity_trusts.c.app_id).where(place))
    if app_id is None:
        raise NotFound(f"There is no trust {trust_id!r}.", next_step="hyok apps trust list")
    connection.execute(
        update(web_identity_trusts)
        .where(place)
        .values(state="revoked", revoked_ms=func.coalesce(web_identity_trusts.c.revoked_ms, now_ms))
    )
    bump_epoch(connection, EPOCH)
    return app_id


def find_trust(connection: Connection, trust_id: str) -> FoundTrust:
    """Return what the database knows of a trust and its app, and the epoch at which it was so."""
    at = epoch(connection, EPOCH)
    row = connection.execute(
        select(web_identity_trusts).where(
            web_identity_trusts.c.trust_id == trust_id, web_identity_trusts.c.state == "active"
        )
    ).one_or_none()
    app = None if row is None else find_app(connection, row.app_id)
    if row is None or app is None or app.state != "active":
        return FoundTrust(at, None, "")
    return FoundTrust(at, app, row.issuer)


def _trust(row: Row[tuple[object, ...]]) -> Trust:
    return Trust(**{name: getattr(row, name) for name in Trust.__dataclass_fields__})


def _malformed(sentence: str) -> Malformed:
    return Malformed(f"The trust cannot stand: {sentence}.", reason="InvalidArgument")
