"""Sessions of browsers: a random word in a cookie, and a sealed row that says whose it is.

The row holds a digest of the word alone, and is sealed under the HSM: neither who reads the
database nor who writes to it can be an officer.  A session ends by the clock, by standing idle and
by signing out; wherever it ended, its word is worth nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select, update

from hyok.custody.proposal import canonical
from hyok.database.tables import officer_sessions
from hyok.errors import NotAuthenticated, Refused, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.custody.secret_box import HsmSecretBox
    from hyok.database.engine import Database

SEEN_MS = 60_000
"""How exact the time of the last use is: a row is not written for every request."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser in which an officer is signed in.  Times are unix milliseconds."""

    session_id: str  # digest of the cookie's word, hex
    identity: str
    claims_sha256: str
    csrf: str  # what every form has to hold
    began_ms: int


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """How long a session lasts, and how long it may stand idle; in milliseconds."""

    most_ms: int
    idle_ms: int


class SessionBook:
    """The table `officer_sessions`."""

    def __init__(
        self,
        database: Database,
        box: HsmSecretBox,
        times: SessionTimes,
        entropy: Callable[[int], bytes],
        clock_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._box = box
        self.times = times
        self._entropy = entropy
        self._clock_ms = clock_ms

    async def begin(self, identity: str, claims_sha256: str) -> str:
        """Sign somebody in; return the word for the cookie."""
        word, now = self._entropy(32).hex(), self._clock_ms()
        session_id = _digest(word)
        document = canonical(
            {
                "identity": identity,
                "claims_sha256": claims_sha256,
                "csrf": self._entropy(32).hex(),
                "began_ms": now,
            }
        )
        sealed = await self._box.seal(session_purpose(session_id), document)

        def act(connection: Connection) -> None:
            connection.execute(delete(officer_sessions).where(officer_sessions.c.expires_ms < now))
            connection.execute(
                insert(officer_sessions).values(
                    session_id=session_id,
                    sealed=sealed,
                    expires_ms=now + self.times.most_ms,
                    seen_ms=now,
                )
            )

        await self._database.run(act)
        return word

    async def find(self, word: str) -> Session:
        """Return the session of a cookie's word.

        Raises:
            NotAuthenticated: it has ended, or there was none (code HY-2517).
        """
        session_id, now = _digest(word), self._clock_ms()
        table = officer_sessions.c
        query = select(officer_sessions).where(table.session_id == session_id)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        if row is None or now - row.seen_ms > self.times.idle_ms + SEEN_MS:
            raise _ended()
        try:
            document = json.loads(await self._box.open(session_purpose(session_id), row.sealed))
        except Tampered as error:
            raise _ended() from error
        found = Session(session_id, **document)
        # The sealed time counts; the column is for sweeping.
        if not found.began_ms <= now < found.began_ms + self.times.most_ms:
            raise _ended()
        if now - row.seen_ms > SEEN_MS:
            seen = update(officer_sessions).where(table.session_id == session_id)
            await self._database.run(lambda c: c.execute(seen.values(seen_ms=now)))
        return found

    async def end(self, session: Session) -> None:
        """Sign out, wherever its word is still held."""
        mine = delete(officer_sessions).where(officer_sessions.c.session_id == session.session_id)
        await self._database.run(lambda connection: connection.execute(mine))


def check_csrf(session: Session, shown: str) -> None:
    """Return quietly if a request comes from a page of ours.

    Raises:
        Refused: it does not (code HY-2516).
    """
    if not compare_digest(session.csrf.encode(), shown.encode()):
        raise Refused(
            "The request does not come from a page of this site.",
            code="HY-2516",
            effect="Nothing was changed.",
            next_step="open the page again and repeat what you did there",
        )


def _ended() -> NotAuthenticated:
    return NotAuthenticated(
        "This session has ended.",
        code="HY-2517",
        effect="Nothing was changed.",
        next_step="sign in anew",
    )


def _digest(word: str) -> str:
    return sha256(word.encode()).hexdigest()


def session_purpose(session_id: str) -> str:
    return f"officer session {session_id}"
