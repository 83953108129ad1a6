"""Acts on officers themselves: somebody joins, somebody leaves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hyok.custody.quorum import Officer, Quorum, Role, check_roles
from hyok.errors import Malformed
from hyok.officer.effects import text, texts
from hyok.officer.port import Done, Plan

if TYPE_CHECKING:
    from hyok.custody.approvals import Case
    from hyok.custody.officers import OfficerRegister
    from hyok.custody.proposal import Effect
    from hyok.vocabulary import Ask

SYSTEM = "system"
_PERSON = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}").fullmatch


def officer_of(effect: Effect) -> tuple[Officer, frozenset[str]]:
    """Return the officer that an effect describes, and what they sign in with.

    Raises:
        Malformed: it describes none.
    """
    person, name = text(effect, "person"), text(effect, "name")
    if not _PERSON(person):
        raise Malformed(f"{person}: a person's id is lower-case letters, digits, dot and dash")
    try:
        roles = frozenset(map(Role, texts(effect, "roles")))
    except ValueError as error:
        raise Malformed(f"{error}; roles are {', '.join(Role)}", code="HY-2510") from error
    check_roles(roles)
    identities = frozenset(texts(effect, "identities"))
    if not identities:
        raise Malformed(
            f"{person} has nothing to sign in with",
            effect="Nothing was changed.",
            next_step="--public-key, as hyok officers key prints it",
        )
    return Officer(person, name, roles), identities


class AddOfficer:
    """`officer:add`."""

    def __init__(self, register: OfficerRegister) -> None:
        self._register = register

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes: of one beside the author."""
        officer, identities = officer_of(effect)
        exact: Effect = {
            "person": officer.person,
            "name": officer.name,
            "roles": sorted(officer.roles),
            "identities": sorted(identities),
        }
        return Plan(SYSTEM, "", Quorum(1), exact)

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Register the officer."""
        del ask
        officer, identities = officer_of(case.proposal.effect)
        await self._register.add(officer, identities)
        return Done(f"{officer.person} is an officer: {', '.join(sorted(officer.roles))}")


class RevokeOfficer:
    """`officer:revoke`."""

    def __init__(self, register: OfficerRegister) -> None:
        self._register = register

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes: of one beside the author."""
        person = text(effect, "person")
        (await self._register.read()).get(person)
        return Plan(SYSTEM, "", Quorum(1), {"person": person})

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Let them decide no more."""
        del ask
        person = text(case.proposal.effect, "person")
        await self._register.revoke(person)
        return Done(f"{person} is no officer any more")
