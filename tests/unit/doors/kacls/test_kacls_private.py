"""Private keys for mail: used in the HSM for whom Google and the provider name, and no others."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from tests.unit.doors.kacls.test_kacls_door import check_error
from tests.unit.doors.kacls.world import (
    ME,
    authentication,
    authorization,
    b64,
    service,
)

from hyok.custody.key_states import KeyState
from hyok.doors.kacls.algorithms import DECRYPTS, SIGNS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.doors.house import FakeExchange
    from tests.unit.doors.kacls.world import Service

KEY = rsa.generate_private_key(65537, 2048)
HASHES = {"SHA1": hashes.SHA1(), "SHA256": hashes.SHA256(), "SHA512": hashes.SHA512()}
SEALED = KEY.public_key().encrypt(b"sleutel", padding.PKCS1v15())
MESSAGE = b"een bericht"


def spki_of(key: rsa.RSAPrivateKey) -> str:
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64(hashlib.sha256(public).digest())


SPKI = spki_of(KEY)


def pem_of(key: Any, **more: Any) -> str:
    encryption = more.get("encryption", NoEncryption())
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode())


def may(role: str, **changes: object) -> str:
    named = {"spki_hash": SPKI, "spki_hash_algorithm": "SHA-256", "message_id": "m-1"}
    return authorization("gmail", role=role, **(named | changes))


@pytest.fixture
async def kacls(tmp_path: Path) -> AsyncIterator[Service]:
    more: dict[str, Any] = {"private_key": "cse-privaat", "administrators": [ME]}
    async with service(tmp_path, **more) as made:
        operations = ("wrapprivatekey", "privilegedprivatekeydecrypt")
        await made.grant(operations=operations, keys=(SPKI,))
        yield made


async def wrap_private(kacls: Service, **more: Any) -> FakeExchange:
    body = {"authentication": authentication(), "private_key": pem_of(KEY), "perimeter_id": ""}
    return await kacls.send("wrapprivatekey", body | more)


async def wrapped(kacls: Service) -> str:
    answer = await wrap_private(kacls)
    assert answer.status == 200, answer.answer
    return str(answer.json["wrapped_private_key"])


async def sign(kacls: Service, wrapped: str, named: str, **more: Any) -> FakeExchange:
    of = named.partition("with")[0]
    body = {
        "authentication": authentication(),
        "authorization": may("signer"),
        "algorithm": named,
        "digest": b64(hashlib.new(of.lower(), MESSAGE).digest()) if of in HASHES else "AAAA",
        "wrapped_private_key": wrapped,
        "reason": "",
    }
    return await kacls.send("privatekeysign", body | more)


async def decrypt(kacls: Service, wrapped: str, **more: Any) -> FakeExchange:
    body = {
        "authentication": authentication(),
        "authorization": may("decrypter"),
        "algorithm": "RSA/ECB/PKCS1Padding",
        "encrypted_data_encryption_key": b64(SEALED),
        "wrapped_private_key": wrapped,
        "reason": "",
    }
    return await kacls.send("privatekeydecrypt", body | more)


async def test_another_library_verifies_every_signature(kacls: Service) -> None:
    held = await wrapped(kacls)
    assert len(SIGNS) == 6
    for algorithm, (kind, of) in SIGNS.items():
        answer = await sign(kacls, held, algorithm)
        assert answer.status == 200, answer.answer
        assert list(answer.json) == ["signature"]
        way: Any = padding.PKCS1v15()
        if kind == "pss":
            way = padding.PSS(padding.MGF1(HASHES[of]), HASHES[of].digest_size)
        KEY.public_key().verify(b64decode(answer.json["signature"]), MESSAGE, way, HASHES[of])
    answer = await sign(kacls, held, "SHA256withRSA/PSS", rsa_pss_salt_length=11)
    way = padding.PSS(padding.MGF1(hashes.SHA256()), 11)
    KEY.public_key().verify(b64decode(answer.json["signature"]), MESSAGE, way, hashes.SHA256())


async def test_what_another_library_encrypted_opens(kacls: Service) -> None:
    held = await wrapped(kacls)
    assert len(DECRYPTS) == 4
    for algorithm, (kind, of) in DECRYPTS.items():
        for label in (b"", b"een label") if kind == "oaep" else (b"",):
            way: Any = padding.PKCS1v15()
            if kind == "oaep":
                way = padding.OAEP(padding.MGF1(HASHES[of]), HASHES[of], label or None)
            sealed = KEY.public_key().encrypt(b"sleutel", way)
            body = {"algorithm": algorithm, "encrypted_data_encryption_key": b64(sealed)}
            labelled = {"rsa_oaep_label": b64(label)} if label else {}
            answer = await decrypt(kacls, held, **body, **labelled)
            assert answer.json == {"data_encryption_key": b64(b"sleutel")}
            if kind == "oaep":
                wrong = {"rsa_oaep_label": b64(label + b"x")}
                check_error(await decrypt(kacls, held, **body, **wrong), 400)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"spki_hash": b64(bytes(32))}, 403),
        ({"spki_hash": None}, 403),
        ({"spki_hash": SPKI[:-4]}, 403),
        ({"spki_hash": "ë"}, 403),
        ({"spki_hash_algorithm": "SHA-1"}, 403),
        ({"spki_hash_algorithm": None}, 403),
        ({"role": "reader"}, 403),
        ({"email": "piet@gemeente.example"}, 403),
        ({"kacls_url": "https://else.example"}, 403),
        ({"perimeter_id": "binnen"}, 403),
        ({"aud": "else"}, 401),
    ],
)
async def test_a_key_is_used_for_whom_and_what_the_tokens_name(
    kacls: Service, change: dict[str, Any], status: int
) -> None:
    held = await wrapped(kacls)
    named = {"spki_hash": SPKI, "spki_hash_algorithm": "SHA-256"}
    for role, ask in (("signer", sign), ("decrypter", decrypt)):
        claims = {"role": role, **named, **change}
        token = authorization("gmail", **claims)
        more = ("SHA256withRSA",) if ask is sign else ()
        before = len(kacls.records())
        check_error(await ask(kacls, held, *more, authorization=token), status)  # type: ignore[operator]
        refused = [r for r in kacls.records(since=before) if r.outcome == "denied"]
        assert bool(refused) == (status == 403)
    drive = authorization("drive", role="signer", **named)
    check_error(await sign(kacls, held, "SHA256withRSA", authorization=drive), 403)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"algorithm": "MD5withRSA"}, 400),
        ({"algorithm": "RSA/ECB/PKCS1Padding"}, 400),
        ({"algorithm": None}, 400),
        ({"digest": b64(bytes(31))}, 400),
        ({"digest": b64(bytes(129))}, 400),
        ({"digest": None}, 400),
        ({"rsa_pss_salt_length": -1}, 400),
        ({"rsa_pss_salt_length": True}, 400),
        ({"rsa_pss_salt_length": 447}, 400),
        ({"rsa_pss_salt_length": 400, "algorithm": "SHA256withRSA/PSS"}, 400),
        ({"wrapped_private_key": b64(bytes(8193))}, 400),
        ({"wrapped_private_key": b64(bytes(64))}, 400),
        ({"wrapped_private_key": None}, 400),
    ],
)
async def test_members_and_limits_of_signing(
    kacls: Service, change: dict[str, Any], status: int
) -> None:
    held = await wrapped(kacls)
    check_error(await sign(kacls, held, "SHA256withRSA", **change), status)


async def test_members_and_limits_of_decrypting(kacls: Service) -> None:
    held = await wrapped(kacls)
    for change in (
        {"algorithm": "SHA256withRSA"},
        {"rsa_oaep_label": b64(b"x")},
        {"rsa_oaep_label": 7},
        {"encrypted_data_encryption_key": b64(bytes(1025))},
        {"encrypted_data_encryption_key": b64(SEALED[:-1])},
        {"encrypted_data_encryption_key": None},
    ):
        check_error(await decrypt(kacls, held, **change), 400)


async def test_a_changed_blob_is_not_used(kacls: Service) -> None:
    raw = b64decode(await wrapped(kacls))
    assert len(raw) < 8192
    for at in (*range(30), len(raw) // 2, len(raw) - 1):
        kacls.monotonic[0] += 1
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        check_error(await sign(kacls, b64(changed), "SHA256withRSA"), 400)
    # A wrapped data key is no private key, nor the other way round.
    data_key = await kacls.wrapped()
    check_error(await sign(kacls, data_key, "SHA256withRSA"), 400)
    as_private = b64(b"\x02" + b64decode(data_key)[1:])
    check_error(await sign(kacls, as_private, "SHA256withRSA"), 400)


async def test_perimeters_hold_for_private_keys(tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "private_key": "cse-privaat",
        "administrators": [ME],
        "perimeters": [{"id": "binnen", "networks": ["192.0.2.0/24"]}, {"id": "raad"}],
    }
    async with service(tmp_path, **more) as kacls:
        await kacls.grant(operations=("wrapprivatekey",), keys=(SPKI,))
        check_error(await wrap_private(kacls), 403, "perimeter")
        held = (await wrap_private(kacls, perimeter_id="binnen")).json["wrapped_private_key"]
        inside = may("signer", perimeter_id="binnen")
        assert (await sign(kacls, held, "SHA256withRSA", authorization=inside)).status == 200
        other = may("signer", perimeter_id="raad")
        answer = await sign(kacls, held, "SHA256withRSA", authorization=other)
        check_error(answer, 403, "another perimeter")


async def test_private_keys_are_wrapped_and_opened_by_approval_alone(kacls: Service) -> None:
    held = await wrapped(kacls)
    body = {
        "authentication": authentication(),
        "algorithm": "RSA/ECB/PKCS1Padding",
        "encrypted_data_encryption_key": b64(SEALED),
        "spki_hash": SPKI,
        "spki_hash_algorithm": "SHA-256",
        "wrapped_private_key": held,
        "reason": "export",
    }
    answer = await kacls.send("privilegedprivatekeydecrypt", body)
    assert answer.json == {"data_encryption_key": b64(b"sleutel")}
    used = [r for r in kacls.records() if "operation:privilegedprivatekeydecrypt" in r.reasons]
    assert all("proposal:G1" in r.reasons for r in used if r.phase == "intend")
    other = rsa.generate_private_key(65537, 2048)
    check_error(await wrap_private(kacls, private_key=pem_of(other)), 403, "approval")
    wrong = {**body, "spki_hash": b64(bytes(32))}
    check_error(await kacls.send("privilegedprivatekeydecrypt", wrong), 403, "approval")
    kacls.aws.house.now[0] += 60_000
    for method, asked in (
        ("privilegedprivatekeydecrypt", body),
        ("wrapprivatekey", {"authentication": authentication(), "private_key": pem_of(KEY)}),
    ):
        check_error(await kacls.send(method, asked), 403, "approval")


async def test_an_approved_name_does_not_open_another_key(kacls: Service) -> None:
    other = rsa.generate_private_key(65537, 2048)
    await kacls.grant(2, operations=("wrapprivatekey",), keys=(spki_of(other),))
    held = (await wrap_private(kacls, private_key=pem_of(other))).json["wrapped_private_key"]
    body = {
        "authentication": authentication(),
        "algorithm": "RSA/ECB/PKCS1Padding",
        "encrypted_data_encryption_key": b64(SEALED),
        "spki_hash": SPKI,
        "spki_hash_algorithm": "SHA-256",
        "wrapped_private_key": held,
    }
    check_error(await kacls.send("privilegedprivatekeydecrypt", body), 403, "public key")


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "geen sleutel",
        pem_of(ec.generate_private_key(ec.SECP256R1())),
        pem_of(rsa.generate_private_key(65537, 1024)),
        pem_of(KEY, encryption=BestAvailableEncryption(b"geheim")),
        "é",
        "x" * 8193,
    ],
)
async def test_what_is_no_private_key_is_not_wrapped(kacls: Service, pem: str) -> None:
    answer = await wrap_private(kacls, private_key=pem)
    assert answer.status in {400, 403}
    check_error(answer, answer.status)


async def test_either_key_stops_them(kacls: Service) -> None:
    held = await wrapped(kacls)
    for name in ("cse", "cse-privaat"):
        await kacls.aws.catalog.change_state("t", name, KeyState.SUSPENDED)
        check_error(await sign(kacls, held, "SHA256withRSA"), 403)
        check_error(await decrypt(kacls, held), 403)
        await kacls.aws.catalog.change_state("t", name, KeyState.ACTIVE)
        assert (await sign(kacls, held, "SHA256withRSA")).status == 200


async def test_the_private_half_is_in_no_record_and_no_blob(kacls: Service) -> None:
    raw = b64decode(await wrapped(kacls))
    numbers = KEY.private_numbers()
    for part in (numbers.p, numbers.q, numbers.d):
        assert part.to_bytes(256, "big").lstrip(b"\0")[:32] not in raw
    assert b64encode(raw).decode() not in repr(kacls.records())


async def test_without_such_a_key_none_of_it_is_served(tmp_path: Path) -> None:
    async with service(tmp_path, administrators=[ME]) as kacls:
        for method in ("privatekeysign", "privatekeydecrypt", "wrapprivatekey"):
            check_error(await kacls.send(method, {}), 404)
        told = (await kacls.send("status", verb="GET")).json["operations_supported"]
        assert not [one for one in told if "privatekey" in one]
