"""The door for Vault's clients: can anybody come in, and is there something to use?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.cli.diagnosis.check import Check
from hyok.cli.diagnosis.doors import PROBE_SECONDS, check_keys
from hyok.cli.diagnosis.host import judge_certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.settings import Settings
    from hyok.wiring import Core

NAME = "door transit"
PAGE = "docs/keyservices/transit.md"
SOON_MS = 7 * 86_400_000


def certificate(settings: Settings, now_ms: int) -> Sequence[Check]:
    """Is the certificate that clients see valid?"""
    door = settings.doors.transit
    if not door.enabled:
        return []
    return [judge_certificate(f"{NAME} certificate", door.tls_certificate, door.tls_key, now_ms)]


async def transit(core: Core, now_ms: int) -> Sequence[Check]:
    """Is there a way in, a key behind it, and are the keys what was written down?"""
    doors = core.settings.doors
    if not doors.transit.enabled:
        return []
    return await way_in(core, now_ms, NAME, looked=doors.xks.enabled)


async def way_in(
    core: Core, now_ms: int, shown: str, *, looked: bool, files: bool = False
) -> Sequence[Check]:
    """Look at tokens, trusts and keys for a door that takes tokens.

    ``looked``: another door's check has looked at the keys already; ``files``: an app that names
    buckets needs no key of a door, for it seals files with theirs.
    """
    tokens = [one for one in await core.door_tokens.list() if one.is_live(now_ms)]
    trusts = [one for one in await core.identities.list_trusts() if one.state == "active"]
    keys = await core.doors.catalog.all()
    found = [] if looked else await check_keys(core, keys, shown)
    if not tokens and not trusts:
        step = "hyok doors transit-token create APP --expires 90d"
        found.append(Check(shown, "warn", "no live token, no trust", "nobody comes in", step))
    found += [
        Check(
            shown,
            "warn",
            f"token {one.token_id} of {one.app_id} ends within a week",
            "its bearer is refused from then on",
            f"hyok doors transit-token create {one.app_id} --expires 90d",
        )
        for one in tokens
        if one.expires_ms - now_ms < SOON_MS
        and not any(o.app_id == one.app_id and o.expires_ms > one.expires_ms for o in tokens)
    ]
    holders = {one.app_id for one in tokens} | {one.app_id for one in trusts}
    usable = any(key.apps & holders for key in keys)
    if files and not usable:
        apps = await core.access_keys.list_apps()
        usable = any(one.app_id in holders and one.principal.buckets for one in apps)
    if holders and not usable:
        step = f"hyok doors keys create NAME --app {min(holders)} …"
        found.append(Check(shown, "warn", "who may come in has no key", "nothing to use", step))
    failing = {name: said for name, said in (await core.doors.probe(PROBE_SECONDS)).items() if said}
    if failing:
        said = "; ".join(f"{name}: {cause}" for name, cause in failing.items())
        means = "these tokens encrypt and decrypt nothing for a door"
        found.append(Check(shown, "FAIL", said, means, "hyok hsm status; hyok hsm prove"))
    bad = [check for check in found if check.word != "ok"]
    return bad or [
        Check(shown, "ok", f"{len(tokens)} tokens, {len(trusts)} trusts, {len(keys)} keys")
    ]
