"""One suite for the pairs of doors: software keys, SoftHSM and NSS open alike."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import secrets
import statistics
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key
from tests.conformance.test_hsm import _nss, _softhsm, agents, name_of

from hyok.errors import Conflict, Malformed, NotFound, Tampered
from hyok.hsm import oaep
from hyok.hsm.pair_pool import PairPool
from hyok.hsm.pool import TokenSpec
from hyok.hsm.port import BAD_CIPHERTEXT
from hyok.hsm.software import SoftwareHsm
from hyok.hsm.supervise import ask
from hyok.hsm.wire import DOOR_PREFIX, Outcome, Verb

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


@pytest.fixture
async def hsm(kind, agents, tmp_path):
    if kind == "software":
        made = SoftwareHsm(tmp_path / "keys.json")
    else:
        spec = agents(kind)
        made = PairPool([TokenSpec(spec.name, spec.socket_path)])
    yield made
    await made.close()


@pytest.fixture
def name(request) -> str:
    return DOOR_PREFIX + name_of(request)


def sealed_to(der: bytes, plain: bytes, digest=None, label=None) -> bytes:
    """Encrypt as an Office client does, or as it never would."""
    digest = digest or hashes.SHA256()
    way = padding.OAEP(padding.MGF1(digest), digest, label)
    return load_der_public_key(der).encrypt(plain, way)


def raw(der: bytes, block: bytes) -> bytes:
    """Return the bare RSA of a block that is padded in whatever way."""
    numbers = load_der_public_key(der).public_numbers()
    return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(len(block), "big")


@each
@pytest.mark.parametrize("bits", [2048, 3072])
async def test_what_was_sealed_to_the_public_key_opens(hsm, name, bits) -> None:
    key = await hsm.create_door_pair(name, bits)
    assert load_der_public_key(key.public_key).key_size == bits
    assert await hsm.pair_public(key, SECONDS) == key.public_key
    for size in (0, 1, 44, bits // 8 - 66):
        plain = secrets.token_bytes(size)
        assert await hsm.pair_open(key, sealed_to(key.public_key, plain), SECONDS) == plain


@each
async def test_whatever_does_not_open_is_answered_alike(hsm, name) -> None:
    key = await hsm.create_door_pair(name, 2048)
    der, plain = key.public_key, secrets.token_bytes(44)
    good = sealed_to(der, plain)
    block = oaep.encode(plain, 256, secrets.token_bytes(32))
    other = await hsm.create_door_pair(name + "x", 2048)
    bad = {
        "flipped": bytes([good[0] & 1, *good[1:-1], good[-1] ^ 1]),
        "short": good[:-1],
        "long": good + b"\0",
        "empty": b"",
        "above the modulus": b"\xff" * 256,
        "zero": bytes(256),
        "one": bytes(255) + b"\x01",
        "first byte": raw(der, b"\x01" + block[1:]),
        "PKCS #1 v1.5": load_der_public_key(der).encrypt(plain, padding.PKCS1v15()),
        "SHA-1": sealed_to(der, plain, hashes.SHA1()),
        "a label": sealed_to(der, plain, label=b"x"),
        "another key": sealed_to(other.public_key, plain),
    }
    for what, sealed in bad.items():
        with pytest.raises(Tampered) as said:
            await hsm.pair_open(key, sealed, SECONDS)
        assert (said.value.reason, said.value.code) == (BAD_CIPHERTEXT, "HY-2607"), what
    assert await hsm.pair_open(key, good, SECONDS) == plain


@each
async def test_another_key_of_the_name_is_not_used(hsm, name) -> None:
    key = await hsm.create_door_pair(name, 2048)
    other = await hsm.create_door_pair(name + "x", 2048)
    for wrong in (
        dataclasses.replace(key, public_key=other.public_key),
        dataclasses.replace(other, kek_id=name),
    ):
        with pytest.raises(Tampered) as said:
            await hsm.pair_public(wrong, SECONDS)
        assert said.value.code == "HY-2106"
        with pytest.raises(Tampered):
            await hsm.pair_open(wrong, sealed_to(wrong.public_key, b"x"), SECONDS)


@each
async def test_names_and_kinds_are_kept_apart(hsm, name) -> None:
    key = await hsm.create_door_pair(name, 2048)
    with pytest.raises(Conflict):
        await hsm.create_door_pair(name, 2048)
    with pytest.raises(Malformed):
        await hsm.create_door_pair("gemeente/intern/1", 2048)
    with pytest.raises(Malformed):
        await hsm.create_door_pair(name + "x", 1024)
    secret = await hsm.create_door_key(name + "y")
    sealed = sealed_to(key.public_key, b"x")
    with pytest.raises((NotFound, Tampered)):
        await hsm.pair_open(dataclasses.replace(key, kek_id=secret.kek_id), sealed, SECONDS)
    with pytest.raises((NotFound, Tampered)):
        await hsm.door_seal(dataclasses.replace(secret, kek_id=name), b"x", b"", SECONDS)


@each
async def test_a_pair_that_was_destroyed_is_gone(hsm, name) -> None:
    key = await hsm.create_door_pair(name, 2048)
    sealed = sealed_to(key.public_key, b"x")
    for _ in range(2):
        assert len(await hsm.destroy_kek(key)) == 1
        with pytest.raises(NotFound):
            await hsm.check(key)
    with pytest.raises(NotFound):
        await hsm.pair_open(key, sealed, SECONDS)


@each
async def test_every_token_passes_the_trial(hsm) -> None:
    assert list((await hsm.probe_pairs(SECONDS)).values()) == [""]


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        pytest.param("softhsm", b"raw", id="softhsm", marks=_softhsm),
        pytest.param("nss", b"oaep", id="nss", marks=_nss),
    ],
)
async def test_only_the_development_token_is_padded_here(agents, kind, how) -> None:
    answer = await asyncio.to_thread(ask, agents(kind).socket_path, Verb.PAIR_PROBE, SECONDS)
    assert answer.fields == (how,)


@on_softhsm
async def test_the_agent_opens_nothing_with_a_kek(hsm, name, agents) -> None:
    kek = await hsm.create_kek(name.removeprefix(DOOR_PREFIX), 2)
    for verb, fields in (
        (Verb.PAIR_OPEN, (kek.kek_id.encode(), bytes(256))),
        (Verb.PAIR_CHECK, (kek.kek_id.encode(), bytes(256))),
        (Verb.PAIR_CREATE, (kek.kek_id.encode(), b"\x08\x00")),
    ):
        answer = await asyncio.to_thread(ask, agents("softhsm").socket_path, verb, SECONDS, fields)
        assert answer.outcome is Outcome.MALFORMED


@on_softhsm
async def test_good_and_bad_take_the_development_token_alike(hsm, name) -> None:
    key = await hsm.create_door_pair(name, 2048)
    der, plain = key.public_key, bytes(44)
    block = oaep.encode(plain, 256, secrets.token_bytes(32))
    asked = {
        "good": raw(der, block),
        "padding": raw(der, b"\x01" + block[1:]),
        "label": sealed_to(der, plain, label=b"x"),
    }
    shares = []
    for _ in range(3):  # a neighbour on the machine may spoil one
        took: dict[str, list[float]] = {what: [] for what in asked}
        for _ in range(60):
            for what, sealed in asked.items():
                began = time.perf_counter()
                try:
                    await hsm.pair_open(key, sealed, SECONDS)
                except Tampered:
                    pass
                took[what].append(time.perf_counter() - began)
        medians = [statistics.median(each) for each in took.values()]
        shares.append(max(medians) / min(medians))
    assert min(shares) < 1.2, shares


@each
async def test_a_signature_of_rsa_is_that_of_the_pinned_public_key(hsm, name) -> None:
    key = await hsm.create_rsa_signer(name, 2048)
    other = await hsm.create_rsa_signer(name + "x", 2048)
    await hsm.check(key)
    digest = hashlib.sha256(b"bericht").digest()
    made = await hsm.rsa_sign(key, digest, SECONDS)
    public = load_der_public_key(key.public_key)
    public.verify(made, b"bericht", padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(Conflict):
        await hsm.create_rsa_signer(name, 2048)
    with pytest.raises(Malformed):
        await hsm.create_rsa_signer("hyok-audit/x", 2048)
    swapped = dataclasses.replace(key, public_key=other.public_key, check_value=other.check_value)
    nothing = dataclasses.replace(key, check_value=b"")
    for wrong in (swapped, nothing):
        with pytest.raises(Tampered) as said:
            await hsm.rsa_sign(wrong, digest, SECONDS)
        assert said.value.code == "HY-2106"


@on_softhsm
async def test_a_pair_that_opens_signs_nothing_and_the_other_way_round(kind, agents, name) -> None:
    spec = agents(kind)
    hsm = PairPool([TokenSpec(spec.name, spec.socket_path)])
    opens = await hsm.create_door_pair(name, 2048)
    signs = await hsm.create_rsa_signer(name + "x", 2048)
    await hsm.close()
    socket, digest = spec.socket_path, bytes(32)
    asked = await asyncio.to_thread(
        ask, socket, Verb.RSA_SIGN, SECONDS, (opens.kek_id.encode(), digest)
    )
    assert asked.outcome is Outcome.REFUSED
    sealed = sealed_to(signs.public_key, b"geheim")
    asked = await asyncio.to_thread(
        ask, socket, Verb.PAIR_OPEN, SECONDS, (signs.kek_id.encode(), sealed)
    )
    assert asked.outcome is not Outcome.DONE
    for fields in ((b"gemeente/intern/1", digest), (signs.kek_id.encode(), b"no digest")):
        asked = await asyncio.to_thread(ask, socket, Verb.RSA_SIGN, SECONDS, fields)
        assert asked.outcome is Outcome.MALFORMED
