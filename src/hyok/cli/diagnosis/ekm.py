"""The door for Azure Managed HSM: who may come in, and do their keys answer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.cli.diagnosis.check import Check
from hyok.cli.diagnosis.doors import PAIR_SECONDS, check_keys
from hyok.cli.diagnosis.host import judge_certificate
from hyok.custody.door_key import WRAPPERS
from hyok.custody.key_states import KeyState
from hyok.officer.door_acts import GRANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.door_key import DoorKey
    from hyok.doors.ekm.config import EkmPoolSettings
    from hyok.settings import Settings
    from hyok.wiring import Core

NAME = "door ekm"


def certificate(settings: Settings, now_ms: int) -> Sequence[Check]:
    """Is the certificate that Azure sees valid?"""
    door = settings.doors.ekm
    if not door.enabled:
        return []
    return [judge_certificate(f"{NAME} certificate", door.tls_certificate, door.tls_key, now_ms)]


async def ekm(core: Core) -> Sequence[Check]:
    """Is each pool's app there with a key, and do the tokens wrap as the RFCs say?"""
    settings = core.settings.doors.ekm
    if not settings.enabled:
        return []
    keys = [key for key in await core.doors.catalog.all() if key.sort in WRAPPERS]
    found = [await _pool(core, pool, keys) for pool in settings.pools]
    found += await check_keys(core, keys, NAME)
    failing = await core.doors.probe_wraps(PAIR_SECONDS)
    said = "; ".join(f"{name}: {cause}" for name, cause in failing.items() if cause)
    if said:
        means = "these tokens wrap and unwrap nothing for Azure"
        found.append(Check(NAME, "FAIL", said, means, "hyok hsm status; hyok hsm prove"))
    bad = [check for check in found if check.word != "ok"]
    return bad or [Check(NAME, "ok", f"{len(settings.pools)} pools, {len(keys)} keys")]


async def _pool(core: Core, pool: EkmPoolSettings, keys: Sequence[DoorKey]) -> Check:
    app = await core.access_keys.find_app(pool.app)
    shown = f"{NAME}: pool {pool.prefix or '/'}"
    if app is None or app.state != "active" or app.grants != {GRANT}:
        said = f"{shown}: {pool.app} is no app whose only grant is {GRANT}"
        means = "this pool gets no answer but errors"
        return Check(NAME, "FAIL", said, means, f"hyok apps create {pool.app} --grant {GRANT} …")
    mine = [key for key in keys if pool.app in key.apps]
    if not any(key.state is KeyState.ACTIVE for key in mine):
        step = f"hyok doors keys create NAME --usage wrap --app {pool.app} …"
        said = f"{shown}: it has no key that wraps"
        return Check(NAME, "warn", said, "nothing to use there", step)
    return Check(NAME, "ok", shown)
