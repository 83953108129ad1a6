"""What officers can do, put together over everything below the doors."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

from hyok.custody.custodian import TENANT_CLASSIFICATION
from hyok.custody.key_end import KeyEnder
from hyok.custody.quorum import Act
from hyok.custody.secret_box import CLASSIFICATION as SECRETS
from hyok.custody.shredding import KeyShredder
from hyok.database.leases import Leases
from hyok.objects.uploads import UploadLedger
from hyok.officer.actions import OfficerActions
from hyok.officer.break_glass import GrantBreakGlass
from hyok.officer.bucket_acts import LowerBucket, PublishBucket
from hyok.officer.door_acts import CreateDoorKey, DestroyDoorKey
from hyok.officer.door_break_glass import GrantDoorCalls
from hyok.officer.key_acts import DestroyKey
from hyok.officer.key_uses import KeyUses
from hyok.officer.object_acts import ExportBucket, LowerObject
from hyok.officer.officer_acts import AddIdentity, AddOfficer, RemoveIdentity, RevokeOfficer
from hyok.officer.policy_acts import PublishPolicy
from hyok.officer.shadow_acts import ShadowDesk
from hyok.officer.shred_acts import ShredCase
from hyok.officer.shred_any import Shred
from hyok.officer.shred_class_acts import ShredClass
from hyok.officer.shred_set_acts import ShredSet
from hyok.officer.statement_rows import StatementBook
from hyok.policy.matrix import World
from hyok.secret_rows import sealed_rows
from hyok.wiring import clock_ms, policy_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.wiring import Core


def _silent(objects: int, plain_bytes: int) -> None:
    del objects, plain_bytes


async def world_of(core: Core) -> World:
    """Return what a policy is asked about: the apps, buckets and stores of the installation."""
    apps = [app for app in await core.access_keys.list_apps() if app.state == "active"]
    return World(
        principals=[app.principal for app in apps],
        buckets=await core.registry.all(),
        stores=core.facts,
        zone=core.settings.installation.gateway_zone,
        now_ms=clock_ms(),
    )


async def classes_in_use(core: Core) -> frozenset[str]:
    """Return the classifications under which something is, or may be, kept."""
    named: set[str] = set()
    for bucket in await core.registry.all():
        named |= {bucket.classification, *bucket.allowed, *bucket.prefix_rules.values()}
    known = {kek.classification for kek in await core.keks.all()}
    return frozenset(named | known) - {TENANT_CLASSIFICATION, SECRETS}


def shadow_desk(core: Core) -> ShadowDesk:
    """Return the acts of one officer about the policy in shadow."""
    return ShadowDesk(
        register=core.register,
        policies=core.policies,
        shadows=core.shadows,
        used=partial(classes_in_use, core),
        journal=core.journal,
        clock_ms=clock_ms,
    )


def key_uses(core: Core, progress: Callable[[int, int], None] = _silent) -> KeyUses:
    """Return what looks whether a key version keeps something."""
    return KeyUses(
        rotation=core.rotation,
        exposures=core.exposures,
        registry=core.registry,
        stores=core.stores,
        classifications=core.classifications,
        own_rows=sealed_rows(core),
        keks=core.keks,
        progress=progress,
    )


def _shred(core: Core, progress: Callable[[int, int], None]) -> Shred:
    common: dict[str, Any] = {
        "shredder": KeyShredder(core.database, core.mirror, clock_ms),
        "custodian": core.custodian,
        "registry": core.registry,
        "stores": core.stores,
        "classifications": core.classifications,
        "book": StatementBook(core.database),
        "journal": core.journal,
        "installation": core.settings.installation.name,
        "backups_kept_days": core.settings.database.backups_kept_days,
        "progress": progress,
        "clock_ms": clock_ms,
    }
    uploads = UploadLedger(core.database)
    whole = ShredSet(keks=core.keks, places=core.places, uploads=uploads, **common)
    classification = ShredClass(
        keks=core.keks,
        rotation=core.rotation,
        uses=key_uses(core, progress),
        ender=KeyEnder(core.keks, core.hsm),
        **common,
    )
    return Shred(ShredCase(**common), whole, classification)


def build_actions(core: Core, progress: Callable[[int, int], None] = _silent) -> OfficerActions:
    """Return the acts of officers; ``progress`` shows how far a long one is."""
    development = core.settings.installation.mode == "development"
    registry, keeper, classes = core.registry, core.keeper, core.classifications
    return OfficerActions(
        register=core.register,
        approvals=core.approvals,
        performers={
            Act.ADD_OFFICER: AddOfficer(core.register),
            Act.REVOKE_OFFICER: RevokeOfficer(core.register),
            Act.ADD_IDENTITY: AddIdentity(core.register),
            Act.REMOVE_IDENTITY: RemoveIdentity(core.register),
            Act.PUBLISH: PublishBucket(registry, keeper, classes),
            Act.LOWER_BUCKET: LowerBucket(registry, keeper, classes),
            Act.LOWER_OBJECT: LowerObject(core.vault, registry, classes, clock_ms),
            Act.EXPORT: ExportBucket(
                core.vault, core.keyring, core.box, registry, classes, progress
            ),
            Act.DESTROY_KEY: DestroyKey(
                keks=core.keks,
                uses=key_uses(core, progress),
                ender=KeyEnder(core.keks, core.hsm),
                custodian=core.custodian,
                classifications=classes,
            ),
            Act.SHRED: _shred(core, progress),
            Act.PUBLISH_POLICY: PublishPolicy(
                book=core.policies,
                keeper=core.policy,
                directory=policy_files(core.settings.policies.directory),
                world=partial(world_of, core),
                used=partial(classes_in_use, core),
                clock_ms=clock_ms,
            ),
            Act.BREAK_GLASS: GrantBreakGlass(
                core.break_glass.book, registry, core.access_keys, classes
            ),
            Act.BREAK_GLASS_DOOR: GrantDoorCalls(
                core.break_glass.book, core.doors.catalog, core.access_keys, classes
            ),
            Act.CREATE_DOOR_KEY: CreateDoorKey(
                catalog=core.doors.catalog,
                hsm=core.hsm,
                apps=core.access_keys,
                custodian=core.custodian,
                classifications=classes,
            ),
            Act.DESTROY_DOOR_KEY: DestroyDoorKey(
                catalog=core.doors.catalog,
                hsm=core.hsm,
                freezes=core.freezes,
                custodian=core.custodian,
                classifications=classes,
            ),
        },
        leases=Leases(core.database, secrets.token_bytes, clock_ms),
        journal=core.journal,
        hooks=core.hooks,
        development=development,
        entropy=secrets.token_bytes,
        clock_ms=clock_ms,
    )
