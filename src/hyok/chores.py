"""What a worker does beside serving, each chore at its own pace."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from hyok.errors import HyokError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeAlias

    from hyok.wiring import Core

    Chore: TypeAlias = tuple[float, Callable[[], Awaitable[object]]]  # every so many seconds

log = structlog.get_logger("hyok.chores")

SWEEP_SECONDS = 1.0
STORE_SWEEP_SECONDS = 600.0
MIRROR_SECONDS = 3_600.0
"""How often the mirrors of keyring records are looked through; first at the start."""

UPLOADS_LOOK_SECONDS = 10.0
"""How soon a worker forgets the key of an upload that another one ended."""
USES_SECONDS = 60.0
"""How often the last use of access keys is written down."""

POLICY_SECONDS = 1.0
"""How often a policy is looked for that officers put in force; the row is asked every two."""

SHADOW_SECONDS = 1.0
"""How often the policy in shadow is asked about what was decided meanwhile."""

EXCEPTIONS_SECONDS = 10.0
"""How soon it is told that an exception of the policy has ended; it ends by the clock anyway."""

GRANTS_SECONDS = 2.0
"""How soon it is told that a break-glass grant has ended; it ends by the clock anyway."""


async def keep_house(core: Core, clock_ms: Callable[[], int]) -> None:
    """Run the chores of a gateway's worker.  Runs for ever."""
    chores: Sequence[Chore] = (
        (UPLOADS_LOOK_SECONDS, core.multipart.forget_ended),
        (USES_SECONDS, core.access_keys.write_uses),
        (GRANTS_SECONDS, core.break_glass.end_past),
        (POLICY_SECONDS, core.policy.look),
        (SHADOW_SECONDS, core.shadow.turn),
        (EXCEPTIONS_SECONDS, core.exceptions.tell_ended),
        (STORE_SWEEP_SECONDS, partial(sweep_stores, core, clock_ms)),
        (MIRROR_SECONDS, partial(keep_mirrors, core)),
    )
    await run_chores(core, chores)


async def run_chores(core: Core, chores: Sequence[Chore]) -> None:
    """Run each at its own pace, and wipe keys whose time is over.  Runs for ever.

    One that fails has its next turn.
    """
    due = [0.0] * len(chores)
    while True:
        core.custodian.sweep()
        for turn, (seconds, chore) in enumerate(chores):
            if time.monotonic() >= due[turn]:
                due[turn] = time.monotonic() + seconds
                await _one(chore)
        await asyncio.sleep(SWEEP_SECONDS)


async def _one(chore: Callable[[], Awaitable[object]]) -> None:
    """Do one chore.  An error in one must not end the others: a new policy is looked for here."""
    try:
        await chore()
    except HyokError:
        return  # what it needs is away; the next turn asks again
    except Exception:
        log.exception("chore.bug")


async def sweep_stores(core: Core, clock_ms: Callable[[], int]) -> None:
    """Clear away what crashes left in the stores, and old uploads; make lost registrations anew."""
    for store in core.stores.values():
        await store.sweep()
    for bucket in await core.registry.all():
        await core.multipart.sweep(bucket, clock_ms())
        await core.keeper.keep_registration(bucket, only_if_missing=True)


async def keep_mirrors(core: Core) -> int:
    """Make anew what every bucket's `.hyok/` lacks of its keyring; return how many records."""
    made = 0
    with contextlib.suppress(HyokError):
        for bucket in await core.registry.all():
            with contextlib.suppress(HyokError):  # one store away must not stop the others
                made += await core.keeper.keep_records(bucket)
    if made:
        log.warning("mirror.records_made_anew", records=made)
    return made
