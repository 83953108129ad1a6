"""Officers over a database and an HSM in memory, with one act that only notes what was done."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes.memory_hsm import MemoryHsm
from tests.fakes.memory_journal import MemoryJournal

from hyok.custody.approvals import Approvals
from hyok.custody.keks import KekCatalog
from hyok.custody.officers import OfficerRegister
from hyok.custody.quorum import Act, Officer, Quorum, Role
from hyok.custody.secret_box import CLASSIFICATION, TENANT, HsmSecretBox
from hyok.custody.signing import DevelopmentSigner, KeySigner
from hyok.database.leases import Leases
from hyok.officer.actions import OfficerActions
from hyok.officer.config import OfficerSettings
from hyok.officer.hooks import Event, Hooks
from hyok.officer.officer_acts import AddIdentity, AddOfficer, RemoveIdentity, RevokeOfficer
from hyok.officer.port import Done, Plan

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hyok.custody.cases import Case
    from hyok.custody.proposal import Effect
    from hyok.custody.signing import Signer
    from hyok.database.engine import Database
    from hyok.vocabulary import Ask

PEOPLE = {
    "anna": {Role.SECURITY, Role.OWNER},
    "bram": {Role.SECURITY},
    "chris": {Role.OWNER},
    "dewi": {Role.PRIVACY},
    "els": {Role.AUDITOR},
    "fatma": {Role.CUSTODIAN},
}


class Told(Hooks):
    """Hooks that keep what they were told."""

    def __init__(self) -> None:
        super().__init__(OfficerSettings())
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]


@dataclass
class Noted:
    """An act that notes the exact bytes it was done with."""

    quorum: Quorum = field(default_factory=lambda: Quorum(2))
    done: list[bytes] = field(default_factory=list)
    fail: list[Exception] = field(default_factory=list)
    before: Callable[[], Awaitable[None]] | None = None
    changed: str = ""

    async def plan(self, effect: Effect) -> Plan:
        exact = dict(effect) | ({"changed": self.changed} if self.changed else {})
        return Plan("gemeente", "vertrouwelijk", self.quorum, exact)

    async def perform(self, ask: Ask, case: Case) -> Done:
        assert ask.approval == case.proposal.proposal_id
        if self.before is not None:
            await self.before()
        if self.fail:
            raise self.fail.pop(0)
        self.done.append(case.proposal.render())
        return Done("noted")


@dataclass
class Desk:
    """One process's acts of officers."""

    database: Database
    box: HsmSecretBox
    hsm: MemoryHsm
    register: OfficerRegister
    approvals: Approvals
    actions: OfficerActions
    journal: MemoryJournal
    hooks: Told
    act: Noted
    keys: dict[str, KeySigner]
    now: list[int]

    def sign(self, person: str) -> Signer:
        return self.keys[person]

    def as_developer(self, person: str) -> Signer:
        return DevelopmentSigner(person, self.box)

    async def propose(self, author: str = "anna", **effect: str) -> str:
        made = await self.actions.propose(
            self.sign(author), Act.EXPORT, {"bucket": "dossiers", **effect}, "overdracht"
        )
        return made.proposal.proposal_id

    def beside(self, *, development: bool = False) -> Desk:
        """Return another process on the same database and HSM."""
        return desk_over(
            self.database, self.hsm, self.keys, self.now, self.act, development=development
        )


def desk_over(
    database: Database,
    hsm: MemoryHsm,
    keys: dict[str, KeySigner],
    now: list[int],
    act: Noted,
    *,
    development: bool = False,
) -> Desk:
    def clock_ms() -> int:
        return now[0]

    box = HsmSecretBox(hsm, KekCatalog(database, clock_ms), secrets.token_bytes)
    register = OfficerRegister(database, box, clock_ms, development=development)
    approvals = Approvals(database, box, register, development=development, clock_ms=clock_ms)
    journal, hooks = MemoryJournal(), Told()
    actions = OfficerActions(
        register=register,
        approvals=approvals,
        performers={
            Act.EXPORT: act,
            Act.ADD_OFFICER: AddOfficer(register),
            Act.REVOKE_OFFICER: RevokeOfficer(register),
            Act.ADD_IDENTITY: AddIdentity(register),
            Act.REMOVE_IDENTITY: RemoveIdentity(register),
        },
        leases=Leases(database, secrets.token_bytes, clock_ms),
        journal=journal,
        hooks=hooks,
        development=development,
        entropy=secrets.token_bytes,
        clock_ms=clock_ms,
    )
    return Desk(database, box, hsm, register, approvals, actions, journal, hooks, act, keys, now)


async def furnished(database: Database, *, development: bool = False) -> Desk:
    """Return a desk whose officers are there, each with a key."""
    hsm, now = MemoryHsm(), [1_800_000_000_000]
    keks = KekCatalog(database, lambda: now[0])
    await keks.create(hsm, TENANT, CLASSIFICATION, 1, now[0])
    keys = {person: KeySigner(Ed25519PrivateKey.generate()) for person in PEOPLE}
    desk = desk_over(database, hsm, keys, now, Noted(), development=development)
    for person, roles in PEOPLE.items():
        identities = frozenset({keys[person].identity})
        if person in ("anna", "bram", "els"):
            identities |= {f"development:{person}"}
        await desk.register.add(Officer(person, person.title(), frozenset(roles)), identities)
    return desk
