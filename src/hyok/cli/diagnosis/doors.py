"""Doors for clouds and SaaS: who may come in, and do their keys answer?"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from hyok.cli.diagnosis.check import Check
from hyok.cli.diagnosis.host import judge_certificate
from hyok.custody.door_key import USES_MAX
from hyok.custody.key_states import KeyState
from hyok.errors import HyokError
from hyok.officer.door_acts import GRANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.door_key import DoorKey
    from hyok.doors.config import XksStoreSettings
    from hyok.settings import Settings
    from hyok.wiring import Core

NAME = "door xks"
SECONDS_MAX = 3.0
USES_PART_MAX = 0.9
PROBE_SECONDS = 2.0


def certificate(settings: Settings, now_ms: int) -> Sequence[Check]:
    """Is the certificate that AWS KMS sees valid?"""
    xks = settings.doors.xks
    if not xks.enabled:
        return []
    found = judge_certificate(f"{NAME} certificate", xks.tls_certificate, xks.tls_key, now_ms)
    if xks.tls_certificate is not None and xks.client_ca is None:
        said = "client_ca is not set: the signature alone says who calls"
        means = "whoever reaches the port may try"
        return [found, Check(f"{NAME} clients", "warn", said, means, "docs/keyservices/xks.md")]
    return [found]


def listening(settings: Settings) -> Check:
    """Does the door take connections?"""
    host, port = settings.doors.xks.host, settings.doors.xks.port
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    try:
        socket.create_connection((host, port), SECONDS_MAX).close()
    except OSError as error:
        said = f"{host}:{port}: {error.strerror or error}"
        means = "AWS KMS answers its own callers with an error"
        return Check(f"{NAME} port", "FAIL", said, means, "see the gateway's log")
    return Check(f"{NAME} port", "ok", f"{host}:{port} takes connections")


async def xks(core: Core, now_ms: int) -> Sequence[Check]:
    """Is each key store's app there with a live key, and are its keys what was written down?"""
    settings = core.settings.doors.xks
    if not settings.enabled:
        return []
    keys = await core.doors.catalog.all()
    found = [await _store(core, store, keys, now_ms) for store in settings.stores]
    found += await _keys(core, keys)
    failing = {name: said for name, said in (await core.doors.probe(PROBE_SECONDS)).items() if said}
    if failing:
        said = "; ".join(f"{name}: {cause}" for name, cause in failing.items())
        means = "these tokens encrypt and decrypt nothing for a door"
        found.append(Check(NAME, "FAIL", said, means, "hyok hsm status; hyok hsm prove"))
    bad = [check for check in found if check.word != "ok"]
    return bad or [Check(NAME, "ok", f"{len(settings.stores)} key stores, {len(keys)} keys")]


async def _store(
    core: Core, store: XksStoreSettings, keys: Sequence[DoorKey], now_ms: int
) -> Check:
    app = await core.access_keys.find_app(store.app)
    shown = f"{NAME}: key store {store.prefix or '/'}"
    means = "AWS KMS gets no answer but errors from this key store"
    if app is None or app.state != "active" or app.grants != {GRANT}:
        said = f"{shown}: {store.app} is no app whose only grant is {GRANT}"
        return Check(NAME, "FAIL", said, means, f"hyok apps create {store.app} --grant {GRANT} …")
    live = [key for key in await core.access_keys.list_keys(store.app) if key.is_live(now_ms)]
    if not live:
        step = f"hyok doors xks-file {store.prefix} --output FILE"
        return Check(NAME, "FAIL", f"{shown}: no live access key", means, step)
    if not any(store.app in key.apps for key in keys):
        step = f"hyok doors keys create NAME --app {store.app} …"
        return Check(NAME, "warn", f"{shown}: it has no key", "nothing to use there", step)
    return Check(NAME, "ok", shown)


async def _keys(core: Core, keys: Sequence[DoorKey]) -> list[Check]:
    found = []
    for key in keys:
        name = f"{key.tenant}/{key.name}"
        if key.state is KeyState.DESTROYED:
            continue
        for version in key.versions:
            try:
                await core.hsm.check(version.spec)
            except HyokError as error:
                said = f"{name} version {version.number}: {error.cause}"
                means = "what it encrypted does not open"
                found.append(Check(NAME, "FAIL", said, means, "restore the token's keys"))
        if key.newest.uses > USES_PART_MAX * USES_MAX:
            said = f"{name}: nine tenths of its encryptions are used up"
            step = f"hyok doors keys rotate {key.name} --tenant {key.tenant}"
            found.append(Check(NAME, "warn", said, "it will encrypt no more, only decrypt", step))
    return found
