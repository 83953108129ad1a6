"""Acts on officers themselves: somebody joins, somebody leaves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hyok.custody.officers import check_not_removed
from hyok.custody.quorum import Officer, Quorum, Role, check_roles
from hyok.custody.signing import DEVELOPMENT, ED25519, OIDC, WEBAUTHN, check_issuer, check_public
from hyok.errors import Conflict, Malformed
from hyok.officer.effects import text, texts
from hyok.officer.port import Done, Plan

if TYPE_CHECKING:
    from hyok.custody.cases import Case
    from hyok.custody.officers import OfficerRegister
    from hyok.custody.proposal import Effect
    from hyok.identity.passkeys import Authenticator
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
    # A development login in production's register would be good for nothing: it counts nowhere.
    identities = frozenset(map(_checked, texts(effect, "identities")))
    if not identities:
        raise Malformed(
            f"{person} has nothing to sign in with",
            effect="Nothing was changed.",
            next_step="--public-key, as hyok officers key prints it, or --login",
        )
    return Officer(person, name, roles), identities


def _checked(identity: str) -> str:
    kind, _, value = identity.partition(":")
    if kind == ED25519:
        return check_public(value)
    if kind == OIDC:
        return check_issuer(identity)
    if kind == DEVELOPMENT and _PERSON(value):
        return identity
    raise Malformed(
        "a new officer signs in with ed25519:HEX or oidc:ISSUER#SUBJECT; an authenticator is added",
        code="HY-2509",
        effect="Nothing was changed.",
    )


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


class AddIdentity:
    """`officer:add-identity`: a key, a login or an authenticator more for somebody."""

    def __init__(self, register: OfficerRegister) -> None:
        self._register = register

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes: of one beside the author."""
        person = text(effect, "person")
        identity, authenticator = identity_of(effect)
        register = await self._register.read()
        check_not_removed(register, identity)
        if not register.get(person).active or register.identities.get(identity, person) != person:
            raise Conflict(
                f"{person} has left, or this is another's.",
                code="HY-2504",
                effect="Nothing was proposed.",
            )
        exact: Effect = {"person": person, "identity": identity}
        if authenticator is not None:
            exact |= {
                "rp_id": authenticator.rp_id,
                "credential_id": authenticator.credential_id.hex(),
                "public_key": authenticator.public_key.hex(),
            }
        return Plan(SYSTEM, "", Quorum(1), exact)

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Register it."""
        del ask
        effect = case.proposal.effect
        identity, authenticator = identity_of(effect)
        person = text(effect, "person")
        await self._register.add_identity(person, identity, authenticator)
        return Done(f"{person} signs in with {identity} as well")


class RemoveIdentity:
    """`officer:remove-identity`: a key, a login or an authenticator less for somebody."""

    def __init__(self, register: OfficerRegister) -> None:
        self._register = register

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes: of one beside the author."""
        person, identity = text(effect, "person"), text(effect, "identity")
        register = await self._register.read()
        register.get(person)
        if register.removed.get(identity) != person:  # else it is carried on
            self._register.check_removable(register, person, identity)
        return Plan(SYSTEM, "", Quorum(1), {"person": person, "identity": identity})

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Let it sign nothing and nobody in any more."""
        del ask
        effect = case.proposal.effect
        person, identity = text(effect, "person"), text(effect, "identity")
        await self._register.remove_identity(person, identity)
        return Done(f"{person} does not sign in with {identity} any more")


def identity_of(effect: Effect) -> tuple[str, Authenticator | None]:
    """Return the identity that an effect describes, and the authenticator behind it.

    Raises:
        Malformed: it describes none (code HY-2509).
    """
    identity = text(effect, "identity")
    kind, _, value = identity.partition(":")
    if kind == ED25519:
        return check_public(value), None
    if kind == OIDC:
        return check_issuer(identity), None
    if kind == WEBAUTHN:
        from hyok.identity.passkeys import Authenticator  # noqa: PLC0415 - see custody.proofs

        try:
            raw = [bytes.fromhex(text(effect, name)) for name in ("credential_id", "public_key")]
        except ValueError as error:
            raise Malformed("an authenticator's fields are hex", code="HY-2509") from error
        found = Authenticator(text(effect, "rp_id"), *raw)
        if found.identity == identity:
            return identity, found
    raise Malformed(
        "an identity is ed25519:HEX, oidc:ISSUER#SUBJECT, or an authenticator with its key",
        code="HY-2509",
        effect="Nothing was proposed.",
    )


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
