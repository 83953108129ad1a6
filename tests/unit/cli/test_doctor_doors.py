"""`hyok doctor` about AWS's door: what would keep KMS from an answer is told before KMS asks."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import trustme
from tests.unit.doors.house import NOW_MS, key_store
from tests.unit.identity import issuer

from hyok.cli.diagnosis import doors
from hyok.custody.door_key import USES_MAX
from hyok.custody.key_states import KeyState
from hyok.doors.config import DoorSettings
from hyok.doors.dke.config import DkeSettings
from hyok.doors.xks.config import XksSettings, XksStoreSettings
from hyok.identity.apps import App

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.unit.doors.house import KeyStore

    from hyok.cli.diagnosis.check import Check
    from hyok.settings import Settings
    from hyok.wiring import Core


@pytest.fixture
async def aws(tmp_path: Path) -> AsyncIterator[KeyStore]:
    async with key_store(tmp_path) as made:
        yield made


def settings_of(app: str = "aws-kms", **more: Any) -> Settings:
    store = XksStoreSettings(prefix="/gemeente", app=app, regions=("eu-central-1",))
    xks = XksSettings(**({"enabled": True, "stores": (store,)} | more))
    return cast("Settings", SimpleNamespace(doors=DoorSettings(xks=xks)))


async def look(aws: KeyStore, settings: Settings | None = None) -> list[Check]:
    core = SimpleNamespace(
        settings=settings or settings_of(),
        doors=aws.custody,
        access_keys=aws.keys,
        hsm=aws.hsm,
    )
    return list(await doors.xks(cast("Core", core), NOW_MS))


async def test_a_door_that_serves_is_well(aws: KeyStore) -> None:
    (found,) = await look(aws)
    assert (found.word, found.said) == ("ok", "1 key stores, 1 keys")


async def test_a_door_that_is_off_is_not_looked_at(aws: KeyStore) -> None:
    off = settings_of(enabled=False)
    assert not await look(aws, off)
    assert not doors.certificate(off, NOW_MS)


async def test_what_keeps_a_key_store_from_answering(aws: KeyStore) -> None:
    (found,) = await look(aws, settings_of("weg"))
    assert found.word == "FAIL"
    assert "weg is no app" in found.said
    await aws.keys.create_app(App("lezer", "t", 50, frozenset({"read", "use-keys"})))
    (found,) = await look(aws, settings_of("lezer"))
    assert "only grant" in found.said
    (found,) = await look(aws, settings_of("ander"))
    assert (found.word, "no live access key" in found.said) == ("FAIL", True)
    await aws.keys.create_key("ander")
    (found,) = await look(aws, settings_of("ander"))
    assert (found.word, "it has no key" in found.said) == ("warn", True)


async def test_a_key_that_the_hsm_does_not_have_is_named(aws: KeyStore) -> None:
    await aws.make("kms", version=2)
    held = aws.hsm._doors.pop("hyok-door/t/kms/1")
    (found,) = await look(aws)
    assert found.word == "FAIL"
    assert found.said.startswith("t/kms version 1")
    aws.hsm._doors["hyok-door/t/kms/1"] = bytes(32)  # another key of its name
    assert [one.word for one in await look(aws)] == ["FAIL"]
    aws.hsm._doors["hyok-door/t/kms/1"] = held
    assert [one.word for one in await look(aws)] == ["ok"]
    await aws.catalog.end("t", "kms", [1])  # what ended is not missed
    del aws.hsm._doors["hyok-door/t/kms/1"]
    assert [one.word for one in await look(aws)] == ["ok"]
    await aws.catalog.change_state("t", "kms", KeyState.SUSPENDED)
    await aws.catalog.end("t", "kms", [1, 2])
    aws.hsm._doors.clear()
    assert [one.word for one in await look(aws)] == ["ok"]


async def test_a_key_that_is_nearly_used_up_is_told(
    aws: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await aws.catalog.named("t", "kms")

    async def with_uses(share: float) -> list[Check]:
        used = replace(key.newest, uses=int(share * USES_MAX))

        async def every() -> list[object]:
            return [replace(key, versions=(used,))]

        monkeypatch.setattr(aws.catalog, "all", every)
        return await look(aws)

    assert [one.word for one in await with_uses(0.89)] == ["ok"]
    (found,) = await with_uses(0.91)
    assert found.word == "warn"
    assert "rotate kms" in found.next_step


async def test_a_token_that_does_no_gcm_is_told(
    aws: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def probe(_seconds: float) -> Mapping[str, str]:
        return {"a": "", "b": "it answers wrongly"}

    monkeypatch.setattr(aws.hsm, "probe_doors", probe)
    (found,) = await look(aws)
    assert (found.word, found.said) == ("FAIL", "b: it answers wrongly")


def test_a_certificate_is_judged_and_open_doors_are_told(tmp_path: Path) -> None:
    ends = datetime(2030, 1, 1, tzinfo=UTC)
    certificate = trustme.CA().issue_cert("xks.example.nl", not_after=ends)
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "xks.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "xks.key")
    files: dict[str, Any] = {
        "tls_certificate": tmp_path / "xks.pem",
        "tls_key": tmp_path / "xks.key",
    }
    # A signature alone says who calls; a certificate of KMS is a second lock.
    open_door = doors.certificate(settings_of(**files), NOW_MS)
    assert [one.name for one in open_door] == ["door xks certificate", "door xks clients"]
    assert open_door[1].word == "warn"
    shut = settings_of(**files, client_ca=tmp_path / "xks.pem", client_names=("kms",))
    assert [one.name for one in doors.certificate(shut, NOW_MS)] == ["door xks certificate"]
    ended_ms = int(ends.timestamp() * 1000) + 1
    assert doors.certificate(shut, ended_ms)[0].word == "FAIL"


def test_a_port_that_nobody_listens_at_is_told() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert doors.listening(settings_of(port=port), "xks").word == "FAIL"
        listener.listen()
        assert doors.listening(settings_of(port=port, host="0.0.0.0"), "xks").word == "ok"


async def look_at_dke(aws: KeyStore, **more: Any) -> list[Check]:
    label = {
        "name": "geheim-2026",
        "label": "Geheim",
        "classification": "vertrouwelijk",
        "people": ["@gemeente.example"],
    } | more.pop("label", {})
    wanted = {
        "enabled": True,
        "public_url": "https://dke.gemeente.example",
        "app": "aws-kms",
        "tenants": [{"id": "11111111-2222-4333-8444-555555555555", "jwks_file": more["keys"]}],
        "keys": [label],
    }
    dke = DkeSettings.model_validate(wanted | more.pop("settings", {}))
    core = SimpleNamespace(
        settings=SimpleNamespace(doors=SimpleNamespace(dke=dke)),
        doors=aws.custody,
        access_keys=aws.keys,
        hsm=aws.hsm,
    )
    return list(await doors.dke(cast("Core", core)))


async def test_what_keeps_office_from_opening(aws: KeyStore, tmp_path: Path) -> None:
    published = tmp_path / "keys.json"
    published.write_bytes(issuer.key_set(issuer.public_jwk("RS256")))
    assert not await look_at_dke(aws, keys=published, settings={"enabled": False})
    (found,) = await look_at_dke(aws, keys=published)
    assert (found.word, "no pair geheim-2026" in found.said) == ("FAIL", True)
    await aws.make("geheim-2026", kind="rsa-2048")
    (found,) = await look_at_dke(aws, keys=published)
    assert (found.word, found.said) == ("ok", "1 labels, 1 keys")
    (found,) = await look_at_dke(aws, keys=published, label={"classification": "geheim"})
    assert (found.word, "its key is for vertrouwelijk" in found.said) == ("FAIL", True)
    found, other = await look_at_dke(aws, keys=published, settings={"app": "weg"})
    assert (found.word, "weg is no app" in found.said) == ("FAIL", True)
    assert other.word == "FAIL"
    published.write_text("[]")
    (found,) = await look_at_dke(aws, keys=published)
    assert (found.word, found.said.startswith("keys of 1111")) == ("warn", True)
    published.write_bytes(issuer.key_set(issuer.public_jwk("RS256")))
    await aws.catalog.change_state("t", "geheim-2026", KeyState.SUSPENDED)
    (found,) = await look_at_dke(aws, keys=published)
    assert (found.word, "suspended" in found.said) == ("warn", True)
    await aws.catalog.change_state("t", "geheim-2026", KeyState.ACTIVE)
    del aws.hsm._doors["hyok-door/t/geheim-2026/1"]
    (found,) = await look_at_dke(aws, keys=published)
    assert (found.word, "geheim-2026 version 1" in found.said) == ("FAIL", True)
