"""Doors for clouds and SaaS: who may come in, and do their keys answer?"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from hyok.cli.diagnosis.check import Check
from hyok.cli.diagnosis.host import judge_certificate
from hyok.custody.door_key import PAIR, PAIRS, USES_MAX, WRAPPER
from hyok.custody.key_states import KeyState
from hyok.doors.dke.sources import key_source
from hyok.doors.listener import ListenerSettings
from hyok.errors import HyokError
from hyok.identity.jwks import parse_jwks
from hyok.officer.door_acts import GRANT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.custody.door_key import DoorKey
    from hyok.doors.dke.config import DkeKeySettings, DkeTenantSettings
    from hyok.doors.xks.config import XksStoreSettings
    from hyok.settings import Settings
    from hyok.wiring import Core

NAME = "door xks"
DKE = "door dke"
PAIR_SECONDS = 30.0
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


def listening(settings: Settings, which: str) -> Check:
    """Does the door take connections?"""
    door = settings.doors.each[which]
    assert isinstance(door, ListenerSettings)
    host, port = door.host, door.port
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return takes_connections(
        which, f"{host}:{port}", lambda: socket.create_connection((host, port), SECONDS_MAX)
    )


def takes_connections(which: str, where: str, connect: Callable[[], socket.socket]) -> Check:
    """Say whether somebody listens there."""
    try:
        connect().close()
    except OSError as error:
        said = f"{where}: {error.strerror or error}"
        means = "whoever needs its keys gets none"
        return Check(f"door {which} port", "FAIL", said, means, "see the gateway's log")
    return Check(f"door {which} port", "ok", f"{where} takes connections")


async def xks(core: Core, now_ms: int) -> Sequence[Check]:
    """Is each key store's app there with a live key, and are its keys what was written down?"""
    settings = core.settings.doors.xks
    if not settings.enabled:
        return []
    every = await core.doors.catalog.all()
    keys = [key for key in every if key.kind not in PAIRS and key.sort is not WRAPPER]
    found = [await _store(core, store, keys, now_ms) for store in settings.stores]
    found += await check_keys(core, keys, NAME)
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


async def check_keys(core: Core, keys: Sequence[DoorKey], shown: str) -> list[Check]:
    """Are these keys in the token what was written down, and do they have uses left?"""
    found = []
    for key in keys:
        name = f"{key.tenant}/{key.name}"
        if key.state is KeyState.DESTROYED:
            continue
        for version in key.living:
            try:
                await core.hsm.check(version.spec)
            except HyokError as error:
                said = f"{name} version {version.number}: {error.cause}"
                means = "what it encrypted does not open"
                found.append(Check(shown, "FAIL", said, means, "restore the token's keys"))
        if key.newest.uses > USES_PART_MAX * USES_MAX:
            said = f"{name}: nine tenths of its encryptions are used up"
            step = f"hyok doors keys rotate {key.name} --tenant {key.tenant}"
            found.append(Check(shown, "warn", said, "it will encrypt no more, only decrypt", step))
    return found


def dke_certificate(settings: Settings, now_ms: int) -> Sequence[Check]:
    """Is the certificate that Office sees valid?"""
    dke = settings.doors.dke
    if not dke.enabled:
        return []
    return [judge_certificate(f"{DKE} certificate", dke.tls_certificate, dke.tls_key, now_ms)]


async def dke(core: Core) -> Sequence[Check]:
    """Is the app there, does each label's key serve, and can each directory's keys be had?"""
    settings = core.settings.doors.dke
    if not settings.enabled:
        return []
    keys = [key for key in await core.doors.catalog.all() if key.sort is PAIR]
    found = [await _dke_app(core)]
    found += [_dke_key(one, settings.app, keys) for one in settings.keys]
    found += await check_keys(core, keys, DKE)
    found += [await _directory(one) for one in settings.tenants]
    failing = await core.doors.probe_pairs(PAIR_SECONDS)
    said = "; ".join(f"{name}: {cause}" for name, cause in failing.items() if cause)
    if said:
        means = "these tokens open nothing for Office"
        found.append(Check(DKE, "FAIL", said, means, "hyok hsm status; hyok hsm prove"))
    bad = [check for check in found if check.word != "ok"]
    return bad or [Check(DKE, "ok", f"{len(settings.keys)} labels, {len(keys)} keys")]


async def _dke_app(core: Core) -> Check:
    name = core.settings.doors.dke.app
    app = await core.access_keys.find_app(name)
    if app is None or app.state != "active" or app.grants != {GRANT}:
        said = f"{name} is no app whose only grant is {GRANT}"
        means = "Office encrypts and opens nothing"
        return Check(DKE, "FAIL", said, means, f"hyok apps create {name} --grant {GRANT} …")
    return Check(DKE, "ok", name)


def _dke_key(wanted: DkeKeySettings, app: str, keys: Sequence[DoorKey]) -> Check:
    held = next((key for key in keys if key.name == wanted.name and app in key.apps), None)
    means = "documents with this label are neither made nor opened"
    if held is None:
        step = f"hyok doors keys create {wanted.name} --kind rsa-3072 --app {app} …"
        return Check(DKE, "FAIL", f"{wanted.label}: no pair {wanted.name}", means, step)
    if held.classification != wanted.classification:
        said = f"{wanted.label}: {wanted.classification}, its key is for {held.classification}"
        return Check(DKE, "FAIL", said, means, "correct classification in [[doors.dke.keys]]")
    if held.state is not KeyState.ACTIVE:
        said = f"{wanted.label}: its key is {held.state}"
        return Check(DKE, "warn", said, means, "hyok doors keys list")
    return Check(DKE, "ok", wanted.label)


async def _directory(tenant: DkeTenantSettings) -> Check:
    try:
        found = parse_jwks(await key_source(tenant)())
    except HyokError as error:
        means = "once what is remembered is too old, every token is refused"
        step = "doors.dke.tenants: jwks_uri, jwks_file, ca_file"
        return Check(DKE, "warn", f"keys of {tenant.id}: {error.cause}", means, step)
    return Check(DKE, "ok", f"{tenant.id}: {len(found)} keys")
