"""Apps and their access keys as rows: who is registered, with what rights, since when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, insert, or_, select, update

from hyok.database.rows import bump_epoch, epoch
from hyok.database.tables import access_keys, apps, tenants
from hyok.errors import Conflict, Malformed, NotFound
from hyok.vocabulary import Principal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Row

GRANTS = frozenset(
    {
        *("read", "write", "delete", "list", "create-bucket", "lock", "bypass-governance"),
        "use-keys",  # of doors; it goes with no other (policies/rules/keyservices.cedar)
    }
)

EPOCH = "credentials"
"""Bumped by every change here, so that each gateway forgets what it remembered."""

LIVE_KEYS_MAX = 2
"""Enough to rotate with overlap; more would be keys that nobody watches."""

NO_BUCKET = "-"
"""Stands for "none" in a principal, whose empty set means all; no bucket can have this name."""

CHANGEABLE = ("clearance", "purpose", "processing_activity", "buckets", "grants")

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,500}").fullmatch
_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}").fullmatch


@dataclass(frozen=True, slots=True)
class App:
    """A registered app.  ``buckets`` None: every bucket of its tenant; empty: none."""

    app_id: str
    tenant: str
    clearance: int  # the highest level of classification it may touch
    grants: frozenset[str]
    purpose: str = ""
    processing_activity: str = ""  # a URI in the register of processing activities (AVG art. 30)
    buckets: frozenset[str] | None = None
    state: str = "active"  # active | revoked
    created_ms: int = 0

    @property
    def principal(self) -> Principal:
        """The app as everyone else knows it once it has proved itself."""
        named = frozenset() if self.buckets is None else self.buckets or frozenset({NO_BUCKET})
        return Principal(
            id=self.app_id,
            tenant=self.tenant,
            clearance=self.clearance,
            purpose=self.purpose,
            processing_activity=self.processing_activity,
            buckets=named,
            grants=self.grants,
        )


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An access key without its secret."""

    access_key: str
    app_id: str
    state: str  # active | revoked
    created_ms: int
    revoked_ms: int | None
    expires_ms: int | None
    last_used_ms: int | None

    def is_live(self, now_ms: int) -> bool:
        """Does it still open the door?"""
        ended = self.expires_ms is not None and self.expires_ms <= now_ms
        return self.state == "active" and not ended


@dataclass(frozen=True, slots=True)
class Found:
    """What one look at the database tells about an access key, at one epoch."""

    epoch: int
    app: App | None  # None: no such key, or it or its app is revoked
    sealed_secret: bytes
    expires_ms: int | None = None


def check_app(app: App) -> None:
    """Return quietly if an app may be registered so.

    Raises:
        Malformed: a name or a grant is not one.
    """
    for field, value in (("app_id", app.app_id), ("tenant", app.tenant)):
        if not _ID(value):
            raise Malformed(
                f"{field} {value!r} must be 1 to 64 characters of a-z, 0-9, '.', '_' and '-', "
                "and begin with a letter or digit.",
                reason="InvalidArgument",
            )
    unknown = sorted(app.grants - GRANTS)
    if unknown or not app.grants:
        raise Malformed(
            f"grants must be some of {', '.join(sorted(GRANTS))}; "
            f"got {', '.join(unknown) or 'none'}.",
            reason="InvalidArgument",
        )
    if app.processing_activity and not _URI(app.processing_activity):
        raise Malformed(
            f"processing_activity {app.processing_activity!r} must be a URI.",
            reason="InvalidArgument",
        )
    if app.clearance < 0:
        raise Malformed("clearance must be a level of 0 or more.", reason="InvalidArgument")


def add_tenant(connection: Connection, tenant: str, title: str, now_ms: int) -> None:
    """Register a tenant; one that stands already is left as it is."""
    if connection.scalar(select(tenants.c.tenant).where(tenants.c.tenant == tenant)) is None:
        connection.execute(insert(tenants).values(tenant=tenant, title=title, created_ms=now_ms))


def add_app(connection: Connection, app: App) -> None:
    """Register an app.

    Raises:
        Conflict: the app_id is taken.
        NotFound: the tenant is not registered.
    """
    if connection.scalar(select(tenants.c.tenant).where(tenants.c.tenant == app.tenant)) is None:
        raise NotFound(f"The tenant {app.tenant!r} is not registered.")
    if find_app(connection, app.app_id) is not None:
        raise Conflict(f"An app {app.app_id!r} is registered already.")
    connection.execute(insert(apps).values(**_columns(app)))
    bump_epoch(connection, EPOCH)


def change_app(connection: Connection, app: App) -> None:
    """Give a registered app other rights.  Tenant and state stay what they are.

    Raises:
        NotFound: no active app of this id in this tenant.
    """
    columns = _columns(app)
    changed = connection.execute(
        update(apps)
        .where(apps.c.app_id == app.app_id, apps.c.tenant == app.tenant, apps.c.state == "active")
        .values({name: columns[name] for name in CHANGEABLE})
    )
    if changed.rowcount != 1:
        raise NotFound(f"There is no active app {app.app_id!r} in tenant {app.tenant!r}.")
    bump_epoch(connection, EPOCH)


def find_app(connection: Connection, app_id: str) -> App | None:
    """Return the app of this id, active or not."""
    row = connection.execute(select(apps).where(apps.c.app_id == app_id)).one_or_none()
    return None if row is None else _app(row)


def list_apps(connection: Connection, tenant: str | None) -> list[App]:
    """Return the apps of a tenant, or of all, by id."""
    rows = select(apps).order_by(apps.c.app_id)
    if tenant is not None:
        rows = rows.where(apps.c.tenant == tenant)
    return [_app(row) for row in connection.execute(rows)]


def revoke_app(connection: Connection, app_id: str, now_ms: int) -> None:
    """Revoke an app and every access key of it.  Again is no error.

    Raises:
        NotFound: no app of this id.
    """
    if find_app(connection, app_id) is None:
        raise NotFound(f"There is no app {app_id!r}.")
    gone = {"state": "revoked", "revoked_ms": now_ms}
    for table in (apps, access_keys):
        connection.execute(
            update(table).where(table.c.app_id == app_id, table.c.state == "active").values(**gone)
        )
    bump_epoch(connection, EPOCH)


def add_key(
    connection: Connection,
    app_id: str,
    access_key: str,
    sealed_secret: bytes,
    now_ms: int,
    others_end_ms: int | None,
) -> None:
    """Keep a new access key of an active app; ``others_end_ms`` ends its other keys then.

    Raises:
        NotFound: no active app of this id.
        Conflict: the app has as many live keys as it may.
    """
    app = find_app(connection, app_id)
    if app is None or app.state != "active":
        raise NotFound(f"There is no active app {app_id!r}.")
    live = [key for key in list_keys(connection, app_id) if key.is_live(now_ms)]
    if len(live) >= LIVE_KEYS_MAX:
        raise Conflict(
            f"App {app_id!r} has {len(live)} live access keys; {LIVE_KEYS_MAX} is the most.",
            next_step="Revoke the one that is not in use any more: hyok apps keys list",
        )
    if others_end_ms is not None:
        for key in live:
            end_key(connection, key.access_key, others_end_ms)
    connection.execute(
        insert(access_keys).values(
            access_key=access_key,
            app_id=app_id,
            sealed_secret=sealed_secret,
            state="active",
            created_ms=now_ms,
        )
    )
    bump_epoch(connection, EPOCH)


def end_key(connection: Connection, access_key: str, expires_ms: int) -> None:
    """Give an access key an end; one that ends earlier keeps its end.

    Raises:
        NotFound: no such access key.
    """
    app_of_key(connection, access_key)
    connection.execute(
        update(access_keys)
        .where(
            access_keys.c.access_key == access_key,
            or_(access_keys.c.expires_ms.is_(None), access_keys.c.expires_ms > expires_ms),
        )
        .values(expires_ms=expires_ms)
    )
    bump_epoch(connection, EPOCH)


def note_uses(connection: Connection, used_ms: Mapping[str, int]) -> None:
    """Write down when access keys were last used; an older time never replaces a newer one."""
    connection.execute(
        update(access_keys)
        .where(
            access_keys.c.access_key == bindparam("key"),
            func.coalesce(access_keys.c.last_used_ms, 0) < bindparam("at_ms"),
        )
        .values(last_used_ms=bindparam("at_ms")),
        [{"key": access_key, "at_ms": at_ms} for access_key, at_ms in used_ms.items()],
    )


def list_keys(connection: Connection, app_id: str) -> list[KeyRow]:
    """Return the access keys of an app, oldest first, revoked ones too."""
    wanted = (access_keys.c[name] for name in KeyRow.__dataclass_fields__)
    rows = connection.execute(
        select(*wanted)
        .where(access_keys.c.app_id == app_id)
        .order_by(access_keys.c.created_ms, access_keys.c.access_key)
    )
    return [KeyRow(*row) for row in rows]


def app_of_key(connection: Connection, access_key: str) -> str:
    """Return the app_id of an access key, active or not.

    Raises:
        NotFound: no such access key.
    """
    app_id: str | None = connection.scalar(
        select(access_keys.c.app_id).where(access_keys.c.access_key == access_key)
    )
    if app_id is None:
        raise NotFound(f"There is no access key {access_key!r}.")
    return app_id


def revoke_key(connection: Connection, access_key: str, now_ms: int) -> None:
    """Revoke one access key.  Again is no error.

    Raises:
        NotFound: no such access key.
    """
    app_of_key(connection, access_key)
    connection.execute(
        update(access_keys)
        .where(access_keys.c.access_key == access_key, access_keys.c.state == "active")
        .values(state="revoked", revoked_ms=now_ms)
    )
    bump_epoch(connection, EPOCH)


def find_key(connection: Connection, access_key: str) -> Found:
    """Return what the database knows of an access key, and the epoch at which it was so."""
    at = epoch(connection, EPOCH)
    row = connection.execute(
        select(access_keys.c.sealed_secret, access_keys.c.app_id, access_keys.c.expires_ms).where(
            access_keys.c.access_key == access_key, access_keys.c.state == "active"
        )
    ).one_or_none()
    app = None if row is None else find_app(connection, row.app_id)
    if row is None or app is None or app.state != "active":
        return Found(at, None, b"")
    return Found(at, app, row.sealed_secret, row.expires_ms)


def _columns(app: App) -> dict[str, object]:
    return {
        "app_id": app.app_id,
        "tenant": app.tenant,
        "clearance": app.clearance,
        "purpose": app.purpose,
        "processing_activity": app.processing_activity,
        "buckets": None if app.buckets is None else sorted(app.buckets),
        "grants": sorted(app.grants),
        "state": app.state,
        "created_ms": app.created_ms,
    }


def _app(row: Row[tuple[object, ...]]) -> App:
    return App(
        app_id=row.app_id,
        tenant=row.tenant,
        clearance=row.clearance,
        grants=frozenset(row.grants),
        purpose=row.purpose,
        processing_activity=row.processing_activity,
        buckets=None if row.buckets is None else frozenset(row.buckets),
        state=row.state,
        created_ms=row.created_ms,
    )
