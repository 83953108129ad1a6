"""What officers can do, put together over everything below the doors."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from hyok.custody.approvals import Approvals
from hyok.custody.quorum import Act
from hyok.custody.shredding import KeyShredder
from hyok.database.leases import Leases
from hyok.officer.actions import OfficerActions
from hyok.officer.break_glass import GrantBreakGlass
from hyok.officer.bucket_acts import LowerBucket, PublishBucket
from hyok.officer.key_acts import DestroyKey
from hyok.officer.object_acts import ExportBucket, LowerObject
from hyok.officer.officer_acts import AddOfficer, RevokeOfficer
from hyok.officer.shred_acts import ShredCase
from hyok.officer.statement_rows import StatementBook
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.wiring import Core


def _silent(objects: int, plain_bytes: int) -> None:
    del objects, plain_bytes


def build_actions(core: Core, progress: Callable[[int, int], None] = _silent) -> OfficerActions:
    """Return the acts of officers; ``progress`` shows how far a long one is."""
    development = core.settings.installation.mode == "development"
    registry, keeper, classes = core.registry, core.keeper, core.classifications
    return OfficerActions(
        register=core.register,
        approvals=Approvals(
            core.database, core.box, core.register, development=development, clock_ms=clock_ms
        ),
        performers={
            Act.ADD_OFFICER: AddOfficer(core.register),
            Act.REVOKE_OFFICER: RevokeOfficer(core.register),
            Act.PUBLISH: PublishBucket(registry, keeper, classes),
            Act.LOWER_BUCKET: LowerBucket(registry, keeper, classes),
            Act.LOWER_OBJECT: LowerObject(core.vault, registry, classes, clock_ms),
            Act.EXPORT: ExportBucket(
                core.vault, core.keyring, core.box, registry, classes, progress
            ),
            Act.DESTROY_KEY: DestroyKey(
                keks=core.keks,
                rotation=core.rotation,
                hsm=core.hsm,
                custodian=core.custodian,
                registry=registry,
                stores=core.stores,
                classifications=classes,
                progress=progress,
            ),
            Act.SHRED: ShredCase(
                shredder=KeyShredder(core.database, core.mirror, clock_ms),
                custodian=core.custodian,
                registry=registry,
                stores=core.stores,
                classifications=classes,
                book=StatementBook(core.database),
                journal=core.journal,
                installation=core.settings.installation.name,
                backups_kept_days=core.settings.database.backups_kept_days,
                progress=progress,
                clock_ms=clock_ms,
            ),
            Act.BREAK_GLASS: GrantBreakGlass(
                core.break_glass.book, registry, core.access_keys, classes
            ),
        },
        leases=Leases(core.database, secrets.token_bytes, clock_ms),
        journal=core.journal,
        hooks=core.hooks,
        development=development,
        entropy=secrets.token_bytes,
        clock_ms=clock_ms,
    )
