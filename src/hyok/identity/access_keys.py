"""AccessKeys: from an access key id to its secret and the app behind it.

Every S3 request passes here, so credentials are remembered, under the ``credentials`` epoch: a
revoked key is dead within five seconds (`hyok.identity.epoch_memory`).
"""

from __future__ import annotations

import base64
import re
import secrets
import string
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

from hyok.database.rows import epoch
from hyok.errors import NotAuthenticated, NotFound
from hyok.identity import apps
from hyok.identity.epoch_memory import EpochMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.database.engine import Database
    from hyok.identity.apps import App, Found, KeyRow
    from hyok.vocabulary import Principal

USES_MAX = 10_000
"""Access keys whose last use waits to be written down."""

SECRET_ALPHABET = string.ascii_letters + string.digits
SECRET_CHARS = 44
"""262 bits, in letters that every client and the other side of every door takes."""

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
    expires_ms: int | None = None  # unix milliseconds; None: it has no end date


@dataclass(frozen=True, slots=True)
class IssuedAccessKey:
    """A new access key; its secret is shown this once."""

    access_key: str
    secret: SecretStr
    app_id: str


class AccessKeys:
    """The access keys of one installation.

    Args:
        database: where apps and sealed secrets stand.
        secret_box: opens and seals the secrets.
        monotonic: seconds that never go back; ages are measured with it.
        now_ms: unix milliseconds, for the rows and for keys that end.
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
        self._now_ms = now_ms
        self._memory: EpochMemory[Credential] = EpochMemory(
            database, apps.EPOCH, monotonic=monotonic
        )
        self._apps: EpochMemory[App] = EpochMemory(database, apps.EPOCH, monotonic=monotonic)
        self._used: dict[str, int] = {}

    async def find(self, access_key: str) -> Credential:
        """Return the credential of a live access key of an active app.

        Raises:
            NotAuthenticated: there is none (reason ``InvalidAccessKeyId``).
            Unavailable: the database or the HSM did not answer, and memory is too old.
            Tampered: the sealed secret in the database was changed.
        """
        if not _ACCESS_KEY(access_key):
            raise _unknown()  # not one of ours: no look at the database for it
        found = await self._memory.get(access_key, lambda: self._read(access_key))
        if found.expires_ms is not None and found.expires_ms <= self._now_ms():
            raise _unknown()
        return found

    def note_use(self, access_key: str) -> None:
        """Remember that an access key proved itself; `write_uses` writes it down."""
        if access_key in self._used or len(self._used) < USES_MAX:
            self._used[access_key] = self._now_ms()

    async def write_uses(self) -> None:
        """Write down the uses noted since the last time.

        Raises:
            Unavailable: the database did not answer; the uses are kept for the next time.
        """
        used = dict(self._used)
        if not used:
            return
        await self._database.run(lambda c: apps.note_uses(c, used))
        for access_key, at_ms in used.items():
            if self._used.get(access_key) == at_ms:
                del self._used[access_key]

    def forget(self) -> None:
        """Drop every credential from memory, now."""
        self._memory.forget()
        self._apps.forget()

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

    async def serving_app(self, app_id: str) -> App | None:
        """Return an app as it is for requests: from memory, where credentials are from memory.

        Raises:
            Unavailable: the database did not answer, and memory is too old.
        """
        try:
            return await self._apps.get(app_id, lambda: self._read_app(app_id))
        except NotFound:
            return None

    async def _read_app(self, app_id: str) -> tuple[int, App]:
        seen, found = await self._database.read(
            lambda c: (epoch(c, apps.EPOCH), apps.find_app(c, app_id))
        )
        if found is None:  # not remembered: it may be made at any moment
            raise NotFound(f"There is no app {app_id}.")
        return seen, found

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

    async def create_key(self, app_id: str, *, others_end_ms: int | None = None) -> IssuedAccessKey:
        """Return a new access key of an active app.  The secret can't be shown again.

        ``others_end_ms``: when the app's other live keys end (unix milliseconds); None: they stay.

        Raises:
            NotFound: no active app of this id.
            Conflict: it has as many live keys as it may.
            Unavailable: the database or the HSM did not answer.
        """
        access_key = "HY" + base64.b32encode(secrets.token_bytes(15)).decode()[:18]
        secret = "".join(secrets.choice(SECRET_ALPHABET) for _ in range(SECRET_CHARS))
        sealed = await self._box.seal(secret_purpose(app_id, access_key), secret.encode())
        now_ms = self._now_ms()
        await self._database.run(
            lambda c: apps.add_key(c, app_id, access_key, sealed, now_ms, others_end_ms)
        )
        self.forget()
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

    async def end_key(self, access_key: str, expires_ms: int) -> None:
        """Give an access key an end (unix milliseconds); one that ends earlier keeps its end.

        Raises:
            NotFound: no such access key.
        """
        await self._database.run(lambda c: apps.end_key(c, access_key, expires_ms))
        self.forget()

    async def app_of_key(self, access_key: str) -> App:
        """Return the app of an access key, live or not.

        Raises:
            NotFound: no such access key.
        """
        app = await self._database.read(lambda c: apps.find_app(c, apps.app_of_key(c, access_key)))
        assert app is not None  # a foreign key holds it
        return app

    # -- reading -----------------------------------------------------------------------------

    async def _read(self, access_key: str) -> tuple[int, Credential]:
        found: Found = await self._database.read(lambda c: apps.find_key(c, access_key))
        if found.app is None:
            raise _unknown()
        plain = await self._box.open(
            secret_purpose(found.app.app_id, access_key), found.sealed_secret
        )
        return found.epoch, Credential(
            access_key, SecretStr(plain.decode()), found.app.principal, found.expires_ms
        )


def secret_purpose(app_id: str, access_key: str) -> str:
    """Bind a sealed secret to its row: moved to another app's row, it does not open."""
    return f"access-key/{app_id}/{access_key}"


def _unknown() -> NotAuthenticated:
    return NotAuthenticated(
        "The access key is not known, or not valid any more.", reason="InvalidAccessKeyId"
    )
