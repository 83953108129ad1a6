"""DoorTokens: from a bearer's token of the Transit door to the app behind it.

A token is `hyv.ID.SECRET`.  Of the secret only its SHA-256 is kept, which is enough for one of 262
random bits.  What was read is remembered under the ``credentials`` epoch: a revoked token is dead
within five seconds (`hyok.identity.epoch_memory`).
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy import insert, select, update

from hyok.database.rows import bump_epoch, epoch
from hyok.database.tables import door_tokens
from hyok.errors import Conflict, Malformed, NotAuthenticated, NotFound
from hyok.identity.access_keys import SECRET_ALPHABET, SECRET_CHARS
from hyok.identity.apps import EPOCH, find_app
from hyok.identity.epoch_memory import EpochMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from hyok.database.engine import Database
    from hyok.vocabulary import Principal

PREFIX = "hyv."
GRANT = "use-keys"
LIVE_TOKENS_MAX = 2
"""Of one app: the next one is given out before the last one ends."""

_TOKEN = re.compile(r"hyv\.(?P<id>[A-Z2-7]{20})\.(?P<secret>[A-Za-z0-9]{44})").fullmatch


@dataclass(frozen=True, slots=True)
class DoorToken:
    """A token as it stands, without what lets its bearer in."""

    token_id: str
    app_id: str
    state: str  # active | revoked
    created_ms: int
    expires_ms: int

    def is_live(self, now_ms: int) -> bool:
        return self.state == "active" and now_ms < self.expires_ms


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token, shown this once."""

    token: SecretStr
    row: DoorToken


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a token stands for, and until when."""

    token_id: str
    principal: Principal
    created_ms: int
    expires_ms: int
    secret_sha256: bytes = field(default=b"", repr=False)


class DoorTokens:
    """The tokens of one installation.

    Args:
        database: where they stand.
        monotonic: seconds that never go back; ages are measured with it.
        now_ms: unix milliseconds.
    """

    def __init__(
        self,
        database: Database,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._database = database
        self._now_ms = now_ms
        self._memory: EpochMemory[Bearer] = EpochMemory(database, EPOCH, monotonic=monotonic)

    async def find(self, token: str) -> Bearer:
        """Return whom a live token of an active app stands for.

        Raises:
            NotAuthenticated: there is none; one answer to every cause.
            Unavailable: the database did not answer, and memory is too old.
        """
        parts = _TOKEN(token)
        if parts is None:
            raise unknown_token()  # not one of ours: no look at the database for it
        found = await self._memory.get(parts["id"], lambda: self._read(parts["id"]))
        shown = sha256(parts["secret"].encode()).digest()
        if not hmac.compare_digest(shown, found.secret_sha256):
            raise unknown_token()
        if found.expires_ms <= self._now_ms():
            raise unknown_token()
        return found

    async def create(self, app_id: str, seconds: int) -> IssuedToken:
        """Return a new token of an active app; it cannot be shown again.

        Raises:
            NotFound: no active app of this id (code HY-2611).
            Malformed: the app is for more than keys of doors (code HY-2673).
            Conflict: it has as many live tokens as it may (code HY-2674).
        """
        token_id = base64.b32encode(secrets.token_bytes(13)).decode()[:20]
        secret = "".join(secrets.choice(SECRET_ALPHABET) for _ in range(SECRET_CHARS))
        now_ms = self._now_ms()
        row = DoorToken(token_id, app_id, "active", now_ms, now_ms + seconds * 1000)

        def act(connection: Connection) -> None:
            _check_app(connection, app_id)
            live = [one for one in _rows(connection, app_id) if one.is_live(now_ms)]
            if len(live) >= LIVE_TOKENS_MAX:
                raise Conflict(
                    f"App {app_id} has {len(live)} live tokens; {LIVE_TOKENS_MAX} is the most.",
                    code="HY-2674",
                    effect="No token was made.",
                    next_step=f"hyok doors transit-token list {app_id}, then revoke one",
                )
            digest = sha256(secret.encode()).digest()
            connection.execute(
                insert(door_tokens).values(
                    token_id=token_id,
                    app_id=app_id,
                    secret_sha256=digest,
                    state=row.state,
                    created_ms=row.created_ms,
                    expires_ms=row.expires_ms,
                )
            )
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        return IssuedToken(SecretStr(f"{PREFIX}{token_id}.{secret}"), row)

    async def list(self, app_id: str | None = None) -> Sequence[DoorToken]:
        """Return the tokens of an app, or of all, the oldest first, revoked ones too."""
        return await self._database.read(lambda c: _rows(c, app_id))

    async def revoke(self, token_id: str) -> DoorToken:
        """Revoke a token: everywhere within five seconds.  Again is no error.

        Raises:
            NotFound: no such token (code HY-2675).
        """
        now_ms, row = self._now_ms(), door_tokens.c

        def act(connection: Connection) -> DoorToken:
            found = next((one for one in _rows(connection) if one.token_id == token_id), None)
            if found is None:
                raise NotFound(
                    f"There is no token {token_id}.",
                    code="HY-2675",
                    next_step="hyok doors transit-token list",
                )
            mine = (row.token_id == token_id) & (row.state == "active")
            connection.execute(
                update(door_tokens).where(mine).values(state="revoked", revoked_ms=now_ms)
            )
            bump_epoch(connection, EPOCH)
            return replace(found, state="revoked")

        revoked = await self._database.run(act)
        self._memory.forget()
        return revoked

    async def _read(self, token_id: str) -> tuple[int, Bearer]:
        def act(connection: Connection) -> tuple[int, Bearer]:
            at, row = epoch(connection, EPOCH), door_tokens.c
            live = (row.token_id == token_id) & (row.state == "active")
            found = connection.execute(select(door_tokens).where(live)).one_or_none()
            app = None if found is None else find_app(connection, found.app_id)
            if found is None or app is None or app.state != "active":
                raise unknown_token()
            principal = replace(app.principal, session=token_id)
            bearer = Bearer(
                token_id, principal, found.created_ms, found.expires_ms, found.secret_sha256
            )
            return at, bearer

        return await self._database.read(act)


def _check_app(connection: Connection, app_id: str) -> None:
    app = find_app(connection, app_id)
    if app is None or app.state != "active":
        raise NotFound(
            f"There is no active app {app_id}.",
            code="HY-2611",
            effect="No token was made.",
            next_step=f"hyok apps create {app_id} --grant {GRANT} …",
        )
    if app.grants != {GRANT}:
        raise Malformed(
            f"App {app_id} is for more than keys of doors.",
            code="HY-2673",
            effect="No token was made.",
            next_step=f"an app of its own: hyok apps create … --grant {GRANT}",
        )


def _rows(connection: Connection, app_id: str | None = None) -> Sequence[DoorToken]:
    row = door_tokens.c
    wanted = select(*(row[name] for name in DoorToken.__dataclass_fields__))
    if app_id is not None:
        wanted = wanted.where(row.app_id == app_id)
    rows = connection.execute(wanted.order_by(row.app_id, row.created_ms, row.token_id))
    return [DoorToken(*one) for one in rows]


def unknown_token() -> NotAuthenticated:
    """Return the one answer to every token that is not good."""
    return NotAuthenticated("The token is not known, or not valid any more.", code="HY-2676")
