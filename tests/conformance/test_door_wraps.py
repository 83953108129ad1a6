"""One suite for keys that wrap: software keys, SoftHSM and NSS answer as the RFCs say."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import secrets
import statistics
import time
from hashlib import sha1

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.keywrap import aes_key_wrap, aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_public_key
from tests.conformance.test_hsm import _nss, _softhsm, agents, name_of

from hyok.errors import Conflict, Malformed, NotFound, Refused, Tampered
from hyok.hsm import oaep
from hyok.hsm.pool import TokenSpec
from hyok.hsm.port import BAD_CIPHERTEXT
from hyok.hsm.software import SoftwareHsm
from hyok.hsm.supervise import ask
from hyok.hsm.wire import DOOR_PREFIX, Outcome, Verb
from hyok.hsm.wrap_pool import WrapPool

__all__ = ["agents"]

SECONDS = 10.0

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
both = pytest.mark.parametrize("padded", [False, True], ids=["kw", "kwp"])


@pytest.fixture
async def hsm(kind, agents, tmp_path):
    if kind == "software":
        made = SoftwareHsm(tmp_path / "keys.json")
    else:
        spec = agents(kind)
        made = WrapPool([TokenSpec(spec.name, spec.socket_path)])
    yield made
    await made.close()


@pytest.fixture
def name(request) -> str:
    return DOOR_PREFIX + name_of(request)


@each
@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 20, 24, 32, 40, 64, 100, 1024])
async def test_what_was_wrapped_unwraps_whatever_its_length(hsm, name, size) -> None:
    key = await hsm.create_wrap_key(name)
    value = secrets.token_bytes(size)
    wrapped = await hsm.door_wrap(key, value, SECONDS, padded=True)
    assert len(wrapped) == 8 + 8 * -(-size // 8)
    assert value not in wrapped or size < 4
    assert await hsm.door_unwrap(key, wrapped, SECONDS, padded=True) == value
    assert await hsm.door_wrap(key, value, SECONDS, padded=True) == wrapped
    if size % 8 or size < 16:
        with pytest.raises(Malformed):
            await hsm.door_wrap(key, value, SECONDS, padded=False)
        return
    plain = await hsm.door_wrap(key, value, SECONDS, padded=False)
    assert plain != wrapped
    assert await hsm.door_unwrap(key, plain, SECONDS, padded=False) == value
    with pytest.raises(Tampered):
        await hsm.door_unwrap(key, plain, SECONDS, padded=True)
    with pytest.raises(Tampered):
        await hsm.door_unwrap(key, wrapped, SECONDS, padded=False)


@each
@both
async def test_whatever_does_not_unwrap_is_answered_alike(hsm, name, padded) -> None:
    key = await hsm.create_wrap_key(name)
    value = secrets.token_bytes(32)
    good = await hsm.door_wrap(key, value, SECONDS, padded=padded)
    other = await hsm.create_wrap_key(name + "x")
    theirs = await hsm.door_wrap(other, value, SECONDS, padded=padded)
    bad = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(0, len(good), 3)]
    bad += [theirs, good[:-1], good + bytes(1), good[:-8], good + bytes(8), b"", bytes(8)]
    bad += [bytes(16), bytes(24), bytes(40), b"\xff" * 40, bytes(2048)]
    for wrapped in bad:
        with pytest.raises(Tampered) as said:
            await hsm.door_unwrap(key, wrapped, SECONDS, padded=padded)
        assert (said.value.reason, said.value.code) == (BAD_CIPHERTEXT, "HY-2607"), wrapped.hex()
    assert await hsm.door_unwrap(key, good, SECONDS, padded=padded) == value


@each
async def test_names_and_sorts_are_kept_apart(hsm, name) -> None:
    key = await hsm.create_wrap_key(name)
    with pytest.raises(Conflict):
        await hsm.create_wrap_key(name)
    with pytest.raises(Malformed):
        await hsm.create_wrap_key("gemeente/intern/1")
    await hsm.check(key)
    wrong = dataclasses.replace(key, check_value=b"another.")
    with pytest.raises(Tampered) as said:
        await hsm.door_wrap(wrong, bytes(16), SECONDS, padded=True)
    assert said.value.code == "HY-2106"
    secret = await hsm.create_door_key(name + "y")
    with pytest.raises((NotFound, Tampered, Refused)):
        await hsm.door_wrap(
            dataclasses.replace(key, kek_id=secret.kek_id), bytes(16), SECONDS, padded=True
        )
    await hsm.destroy_kek(key)
    with pytest.raises(NotFound):
        await hsm.door_wrap(key, bytes(16), SECONDS, padded=True)


@each
async def test_every_token_passes_the_trial(hsm) -> None:
    assert list((await hsm.probe_wraps(SECONDS)).values()) == [""]


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        pytest.param("softhsm", b"blocks", id="softhsm", marks=_softhsm),
        pytest.param("nss", b"native", id="nss", marks=_nss),
    ],
)
async def test_only_of_the_development_token_single_blocks_are_asked(agents, kind, how) -> None:
    answer = await asyncio.to_thread(ask, agents(kind).socket_path, Verb.WRAP_PROBE, SECONDS)
    assert answer.fields == (how,)


@on_softhsm
async def test_the_agent_wraps_nothing_with_a_kek_and_says_what_a_key_may_do(
    hsm, name, agents
) -> None:
    kek = await hsm.create_kek(name.removeprefix(DOOR_PREFIX), 2)
    socket = agents("softhsm").socket_path
    for verb, fields in (
        (Verb.WRAP, (kek.kek_id.encode(), b"\x01", bytes(16))),
        (Verb.UNWRAP, (kek.kek_id.encode(), b"\x01", bytes(24))),
        (Verb.WRAP_CHECK, (kek.kek_id.encode(),)),
        (Verb.WRAP_CREATE, (kek.kek_id.encode(),)),
        (Verb.PAIR_OPEN_SHA1, (kek.kek_id.encode(), bytes(256))),
        (Verb.WRAP, (name.encode(), b"\x02", bytes(16))),
        (Verb.WRAP, (name.encode(), b"", bytes(16))),
    ):
        answer = await asyncio.to_thread(ask, socket, verb, SECONDS, fields)
        assert answer.outcome is Outcome.MALFORMED, verb
    key = await hsm.create_wrap_key(name)
    told = await asyncio.to_thread(ask, socket, Verb.DESCRIBE, SECONDS, (key.kek_id.encode(),))
    (facts,) = json.loads(told.fields[0])["keys"]
    assert (facts["CKA_SENSITIVE"], facts["CKA_NEVER_EXTRACTABLE"]) == ("true", "true")
    # Of the development token alone: single blocks can be had of it, so nothing else is.
    assert (facts["CKA_ENCRYPT"], facts["CKA_WRAP"], facts["CKA_SIGN"]) == (
        "true",
        "false",
        "false",
    )


@each
@pytest.mark.parametrize("bits", [2048, 3072])
async def test_a_pair_opens_both_hashes_of_another_implementation(hsm, name, bits) -> None:
    key = await hsm.create_door_pair(name, bits)
    public = load_der_public_key(key.public_key)
    for digest, act, spare in (
        (hashes.SHA1(), hsm.pair_open_sha1, 42),
        (hashes.SHA256(), hsm.pair_open, 66),
    ):
        way = padding.OAEP(padding.MGF1(digest), digest, None)
        for size in (1, 32, bits // 8 - spare):
            plain = secrets.token_bytes(size)
            assert await act(key, public.encrypt(plain, way), SECONDS) == plain


def sealed_to(der: bytes, plain: bytes, digest, label=None) -> bytes:
    way = padding.OAEP(padding.MGF1(digest), digest, label)
    return load_der_public_key(der).encrypt(plain, way)


def raw(der: bytes, block: bytes) -> bytes:
    numbers = load_der_public_key(der).public_numbers()
    return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(len(block), "big")


@each
async def test_whatever_does_not_open_with_sha1_is_answered_alike(hsm, name) -> None:
    key = await hsm.create_door_pair(name, 2048)
    der, plain = key.public_key, secrets.token_bytes(32)
    good = sealed_to(der, plain, hashes.SHA1())
    for sealed in (
        bytes([good[0] & 1, *good[1:-1], good[-1] ^ 1]),
        good[:-1],
        good + b"\0",
        b"",
        b"\xff" * 256,
        bytes(256),
        sealed_to(der, plain, hashes.SHA256()),
        sealed_to(der, plain, hashes.SHA1(), b"x"),
    ):
        with pytest.raises(Tampered) as said:
            await hsm.pair_open_sha1(key, sealed, SECONDS)
        assert (said.value.reason, said.value.code) == (BAD_CIPHERTEXT, "HY-2607")
    assert await hsm.pair_open_sha1(key, good, SECONDS) == plain


async def _shares(asked, act) -> float:
    """Return how far the medians of interleaved calls lie apart, at best of three rounds."""
    shares = []
    for _ in range(3):  # a neighbour on the machine may spoil one
        took: dict[str, list[float]] = {what: [] for what in asked}
        for _ in range(60):
            for what, sealed in asked.items():
                began = time.perf_counter()
                try:
                    await act(sealed)
                except Tampered:
                    pass
                took[what].append(time.perf_counter() - began)
        medians = [statistics.median(each) for each in took.values()]
        shares.append(max(medians) / min(medians))
    return min(shares)


@on_softhsm
async def test_whatever_does_not_unwrap_takes_the_development_token_alike(hsm, name) -> None:
    """What does is told apart by its answer, and costs no exception: it may take a little less."""
    key = await hsm.create_wrap_key(name)
    for padded in (False, True):
        good = await hsm.door_wrap(key, bytes(32), SECONDS, padded=padded)
        bad = {
            "first": bytes([good[0] ^ 1]) + good[1:],
            "last": good[:-1] + bytes([good[-1] ^ 1]),
            "noise": secrets.token_bytes(len(good)),
        }

        async def act(wrapped: bytes, padded=padded) -> None:
            await hsm.door_unwrap(key, wrapped, SECONDS, padded=padded)

        assert await _shares(bad, act) < 1.2
        assert await _shares(bad | {"good": good}, act) < 1.5


@on_softhsm
async def test_no_fault_of_a_padding_with_sha1_takes_longer_than_another(hsm, name) -> None:
    key = await hsm.create_door_pair(name, 2048)
    der, plain = key.public_key, bytes(32)
    block = oaep.encode(plain, 256, secrets.token_bytes(20), sha1)
    asked = {
        "first byte": raw(der, b"\x01" + block[1:]),
        "label": sealed_to(der, plain, hashes.SHA1(), b"x"),
        "noise": raw(der, b"\0" + secrets.token_bytes(255)),
    }

    async def act(sealed: bytes) -> None:
        await hsm.pair_open_sha1(key, sealed, SECONDS)

    assert await _shares(asked, act) < 1.2


async def test_software_keys_are_the_rfcs(tmp_path) -> None:
    hsm = SoftwareHsm(tmp_path / "keys.json")
    name = DOOR_PREFIX + "t/k/1"
    key = await hsm.create_wrap_key(name)
    raw_key, value = hsm._doors[name], secrets.token_bytes(24)
    assert await hsm.door_wrap(key, value, SECONDS, padded=False) == aes_key_wrap(raw_key, value)
    padded = await hsm.door_wrap(key, value[:5], SECONDS, padded=True)
    assert padded == aes_key_wrap_with_padding(raw_key, value[:5])
