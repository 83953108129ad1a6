"""Sessions: credentials for some hours, which every gateway of the installation can verify.

A session stands in no table: its token carries it, sealed under a session key that the database
keeps sealed under the HSM.  What may end it early does stand there: its app and its trust, looked
at like access keys, so that revoking either bites within five seconds.
"""

from __future__ import annotations

import base64
import re
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy import delete, insert, select

from hyok.database.rows import bump_epoch, epoch
from hyok.database.tables import session_keys
from hyok.errors import NotAuthenticated
from hyok.identity import trusts
from hyok.identity.access_keys import Credential
from hyok.identity.apps import EPOCH
from hyok.identity.epoch_memory import EpochMemory
from hyok.identity.session_tokens import (
    KEY_ID_BYTES,
    SALT_BYTES,
    SessionClaims,
    invalid_token,
    open_token,
    seal_token,
    split_token,
)
from hyok.s3.sts import DURATION_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import Connection

    from hyok.database.engine import Database
    from hyok.identity.access_keys import SecretBox
    from hyok.identity.trusts import FoundTrust, Trust
    from hyok.vocabulary import Principal

KEY_ISSUES_MS = 7 * 86_400_000
"""How long one session key seals new tokens."""

KEY_KEPT_MS = KEY_ISSUES_MS + DURATION_SECONDS_MAX * 1000 + 3_600_000
"""How long it opens them: until the last of them has ended, and an hour for clocks that differ."""

_ACCESS_KEY = re.compile(r"ASIA[A-Z2-7]{16}").fullmatch
_NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class IssuedSession:
    """A new session; its secret and token are shown this once."""

    access_key: str
    secret: SecretStr
    token: SecretStr
    name: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class _SessionKey:
    key_id: bytes
    key: SecretStr  # in hex
    created_ms: int


class Sessions:
    """The sessions of one installation.

    Args:
        database: where session keys, apps and trusts stand.
        secret_box: seals and opens the session keys.
        issuers: the token issuers that count; a session of another has ended.
        monotonic: seconds that never go back.
        now_ms: unix milliseconds, for the ages of session keys.
    """

    def __init__(
        self,
        database: Database,
        secret_box: SecretBox,
        *,
        issuers: Collection[str],
        monotonic: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._database = database
        self._box = secret_box
        self._issuers = frozenset(issuers)
        self._now_ms = now_ms
        self._keys: EpochMemory[_SessionKey] = EpochMemory(database, EPOCH, monotonic=monotonic)
        self._trusts: EpochMemory[Principal] = EpochMemory(database, EPOCH, monotonic=monotonic)

    async def issue(self, trust: Trust, name: str, seconds: int, now_ms: int) -> IssuedSession:
        """Return a new session under ``trust``; whoever calls has judged the token.

        Raises:
            Unavailable: the database or the HSM did not answer.
        """
        access_key = "ASIA" + base64.b32encode(secrets.token_bytes(10)).decode()
        secret = secrets.token_urlsafe(30)
        expires_ms = now_ms + seconds * 1000
        key = await self._issuing_key()
        token = seal_token(
            SessionClaims(access_key, secret, trust.app_id, trust.trust_id, name, expires_ms),
            key_id=key.key_id,
            key=bytes.fromhex(key.key.get_secret_value()),
            salt=secrets.token_bytes(SALT_BYTES),
        )
        return IssuedSession(access_key, SecretStr(secret), SecretStr(token), name, expires_ms)

    async def find(self, access_key: str, token: str, now_ms: int) -> Credential:
        """Return the credential of a session that is good now.

        Raises:
            NotAuthenticated: the token is not ours, or its app or trust was revoked (reason
                ``InvalidToken``), or the session has ended (reason ``ExpiredToken``).
            Unavailable: the database or the HSM did not answer, and memory is too old.
        """
        if not _ACCESS_KEY(access_key):
            raise invalid_token()
        sealed = split_token(token)
        key_id = sealed.key_id
        key = await self._keys.get(key_id.hex(), lambda: self._read_key(key_id))
        claims = open_token(sealed, bytes.fromhex(key.key.get_secret_value()))
        if claims.access_key != access_key:
            raise invalid_token()
        if now_ms >= claims.expires_ms:
            raise NotAuthenticated("The provided token has expired.", reason="ExpiredToken")
        principal = await self._trusts.get(
            claims.trust_id, lambda: self._read_trust(claims.trust_id)
        )
        if principal.id != claims.app_id:
            raise invalid_token()
        return Credential(
            access_key,
            SecretStr(claims.secret),
            replace(principal, session=f"{access_key}:{claims.name}"),
            claims.expires_ms,
        )

    async def end_all(self) -> None:
        """End every session of the installation: everywhere within five seconds."""

        def act(connection: Connection) -> None:
            connection.execute(delete(session_keys))
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        self.forget()

    def forget(self) -> None:
        """Drop keys and principals from memory, now."""
        self._keys.forget()
        self._trusts.forget()

    # -- reading and making ----------------------------------------------------------------------

    async def _read_trust(self, trust_id: str) -> tuple[int, Principal]:
        found: FoundTrust = await self._database.read(lambda c: trusts.find_trust(c, trust_id))
        if found.app is None or found.issuer not in self._issuers:
            raise invalid_token()
        return found.epoch, found.app.principal

    async def _read_key(self, key_id: bytes) -> tuple[int, _SessionKey]:
        def act(connection: Connection) -> tuple[int, bytes, int] | None:
            row = connection.execute(
                select(session_keys).where(session_keys.c.key_id == key_id)
            ).one_or_none()
            if row is None:
                return None
            return epoch(connection, EPOCH), row.sealed_key, row.created_ms

        found = await self._database.read(act)
        if found is None:
            raise invalid_token()  # of another installation, or too old for any session
        at, sealed, created_ms = found
        plain = await self._box.open(session_key_purpose(key_id), sealed)
        return at, _SessionKey(key_id, SecretStr(plain.hex()), created_ms)

    async def _issuing_key(self) -> _SessionKey:
        key = await self._keys.get(_NEWEST, self._read_newest)
        if self._is_young(key.created_ms):
            return key
        self._keys.forget()
        return await self._keys.get(_NEWEST, self._read_newest)

    def _is_young(self, created_ms: int) -> bool:
        return self._now_ms() < created_ms + KEY_ISSUES_MS

    async def _read_newest(self) -> tuple[int, _SessionKey]:
        """Return the key that seals now; make it where there is none, or too old a one."""

        def newest(connection: Connection) -> tuple[bytes, int] | None:
            row = connection.execute(
                select(session_keys.c.key_id, session_keys.c.created_ms)
                .order_by(session_keys.c.created_ms.desc(), session_keys.c.key_id)
                .limit(1)
            ).one_or_none()
            young = row is not None and self._is_young(row.created_ms)
            return (row.key_id, row.created_ms) if row is not None and young else None

        found = await self._database.read(newest)
        if found is None:
            made, now_ms = secrets.token_bytes(KEY_ID_BYTES), self._now_ms()
            sealed = await self._box.seal(session_key_purpose(made), secrets.token_bytes(32))

            def keep(connection: Connection) -> tuple[bytes, int]:
                first = newest(connection)
                if first is not None:
                    return first  # another worker made one meanwhile
                connection.execute(
                    delete(session_keys).where(session_keys.c.created_ms < now_ms - KEY_KEPT_MS)
                )
                connection.execute(
                    insert(session_keys).values(key_id=made, sealed_key=sealed, created_ms=now_ms)
                )
                return made, now_ms

            found = await self._database.run(keep)
        return await self._read_key(found[0])


def session_key_purpose(key_id: bytes) -> str:
    """Bind a sealed session key to its row."""
    return f"session-key/{key_id.hex()}"
