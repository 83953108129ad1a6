"""Break-glass for a door: somebody has named resources opened there, for a short time, by quorum.

The other side's protocol lets an administrator, or another key service, ask without an
authorization.  Here that takes officers: who may, what for, of which resources, until when.
It is a grant like those for objects: it ends by itself, everyone is told, and it is reviewed.

Source: docs/keyservices/kacls.md; docs/adr/0034.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.custody.break_glass import PRIVILEGED_CALLS, Grant
from hyok.custody.quorum import Quorum, Role
from hyok.errors import Malformed, NotFound, Refused
from hyok.officer.break_glass import KEYS_MAX, MINUTE_MS
from hyok.officer.effects import number, text, texts
from hyok.officer.port import Done, Plan

if TYPE_CHECKING:
    from hyok.custody.break_glass import GrantBook
    from hyok.custody.cases import Case
    from hyok.custody.door_catalog import DoorCatalog
    from hyok.custody.proposal import Effect
    from hyok.identity.access_keys import AccessKeys
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Ask

PEOPLE_MAX = 20
NAME_CHARS_MAX = 1024
EVERY = "every"
"""As `reach`: whatever resource another key service asks for."""


class GrantDoorCalls:
    """`break-glass:door`."""

    def __init__(
        self,
        book: GrantBook,
        catalog: DoorCatalog,
        access_keys: AccessKeys,
        classifications: Classifications,
    ) -> None:
        self._book = book
        self._catalog = catalog
        self._access_keys = access_keys
        self._classifications = classifications

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes: as the classification of the door's key demands.

        Raises:
            Malformed: door, operations, people or resources cannot stand (code HY-2689).
            NotFound: there is no such key (code HY-2601), or no such app.
            Refused: the classification knows no break-glass, or not for so long (code HY-2513).
        """
        key = await self._catalog.named(text(effect, "tenant"), text(effect, "key"))
        app = await self._access_keys.find_app(text(effect, "app"))
        if app is None or app.app_id not in key.apps or app.state != "active":
            raise NotFound(
                f"The key {key.tenant}/{key.name} serves no app {effect['app']}.",
                code="HY-2611",
                effect="Nothing was proposed.",
                next_step="hyok doors keys list",
            )
        rule = self._classifications.get(key.classification)
        limits = rule.break_glass
        if limits is None or rule.denied:
            raise Refused(
                f"There is no break-glass for {key.classification}.",
                code="HY-2513",
                effect="Nothing was proposed.",
            )
        minutes, most = number(effect, "minutes"), limits.at_most_ms // MINUTE_MS
        if not 1 <= minutes <= most:
            raise Refused(
                f"Break-glass for {key.classification} lasts 1 to {most} minutes, not {minutes}.",
                code="HY-2513",
                effect="Nothing was proposed.",
                next_step="ask for less, and again if it must be",
            )
        exact: Effect = {
            "tenant": key.tenant,
            "key": key.name,
            "classification": key.classification,
            "app": app.app_id,
            **_calls_of(effect),
            "minutes": minutes,
            "ticket": text(effect, "ticket"),
        }
        quorum = Quorum(limits.approvals, tuple(map(Role, limits.among)))
        return Plan(key.tenant, key.classification, quorum, exact)

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Let it begin: at the moment of the claim, so that nothing prolongs it."""
        effect = case.proposal.effect
        assert case.execution is not None
        minutes = number(effect, "minutes")
        starts_ms = case.execution.claimed_ms
        classification = text(effect, "classification")
        grant = Grant(
            grant_id=case.proposal.proposal_id,
            app=text(effect, "app"),
            tenant=case.proposal.tenant,
            bucket="",
            keys=tuple(texts(effect, "resources")),
            prefix="",
            classification=classification,
            level=self._classifications.level(classification),
            ticket=text(effect, "ticket"),
            author=case.proposal.author,
            starts_ms=starts_ms,
            ends_ms=starts_ms + minutes * MINUTE_MS,
            door=text(effect, "door"),
            door_key=text(effect, "key"),
            operations=tuple(texts(effect, "operations")),
            people=tuple(texts(effect, "people")),
            every=text(effect, "reach") == EVERY,
        )
        del ask
        await self._book.add(grant)
        told = f"break-glass {grant.grant_id} runs for {minutes} minutes at door {grant.door}"
        return Done(told, {"grant": grant.grant_id, "ends_ms": grant.ends_ms})


def _calls_of(effect: Effect) -> Effect:
    """Return what is granted, spelled out.

    Raises:
        Malformed: it cannot stand (code HY-2689).
    """
    door = text(effect, "door")
    known = PRIVILEGED_CALLS.get(door, frozenset())
    operations = sorted(set(texts(effect, "operations")))
    if not operations or not known.issuperset(operations):
        raise _wrong(f"the operations of door {door} are {', '.join(sorted(known)) or 'none'}")
    people = sorted({_person(one) for one in texts(effect, "people")})
    if not 1 <= len(people) <= PEOPLE_MAX:
        raise _wrong(f"name 1 to {PEOPLE_MAX} people or key services")
    resources = sorted(set(texts(effect, "resources")))
    every = text(effect, "reach", default="named") == EVERY
    if every and not all(one.startswith("https://") for one in people):
        raise _wrong("only another key service may have every resource opened")
    if every is bool(resources) or len(resources) > KEYS_MAX:
        raise _wrong(f"name up to {KEYS_MAX} resources, or every one")
    if not all(one and one.isprintable() and len(one) <= NAME_CHARS_MAX for one in resources):
        raise _wrong("a resource's name is a printable text")
    return {
        "door": door,
        "operations": operations,
        "people": people,
        "resources": resources,
        "reach": EVERY if every else "named",
    }


def _person(one: str) -> str:
    if one.startswith("https://"):
        found = one.removesuffix("/")
    else:
        name, _, domain = one.rpartition("@")
        found = (one.lower() if one.isascii() else one) if name and domain else ""
    if (
        not found
        or not found.isprintable()
        or len(found) > NAME_CHARS_MAX
        or found != found.strip()
    ):
        raise _wrong(f"{one[:80]!r} is no mail address and no https address")
    return found


def _wrong(cause: str) -> Malformed:
    return Malformed(
        cause,
        code="HY-2689",
        effect="Nothing was proposed.",
        next_step="hyok break-glass request-door --help",
    )
