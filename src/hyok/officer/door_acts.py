"""The acts that make a key for a door, or its next version, and that end one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.custody.door_key import (
    AES,
    PAIR,
    PAIRS,
    SECRET,
    WRAPPERS,
    Usage,
    check_may_end,
    check_name,
    sort_of,
)
from hyok.custody.freezes import Frozen
from hyok.custody.key_end import destroy_everywhere
from hyok.custody.key_states import KeyState
from hyok.custody.quorum import Quorum
from hyok.errors import Conflict, Malformed, NotFound, Refused
from hyok.officer.effects import number, text, texts
from hyok.officer.port import Done, Plan
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.cases import Case
    from hyok.custody.custodian import KeyCustodian
    from hyok.custody.door_catalog import DoorCatalog
    from hyok.custody.door_key import DoorKey
    from hyok.custody.freezes import Freezes
    from hyok.custody.proposal import Effect
    from hyok.hsm.port import WrapHsm
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
        hsm: WrapHsm,
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
            Conflict: there is another key of this name (code HY-2609), one that was destroyed
                (code HY-2630), or a next version of one that wraps (code HY-2646).
        """
        tenant, name = text(effect, "tenant"), check_name(text(effect, "key"))
        known = await self._catalog.find(tenant, name)
        if known is not None:
            _check_living(known)
        version = number(effect, "version")
        if version == NEXT:
            version = (await self._catalog.named(tenant, name)).newest.number + 1
        if version > 1:
            exact = _as_it_is(_check_turns(await self._catalog.named(tenant, name)), version)
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
        kind = text(effect, "kind", default=AES)
        if kind != AES and kind not in PAIRS:
            raise _wrong(f"a key is one of {', '.join((AES, *PAIRS))}", "--kind WORD")
        usual = PAIR if kind in PAIRS else SECRET
        usage = sorted(set(texts(effect, "usage")) or set(map(str, usual.usage)))
        known = set(map(str, Usage))
        if not known.issuperset(usage) or sort_of(kind, list(map(Usage, usage))) is None:
            words = "encrypt, decrypt or both, for hmac, sign, wrap, private or bsn"
            words = "decrypt: others encrypt; or for wrap, or for sign" if kind in PAIRS else words
            raise _wrong(f"a key {kind} is for {words}", "--usage WORD")
        return _with_kind(kind) | {
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
        if (known := await self._catalog.find(tenant, name)) is not None:
            _check_living(known)
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
            text(effect, "kind", default=AES),
        )
        await self._custodian.conclude(ask, "done", kek_id=made.kek_id)
        version = made.kek_id.rpartition("/")[2]
        return Done(
            f"key {tenant}/{name} version {version} is made in the HSM, non-extractable, active",
            {"key": f"{tenant}/{name}", "version": int(version), "token_name": made.kek_id},
        )


class DestroyDoorKey:
    """`door-key:destroy`: of versions of a door's key, or of all of them.

    What was encrypted with it is kept by others, and nothing here can tell whether they need it.
    """

    def __init__(
        self,
        *,
        catalog: DoorCatalog,
        hsm: WrapHsm,
        freezes: Freezes,
        custodian: KeyCustodian,
        classifications: Classifications,
    ) -> None:
        self._catalog = catalog
        self._hsm = hsm
        self._freezes = freezes
        self._custodian = custodian
        self._classifications = classifications

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes, with every version and its check value spelled out.

        Raises:
            NotFound: no such key or version (codes HY-2601, HY-2632).
            Conflict: its state does not allow it (HY-2302), it is the version that encrypts
                (HY-2633), or it is frozen (HY-2631).
        """
        key = await self._catalog.named(text(effect, "tenant"), text(effect, "key"))
        versions = _versions_of(effect, key)
        await self._check(key, versions)
        found = [one for one in key.versions if one.number in versions]
        exact: Effect = {
            "tenant": key.tenant,
            "key": key.name,
            "versions": [str(one.number) for one in found],
            "check_values": [one.spec.check_value.hex() for one in found],
            "encryptions_at_most": sum(one.uses for one in found),
        }
        approvals = self._classifications.get(key.classification).approvals.destroy_key
        return Plan(key.tenant, key.classification, Quorum(approvals), exact)

    async def _check(self, key: DoorKey, versions: Sequence[int]) -> None:
        check_may_end(key, versions)
        name = f"{key.tenant}/{key.name}"
        frozen = {(one.kind, one.name) for one in await self._freezes.all()}
        if frozen & {(Frozen.KEY, name), (Frozen.TENANT, key.tenant)}:
            raise Conflict(
                f"The key {name} is frozen: somebody looks into what it did.",
                code="HY-2631",
                effect="Nothing was destroyed.",
                next_step=f"hyok thaw key {name}, when that is over",
            )

    async def perform(self, ask: Ask, case: Case) -> Done:
        """End it everywhere: no door uses it from now on, then no token has it.

        Raises:
            Unavailable: a token does not answer; carry it on when it does.
            Tampered: a token holds another key under this name.
            Conflict: it is another key, in another state or frozen by now.
        """
        effect = case.proposal.effect
        key = await self._catalog.named(text(effect, "tenant"), text(effect, "key"))
        versions = _versions_of(effect, key)
        await self._check(key, versions)
        found = [one for one in key.versions if one.number in versions]
        if [one.spec.check_value.hex() for one in found] != list(texts(effect, "check_values")):
            raise Conflict("The key of this name is another one now.", code="HY-2505")
        ask = replace(ask, classification=ClassificationName(key.classification))
        await self._custodian.decide(ask)
        await self._catalog.end(key.tenant, key.name, versions)
        tokens: Sequence[str] = ()
        for one in found:
            tokens = await destroy_everywhere(self._hsm, one.spec)
            await self._custodian.conclude(ask, "done", kek_id=one.spec.kek_id)
        name, shown = f"{key.tenant}/{key.name}", ", ".join(texts(effect, "versions"))
        return Done(
            f"key {name} version {shown} is destroyed in {', '.join(tokens)}; backups of the HSM "
            "may have it",
            {"key": name, "versions": shown, "tokens": list(tokens)},
        )


def _versions_of(effect: Effect, key: DoorKey) -> Sequence[int]:
    """Return the versions that an effect names: as it was proposed, or as it was spelled out."""
    if "versions" in effect:
        words = texts(effect, "versions")
        if not words or not all(word.isdecimal() and len(word) < 10 for word in words):
            raise _wrong("versions are whole numbers", "hyok doors keys list")
        return [int(word) for word in words]
    wanted = number(effect, "version")
    return [wanted] if wanted else [one.number for one in key.versions]


def _check_living(key: DoorKey) -> None:
    if key.state is KeyState.DESTROYED:
        raise Conflict(
            f"The key {key.tenant}/{key.name} was destroyed; its name is not used again.",
            code="HY-2630",
            effect="Nothing was made.",
            next_step="hyok doors keys create, with another name",
        )


def _check_turns(key: DoorKey) -> DoorKey:
    """Return the key if it can have another version.

    Raises:
        Conflict: what it wrapped does not say by which version (code HY-2646).
    """
    if key.sort in WRAPPERS:
        raise Conflict(
            f"The key {key.tenant}/{key.name} wraps keys, and has one version for good.",
            code="HY-2646",
            effect="Nothing was proposed.",
            next_step="make a key of another name, and change over on the other side",
        )
    return key


def _with_kind(kind: str) -> Effect:
    """Return what a proposal says of a kind: nothing of the one that there was first."""
    return {} if kind == AES else {"kind": kind}


def _as_it_is(key: DoorKey, version: int) -> Effect:
    return _with_kind(key.kind) | {
        "tenant": key.tenant,
        "key": key.name,
        "version": version,
        "classification": key.classification,
        "apps": sorted(key.apps),
        "usage": sorted(map(str, key.usage)),
    }


def _wrong(cause: str, step: str) -> Malformed:
    return Malformed(cause, code="HY-2600", effect="Nothing was proposed.", next_step=step)
