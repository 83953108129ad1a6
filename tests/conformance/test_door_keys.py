"""One suite for the keys of doors: software keys, SoftHSM and NSS answer alike."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from hashlib import sha256

import pytest
from tests.conformance.test_hsm import _nss, _softhsm, agents, name_of

from hyok.errors import Conflict, Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.hsm.door_pool import DoorPool
from hyok.hsm.ecdsa import is_signature
from hyok.hsm.pool import TokenSpec
from hyok.hsm.port import BAD_CIPHERTEXT, MANY_MAX, KekSpec
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
    assert plain not in sealed or size < 4  # a short text may stand there by chance
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
async def test_a_key_that_was_destroyed_is_gone_and_others_serve(hsm, name) -> None:
    key = await hsm.create_door_key(name + "/1")
    other = await hsm.create_door_key(name + "/2")
    iv, sealed = await hsm.door_seal(key, b"geheim", DATA, SECONDS)
    wrong = dataclasses.replace(key, check_value=b"another value...."[:16])
    with pytest.raises(Tampered):
        await hsm.destroy_kek(wrong)
    assert await hsm.door_open(key, iv, sealed, DATA, SECONDS) == b"geheim"
    for _ in range(2):  # what is gone is gone
        assert len(await hsm.destroy_kek(key)) == 1
        with pytest.raises(NotFound):
            await hsm.check(key)
    with pytest.raises(NotFound):
        await hsm.door_open(key, iv, sealed, DATA, SECONDS)
    with pytest.raises(NotFound):
        await hsm.door_seal(key, b"x", DATA, SECONDS)
    iv, sealed = await hsm.door_seal(other, b"geheim", DATA, SECONDS)
    assert await hsm.door_open(other, iv, sealed, DATA, SECONDS) == b"geheim"


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


@each
async def test_a_mac_is_hmac_and_a_key_of_its_own_kind(hsm, name) -> None:
    key = await hsm.create_mac_key(name + "/mac")
    other = await hsm.create_mac_key(name + "/mac2")
    await hsm.check(key)
    for data in (b"", b"x", bytes(8192)):
        made = await hsm.door_mac(key, data, SECONDS)
        assert len(made) == 32
        assert made == await hsm.door_mac(key, data, SECONDS)
        assert made != await hsm.door_mac(other, data, SECONDS)
        assert made != await hsm.door_mac(key, data + b"x", SECONDS)
    with pytest.raises(Conflict):
        await hsm.create_mac_key(name + "/mac")
    with pytest.raises(Malformed):
        await hsm.create_mac_key("gemeente/intern/1")
    with pytest.raises(Tampered) as said:
        await hsm.door_mac(dataclasses.replace(key, check_value=bytes(8)), b"x", SECONDS)
    assert said.value.code == "HY-2106"


@each
async def test_a_key_of_one_kind_does_nothing_of_the_other(hsm, name) -> None:
    mac, cipher = await hsm.create_mac_key(name + "/m"), await hsm.create_door_key(name + "/c")
    refused = (Malformed, NotFound, Refused, Tampered, Unavailable)
    with pytest.raises(refused):
        await hsm.door_seal(dataclasses.replace(cipher, kek_id=mac.kek_id), b"x", DATA, SECONDS)
    with pytest.raises(refused):
        await hsm.door_mac(dataclasses.replace(mac, kek_id=cipher.kek_id), b"x", SECONDS)
    assert await hsm.door_mac(mac, b"x", SECONDS)


@each
async def test_random_bytes_come_as_many_as_asked_for(hsm) -> None:
    found = [await hsm.door_random(size, SECONDS) for size in (1, 32, 32, 4096)]
    assert [len(one) for one in found] == [1, 32, 32, 4096]
    assert found[1] != found[2]


@on_softhsm
async def test_no_kek_is_reached_by_the_verb_for_macs(kind, agents, name) -> None:
    socket = agents(kind).socket_path
    probe = await asyncio.to_thread(
        ask, socket, Verb.DOOR_MAC, SECONDS, (b"gemeente/intern/1", b"x")
    )
    assert probe.outcome is Outcome.MALFORMED
    too_many = await asyncio.to_thread(
        ask, socket, Verb.DOOR_RANDOM, SECONDS, ((5000).to_bytes(2, "big"),)
    )
    assert too_many.outcome is Outcome.MALFORMED
    answer = await asyncio.to_thread(
        ask, socket, Verb.HMAC, SECONDS, (name.encode(), b"scope", bytes(32))
    )
    assert answer.outcome is Outcome.MALFORMED


@each
async def test_a_signature_is_that_of_the_pinned_public_key(hsm, name) -> None:
    key = await hsm.create_sign_key(name + "/s")
    other = await hsm.create_sign_key(name + "/o")
    await hsm.check(key)
    digest = sha256(b"bericht").digest()
    made = await hsm.door_sign(key, digest, SECONDS)
    assert is_signature(key.public_key, digest, made)
    assert not is_signature(other.public_key, digest, made)
    assert not is_signature(key.public_key, sha256(b"ander").digest(), made)
    with pytest.raises(Conflict):
        await hsm.create_sign_key(name + "/s")
    with pytest.raises(Malformed):
        await hsm.create_sign_key("hyok-audit/x")
    swapped = dataclasses.replace(key, public_key=other.public_key, check_value=other.check_value)
    nothing = dataclasses.replace(key, check_value=b"")
    for wrong in (swapped, nothing):
        with pytest.raises(Tampered) as said:
            await hsm.door_sign(wrong, digest, SECONDS)
        assert said.value.code == "HY-2106"


@on_softhsm
async def test_no_key_of_the_audit_log_signs_a_digest_that_somebody_sends(kind, agents) -> None:
    socket = agents(kind).socket_path
    made = await asyncio.to_thread(
        ask, socket, Verb.CREATE_SIGNING, SECONDS, (b"hyok-audit/door-test",)
    )
    assert made.outcome in {Outcome.DONE, Outcome.CONFLICT}
    for name in (b"hyok-audit/door-test", b"gemeente/intern/1"):
        asked = await asyncio.to_thread(ask, socket, Verb.DOOR_SIGN, SECONDS, (name, bytes(32)))
        assert asked.outcome is Outcome.MALFORMED
    short = (DOOR_PREFIX.encode() + b"x", b"no digest")
    asked = await asyncio.to_thread(ask, socket, Verb.DOOR_SIGN, SECONDS, short)
    assert asked.outcome is Outcome.MALFORMED


@each
async def test_many_values_are_what_so_many_single_ones_are(hsm, name) -> None:
    key = await hsm.create_door_key(name)
    plains = [secrets.token_bytes(32) for _ in range(MANY_MAX)]
    sealed = await hsm.door_seal_many(key, plains, SECONDS)
    assert len({iv for iv, _ in sealed}) == MANY_MAX
    assert [len(whole) for _, whole in sealed] == [32 + 16] * MANY_MAX
    assert list(await hsm.door_open_many(key, sealed, SECONDS)) == plains
    iv, whole = sealed[5]
    assert await hsm.door_open(key, iv, whole, b"", SECONDS) == plains[5]
    single = await hsm.door_seal(key, b"x" * 32, b"", SECONDS)
    assert list(await hsm.door_open_many(key, [single], SECONDS)) == [b"x" * 32]
    assert list(await hsm.door_seal_many(key, [], SECONDS)) == []
    assert list(await hsm.door_open_many(key, [], SECONDS)) == []


@each
async def test_one_of_many_that_does_not_open_refuses_all(hsm, name) -> None:
    key = await hsm.create_door_key(name)
    sealed = list(await hsm.door_seal_many(key, [b"a" * 32, b"b" * 32, b"c" * 32], SECONDS))
    beside = await hsm.door_seal(key, b"d" * 32, DATA, SECONDS)
    iv, whole = sealed[1]
    for bad in ((iv, whole[:-1] + bytes([whole[-1] ^ 1])), (bytes(12), whole), beside):
        with pytest.raises(Tampered) as caught:
            await hsm.door_open_many(key, [sealed[0], bad, sealed[2]], SECONDS)
        assert caught.value.reason == BAD_CIPHERTEXT
    assert len(await hsm.door_open_many(key, sealed, SECONDS)) == 3


@each
async def test_many_macs_are_what_so_many_single_ones_are(hsm, name) -> None:
    key = await hsm.create_mac_key(name)
    texts = [secrets.token_bytes(size) for size in (0, 1, 64, 1000)]
    made = list(await hsm.door_mac_many(key, texts, SECONDS))
    assert made == [await hsm.door_mac(key, text, SECONDS) for text in texts]
    with pytest.raises(NotFound):
        await hsm.door_mac_many(dataclasses.replace(key, kek_id=name + "x"), texts, SECONDS)


@on_softhsm
async def test_an_agent_takes_no_iv_without_its_ciphertext(agents, name, kind) -> None:
    socket = agents(kind).socket_path
    for fields in ((name.encode(), bytes(12)), ()):
        assert ask(socket, Verb.DOOR_OPEN_MANY, SECONDS, fields).outcome is Outcome.MALFORMED
