"""OfficerRegister: who the officers are, in rows of which none can be changed alone.

One sealed value holds a digest of every row of officers and their identities; it is opened whenever
they are read.  So a row that was edited, added, removed or put back is found before it counts.
The first two are registered by whoever founds the installation; from then on it takes a proposal.

Source: docs/officers.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, insert, select, update

from hyok.custody.authenticators import add_authenticator
from hyok.custody.proposal import canonical, not_genuine
from hyok.custody.quorum import HELD_ALONE, Officer, Role, check_roles
from hyok.custody.reach import check_reach
from hyok.database.tables import officer_identities, officer_register, officers, proposals
from hyok.errors import Conflict, NotAuthenticated, NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.custody.secret_box import HsmSecretBox
    from hyok.database.engine import Database
    from hyok.identity.passkeys import Authenticator

FOUNDERS = 2
"""With fewer who decide, nobody could approve anything."""

_REGISTER = 1


@dataclass(frozen=True, slots=True)
class Register:
    """Every officer by person, and whose each identity is; proven."""

    officers: Mapping[str, Officer]
    identities: Mapping[str, str]  # kind:value -> person
    founded: bool  # two who decide were there once
    number: int  # of changes
    removed: Mapping[str, str] = field(default_factory=dict)  # identities that were taken away

    def get(self, person: str) -> Officer:
        """Return an officer.

        Raises:
            NotFound: there is none of this name (code HY-2501).
        """
        found = self.officers.get(person)
        if found is None:
            raise NotFound(
                f"There is no officer {person}.", code="HY-2501", next_step="hyok officers list"
            )
        return found

    def person_of(self, identity: str) -> Officer:
        """Return the active officer who signs in with ``identity``.

        Raises:
            NotAuthenticated: it is nobody's, or theirs who left (code HY-2501).
        """
        found = self.officers.get(self.identities.get(identity, ""))
        if found is None or not found.active:
            raise NotAuthenticated(
                "This key or login belongs to no active officer.",
                code="HY-2501",
                effect="Nothing was changed.",
                next_step="hyok officers list",
            )
        return found

    def whose(self, identity: str) -> str:
        """Return whose something is or was to sign with; empty: nobody's."""
        return self.identities.get(identity) or self.removed.get(identity, "")

    def identities_of(self, person: str) -> frozenset[str]:
        """Return what somebody may sign in with."""
        return frozenset(word for word, whose in self.identities.items() if whose == person)


@dataclass(frozen=True, slots=True)
class _Rows:
    people: tuple[tuple[str, str, tuple[str, ...], str], ...]
    identities: tuple[tuple[str, str], ...]
    removed: tuple[tuple[str, str, int], ...]  # the last: when
    number: int
    sealed: bytes

    def document(self, number: int, *, founded: bool) -> bytes:
        """Return what is sealed."""
        listed: dict[str, object] = {"officers": self.people, "identities": self.identities}
        if self.removed:  # a register of before 0017 has none
            listed["removed"] = self.removed
        digest = sha256(canonical(listed)).hexdigest()
        return canonical({"digest": digest, "number": number, "founded": founded})


class OfficerRegister:
    """The tables `officers`, `officer_identities` and `officer_register`."""

    def __init__(
        self,
        database: Database,
        box: HsmSecretBox,
        clock_ms: Callable[[], int],
        *,
        development: bool = False,
    ) -> None:
        self._database = database
        self._box = box
        self._clock_ms = clock_ms
        self._development = development

    async def read(self) -> Register:
        """Return the officers.  One HSM call.

        Raises:
            Tampered: a row was changed by other hands than ours (code HY-2507).
            Unavailable: database or HSM do not answer.
        """
        return await self._proven(await self._database.read(_read))

    async def add(self, officer: Officer, identities: frozenset[str]) -> None:
        """Write an officer down, with what they sign in with; the same again changes nothing.

        Raises:
            Conflict: the person is known, or an identity is another's, for ever.
            Malformed: roles that do not go together (code HY-2510).
        """
        check_roles(officer.roles)
        known = await self.read()
        if known.officers.get(officer.person) == officer and identities <= known.identities_of(
            officer.person
        ):
            return
        if officer.person in known.officers:
            raise Conflict(f"There is an officer {officer.person} already.", code="HY-2504")
        taken = sorted(word for word in identities if known.whose(word))
        if taken:
            raise Conflict(
                f"{taken[0]} is or was {known.whose(taken[0])}'s; a key or login is one person's.",
                code="HY-2504",
                effect="Nothing was changed.",
            )
        now = self._clock_ms()

        def act(connection: Connection) -> None:
            connection.execute(
                insert(officers).values(
                    person=officer.person,
                    name=officer.name,
                    roles=sorted(officer.roles),
                    state="active",
                    created_ms=now,
                )
            )
            for word in sorted(identities):
                connection.execute(
                    insert(officer_identities).values(
                        identity=word, person=officer.person, created_ms=now
                    )
                )

        await self._change(known, act)

    async def add_identity(
        self, person: str, identity: str, authenticator: Authenticator | None = None
    ) -> None:
        """Let an officer sign in with one thing more; the same again changes nothing.

        Args:
            person: whose it is, from now on and for ever.
            identity: what it is.
            authenticator: its public key, where the identity is an authenticator's.

        Raises:
            NotFound: no such officer; Conflict: it is another's, or the officer has left.
        """
        known = await self.read()
        check_not_removed(known, identity)
        whose = known.identities.get(identity, person)
        if not known.get(person).active or whose != person:
            raise Conflict(
                f"{identity} is {whose}'s, or {person} has left.",
                code="HY-2504",
                effect="Nothing was changed.",
            )
        if identity in known.identities:
            return
        now = self._clock_ms()

        def act(connection: Connection) -> None:
            connection.execute(
                insert(officer_identities).values(identity=identity, person=person, created_ms=now)
            )
            if authenticator is not None:
                add_authenticator(connection, authenticator)

        await self._change(known, act)

    async def remove_identity(self, person: str, identity: str) -> None:
        """Let an officer sign in with one thing less, for ever; the same again changes nothing.

        What they approved with it stops counting, and sessions that began with it end.

        Raises:
            NotFound: it is none of theirs (code HY-2490).
            Conflict: too few could decide by their own hand (code HY-2510).
        """
        known = await self.read()
        if known.removed.get(identity) == person:
            return
        self.check_removable(known, person, identity)
        values = {"removed_ms": self._clock_ms()}
        change = update(officer_identities).where(officer_identities.c.identity == identity)
        await self._change(known, lambda connection: connection.execute(change.values(**values)))

    def check_removable(self, known: Register, person: str, identity: str) -> None:
        """Return quietly if this identity of an officer can be taken away.

        Raises:
            NotFound, Conflict: as `remove_identity`.
        """
        if known.identities.get(identity) != person:
            raise NotFound(
                f"{person} does not sign in with {identity}.",
                code="HY-2490",
                effect="Nothing was changed.",
                next_step="hyok officers list",
            )
        left = {word: whose for word, whose in known.identities.items() if word != identity}
        check_reach(known.officers.values(), left, development=self._development)

    async def revoke(self, person: str) -> None:
        """Let somebody decide no more; their earlier approvals stop counting.

        Raises:
            Conflict: too few could decide by their own hand (code HY-2510).
        """
        known = await self.read()
        if not known.get(person).active:
            return
        left = [found for found in known.officers.values() if found.person != person]
        check_reach(left, known.identities, development=self._development)
        values = {"state": "revoked", "revoked_ms": self._clock_ms()}
        change = update(officers).where(officers.c.person == person).values(**values)
        await self._change(known, lambda connection: connection.execute(change))

    async def _change(self, known: Register, act: Callable[[Connection], object]) -> None:
        """Change rows and the seal over them at once, if nobody else did meanwhile."""
        # The digest is over rows that stand only inside the transaction, and sealing takes the HSM:
        # so they are written, read and rolled back once to learn it.
        rows = await self._database.run(lambda connection: _rehearsed(connection, act))
        founded = known.founded or len(_deciding(_people(rows))) >= FOUNDERS
        number = known.number + 1
        sealed = await self._box.seal(
            register_purpose(number), rows.document(number, founded=founded)
        )

        def write(connection: Connection) -> None:
            if _read(connection).number != known.number:
                raise Conflict("The officers were changed meanwhile.", code="HY-3102")
            act(connection)
            values = {"number": number, "sealed": sealed}
            if connection.execute(update(officer_register).values(**values)).rowcount == 0:
                connection.execute(insert(officer_register).values(register=_REGISTER, **values))

        await self._database.run(write)

    async def _proven(self, rows: _Rows) -> Register:
        if not rows.sealed:
            if rows.people or rows.identities or rows.removed or rows.number:
                raise not_genuine("an officer")
            return Register({}, {}, founded=False, number=0)
        try:
            sealed = await self._box.open(register_purpose(rows.number), rows.sealed)
        except Tampered as error:
            raise not_genuine("the register of officers") from error
        founded = sealed == rows.document(rows.number, founded=True)
        if not founded and sealed != rows.document(rows.number, founded=False):
            raise not_genuine("an officer")
        removed = {word: person for word, person, _ in rows.removed}
        return Register(_people(rows), dict(rows.identities), founded, rows.number, removed)


def _rehearsed(connection: Connection, act: Callable[[Connection], object]) -> _Rows:
    nested = connection.begin_nested()
    try:
        act(connection)
        return _read(connection)
    finally:
        nested.rollback()


def _read(connection: Connection) -> _Rows:
    people = connection.execute(select(officers).order_by(officers.c.person)).all()
    words = connection.execute(
        select(officer_identities).order_by(officer_identities.c.identity)
    ).all()
    register = connection.execute(select(officer_register)).one_or_none()
    if register is None and connection.scalar(select(func.count()).select_from(proposals)):
        raise not_genuine("the register of officers")
    return _Rows(
        tuple((row.person, row.name, tuple(row.roles), row.state) for row in people),
        tuple((row.identity, row.person) for row in words if row.removed_ms is None),
        tuple((r.identity, r.person, r.removed_ms) for r in words if r.removed_ms is not None),
        0 if register is None else register.number,
        b"" if register is None else register.sealed,
    )


def _people(rows: _Rows) -> dict[str, Officer]:
    return {
        person: Officer(person, name, frozenset(map(Role, roles)), state == "active")
        for person, name, roles, state in rows.people
    }


def _deciding(found: Mapping[str, Officer]) -> list[Officer]:
    return [o for o in found.values() if o.active and not o.roles & HELD_ALONE]


def check_not_removed(known: Register, identity: str) -> None:
    """Return quietly if something to sign with was never taken away.

    Raises:
        Conflict: it was, and comes back for nobody (code HY-2491).
    """
    if identity in known.removed:
        raise Conflict(
            f"{identity} was taken from {known.removed[identity]}; it does not come back.",
            code="HY-2491",
            effect="Nothing was changed.",
            next_step="register another key, authenticator or login",
        )


def register_purpose(number: int) -> str:
    return f"officers {number}"
