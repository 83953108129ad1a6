"""One suite for the keys of doors: software keys, SoftHSM and NSS answer alike."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets

import pytest
from tests.conformance.test_hsm import _nss, _softhsm, agents, name_of

from hyok.errors import Conflict, Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.hsm.door_pool import DoorPool
from hyok.hsm.pool import TokenSpec
from hyok.hsm.port import BAD_CIPHERTEXT, KekSpec
from hyok.hsm.software import SoftwareHsm
from hyok.hsm.supervise import ask
from hyok.hsm.wire import DOOR_PREFIX, Outcome, Verb

__all__ = ["agents"]

SECONDS = 5.0
DATA = b"\x00\x03aad\x02v1"

each = pytest.mark.parametrize(
    "kind",
    [
        pytest.param("software", id="software"),
        pytest.param("softhsm", id="softhsm", marks=_softhsm),
        pytest.param("nss", id="nss", marks=_nss),
    ],
)
on_softhsm = pytest.mark.parametrize(
    "kind", [pytest.param("softhsm", id="softhsm", marks=_softhsm)]
)


@pytest.fixture
async def hsm(kind, agents, tmp_path):
    if kind == "software":
        made = SoftwareHsm(tmp_path / "keys.json")
    else:
        spec = agents(kind)
        made = DoorPool([TokenSpec(spec.name, spec.socket_path)])
    yield made
    await made.close()


@pytest.fixture
def name(request) -> str:
    return DOOR_PREFIX + name_of(request)


@each
@pytest.mark.parametrize("size", [1, 16, 4300])
async def test_what_was_sealed_opens_with_the_same_data_alone(hsm, name, size) -> None:
    key = await hsm.create_door_key(name)
    plain = secrets.token_bytes(size)
    data = DATA + bytes(8192)
    iv, sealed = await hsm.door_seal(key, plain, data, SECONDS)
    assert len(iv) == 12
    assert len(sealed) == size + 16
    assert plain not in sealed
    assert await hsm.door_open(key, iv, sealed, data, SECONDS) == plain
    wrong = [
        (iv, sealed, data[:-1]),
        (iv, sealed, b""),
        (bytes(12), sealed, data),
        (iv, sealed[:-1] + bytes([sealed[-1] ^ 1]), data),
        (iv, bytes([sealed[0] ^ 1]) + sealed[1:], data),
    ]
    for bad in wrong:
        with pytest.raises(Tampered) as said:
            await hsm.door_open(key, *bad, SECONDS)
        assert said.value.reason == BAD_CIPHERTEXT
    assert await hsm.door_open(key, iv, sealed, data, SECONDS) == plain


@each
async def test_no_iv_comes_twice(hsm, name) -> None:
    key = await hsm.create_door_key(name)
    made = [await hsm.door_seal(key, b"x", DATA, SECONDS) for _ in range(50)]
    assert len({iv for iv, _ in made}) == 50


@each
async def test_a_key_opens_nothing_of_another(hsm, name) -> None:
    key = await hsm.create_door_key(name + "/1")
    other = await hsm.create_door_key(name + "/2")
    iv, sealed = await hsm.door_seal(key, b"geheim", DATA, SECONDS)
    with pytest.raises(Tampered):
        await hsm.door_open(other, iv, sealed, DATA, SECONDS)


@each
async def test_another_key_of_the_same_name_is_not_used(hsm, name) -> None:
    key = await hsm.create_door_key(name)
    await hsm.check(key)
    for wrong in (b"", b"another value...."[:16]):
        spec = dataclasses.replace(key, check_value=wrong)
        with pytest.raises(Tampered) as said:
            await hsm.door_seal(spec, b"x", DATA, SECONDS)
        assert said.value.code == "HY-2106"
    damaged = dataclasses.replace(key, check_token=key.check_token[:-1] + b"\0")
    with pytest.raises(Tampered):
        await hsm.check(damaged)


@each
async def test_names_are_kept_apart(hsm, name) -> None:
    key = await hsm.create_door_key(name)
    with pytest.raises(Conflict):
        await hsm.create_door_key(name)
    with pytest.raises(Malformed):
        await hsm.create_door_key("gemeente/intern/1")
    with pytest.raises(NotFound):
        await hsm.door_seal(dataclasses.replace(key, kek_id=name + "x"), b"x", DATA, SECONDS)


@each
async def test_no_kek_serves_a_door(hsm, name) -> None:
    kek = await hsm.create_kek(name.removeprefix(DOOR_PREFIX), 1)
    door = dataclasses.replace(kek, profile=0, check_token=bytes(44))
    with pytest.raises((Malformed, NotFound)):
        await hsm.door_seal(door, b"x", DATA, SECONDS)


@on_softhsm
@pytest.mark.parametrize(
    ("verb", "fields"),
    [
        (Verb.HMAC, (b"%s", b"", bytes(32))),
        (Verb.HMAC_CHECK, (b"%s",)),
        (Verb.SEAL, (b"\x02", b"%s", b"")),
        (Verb.OPEN, (b"\x02", b"%s", b"", bytes(60))),
        (Verb.OPEN_TRUSTED, (b"\x02", b"%s", b"", bytes(60))),
        (Verb.CREATE, (b"\x02", b"%s")),
        (Verb.SAME_KEY, (b"\x02", b"%s", b"%s")),
    ],
)
async def test_the_agent_puts_no_door_key_to_what_a_kek_is_for(
    hsm, name, agents, verb, fields
) -> None:
    await hsm.create_door_key(name)
    filled = tuple(name.encode() if field == b"%s" else field for field in fields)
    answer = await asyncio.to_thread(ask, agents("softhsm").socket_path, verb, SECONDS, filled)
    assert answer.outcome is Outcome.MALFORMED


@on_softhsm
@pytest.mark.parametrize("verb", [Verb.DOOR_SEAL, Verb.DOOR_OPEN, Verb.DOOR_CHECK])
async def test_the_agent_puts_no_kek_to_what_a_door_is_for(hsm, name, agents, verb) -> None:
    kek = await hsm.create_kek(name.removeprefix(DOOR_PREFIX) + str(int(verb)), 2)
    more = {Verb.DOOR_SEAL: (b"x", b""), Verb.DOOR_OPEN: (bytes(12), bytes(17), b"")}
    fields = (kek.kek_id.encode(), *more.get(verb, (bytes(44),)))
    answer = await asyncio.to_thread(ask, agents("softhsm").socket_path, verb, SECONDS, fields)
    assert answer.outcome is Outcome.MALFORMED


@each
async def test_every_token_passes_the_trial(hsm) -> None:
    assert list((await hsm.probe_doors(SECONDS)).values()) == [""]


@on_softhsm
async def test_the_trial_shows_a_known_answer_here(hsm, agents) -> None:
    answer = await asyncio.to_thread(ask, agents("softhsm").socket_path, Verb.DOOR_PROBE, SECONDS)
    assert answer.fields == (b"known-answer",)


async def test_an_agent_that_is_away_answers_within_the_time_given(tmp_path) -> None:
    pool = DoorPool([TokenSpec("a", str(tmp_path / "none.sock"))])
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises((Unavailable, Refused)):
        await pool.door_seal(KekSpec(DOOR_PREFIX + "t/k/1", 0, b"x"), b"x", DATA, 0.2)
    assert loop.time() - began < 1.0
    await pool.close()


async def test_software_keys_outlive_the_process(tmp_path) -> None:
    first = SoftwareHsm(tmp_path / "keys.json")
    key = await first.create_door_key(DOOR_PREFIX + "t/k/1")
    iv, sealed = await first.door_seal(key, b"geheim", DATA, SECONDS)
    again = SoftwareHsm(tmp_path / "keys.json")
    assert await again.door_open(key, iv, sealed, DATA, SECONDS) == b"geheim"
