"""The door for Google: who may come in, can their tokens be judged, and do the keys answer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.cli.diagnosis.check import Check
from hyok.cli.diagnosis.doors import PROBE_SECONDS, check_keys
from hyok.cli.diagnosis.host import judge_certificate
from hyok.custody.door_key import AES, CIPHER, PAIRS, Usage
from hyok.custody.key_states import KeyState
from hyok.doors.kacls.sources import certs_source, key_source
from hyok.errors import HyokError
from hyok.identity.jwks import parse_jwks
from hyok.officer.door_acts import GRANT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.custody.door_key import DoorKey
    from hyok.doors.kacls.config import KaclsSettings
    from hyok.settings import Settings
    from hyok.wiring import Core

NAME = "door kacls"


def certificate(settings: Settings, now_ms: int) -> Sequence[Check]:
    """Is the certificate that browsers and Google see valid?"""
    door = settings.doors.kacls
    if not door.enabled:
        return []
    return [judge_certificate(f"{NAME} certificate", door.tls_certificate, door.tls_key, now_ms)]


async def kacls(core: Core) -> Sequence[Check]:
    """Is the app there, do the keys serve it, and can every signer's keys be had?"""
    settings = core.settings.doors.kacls
    if not settings.enabled:
        return []
    keys = await core.doors.catalog.all()
    named = {settings.key, settings.signing_key, settings.private_key}
    mine = [key for key in keys if key.name in named]
    mine = [key for key in mine if settings.app in key.apps]
    found = [await _app(core, settings), *_keys(settings, mine)]
    found += await check_keys(core, mine, NAME)
    for one in settings.authorizations:
        found.append(await _signer(one.application, key_source(one.issuer, one)))
    for provider in settings.providers:
        found.append(await _signer(provider.issuer, key_source(provider.issuer, provider)))
    for service in [one for one in settings.services if one.may_unwrap]:
        found.append(await _signer(service.url, certs_source(service)))
    failing = {name: said for name, said in (await core.doors.probe(PROBE_SECONDS)).items() if said}
    if failing:
        said = "; ".join(f"{name}: {cause}" for name, cause in failing.items())
        means = "these tokens wrap and unwrap nothing for Google"
        found.append(Check(NAME, "FAIL", said, means, "hyok hsm status; hyok hsm prove"))
    bad = [check for check in found if check.word != "ok"]
    signers = len(settings.authorizations) + len(settings.providers)
    return bad or [Check(NAME, "ok", f"{settings.public_url}: {signers} signers, {len(mine)} keys")]


async def _app(core: Core, settings: KaclsSettings) -> Check:
    app = await core.access_keys.find_app(settings.app)
    if app is None or app.state != "active" or app.grants != {GRANT}:
        said = f"{settings.app} is no app whose only grant is {GRANT}"
        means = "nobody encrypts or opens anything at Google"
        return Check(
            NAME, "FAIL", said, means, f"hyok apps create {settings.app} --grant {GRANT} …"
        )
    return Check(NAME, "ok", settings.app)


def _keys(settings: KaclsSettings, keys: Sequence[DoorKey]) -> Sequence[Check]:
    found = [_key(settings.key, keys, CIPHER, {AES}, "nothing is wrapped or unwrapped")]
    if settings.signing_key:
        means = "nothing is delegated, and no key moves here"
        found.append(_key(settings.signing_key, keys, {Usage.SIGN}, PAIRS, means))
    if settings.private_key:
        means = "no mail is signed or opened"
        found.append(_key(settings.private_key, keys, {Usage.PRIVATE}, {AES}, means))
    return found


def _key(
    name: str,
    keys: Sequence[DoorKey],
    usage: frozenset[Usage] | set[Usage],
    kinds: set[str] | dict[str, int],
    means: str,
) -> Check:
    held = next((key for key in keys if key.name == name), None)
    if held is None:
        return Check(NAME, "FAIL", f"no key {name}", means, f"hyok doors keys create {name} …")
    if held.kind not in kinds or not held.usage >= usage:
        said = f"{name} is {held.kind} for {', '.join(sorted(map(str, held.usage)))}"
        return Check(NAME, "FAIL", said, means, "docs/keyservices/kacls.md")
    if held.state is not KeyState.ACTIVE:
        return Check(NAME, "warn", f"{name} is {held.state}", means, "hyok doors keys list")
    return Check(NAME, "ok", name)


async def _signer(name: str, fetch: Callable[[], Awaitable[bytes]]) -> Check:
    try:
        found = parse_jwks(await fetch())
    except HyokError as error:
        means = "once what is remembered is too old, every token of it is refused"
        step = "doors.kacls: jwks_uri, jwks_file, ca_file"
        return Check(NAME, "warn", f"keys of {name}: {error.cause}", means, step)
    return Check(NAME, "ok", f"{name}: {len(found)} keys")
