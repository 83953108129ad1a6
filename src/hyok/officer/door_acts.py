"""The act that makes a key for a door, or its next version."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.custody.door_key import Usage, check_name
from hyok.custody.quorum import Quorum
from hyok.errors import Conflict, Malformed, NotFound, Refused
from hyok.officer.effects import number, text, texts
from hyok.officer.port import Done, Plan
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from hyok.custody.cases import Case
    from hyok.custody.custodian import KeyCustodian
    from hyok.custody.door_catalog import DoorCatalog
    from hyok.custody.door_key import DoorKey
    from hyok.custody.proposal import Effect
    from hyok.hsm.port import DoorHsm
    from hyok.identity.access_keys import AccessKeys
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Ask

GRANT = "use-keys"
NEXT = 0
"""As a version: the one after the newest; the proposal says which that is."""


class CreateDoorKey:
    """`door-key:create`: whoever holds an access key of its apps may use it, as policy lets them.

    What they encrypt with it is theirs to keep, so making one takes as many as lowering does.
    """

    def __init__(
        self,
        *,
        catalog: DoorCatalog,
        hsm: DoorHsm,
        apps: AccessKeys,
        custodian: KeyCustodian,
        classifications: Classifications,
    ) -> None:
        self._catalog = catalog
        self._hsm = hsm
        self._apps = apps
        self._custodian = custodian
        self._classifications = classifications

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes, with the version and what it is for spelled out.

        Raises:
            Malformed: name, class, apps or usage cannot stand (code HY-2600).
            NotFound: no such key to make a next version of (code HY-2601).
            Conflict: there is another key of this name (code HY-2609).
        """
        tenant, name = text(effect, "tenant"), check_name(text(effect, "key"))
        known = await self._catalog.find(tenant, name)
        version = number(effect, "version")
        if version == NEXT:
            version = (await self._catalog.named(tenant, name)).newest.number + 1
        if version > 1:
            exact = _as_it_is(await self._catalog.named(tenant, name), version)
        else:
            exact = await self._as_asked(effect, tenant, name)
            if known is not None and _as_it_is(known, 1) != exact:
                raise Conflict(
                    f"There is another door's key {tenant}/{name}.",
                    code="HY-2609",
                    effect="Nothing was proposed.",
                    next_step=f"another name, or hyok doors keys rotate {name} --tenant {tenant}",
                )
        classification = text(exact, "classification")
        rule = self._classifications.get(classification)
        return Plan(tenant, classification, Quorum(rule.approvals.lower), exact)

    async def _as_asked(self, effect: Effect, tenant: str, name: str) -> Effect:
        classification = text(effect, "classification")
        if self._classifications.get(classification).denied:
            raise Refused(
                f"Nothing of classification {classification} is kept or encrypted here.",
                code="HY-2610",
                effect="Nothing was proposed.",
            )
        apps = sorted(set(texts(effect, "apps")))
        if not apps:
            raise _wrong("name the app that it serves", "--app NAME")
        for app in apps:
            await self._check_app(app, tenant)
        usage = sorted(set(texts(effect, "usage")) or set(map(str, Usage)))
        if not set(usage) <= set(map(str, Usage)):
            raise _wrong("a key is for encrypt, decrypt or both", "--usage WORD")
        return {
            "tenant": tenant,
            "key": name,
            "version": 1,
            "classification": classification,
            "apps": apps,
            "usage": usage,
        }

    async def _check_app(self, name: str, tenant: str) -> None:
        found = await self._apps.find_app(name)
        if found is None or found.tenant != tenant or found.state != "active":
            raise NotFound(
                f"There is no app {name} of {tenant}.",
                code="HY-2611",
                effect="Nothing was proposed.",
                next_step=f"hyok apps create {name} --tenant {tenant} --grant {GRANT}",
            )
        if found.grants != {GRANT}:
            raise _wrong(
                f"app {name} is for more than keys of doors; give them to an app of their own",
                f"hyok apps create … --grant {GRANT}",
            )

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Make it in the HSM; it serves at once.

        Raises:
            Unavailable: HSM or database do not answer; carry it on when they do.
        """
        effect = case.proposal.effect
        tenant, name = text(effect, "tenant"), text(effect, "key")
        ask = replace(ask, classification=ClassificationName(text(effect, "classification")))
        await self._custodian.decide(ask)
        made = await self._catalog.make(
            self._hsm,
            tenant,
            name,
            number(effect, "version"),
            text(effect, "classification"),
            texts(effect, "apps"),
            [Usage(word) for word in texts(effect, "usage")],
        )
        await self._custodian.conclude(ask, "done", kek_id=made.kek_id)
        version = made.kek_id.rpartition("/")[2]
        return Done(
            f"key {tenant}/{name} version {version} is made in the HSM, non-extractable, active",
            {"key": f"{tenant}/{name}", "version": int(version), "token_name": made.kek_id},
        )


def _as_it_is(key: DoorKey, version: int) -> Effect:
    return {
        "tenant": key.tenant,
        "key": key.name,
        "version": version,
        "classification": key.classification,
        "apps": sorted(key.apps),
        "usage": sorted(map(str, key.usage)),
    }


def _wrong(cause: str, step: str) -> Malformed:
    return Malformed(cause, code="HY-2600", effect="Nothing was proposed.", next_step=step)
