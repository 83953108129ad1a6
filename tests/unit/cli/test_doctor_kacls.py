"""`hyok doctor` on the door for Google: each thing that can be wrong is told apart."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.unit.identity import issuer

from hyok.cli.diagnosis import kacls
from hyok.custody.door_key import CIPHER, DoorKey, DoorVersion, Usage
from hyok.custody.key_states import KeyState
from hyok.doors.kacls.config import KaclsSettings
from hyok.errors import Tampered
from hyok.hsm.port import DOOR, DOOR_RSA_SIGN, KekSpec

if TYPE_CHECKING:
    from pathlib import Path

VERSION = DoorVersion(1, KekSpec("hyok-door/t/cse/1", DOOR, b"x"), KeyState.ACTIVE, 0)
CSE = DoorKey(
    *("t", "cse", "intern", frozenset({"google"}), CIPHER, KeyState.ACTIVE, (VERSION,), 1)
)
SIGNS = replace(
    CSE,
    name="teken",
    usage=frozenset({Usage.SIGN}),
    kind="rsa-2048",
    versions=(replace(VERSION, spec=KekSpec("hyok-door/t/teken/1", DOOR_RSA_SIGN, b"y")),),
)
APP = SimpleNamespace(state="active", grants={"use-keys"})


@dataclass
class Core:
    settings_: KaclsSettings
    keys: tuple[DoorKey, ...] = (CSE, SIGNS)
    app: Any = field(default_factory=lambda: APP)
    failing: dict[str, str] = field(default_factory=dict)
    other_key: bool = False

    def __getattr__(self, name: str) -> Any:
        async def answer(value: Any) -> Any:
            return value

        async def check(_: KekSpec) -> None:
            if self.other_key:
                raise Tampered("another key carries this name", code="HY-2106")

        parts = {
            "settings": SimpleNamespace(doors=SimpleNamespace(kacls=self.settings_)),
            "access_keys": SimpleNamespace(find_app=lambda _: answer(self.app)),
            "doors": SimpleNamespace(
                catalog=SimpleNamespace(all=lambda: answer(self.keys)),
                probe=lambda _: answer(self.failing),
            ),
            "hsm": SimpleNamespace(check=check),
        }
        return parts[name]


@pytest.fixture
def settings(tmp_path: Path) -> KaclsSettings:
    keys = tmp_path / "keys.json"
    keys.write_bytes(issuer.key_set(issuer.public_jwk("RS256")))
    signer = {"application": "drive", "issuer": "google", "jwks_file": str(keys)}
    provider = {"issuer": "https://idp.example", "audiences": ["a"], "jwks_file": str(keys)}
    return KaclsSettings.model_validate(
        {
            "enabled": True,
            "public_url": "https://kacls.example/v1",
            "app": "google",
            "key": "cse",
            "signing_key": "teken",
            "authorizations": [signer],
            "providers": [provider],
        }
    )


async def said(core: Core) -> list[tuple[str, str]]:
    return [(check.word, check.said) for check in await kacls.kacls(cast("Any", core))]


async def test_all_is_well(settings: KaclsSettings) -> None:
    assert await said(Core(settings)) == [("ok", "https://kacls.example/v1: 2 signers, 2 keys")]
    assert await said(Core(KaclsSettings())) == []


async def test_each_thing_that_can_be_wrong_is_told_apart(
    settings: KaclsSettings, tmp_path: Path
) -> None:
    suspended = replace(CSE, state=KeyState.SUSPENDED)
    for core, word, text in (
        (Core(settings, app=None), "FAIL", "google is no app"),
        (Core(settings, keys=(SIGNS,)), "FAIL", "no key cse"),
        (Core(settings, keys=(CSE,)), "FAIL", "no key teken"),
        (Core(settings, keys=(replace(CSE, apps=frozenset({"x"})), SIGNS)), "FAIL", "no key cse"),
        (Core(settings, keys=(CSE, replace(CSE, name="teken"))), "FAIL", "teken is aes-256"),
        (Core(settings, keys=(suspended, SIGNS)), "warn", "cse is suspended"),
        (Core(settings, other_key=True), "FAIL", "t/cse version 1"),
        (Core(settings, failing={"hsm-1": "no GCM"}), "FAIL", "hsm-1: no GCM"),
    ):
        found = await said(core)
        assert any(one == word and text in what for one, what in found), (text, found)
    mail = settings.model_copy(update={"private_key": "privaat"})
    assert ("FAIL", "no key privaat") in await said(Core(mail))
    wraps = replace(CSE, name="privaat", usage=frozenset({Usage.PRIVATE}))
    assert (await said(Core(mail, keys=(CSE, SIGNS, wraps))))[0][0] == "ok"
    (tmp_path / "keys.json").write_text(json.dumps({"keys": []}))
    found = await said(Core(settings))
    assert [word for word, _ in found] == ["warn", "warn"]
    assert "drive" in found[0][1]
