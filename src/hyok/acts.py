"""What officers can do, put together over everything below the doors."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from hyok.custody.approvals import Approvals
from hyok.custody.quorum import Act
from hyok.database.leases import Leases
from hyok.officer.actions import OfficerActions
from hyok.officer.break_glass import GrantBreakGlass
from hyok.officer.bucket_acts import LowerBucket, PublishBucket
from hyok.officer.object_acts import ExportBucket, LowerObject
from hyok.officer.officer_acts import AddIdentity, AddOfficer, RevokeOfficer
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
        # Act.DESTROY_KEY has its rule and its quorum; the act itself comes with the life of keys.
        performers={
            Act.ADD_OFFICER: AddOfficer(core.register),
            Act.REVOKE_OFFICER: RevokeOfficer(core.register),
            Act.ADD_IDENTITY: AddIdentity(core.register),
            Act.PUBLISH: PublishBucket(registry, keeper, classes),
            Act.LOWER_BUCKET: LowerBucket(registry, keeper, classes),
            Act.LOWER_OBJECT: LowerObject(core.vault, registry, classes, clock_ms),
            Act.EXPORT: ExportBucket(
                core.vault, core.keyring, core.box, registry, classes, progress
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
