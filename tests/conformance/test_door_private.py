"""Private keys of others, wrapped outside: software keys, SoftHSM and NSS put them to one use."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from tests.conformance.test_hsm import _nss, _softhsm, agents, name_of

from hyok.errors import Conflict, Malformed, Refused, Tampered
from hyok.hsm.pool import TokenSpec
from hyok.hsm.port import BAD_CIPHERTEXT, OTHER_PUBLIC_KEY
from hyok.hsm.private_pool import PrivatePool
from hyok.hsm.software import SoftwareHsm
from hyok.hsm.supervise import ask
from hyok.hsm.wire import DOOR_PREFIX, Outcome, Verb
from hyok.vocabulary import DecryptHow, SignHow

__all__ = ["agents"]

SECONDS = 10.0
KEYS = [rsa.generate_private_key(65537, bits) for bits in (2048, 3072)]
HASHES = {"SHA1": hashes.SHA1(), "SHA256": hashes.SHA256(), "SHA512": hashes.SHA512()}

each = pytest.mark.parametrize(
    "kind",
    [
        pytest.param("software", id="software"),
        pytest.param("softhsm", id="softhsm", marks=_softhsm),
        pytest.param("nss", id="nss", marks=_nss),
    ],
)


def der_of(key) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def spki_of(key) -> bytes:
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).digest()


@pytest.fixture
async def hsm(kind, agents, tmp_path):
    if kind == "software":
        made = SoftwareHsm(tmp_path / "keys.json")
    else:
        spec = agents(kind)
        made = PrivatePool([TokenSpec(spec.name, spec.socket_path)])
    yield made
    await made.close()


@pytest.fixture
def name(request) -> str:
    return DOOR_PREFIX + name_of(request)


@each
@pytest.mark.parametrize("of", list(HASHES))
async def test_another_implementation_verifies_what_it_signs(hsm, name, of) -> None:
    wrapping = await hsm.create_private_wrapper(name)
    digest = hashlib.new(of, b"bericht").digest()
    for key in KEYS:
        wrapped = await hsm.private_wrap(wrapping, der_of(key), SECONDS)
        assert der_of(key)[60:90] not in wrapped
        made = await hsm.private_sign(
            wrapping, wrapped, spki_of(key), SignHow("pkcs1", of, digest), SECONDS
        )
        key.public_key().verify(made, b"bericht", padding.PKCS1v15(), HASHES[of])
        for salt in (0, 20, len(digest)):
            how = SignHow("pss", of, digest, salt)
            made = await hsm.private_sign(wrapping, wrapped, spki_of(key), how, SECONDS)
            way = padding.PSS(padding.MGF1(HASHES[of]), salt)
            key.public_key().verify(made, b"bericht", way, HASHES[of])


@each
async def test_what_another_implementation_encrypted_opens(hsm, name) -> None:
    wrapping = await hsm.create_private_wrapper(name)
    key = KEYS[0]
    wrapped = await hsm.private_wrap(wrapping, der_of(key), SECONDS)

    async def opened(how) -> bytes:
        return await hsm.private_decrypt(wrapping, wrapped, spki_of(key), how, SECONDS)

    sealed = key.public_key().encrypt(b"geheim", padding.PKCS1v15())
    assert await opened(DecryptHow("pkcs1", sealed)) == b"geheim"
    for of, way in HASHES.items():
        for label in (b"", b"een label"):
            oaep = padding.OAEP(padding.MGF1(way), way, label or None)
            sealed = key.public_key().encrypt(b"geheim", oaep)
            assert await opened(DecryptHow("oaep", sealed, of, label)) == b"geheim"
            for wrong in (
                DecryptHow("oaep", sealed, of, label + b"x"),
                DecryptHow("oaep", sealed[:-1] + bytes([sealed[-1] ^ 1]), of, label),
                DecryptHow("oaep", sealed[:-1], of, label),
                DecryptHow("oaep", b"", of, label),
            ):
                with pytest.raises(Tampered) as said:
                    await opened(wrong)
                assert said.value.reason == BAD_CIPHERTEXT


@each
async def test_another_public_key_or_a_changed_blob_is_not_used(hsm, name) -> None:
    wrapping = await hsm.create_private_wrapper(name)
    other = await hsm.create_private_wrapper(name + "x")
    key = KEYS[0]
    wrapped = await hsm.private_wrap(wrapping, der_of(key), SECONDS)
    how = SignHow("pkcs1", "SHA256", bytes(32))
    with pytest.raises(Refused) as refused:
        await hsm.private_sign(wrapping, wrapped, spki_of(KEYS[1]), how, SECONDS)
    assert (refused.value.reason, refused.value.code) == (OTHER_PUBLIC_KEY, "HY-2690")
    changed = wrapped[:40] + bytes([wrapped[40] ^ 1]) + wrapped[41:]
    for bad, under in ((changed, wrapping), (wrapped[:-8], wrapping), (b"", wrapping)):
        with pytest.raises(Tampered) as said:
            await hsm.private_sign(under, bad, spki_of(key), how, SECONDS)
        assert said.value.reason == BAD_CIPHERTEXT
    with pytest.raises(Tampered):
        await hsm.private_sign(other, wrapped, spki_of(key), how, SECONDS)
    swapped = dataclasses.replace(wrapping, check_value=bytes(len(wrapping.check_value)))
    with pytest.raises(Tampered) as said:
        await hsm.private_sign(swapped, wrapped, spki_of(key), how, SECONDS)
    assert said.value.code == "HY-2106"
    with pytest.raises(Conflict):
        await hsm.create_private_wrapper(name)
    for bad_key in (b"", der_of(rsa.generate_private_key(65537, 1024))):
        with pytest.raises(Malformed):
            await hsm.private_wrap(wrapping, bad_key, SECONDS)
    good = await hsm.private_sign(wrapping, wrapped, spki_of(key), how, SECONDS)
    assert len(good) == 256


@pytest.mark.parametrize("kind", [pytest.param("softhsm", marks=_softhsm)])
async def test_what_wraps_private_keys_does_nothing_else(kind, agents, name) -> None:
    spec = agents(kind)
    hsm = PrivatePool([TokenSpec(spec.name, spec.socket_path)])
    wrapping = await hsm.create_private_wrapper(name)
    sealing = await hsm.create_door_key(name + "x")
    await hsm.close()

    def asked(verb, *fields):
        return asyncio.to_thread(ask, spec.socket_path, verb, SECONDS, fields)

    label = wrapping.kek_id.encode()
    assert (await asked(Verb.PRIVATE_PROBE)).fields == (b"verified",)
    assert (await asked(Verb.DOOR_SEAL, label, b"x", b"")).outcome is not Outcome.DONE
    iv, sealed = (await asked(Verb.DOOR_SEAL, sealing.kek_id.encode(), b"x", b"")).fields
    assert (await asked(Verb.DOOR_OPEN, label, iv, sealed, b"")).outcome is not Outcome.DONE
    (private,) = (await asked(Verb.PRIVATE_WRAP, label, der_of(KEYS[0]))).fields
    for shown in (private, private[:40]):
        told = await asked(Verb.PRIVATE_CHECK, label, shown)
        assert told.outcome is not Outcome.DONE, "a private key never comes out as a secret"
    wrapped = await asked(Verb.PRIVATE_WRAP, sealing.kek_id.encode(), der_of(KEYS[0]))
    assert wrapped.outcome is not Outcome.DONE
    for fields in (
        (b"gemeente/intern/1", bytes(8), bytes(32), b"pkcs1", b"SHA256", bytes(32), b"\0\0"),
        (label, bytes(1200), bytes(32), b"else", b"SHA256", bytes(32), b"\0\0"),
        (label, bytes(8), bytes(32), b"pkcs1", b"MD5", bytes(16), b"\0\0"),
        (label, bytes(8), bytes(32), b"pkcs1", b"SHA256", bytes(31), b"\0\0"),
        (label, bytes(4097), bytes(32), b"pkcs1", b"SHA256", bytes(32), b"\0\0"),
    ):
        assert (await asked(Verb.PRIVATE_SIGN, *fields)).outcome is Outcome.MALFORMED
