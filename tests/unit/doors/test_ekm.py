"""Azure Managed HSM asks the door: the protocol's acceptance list, and what must look alike."""

from __future__ import annotations

import asyncio
import json
import secrets
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update
from tests.unit.doors.house import FakeExchange, Head, Meter, key_store

from hyok.custody.door_catalog import EPOCH
from hyok.custody.door_key import Usage
from hyok.custody.freezes import Freezes, Frozen
from hyok.custody.key_states import KeyState
from hyok.database.rows import bump_epoch
from hyok.database.tables import door_key_versions, door_keys
from hyok.doors.ekm import wire
from hyok.doors.ekm.config import EkmPoolSettings, EkmSettings
from hyok.doors.ekm.door import EkmDoor, Product
from hyok.doors.ekm.faults import refusal
from hyok.errors import HyokError, Unavailable
from hyok.hsm.software_wraps import wrap_check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Table
    from tests.unit.doors.house import KeyStore

NAME, OTHER = "pool-nl.managedhsmclient.azure.net", "elders.managedhsmclient.azure.net"
VERSION = "?api-version=0.1-preview"
CONTEXT = {"request_id": "r-1", "correlation_id": "c-1", "pool_name": "pool-nl"}
KEK = bytes(range(32))
VECTORS = [
    (
        "A256KW",
        "ABEiM0RVZneImaq7zN3u_wABAgMEBQYHCAkKCwwNDg8",
        "KMn0BMS4EPTLzLNc-4f4Jj9XhuLYDtMmy8fw5xqZ9Dv7mIubegLdIQ",
    ),
    (
        "A256KWP",
        "ABEiM0RVZneImaq7zN3u_wABAgMEBQYHCAkKCwwNDg8",
        "SoApJDAnNTsGlM8b2Px0W7DOinObGbGWCxJCbUw5z-2pJtEDqzTp9g",
    ),
    (
        "A256KWP",
        "ABEiM0RVZneImaq7zN3u_wABAgM",
        "LshIwad5gdoAPjzjsCjF5GulvrwDLc4p64kqVwktXAk",
    ),
]
JSON = [(b"content-type", b"application/json")]


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw_of(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Azure:
    """Managed HSM on the other side of the door."""

    store: KeyStore
    door: EkmDoor
    reachable: list[bool]

    async def send(
        self,
        path: str,
        body: Any = None,
        *,
        name: str = NAME,
        method: str = "POST",
        query: str = VERSION,
        headers: Any = JSON,
    ) -> FakeExchange:
        raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        head = Head(method, (path + query).encode(), headers, client_name=name)
        exchange = FakeExchange(head, raw, len(raw))
        await self.door.handle(exchange)
        assert exchange.answered["content-type"] == "application/json"
        if exchange.status != 200:
            assert set(exchange.json) == {"code", "message"}
            assert all(isinstance(text, str) and text for text in exchange.json.values())
        return exchange

    async def ask(self, operation: str, key: str = "kek", **more: Any) -> FakeExchange:
        body: dict[str, Any] = {"request_context": CONTEXT}
        body |= {member: more.pop(member) for member in ("alg", "value") if member in more}
        place = operation if operation == "info" else f"{key}/{operation}"
        return await self.send(f"{more.pop('prefix', '/nl')}/{place}", body, **more)

    async def wrap(self, alg: str, value: str, key: str = "kek") -> FakeExchange:
        return await self.ask("wrapkey", key, alg=alg, value=value)

    async def unwrap(self, alg: str, value: str, key: str = "kek") -> FakeExchange:
        return await self.ask("unwrapkey", key, alg=alg, value=value)


def settings_of(**more: Any) -> EkmSettings:
    pools = (
        EkmPoolSettings(prefix="/nl", app="aws-kms", client_names=(NAME.title(),)),
        EkmPoolSettings(prefix="/be/twee", app="ander", client_names=(OTHER,)),
    )
    return EkmSettings(**({"pools": pools, "deadline_ms": 240} | more))


@asynccontextmanager
async def opened(folder: Path, **more: Any) -> AsyncIterator[Azure]:
    async with key_store(folder) as store:
        reachable = [True]
        door = EkmDoor(
            settings_of(**more),
            product=Product("hyok test", "OpenDNSSEC", "SoftHSM 2"),
            apps=store.keys,
            custody=store.custody,
            reachable=lambda: reachable[0],
            clock_ms=lambda: store.house.now[0],
            monotonic=lambda: store.monotonic[0],
            meter=store.meter,
            new_id=lambda: "made-here",
        )
        await store.make("kek", Usage.WRAP)
        await store.make("paar", Usage.WRAP, kind="rsa-3072")
        store.house.journal.entries.clear()
        yield Azure(store, door, reachable)


@pytest.fixture
async def azure(tmp_path: Path) -> AsyncIterator[Azure]:
    async with opened(tmp_path) as made:
        yield made


def told(exchange: FakeExchange) -> tuple[int, str]:
    return exchange.status, exchange.json["code"]


async def test_info_says_who_we_are(azure: Azure) -> None:
    answer = await azure.ask("info")
    assert (answer.status, answer.json) == (
        200,
        {
            "api_version": "0.1-preview",
            "proxy_vendor": "hyok",
            "proxy_name": "hyok test",
            "ekm_vendor": "OpenDNSSEC",
            "ekm_product": "SoftHSM 2",
        },
    )


async def test_metadata_of_both_types(azure: Azure) -> None:
    answer = await azure.ask("metadata")
    ops = ["wrapKey", "unwrapKey"]
    assert answer.json == {"key_type": "oct", "key_size": 256, "key_ops": ops}
    for kind, size in (("rsa-2048", 2048), ("rsa-3072", 3072), ("rsa-4096", 4096)):
        await azure.store.make(kind, Usage.WRAP, kind=kind)
        answer = await azure.ask("metadata", kind)
        shown = answer.json
        numbers = {name: int.from_bytes(raw_of(shown.pop(name)), "big") for name in ("n", "e")}
        assert shown == {"key_type": "RSA", "key_size": size, "key_ops": ops}
        key = await azure.store.catalog.named("t", kind)
        public = load_der_public_key(key.newest.spec.public_key)
        assert RSAPublicNumbers(numbers["e"], numbers["n"]) == public.public_numbers()  # type: ignore[union-attr]
        assert (await azure.ask("metadata", kind)).json["e"] == "AQAB"


async def with_the_vectors_key(azure: Azure) -> None:
    """Put the vectors' key in place of ours."""
    name = "hyok-door/t/kek/1"
    azure.store.hsm._doors[name] = KEK
    await as_row(azure, door_key_versions, check_value=wrap_check(KEK, name))


async def as_row(azure: Azure, table: Table, **values: Any) -> None:
    """Have other values stand in the rows of a key."""

    def act(connection: Any) -> None:
        connection.execute(update(table).where(table.c.name == "kek").values(**values))
        bump_epoch(connection, EPOCH)

    await azure.store.house.database.run(act)
    azure.store.catalog._rows.stale()


@pytest.mark.parametrize(("alg", "value", "wrapped"), VECTORS)
async def test_the_vectors_both_ways(azure: Azure, alg: str, value: str, wrapped: str) -> None:
    await with_the_vectors_key(azure)
    answer = await azure.wrap(alg, value)
    assert (answer.status, answer.json) == (200, {"value": wrapped})
    answer = await azure.unwrap(alg, wrapped)
    assert (answer.status, answer.json) == (200, {"value": value})


async def test_another_implementation_unwraps_what_is_wrapped_here(azure: Azure) -> None:
    key = azure.store.key_value("kek")
    for size in (1, 7, 16, 20, 32, 64, 1024):
        value = secrets.token_bytes(size)
        answer = await azure.wrap("A256KWP", b64(value))
        assert aes_key_unwrap_with_padding(key, raw_of(answer.json["value"])) == value
        if size % 8 == 0:
            answer = await azure.wrap("A256KW", b64(value))
            assert aes_key_unwrap(key, raw_of(answer.json["value"])) == value


@pytest.mark.parametrize(
    ("alg", "digest"), [("RSA-OAEP-256", hashes.SHA256()), ("RSA-OAEP", hashes.SHA1())]
)
async def test_rsa_both_ways_against_another_implementation(
    azure: Azure, alg: str, digest: hashes.HashAlgorithm
) -> None:
    way = padding.OAEP(padding.MGF1(digest), digest, None)
    key = (await azure.store.catalog.named("t", "paar")).newest
    public: Any = load_der_public_key(key.spec.public_key)
    pair: Any = azure.store.hsm._pair(key.spec)
    most = 384 - 2 * digest.digest_size - 2
    for size in (1, 32, most):
        value = secrets.token_bytes(size)
        answer = await azure.unwrap(alg, b64(public.encrypt(value, way)), "paar")
        assert (answer.status, raw_of(answer.json["value"])) == (200, value)
        answer = await azure.wrap(alg, b64(value), "paar")
        wrapped = raw_of(answer.json["value"])
        assert len(wrapped) == 384
        assert pair.decrypt(wrapped, way) == value
    assert told(await azure.wrap(alg, b64(bytes(most + 1)), "paar")) == (400, "InvalidRequest")


async def test_whatever_does_not_unwrap_is_one_answer(azure: Azure) -> None:
    seen = set()
    good = (await azure.wrap("A256KW", b64(bytes(32)))).json["value"]
    padded = (await azure.wrap("A256KWP", b64(bytes(20)))).json["value"]
    raw = raw_of(good)
    for alg, wrapped in [
        *(("A256KW", raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]) for at in (0, 8, 39)),
        ("A256KWP", raw),
        ("A256KW", raw_of(padded)),
        ("A256KW", raw[:-1]),
        ("A256KW", bytes(8)),
        ("A256KWP", bytes(16)),
    ]:
        answer = await azure.unwrap(alg, b64(wrapped))
        seen.add((answer.status, answer.answer))
    for alg in ("RSA-OAEP", "RSA-OAEP-256"):
        sealed = raw_of((await azure.wrap(alg, b64(bytes(32)), "paar")).json["value"])
        other = "RSA-OAEP" if alg == "RSA-OAEP-256" else "RSA-OAEP-256"
        for name, wrapped in [
            (alg, sealed[:-1] + bytes([sealed[-1] ^ 1])),
            (alg, sealed[:-1]),
            (alg, sealed + b"\0"),
            (alg, b"\xff" * 384),
            (alg, bytes(384)),
            (other, sealed),
        ]:
            answer = await azure.unwrap(name, b64(wrapped), "paar")
            seen.add((answer.status, answer.answer))
    ((status, body),) = seen
    assert (status, json.loads(body)["code"]) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "value",
    [
        b64encode(bytes(20)).decode(),  # padded, of either alphabet
        urlsafe_b64encode(bytes(20)).decode(),
        "++++++++",
        "////////",
        "AAAAA",  # one character over
        "AAAAAAAB" * 2 + "AB",  # bits that stand for nothing
        "0x00112233",
        "AAAA AAAA",
        "AAAA\n",
        "-----BEGIN KEY-----",
        "AAAAÄ",
        "",
        None,
        7,
        ["AAAA"],
    ],
)
async def test_no_other_way_to_write_a_value(azure: Azure, value: Any) -> None:
    for operation in ("wrapkey", "unwrapkey"):
        answer = await azure.ask(operation, alg="A256KWP", value=value)
        assert told(answer) == (400, "InvalidRequest")
    assert not azure.store.house.journal.entries


@pytest.mark.parametrize("size", [8, 15, 20, 1032])
async def test_a_length_that_the_rfc_does_not_wrap(azure: Azure, size: int) -> None:
    assert told(await azure.wrap("A256KW", b64(bytes(size)))) == (400, "InvalidRequest")


async def test_an_algorithm_of_the_other_type_or_of_none(azure: Azure) -> None:
    value = b64(bytes(32))
    for key, words in (
        ("kek", ("RSA-OAEP", "RSA-OAEP-256", "A128KW", "a256kw", "")),
        ("paar", ("A256KW", "A256KWP", "RSA1_5", "RSA-OAEP-512")),
    ):
        for alg in words:
            for act in (azure.wrap, azure.unwrap):
                assert told(await act(alg, value, key)) == (400, "UnsupportedAlgorithm"), alg
    for none in (None, 5, ["A256KW"]):
        answer = await azure.ask("wrapkey", alg=none, value=value)
        assert told(answer) == (400, "InvalidRequest")


async def test_a_key_that_may_not_wrap_is_refused(azure: Azure) -> None:
    await azure.store.make("macs", Usage.HMAC)
    await azure.store.make("label", kind="rsa-2048")
    value = b64(bytes(32))
    for key in ("kms", "macs", "label"):  # for GCM, for HMAC, a pair of Office's
        for answer in (
            await azure.ask("metadata", key),
            await azure.wrap("A256KW", value, key),
            await azure.unwrap("RSA-OAEP-256", value, key),
        ):
            assert told(answer) == (403, "OperationNotAllowed")
    await as_row(azure, door_keys, kind="aes-128")
    assert told(await azure.ask("metadata")) == (403, "OperationNotAllowed")
    assert told(await azure.wrap("A256KW", value)) == (403, "OperationNotAllowed")


async def test_a_key_that_wraps_serves_no_other_door(azure: Azure) -> None:
    assert (await azure.store.encrypt(key="kek")).json["errorName"] == "InvalidKeyUsageException"
    assert (await azure.store.encrypt(key="paar")).json["errorName"] == "KeyNotFoundException"


async def test_unknown_keys_and_those_of_others_are_alike(azure: Azure) -> None:
    await azure.store.make("hun", Usage.WRAP, app="ander")
    answers = [await azure.ask("metadata", key) for key in ("anders", "hun", "KEK")]
    assert {told(one) for one in answers} == {(404, "KeyNotFound")}
    assert len({one.answer for one in answers}) == 1


async def test_a_disabled_key(azure: Azure) -> None:
    good = (await azure.wrap("A256KW", b64(bytes(32)))).json["value"]
    catalog = azure.store.catalog
    disabled = (403, "KeyDisabled")
    await catalog.change_state("t", "kek", KeyState.SUSPENDED)
    assert told(await azure.ask("metadata")) == disabled
    assert told(await azure.wrap("A256KW", b64(bytes(32)))) == disabled
    assert told(await azure.unwrap("A256KW", good)) == disabled
    await catalog.change_state("t", "kek", KeyState.ACTIVE)
    await catalog.change_state("t", "kek", KeyState.DEACTIVATED)
    assert told(await azure.wrap("A256KW", b64(bytes(32)))) == disabled
    assert (await azure.unwrap("A256KW", good)).status == 200
    now = azure.store.house.now
    freezes = Freezes(azure.store.house.database, lambda: now[0])
    await freezes.freeze(Frozen.DOOR, "ekm", "jan", "incident")
    now[0] += 5_000
    assert told(await azure.unwrap("A256KW", good)) == disabled


async def test_policy_is_asked_about_the_pool(azure: Azure) -> None:
    seen = []
    engine = azure.store.house.custodian.decisions._engine
    decide = engine.decide

    def note(question: Any) -> Any:
        seen.append(question)
        return decide(question)

    engine_seen = type("Engine", (), {"decide": staticmethod(note)})()
    azure.store.house.custodian.decisions._engine = engine_seen
    assert (await azure.wrap("A256KW", b64(bytes(32)))).status == 200
    (asked,) = seen
    assert (asked.action, asked.use.door, asked.use.operation) == ("key:wrap", "ekm", "wrapKey")
    assert (asked.use.via, asked.use.resource) == ("pool-nl", NAME)

    await azure.store.make("boven", Usage.WRAP, classification="gerubriceerd")
    assert told(await azure.wrap("A256KW", b64(bytes(32)), "boven")) == (403, "Forbidden")


async def test_every_call_is_on_record_with_its_three_ids(azure: Azure) -> None:
    good = (await azure.wrap("A256KW", b64(bytes(32)))).json["value"]
    await azure.unwrap("A256KW", good)
    await azure.unwrap("A256KW", b64(bytes(40)))
    await azure.wrap("RSA-OAEP", good)
    entries = [record for record, *_ in azure.store.house.journal.entries]
    found = [(one.action, one.outcome) for one in entries]
    assert found == [
        *(("key:wrap", "pending"), ("key:wrap", "done")),
        *(("key:unwrap", "pending"), ("key:unwrap", "done")),
        *(("key:unwrap", "pending"), ("key:unwrap", "failed")),
        *(("key:wrap", "pending"), ("key:wrap", "failed")),
    ]
    for one in entries:
        assert one.request_id == "r-1"
        assert {"door:ekm", "via:pool-nl", "correlation:c-1", f"resource:{NAME}"} <= set(
            one.reasons
        )


async def test_a_request_without_an_id_gets_one(azure: Azure) -> None:
    body = {"request_context": {"correlation_id": "c", "pool_name": "p"}}
    value = {"alg": "A256KW", "value": b64(bytes(32))}
    assert (await azure.send("/nl/kek/wrapkey", body | value)).status == 200
    assert {one.request_id for one, *_ in azure.store.house.journal.entries} == {"made-here"}


@pytest.mark.parametrize(
    "context",
    [
        None,
        "x",
        [],
        {},
        {"correlation_id": "c"},
        {"pool_name": "p"},
        {"correlation_id": 1, "pool_name": "p"},
        {"correlation_id": "c", "pool_name": "p" * 257},
        {"correlation_id": "c\n", "pool_name": "p"},
        {"correlation_id": "c", "pool_name": "p", "request_id": 7},
        {"correlation_id": "\ud800", "pool_name": "p"},
    ],
)
async def test_a_context_that_is_not_whole(azure: Azure, context: Any) -> None:
    for path in ("/nl/info", "/nl/kek/metadata", "/nl/kek/wrapkey"):
        body = {"request_context": context, "alg": "A256KW", "value": b64(bytes(16))}
        assert told(await azure.send(path, body)) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe{\x00}\x00",
        b'{"request_context":{},"request_context":{}}',
        b"[" * 5000,
        b'{"a":NaN}',
        b'{"a":1' + b"0" * 5000 + b"}",
        b"{" + b" " * 9000 + b"}",
    ],
)
async def test_a_body_that_is_no_such_json(azure: Azure, body: bytes) -> None:
    for path in ("/nl/info", "/nl/kek/wrapkey"):
        assert told(await azure.send(path, body)) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?api-version=",
        "?api-version=0.2-preview",
        "?api-version=0.1-Preview",
        "?api-version=0.1-preview&api-version=0.1-preview",
        "?api-version=0.1-preview&api-version=1",
        "?API-VERSION=0.1-preview",
    ],
)
async def test_another_api_version(azure: Azure, query: str) -> None:
    for operation in ("info", "metadata", "wrapkey", "unwrapkey"):
        answer = await azure.ask(operation, query=query)
        assert told(answer) == (400, "UnsupportedApiVersion")


@pytest.mark.parametrize("headers", [[], [(b"content-type", b"text/plain")], JSON * 2])
async def test_another_content_type(azure: Azure, headers: Any) -> None:
    assert told(await azure.ask("info", headers=headers)) == (400, "InvalidRequest")
    said = [(b"content-type", b"Application/JSON; charset=utf-8")]
    assert (await azure.ask("info", headers=said)).status == 200


async def test_each_prefix_belongs_to_its_own_name(azure: Azure) -> None:
    assert (await azure.ask("info")).status == 200
    assert (await azure.ask("info", prefix="/be/twee", name=OTHER)).status == 200
    seen = [
        await azure.ask("info", name=OTHER),
        await azure.ask("info", prefix="/be/twee"),
        await azure.ask("info", prefix="/nergens"),
        await azure.ask("info", prefix="/nergens", name="vreemd"),
        await azure.ask("info", name=""),
        await azure.ask("info", name="vreemd"),
        await azure.ask("metadata", name=OTHER),
        await azure.send("/", name="vreemd"),
        await azure.ask("info", name="vreemd", method="GET"),
    ]
    assert {told(one) for one in seen} == {(401, "Unauthorized")}
    assert len({one.answer for one in seen}) == 1
    assert not any(one.read for one in seen), "no body is looked at"
    assert not azure.store.house.journal.entries


async def test_names_are_compared_as_certificates_have_them(azure: Azure) -> None:
    # The settings may write it in another case; http1 tells it in lower case.
    assert (await azure.ask("info", name=NAME)).status == 200
    assert (await azure.ask("info", name=NAME + ".")).status == 401


async def test_other_paths_and_methods_are_answered_in_json(azure: Azure) -> None:
    for path in ("/", "/nl", "/nl/kek", "/nl/kek/sign", "/nl/kek/metadata/", "/nl//info", "/ping"):
        assert told(await azure.send(path)) == (404, "KeyNotFound"), path
    assert told(await azure.send("/nl/" + "k" * 65 + "/metadata")) == (404, "KeyNotFound")
    answer = await azure.ask("info", method="GET")
    assert told(answer) == (405, "InvalidRequest")
    assert answer.answered["allow"] == "POST"
    for status in (400, 503):
        kind, raw = refusal(status, "x")
        assert (kind, set(json.loads(raw))) == ("application/json", {"code", "message"})


async def test_more_than_was_agreed(tmp_path: Path) -> None:
    pool = EkmPoolSettings(prefix="/nl", app="aws-kms", client_names=(NAME,))
    slow = (pool.model_copy(update={"requests_per_second_max": 2}),)
    async with opened(tmp_path, pools=slow) as azure:
        answers = [await azure.ask("info") for _ in range(3)]
        assert [one.status for one in answers] == [200, 200, 429]
        assert told(answers[2]) == (429, "TooManyRequests")
        assert answers[2].answered["retry-after"] == "1"
        azure.store.monotonic[0] += 1
        assert (await azure.ask("info")).status == 200


async def test_a_hanging_hsm_and_one_that_is_away_are_told_in_time(tmp_path: Path) -> None:
    async with opened(tmp_path, deadline_ms=100, requests_in_flight_max=1) as azure:

        async def hang(*_: object, **__: object) -> bytes:
            await asyncio.sleep(30)
            raise AssertionError

        azure.store.hsm.door_wrap = hang  # type: ignore[method-assign]
        began = asyncio.get_running_loop().time()
        first = asyncio.create_task(azure.wrap("A256KW", b64(bytes(16))))
        await asyncio.sleep(0.01)
        assert told(await azure.ask("info")) == (429, "TooManyRequests")
        answer = await first
        assert told(answer) == (408, "RequestTimeout")
        assert answer.answered["retry-after"] == "1"
        assert asyncio.get_running_loop().time() - began < 0.25
        azure.reachable[0] = False
        for operation in ("info", "unwrapkey"):
            answer = await azure.ask(operation, alg="A256KW", value=b64(bytes(40)))
            assert told(answer) == (503, "ServiceUnavailable")
        azure.reachable[0] = True
        azure.store.house.database.close()
    seen = azure.store.meter
    assert isinstance(seen, Meter)
    errors = [error for door, _, error in seen.seen if door == "ekm"]
    assert errors == ["TooManyRequests", "RequestTimeout", *["ServiceUnavailable"] * 2]


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (Unavailable("x", code="HY-2101"), (503, "ServiceUnavailable")),
        (Unavailable("x", code="HY-2102"), (502, "BadGateway")),
        (ValueError("a bug with geheim in it"), (500, "InternalServerError")),
    ],
)
async def test_what_fails_inside_is_told_by_its_kind_alone(
    azure: Azure, error: Exception, wanted: tuple[int, str]
) -> None:
    async def fail(*_: object, **__: object) -> bytes:
        raise error

    azure.store.hsm.door_wrap = fail  # type: ignore[method-assign]
    answer = await azure.wrap("A256KW", b64(bytes(16)))
    assert told(answer) == wanted
    assert b"geheim" not in answer.answer


async def test_an_app_that_was_revoked_or_is_for_more(azure: Azure) -> None:
    await azure.store.keys.revoke_app("aws-kms")
    assert told(await azure.ask("metadata")) == (403, "Forbidden")


async def test_another_key_in_the_hsm_is_not_used(azure: Azure) -> None:
    azure.store.hsm._doors["hyok-door/t/kek/1"] = secrets.token_bytes(32)
    assert told(await azure.wrap("A256KW", b64(bytes(16)))) == (500, "InternalServerError")


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=80), st.binary(max_size=200))
def test_no_target_and_no_body_is_a_bug(target: bytes, body: bytes) -> None:
    place = wire.parse_target(b"/" + target)
    assert place is None or place.operation
    for act in (
        lambda: wire.check_version(target),
        lambda: wire.parse_asked(wire.parse_body(body)),
        lambda: wire.parse_context(wire.parse_body(body)),
    ):
        try:
            act()
        except HyokError as error:
            assert error.code in {"HY-2647", "HY-2649"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "request_context": _JSON
        | st.fixed_dictionaries(
            {"correlation_id": _JSON, "pool_name": st.just("p")}, optional={"request_id": _JSON}
        ),
        "alg": _JSON | st.sampled_from(["A256KW", "A256KWP", "RSA-OAEP"]),
        "value": _JSON | st.text("AB-_+/=", max_size=60),
    },
)


async def test_fuzzed_bodies_get_an_answer_of_the_protocol(azure: Azure) -> None:
    bodies: list[bytes] = []

    @settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
    @given(_MEMBERS)
    def collect(members: dict[str, Any]) -> None:
        bodies.append(json.dumps(members).encode())

    collect()
    for raw in bodies:
        for operation in ("wrapkey", "unwrapkey"):
            answer = await azure.send(f"/nl/kek/{operation}", raw)
            assert answer.status in {200, 400}
            azure.store.monotonic[0] += 1
