"""One suite for the port `Hsm`: software keys, the fake, SoftHSM and NSS answer alike.

SoftHSM carries profiles 1 to 3 (it knows RSA-OAEP with SHA-1 only), NSS all four.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import zlib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.fakes.hsm_tokens import HAS_NSS, HAS_SOFTHSM, PIN, nss, softhsm
from tests.fakes.memory_hsm import MemoryHsm

from hyok.envelope.profiles import hmac_input
from hyok.errors import Conflict, Malformed, NotFound, Refused, Tampered
from hyok.hsm.pool import HsmPool, TokenSpec
from hyok.hsm.software import SoftwareHsm
from hyok.hsm.supervise import AgentSpec, AgentSupervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from hyok.hsm.port import Hsm

SCOPE = "bucket:personeel"
_integration = pytest.mark.integration
_softhsm = [_integration, pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here")]
_nss = [_integration, pytest.mark.skipif(not HAS_NSS, reason="no NSS tools here")]


@pytest.fixture(scope="module")
def agents() -> Iterator[Callable[[str], AgentSpec]]:
    """Start each real token's agent once, when it is first asked for."""
    # A Unix socket's path has at most 107 bytes, which pytest's own folders can exceed.
    with tempfile.TemporaryDirectory(prefix="hsm-") as folder:
        running: dict[str, tuple[AgentSpec, AgentSupervisor]] = {}

        def of(kind: str) -> AgentSpec:
            if kind not in running:
                spec = {"softhsm": softhsm, "nss": nss}[kind](Path(folder))
                supervisor = AgentSupervisor([spec])
                supervisor.start()
                running[kind] = (spec, supervisor)
                supervisor.wait_ready()
            return running[kind][0]

        yield of
        for _, supervisor in running.values():
            supervisor.stop()


@pytest.fixture
def opened(kind: str, agents: Callable[[str], AgentSpec], tmp_path: Path) -> Callable[[], object]:
    @asynccontextmanager
    async def open_hsm() -> AsyncIterator[Hsm]:
        hsm: Hsm
        if kind == "software":
            hsm = SoftwareHsm(tmp_path / "keys.json")
        elif kind == "memory":
            hsm = MemoryHsm()
        else:
            spec = agents(kind)
            hsm = HsmPool([TokenSpec(spec.name, spec.socket_path)])
        try:
            yield hsm
        finally:
            await hsm.close()

    return open_hsm


_KINDS = [
    pytest.param("software", id="software"),
    pytest.param("memory", id="memory"),
    pytest.param("softhsm", id="softhsm", marks=_softhsm),
    pytest.param("nss", id="nss", marks=_nss),
]
_CARRIED = {
    "software": (1, 2, 3, 4),
    "memory": (1, 2, 3, 4),
    "softhsm": (1, 2, 3),
    "nss": (1, 2, 3, 4),
}
_EACH = [
    pytest.param(kind.values[0], profile, id=f"{kind.values[0]}-{profile}", marks=kind.marks)
    for kind in _KINDS
    for profile in _CARRIED[kind.values[0]]
]
each = pytest.mark.parametrize(("kind", "profile"), _EACH)
each_opening = pytest.mark.parametrize(
    ("kind", "profile"), [case for case in _EACH if case.values[1] != 1]
)
each_kind = pytest.mark.parametrize("kind", _KINDS)


def name_of(request: pytest.FixtureRequest) -> str:
    """Return a KEK name that no other test uses: the tokens live for the whole module."""
    return f"t1/{zlib.crc32(request.node.name.encode()):08x}"


@each
async def test_a_token_gives_its_secret_again(opened, profile, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request), profile)
        token, secret = await hsm.new_token(kek, SCOPE)
        assert len(secret) == 32
        assert await hsm.secret(kek, SCOPE, token) == secret
        assert await hsm.secret(kek, SCOPE, token) == secret


@each
async def test_no_two_tokens_and_no_two_secrets_are_alike(opened, profile, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request), profile)
        made = [await hsm.new_token(kek, SCOPE) for _ in range(5)]
        assert len({token for token, _ in made}) == len({secret for _, secret in made}) == 5


@each
async def test_another_scope_never_has_the_same_secret(opened, profile, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request), profile)
        token, secret = await hsm.new_token(kek, SCOPE)
        try:
            other = await hsm.secret(kek, "bucket:other", token)
        except Tampered:
            return
        assert other != secret


@each
async def test_a_key_that_answers_its_check_value_passes(opened, profile, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request), profile)
        assert len(kek.check_value) == 8
        await hsm.check(kek)


@each
@pytest.mark.parametrize("value", [b"", b"12345678"], ids=["none", "wrong"])
async def test_a_key_with_another_check_value_is_not_used(opened, profile, value, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request), profile)
        token, _ = await hsm.new_token(kek, SCOPE)
        wrong = dataclasses.replace(kek, check_value=value)
        with pytest.raises(Tampered):
            await hsm.check(wrong)
        with pytest.raises(Tampered):
            await hsm.secret(wrong, SCOPE, token)
        with pytest.raises(Tampered):
            await hsm.new_token(wrong, SCOPE)
        # and the right one is none the worse for it
        await hsm.check(kek)


@each
async def test_an_unknown_key_is_not_found(opened, profile, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request), profile)
        token, _ = await hsm.new_token(kek, SCOPE)
        absent = dataclasses.replace(kek, kek_id="t1/absent")
        for call in (hsm.check(absent), hsm.secret(absent, SCOPE, token)):
            with pytest.raises(NotFound) as caught:
                await call
            assert caught.value.code == "HY-2103"


@each
async def test_a_name_is_given_once(opened, profile, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request), profile)
        with pytest.raises(Conflict):
            await hsm.create_kek(kek.kek_id, profile)
        await hsm.check(kek)


@each_opening
async def test_a_token_with_a_flipped_bit_does_not_open(opened, profile, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request), profile)
        token, secret = await hsm.new_token(kek, SCOPE)
        for place in (-1, len(token) // 2):
            bad = bytearray(token)
            bad[place] ^= 1
            with pytest.raises(Tampered):
                await hsm.secret(kek, SCOPE, bytes(bad))
        assert await hsm.secret(kek, SCOPE, token) == secret


@each
async def test_a_token_of_another_form_is_refused_unasked(opened, profile, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request), profile)
        token, _ = await hsm.new_token(kek, SCOPE)
        for bad in (b"", token[:31]):
            with pytest.raises(Malformed):
                await hsm.secret(kek, SCOPE, bad)


@each
async def test_one_kek_never_opens_the_tokens_of_another(opened, profile, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request) + "/1", profile)
        other = await hsm.create_kek(name_of(request) + "/2", profile)
        token, secret = await hsm.new_token(kek, SCOPE)
        try:
            wrong = await hsm.secret(other, SCOPE, token)
        except Tampered:
            return
        assert wrong != secret


@each
async def test_two_keys_are_not_one_and_one_is_itself(opened, profile, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request) + "/1", profile)
        other = await hsm.create_kek(name_of(request) + "/2", profile)
        assert await hsm.is_same_key(kek, kek)
        assert not await hsm.is_same_key(kek, other)


@each
async def test_a_destroyed_key_is_gone_for_good_and_others_are_not(
    opened, profile, request
) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request) + "/1", profile)
        other = await hsm.create_kek(name_of(request) + "/2", profile)
        token, _ = await hsm.new_token(kek, SCOPE)
        with pytest.raises(Tampered):
            await hsm.destroy_kek(dataclasses.replace(kek, check_value=b"12345678"))
        await hsm.check(kek)
        assert await hsm.destroy_kek(kek)
        for _ in range(2):
            for call in (hsm.check(kek), hsm.secret(kek, SCOPE, token)):
                with pytest.raises(NotFound):
                    await call
            assert await hsm.destroy_kek(kek)  # again: nothing is left to do
        await hsm.check(other)
        assert len((await hsm.new_token(other, SCOPE))[1]) == 32


@each
async def test_many_callers_at_once_each_get_their_own_answer(opened, profile, request) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek(name_of(request), profile)
        count = 4 if profile == 4 else 16
        made = [await hsm.new_token(kek, f"subject:{i}") for i in range(count)]

        async def caller(first: int) -> None:
            for step in range(count):
                at = (first + step) % count
                token, secret = made[at]
                assert await hsm.secret(kek, f"subject:{at}", token) == secret

        await asyncio.gather(*(caller(first) for first in range(8)))


@each_kind
async def test_find_keks_lists_those_of_profile_1_alone(opened, request) -> None:
    async with opened() as hsm:
        hmac_kek = await hsm.create_kek(name_of(request) + "/h", 1)
        await hsm.create_kek(name_of(request) + "/g", 2)
        found = {kek.kek_id: kek for kek in await hsm.find_keks()}
        assert found[hmac_kek.kek_id] == hmac_kek
        assert name_of(request) + "/g" not in found


@each_kind
@pytest.mark.parametrize("kek_id", ["", "k" * 65, "é" * 33])
async def test_a_kek_id_has_1_to_64_bytes(opened, kek_id) -> None:
    async with opened() as hsm:
        with pytest.raises(Malformed):
            await hsm.create_kek(kek_id, 1)


@each_kind
async def test_a_kek_id_and_a_scope_may_be_any_text(opened) -> None:
    async with opened() as hsm:
        kek = await hsm.create_kek("gemeente/ë/☂", 1)
        token, secret = await hsm.new_token(kek, "subject:☂")
        assert await hsm.secret(kek, "subject:☂", token) == secret
        assert kek in await hsm.find_keks()


@each_kind
async def test_health_names_every_token(opened) -> None:
    async with opened() as hsm:
        await hsm.find_keks()
        (health,) = await hsm.health()
        assert health.healthy
        assert health.token


@pytest.mark.parametrize("profile", [1, 2, 3, 4])
async def test_software_keys_survive_in_their_file_for_their_owner_alone(
    tmp_path: Path, profile: int
) -> None:
    path = tmp_path / "keys.json"
    first = SoftwareHsm(path)
    kek = await first.create_kek("t1/kept", profile)
    token, secret = await first.new_token(kek, SCOPE)
    assert await SoftwareHsm(path).secret(kek, SCOPE, token) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert "NOT for production" in path.read_text()


@pytest.mark.integration
@pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here")
async def test_a_profile_that_is_not_switched_on_is_refused(agents) -> None:
    spec = agents("softhsm")
    pool = HsmPool([TokenSpec(spec.name, spec.socket_path)])
    with pytest.raises(Refused):
        await pool.create_kek("t1/rsa", 4)
    assert (await pool.health())[0].healthy
    await pool.close()


_WITNESS = """
import json, sys
import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
module, token, pin, kek_id, data = sys.argv[1:]
session = pkcs11.lib(module).get_token(token_label=token).open(user_pin=pin)
key = session.get_key(object_class=ObjectClass.SECRET_KEY, label=kek_id)
flags = {
    name: key[getattr(Attribute, name)]
    for name in ("TOKEN", "PRIVATE", "SENSITIVE", "EXTRACTABLE", "MODIFIABLE", "SIGN", "VERIFY",
                 "ENCRYPT", "DECRYPT", "WRAP", "UNWRAP", "DERIVE", "NEVER_EXTRACTABLE", "LOCAL")
}
try:
    key[Attribute.VALUE]
    flags["readable"] = True
except pkcs11.exceptions.AttributeSensitive:
    flags["readable"] = False
answer = key.sign(bytes.fromhex(data), mechanism=Mechanism.SHA256_HMAC).hex()
print(json.dumps([answer, flags]))
"""


@pytest.mark.integration
@pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here")
async def test_another_client_library_gets_the_same_secret_and_sees_a_guarded_key(agents) -> None:
    pytest.importorskip("pkcs11")
    spec = agents("softhsm")
    pool = HsmPool([TokenSpec(spec.name, spec.socket_path)])
    kek = await pool.create_kek("t1/witness", 1)
    token, secret = await pool.new_token(kek, SCOPE)
    await pool.close()
    seen = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _WITNESS,
        spec.module,
        spec.token_label,
        PIN,
        kek.kek_id,
        hmac_input(token, kek.kek_id, SCOPE).hex(),
        env={**os.environ, **spec.environment},
        stdout=subprocess.PIPE,
    )
    out, _ = await seen.communicate()
    answer, flags = json.loads(out)
    assert bytes.fromhex(answer) == secret
    true = {"TOKEN", "PRIVATE", "SENSITIVE", "SIGN", "NEVER_EXTRACTABLE", "LOCAL"}
    assert {name for name, value in flags.items() if value} == true
