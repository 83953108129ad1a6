"""AccessKeys: from an access key id to its secret and the app behind it.

Every S3 request passes here, so credentials are remembered.  What is remembered is used while the
``credentials`` epoch, looked at every two seconds, stays the same: a revoked key is dead within
five seconds.  Cut off from the database, memory serves for 30 seconds and no longer.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

from hyok.database.rows import epoch
from hyok.errors import HyokError, NotAuthenticated, Unavailable
from hyok.identity import apps

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.database.engine import Database
    from hyok.identity.apps import App, Found, KeyRow
    from hyok.vocabulary import Principal

POLL_SECONDS = 2.0
"""How often the epoch is looked at, at most."""

POLL_WAIT_SECONDS_MAX = 1.0
"""How long a request waits for that look; a slow database then costs this once per poll."""

MEMORY_SECONDS_MAX = 30.0
"""Age of a credential read or confirmed, after which it is good for nothing (design 1)."""

CACHE_ENTRIES_MAX = 10_000

_ACCESS_KEY = re.compile(r"HY[A-Z2-7]{18}").fullmatch


class SecretBox(Protocol):
    """Seals small secrets under a KEK of the HSM; filled by custody."""

    async def seal(self, purpose: str, plain: bytes) -> bytes:
        """Return ``plain`` sealed, bound to ``purpose``."""
        ...

    async def open(self, purpose: str, sealed: bytes) -> bytes:
        """Return what was sealed for the same ``purpose``.

        Raises:
            Tampered: the bytes were changed, or sealed for another purpose.
            Unavailable: the HSM did not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Credential:
    """What verifying a signature needs, and who it then proves."""

    access_key: str
    secret: SecretStr
    principal: Principal


@dataclass(frozen=True, slots=True)
class IssuedAccessKey:
    """A new access key; its secret is shown this once."""

    access_key: str
    secret: SecretStr
    app_id: str


@dataclass(slots=True)
class _Remembered:
    credential: Credential
    epoch: int
    read_at: float


class AccessKeys:
    """The access keys of one installation.

    Args:
        database: where apps and sealed secrets stand.
        secret_box: opens and seals the secrets.
        monotonic: seconds that never go back; ages are measured with it.
        now_ms: unix milliseconds for the rows.
    """

    def __init__(
        self,
        database: Database,
        secret_box: SecretBox,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._database = database
        self._box = secret_box
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._cache: OrderedDict[str, _Remembered] = OrderedDict()
        self._flights: dict[str, asyncio.Task[Credential]] = {}
        self._epoch = -1
        self._confirmed_at = float("-inf")
        self._poll: asyncio.Task[None] | None = None
        self._polled_at = float("-inf")

    async def find(self, access_key: str) -> Credential:
        """Return the credential of an active access key of an active app.

        Raises:
            NotAuthenticated: there is none (reason ``InvalidAccessKeyId``).
            Unavailable: the database or the HSM did not answer, and memory is too old.
            Tampered: the sealed secret in the database was changed.
        """
        if not _ACCESS_KEY(access_key):
            raise _unknown()  # not one of ours: no look at the database for it
        await self._look_at_epoch()
        known = self._cache.get(access_key)
        if known is not None and self._is_good(known):
            self._cache.move_to_end(access_key)
            if self._monotonic() - known.read_at <= MEMORY_SECONDS_MAX:
                return known.credential
            try:
                return await self._read(access_key)
            except Unavailable:
                # Confirmed by the epoch a moment ago; `_is_good` bounds how long this may last.
                if self._cache.get(access_key) is known and self._is_good(known):
                    return known.credential
                raise
        return await self._read(access_key)

    def forget(self) -> None:
        """Drop every credential from memory, now."""
        self._cache.clear()
        self._flights.clear()  # what they bring home was true before
        self._confirmed_at = float("-inf")
        self._polled_at = float("-inf")

    # -- the people's side: who is registered ------------------------------------------------

    async def add_tenant(self, tenant: str, title: str = "") -> None:
        """Register a tenant; one that stands already is left as it is."""
        now_ms = self._now_ms()
        await self._database.run(lambda c: apps.add_tenant(c, tenant, title, now_ms))

    async def create_app(self, app: App) -> App:
        """Register an app and return it as it stands.

        Raises:
            Malformed: a name or grant is not one.
            NotFound: the tenant is not registered.
            Conflict: the app_id is taken.
        """
        apps.check_app(app)
        fresh = replace(app, state="active", created_ms=self._now_ms())
        await self._database.run(lambda c: apps.add_app(c, fresh))
        return fresh

    async def change_app(self, app: App) -> None:
        """Give an active app the clearance, purpose, buckets and grants of ``app``.

        Raises:
            Malformed: a name or grant is not one.
            NotFound: no active app of this id in this tenant.
        """
        apps.check_app(app)
        await self._database.run(lambda c: apps.change_app(c, app))
        self.forget()

    async def find_app(self, app_id: str) -> App | None:
        """Return the app of this id, active or not."""
        return await self._database.read(lambda c: apps.find_app(c, app_id))

    async def list_apps(self, tenant: str | None = None) -> list[App]:
        """Return the apps of a tenant, or of all, by id."""
        return await self._database.read(lambda c: apps.list_apps(c, tenant))

    async def revoke_app(self, app_id: str) -> None:
        """Revoke an app and all its access keys: everywhere within five seconds.

        Raises:
            NotFound: no app of this id.
        """
        now_ms = self._now_ms()
        await self._database.run(lambda c: apps.revoke_app(c, app_id, now_ms))
        self.forget()

    async def create_key(self, app_id: str) -> IssuedAccessKey:
        """Return a new access key of an active app.  The secret can't be shown again.

        Raises:
            NotFound: no active app of this id.
            Conflict: it has as many active keys as it may.
            Unavailable: the database or the HSM did not answer.
        """
        access_key = "HY" + base64.b32encode(secrets.token_bytes(15)).decode()[:18]
        secret = secrets.token_urlsafe(30)
        sealed = await self._box.seal(_purpose(app_id, access_key), secret.encode())
        now_ms = self._now_ms()
        await self._database.run(lambda c: apps.add_key(c, app_id, access_key, sealed, now_ms))
        return IssuedAccessKey(access_key, SecretStr(secret), app_id)

    async def list_keys(self, app_id: str) -> list[KeyRow]:
        """Return the access keys of an app, oldest first, revoked ones too."""
        return await self._database.read(lambda c: apps.list_keys(c, app_id))

    async def revoke_key(self, access_key: str) -> None:
        """Revoke one access key: everywhere within five seconds.

        Raises:
            NotFound: no such access key.
        """
        now_ms = self._now_ms()
        await self._database.run(lambda c: apps.revoke_key(c, access_key, now_ms))
        self.forget()

    async def rotate_key(self, access_key: str, *, keep_old: bool) -> IssuedAccessKey:
        """Return a new access key for the app of an old one.

        With ``keep_old`` both work until the old one is revoked; without it the old one ends here.

        Raises:
            NotFound: no such access key, or its app is revoked.
        """
        app_id = await self._database.read(lambda c: apps.app_of_key(c, access_key))
        issued = await self.create_key(app_id)
        if not keep_old:
            await self.revoke_key(access_key)
        return issued

    # -- memory ------------------------------------------------------------------------------

    def _is_good(self, known: _Remembered) -> bool:
        confirmed = max(known.read_at, self._confirmed_at)
        return known.epoch == self._epoch and self._monotonic() - confirmed <= MEMORY_SECONDS_MAX

    async def _look_at_epoch(self) -> None:
        """Learn whether memory is stale; wait for it a moment only."""
        now = self._monotonic()
        if self._poll is None and now - self._polled_at >= POLL_SECONDS:
            self._polled_at = now
            self._poll = asyncio.create_task(self._poll_epoch())
        if self._poll is not None and now - self._polled_at < POLL_WAIT_SECONDS_MAX:
            await asyncio.wait({self._poll}, timeout=POLL_WAIT_SECONDS_MAX)

    async def _poll_epoch(self) -> None:
        asked_at = self._monotonic()
        try:
            seen = await self._database.read(lambda c: epoch(c, apps.EPOCH))
        except HyokError:
            return  # memory ages; `_is_good` ends it
        else:
            self._saw(seen)
            # From the asking on: the answer may have been on its way for a while.
            self._confirmed_at = max(self._confirmed_at, asked_at)
        finally:
            self._poll = None

    def _saw(self, seen: int) -> None:
        if seen > self._epoch:
            self._epoch = seen
            self._cache.clear()

    async def _read(self, access_key: str) -> Credential:
        """Read one credential; all who ask for it meanwhile share the answer."""
        flight = self._flights.get(access_key)
        if flight is None:
            flight = asyncio.create_task(self._read_alone(access_key))
            self._flights[access_key] = flight
            flight.add_done_callback(lambda done: self._landed(access_key, done))
        # Shielded: a client that goes away must not take the answer from the others.
        return await asyncio.shield(flight)

    def _landed(self, access_key: str, flight: asyncio.Task[Credential]) -> None:
        if self._flights.get(access_key) is flight:
            del self._flights[access_key]
        if not flight.cancelled():
            flight.exception()  # seen, even when everyone who waited has gone

    async def _read_alone(self, access_key: str) -> Credential:
        asked_at = self._monotonic()
        found: Found = await self._database.read(lambda c: apps.find_key(c, access_key))
        self._saw(found.epoch)
        if found.app is None:
            self._cache.pop(access_key, None)
            raise _unknown()
        plain = await self._box.open(_purpose(found.app.app_id, access_key), found.sealed_secret)
        if found.epoch < self._epoch:
            # Something was revoked while the HSM worked: look again rather than use it once more.
            return await self._read_alone(access_key)
        credential = Credential(access_key, SecretStr(plain.decode()), found.app.principal)
        self._cache[access_key] = _Remembered(credential, found.epoch, asked_at)
        self._cache.move_to_end(access_key)
        if len(self._cache) > CACHE_ENTRIES_MAX:
            self._cache.popitem(last=False)
        return credential


def _purpose(app_id: str, access_key: str) -> str:
    """Bind a sealed secret to its row: moved to another app's row, it does not open."""
    return f"access-key/{app_id}/{access_key}"


def _unknown() -> NotAuthenticated:
    return NotAuthenticated(
        "The access key is not known, or not valid any more.", reason="InvalidAccessKeyId"
    )
