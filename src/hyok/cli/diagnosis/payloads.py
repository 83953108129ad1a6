"""The door that encrypts payloads: can anybody come in, and is there something to use?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.cli.diagnosis.doors import check_keys
from hyok.cli.diagnosis.host import judge_certificate
from hyok.cli.diagnosis.transit import way_in
from hyok.custody.door_key import PAIRS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.cli.diagnosis.check import Check
    from hyok.settings import Settings
    from hyok.wiring import Core

NAME = "door payloads"


def certificate(settings: Settings, now_ms: int) -> Sequence[Check]:
    """Is the certificate that callers see valid?"""
    door = settings.doors.payloads
    if not door.enabled:
        return []
    return [judge_certificate(f"{NAME} certificate", door.tls_certificate, door.tls_key, now_ms)]


async def payloads(core: Core, now_ms: int) -> Sequence[Check]:
    """Is there a way in, a key behind it, and are the keys what was written down?"""
    doors = core.settings.doors
    if not doors.payloads.enabled:
        return []
    looked = doors.xks.enabled or doors.transit.enabled
    found = list(await way_in(core, now_ms, NAME, looked=looked, files=True))
    if looked and not doors.dke.enabled:  # those did not look at pairs
        pairs = [key for key in await core.doors.catalog.all() if key.kind in PAIRS]
        found += await check_keys(core, pairs, NAME)
    return found
