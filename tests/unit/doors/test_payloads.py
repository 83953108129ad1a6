"""The payloads door: tokens and documents go out and come back, bound to where they belong."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from tests.unit.doors.payloads import CONTEXT, payloads, problem

from hyok.custody.door_key import Usage
from hyok.custody.freezes import Freezes, Frozen
from hyok.custody.key_states import KeyState
from hyok.doors.payloads import faults, jwe
from hyok.errors import KINDS, Malformed, NotFound, Refused, Tampered, Unavailable

MISMATCH = (400, "context_mismatch")
FAILED = (400, "invalid_ciphertext")
NO_KEY = (404, "unknown_key")


def head_of(token: str) -> dict[str, Any]:
    return dict(json.loads(jwe.decode(token.removeprefix("hyok:1:").split(".")[0])))


async def test_what_was_encrypted_opens_with_the_same_context_alone(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        for plain in (b"", b"geheim", bytes(range(256)) * 4096):
            token = await made.encrypt(plain, context=CONTEXT)
            assert await made.decrypt(token, context=CONTEXT) == plain
            assert await made.decrypt("hyok:1:" + token, context=CONTEXT) == plain
        head = head_of(token)
        assert (head["kid"], head["ctx"], head["crit"]) == ("t/kms/1", CONTEXT, ["ctx"])
        for other in (
            {},
            {"context": {}},
            {"context": CONTEXT | {"id": "124"}},
            {"context": CONTEXT | {"meer": "x"}},
            {"context": {"app": "zaaksysteem"}},
        ):
            answer = await made.post("decrypt", {"token": token, **other})
            assert problem(answer) == MISMATCH, other
        (bare,) = {await made.encrypt(b"x")}
        assert await made.decrypt(bare) == b"x"
        assert problem(await made.post("decrypt", {"token": bare, "context": CONTEXT})) == MISMATCH
        ivs = {head_of(await made.encrypt(b"x"))["iv"] for _ in range(20)}
        assert len(ivs) == 20


async def test_a_token_changed_in_any_of_its_parts_is_refused(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        await made.store.make("tweede")
        token = await made.encrypt(b"geheim en lang genoeg", context=CONTEXT)
        parts = token.split(".")

        async def told(changed: list[str]) -> tuple[int, str]:
            body = {"token": ".".join(changed), "context": CONTEXT}
            return problem(await made.post("decrypt", body))

        for place in range(1, 5):
            raw = bytearray(jwe.decode(parts[place]))
            for at in (0, len(raw) - 1):
                raw[at] ^= 1
                changed = [*parts]
                changed[place] = jwe.encode(bytes(raw))
                assert await told(changed) == FAILED, (place, at)
                raw[at] ^= 1
        head = head_of(token)
        for member in ("iv", "tag"):
            raw = bytearray(jwe.decode(head[member]))
            raw[0] ^= 1
            changed_head = head | {member: jwe.encode(bytes(raw))}
            written = jwe.encode(json.dumps(changed_head).encode())
            assert await told([written, *parts[1:]]) == FAILED, member
        for kid in ("t/tweede/1", "t/kms/2"):
            written = jwe.encode(json.dumps(head | {"kid": kid}).encode())
            assert await told([written, *parts[1:]]) == FAILED, kid
        # The same members in another order, or written with space, are another header.
        written = jwe.encode(json.dumps(head).encode())
        assert await told([written, *parts[1:]]) == FAILED
        for alg in ("dir", "none", "RSA1_5", "RSA-OAEP"):
            written = jwe.encode(json.dumps(head | {"alg": alg}).encode())
            assert await told([written, *parts[1:]]) == (400, "invalid_token"), alg
        moved = json.dumps(head | {"ctx": CONTEXT | {"id": "124"}}, separators=(",", ":")).encode()
        body = {"token": ".".join([jwe.encode(moved), *parts[1:]])}
        answer = await made.post("decrypt", body | {"context": CONTEXT | {"id": "124"}})
        assert problem(answer) == FAILED  # bound, not only compared


async def test_a_token_of_another_tenant_or_app_is_refused(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        token = await made.encrypt(b"x")
        head = head_of(token)
        written = jwe.encode(json.dumps(head | {"kid": "buurgemeente/kms/1"}).encode())
        foreign = ".".join([written, *token.split(".")[1:]])
        for path in ("decrypt", "rewrap"):
            assert problem(await made.post(path, {"token": foreign})) == (400, "foreign_token")
        document = {"a": [{"b": "hyok:1:" + foreign}]}
        answer = await made.post("decrypt-json", {"document": document})
        assert problem(answer) == (400, "foreign_token")
        assert answer.json["pointer"] == "/a/0/b"
        denied = [r for r in made.store.house.journal.records if "HY-2703" in r.error]
        assert len(denied) == 3
        other = (await made.tokens.create("ander", 60)).token.get_secret_value()
        for path, body in (
            ("encrypt", {"key": "kms", "plaintext": ""}),
            ("encrypt", {"key": "nergens", "plaintext": ""}),
            ("decrypt", {"token": token}),
            ("rewrap", {"token": token}),
            ("encrypt-json", {"key": "kms", "document": {"a": 1}, "fields": ["/a"]}),
        ):
            assert problem(await made.post(path, body, token=other)) == NO_KEY, path


async def test_rewrap_brings_a_token_under_the_newest_version(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        old = await made.encrypt(b"inhoud", context=CONTEXT)
        await made.store.make("kms", version=2)
        told = await made.done("rewrap", {"token": "hyok:1:" + old})
        assert (told["version"], told["key"]) == (2, "kms")
        assert told["token"].startswith("hyok:1:")
        new = told["token"].removeprefix("hyok:1:")
        assert head_of(new)["kid"] == "t/kms/2"
        assert head_of(new)["ctx"] == CONTEXT
        for token in (old, new):
            assert await made.decrypt(token, context=CONTEXT) == b"inhoud"
        # Key and IV are fresh: one ciphertext under two headers would give its integrity away.
        for place in (1, 2, 3, 4):
            assert old.split(".")[place] != new.split(".")[place]
        operations = {
            word
            for r in made.store.house.journal.records
            for word in r.reasons
            if "operation" in word
        }
        assert "operation:rewrap" in operations


async def test_every_type_of_json_survives_in_its_place(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        document = (
            '{"z":1.0,"a":{"big":123456789012345678901234567890,"exp":1E400,"neg":-0,"t":true,'
            '"f":false,"n":null,"s":"é\\u0000\\"","o":{"z":1,"a":[1.50,{}]},"l":[],"e":""},'
            '"b":[{"x":1},{"x":2.0},{"y":3}],"later":[1e5]}'
        )
        fields = [f"/a/{name}" for name in ("big", "exp", "neg", "t", "f", "n", "s", "o", "l", "e")]
        fields += ["/b/*/x", "/nergens/*"]
        body = (
            f'{{"key":"kms","document":{document},"fields":{json.dumps(fields)},'
            f'"context":{{"id":"1"}}}}'
        )
        answer = await made.post("encrypt-json", body.encode())
        assert answer.status == 200
        assert answer.json["encrypted"] == 12
        sealed = answer.answer.partition(b'"document":')[2].rpartition(b',"key"')[0]
        told = json.loads(sealed)
        assert list(told) == ["z", "a", "b", "later"]
        assert list(told["a"]) == [field.split("/")[2] for field in fields[:10]]
        assert all(text.startswith("hyok:1:") for text in told["a"].values())
        assert told["b"][2] == {"y": 3}
        assert b'"z":1.0,' in sealed
        assert sealed.endswith(b'"later":[1e5]}')
        assert head_of(told["a"]["big"])["ctx"] == {"id": "1", "ptr": "/a/big"}
        assert head_of(told["b"][1]["x"])["ctx"] == {"id": "1", "ptr": "/b/*/x"}
        back = await made.post("decrypt-json", b'{"context":{"id":"1"},"document":' + sealed + b"}")
        assert back.answer == b'{"document":' + document.encode() + b',"decrypted":12,"left":0}'


async def test_no_content_key_and_no_iv_serves_twice(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        kek = AESGCM(made.store.key_value("kms"))
        document = ["hetzelfde"] * 200
        tokens = await made.encrypt_json(document, "/*")
        tokens += [await made.encrypt(b"hetzelfde") for _ in range(10)]
        again = await made.done("rewrap", {"token": tokens[0]})
        seen: dict[str, set[bytes]] = {"key": set(), "wrap": set(), "iv": set(), "tag": set()}
        for text in (*tokens, again["token"]):
            read = jwe.read(text.removeprefix("hyok:1:"))
            seen["key"].add(kek.decrypt(read.key.iv, read.key.wrapped + read.key.tag, None))
            seen["wrap"].add(read.key.iv)
            seen["iv"].add(read.iv)
            seen["tag"].add(read.sealed[-16:])
        assert {name: len(found) for name, found in seen.items()} == dict.fromkeys(seen, 211)


async def test_a_token_moved_to_another_field_or_record_refuses_the_document(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        document = {"persoon": {"bsn": "123456782", "naam": "Jansen"}, "notities": [{"t": "x"}]}
        fields = ["/persoon/bsn", "/persoon/naam", "/notities/*/t"]
        sealed = await made.encrypt_json(document, *fields, context=CONTEXT)
        assert await made.decrypt_json(sealed, context=CONTEXT) == document
        for moved, pointer in (
            ({"persoon": {"naam": sealed["persoon"]["bsn"]}}, "/persoon/naam"),
            ({"bsn": sealed["persoon"]["bsn"]}, "/bsn"),
            ({"persoon": {"bsn": [sealed["persoon"]["bsn"]]}}, "/persoon/bsn/0"),
            ({"notities": {"*": {"t": sealed["notities"][0]["t"]}}}, "/notities/~2/t"),
            ({"notities": {"0": {"t": sealed["notities"][0]["t"]}}}, "/notities/0/t"),
        ):
            answer = await made.post("decrypt-json", {"document": moved, "context": CONTEXT})
            assert problem(answer) == MISMATCH, moved
            assert answer.json["pointer"] == pointer
        for context in ({}, CONTEXT | {"id": "124"}):
            body = {"document": sealed, "context": context}
            assert problem(await made.post("decrypt-json", body)) == MISMATCH
        for path in ("encrypt-json", "decrypt-json"):
            body = {"key": "kms", "document": {}, "fields": ["/a"], "context": {"ptr": "/x"}}
            if path == "decrypt-json":
                body = {"document": {}, "context": {"ptr": "/x"}}
            assert problem(await made.post(path, body)) == (400, "invalid_request")
        failed = [r for r in made.store.house.journal.records if "HY-2702" in r.error]
        assert len(failed) == 7
        # By hand, whoever names all that it is bound to opens one field alone.
        token = sealed["persoon"]["naam"]
        opened = await made.decrypt(token, context=CONTEXT | {"ptr": "/persoon/naam"})
        assert opened == b'"Jansen"'


async def test_one_token_that_does_not_open_refuses_the_whole_document(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        document = {"rows": [{"v": number} for number in range(200)]}
        sealed = await made.encrypt_json(document, "/rows/*/v")
        for place in (1, 3, 4):
            parts = sealed["rows"][150]["v"].split(".")
            raw = bytearray(jwe.decode(parts[place]))
            raw[0] ^= 1
            parts[place] = jwe.encode(bytes(raw))
            broken = json.loads(json.dumps(sealed))
            broken["rows"][150]["v"] = ".".join(parts)
            made.store.house.journal.entries.clear()
            answer = await made.post("decrypt-json", {"document": broken})
            assert problem(answer) == FAILED
            assert answer.json["pointer"] == "/rows/150/v"
            assert made.store.house.journal.records[-1].outcome == "failed"


async def test_text_that_begins_like_a_token_is_encrypted_and_comes_back(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        document = {"a": "hyok:1:zomaar", "b": "hyok:1:", "c": "x", "d": {"hyok:1:x": "hyok:1:y.z"}}
        once = await made.encrypt_json(document, "/a", "/c")
        twice = await made.encrypt_json(once, "/a", "/c")
        assert twice["c"] != once["c"]
        body = {"document": twice}
        told = await made.done("decrypt-json", body)
        assert told["document"] == once  # what comes out is not looked into again
        assert (told["decrypted"], told["left"]) == (2, 2)
        told = await made.done("decrypt-json", {"document": told["document"]})
        assert told["document"] == document
        other = (await made.tokens.create("ander", 60)).token.get_secret_value()
        answer = await made.post("decrypt-json", {"document": once}, token=other)
        assert (answer.json["document"], answer.json["left"]) == (once, 4)  # of no known key


async def test_a_field_that_cannot_hold_its_token_is_refused_and_never_cut(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        (length,) = {len((await made.encrypt_json({"a": "x" * 30}, "/a"))["a"])}
        field = {"pointer": "/a", "maxLength": length}
        assert await made.encrypt_json({"a": "x" * 30}, field)
        body = {
            "key": "kms",
            "document": {"a": "x" * 30},
            "fields": [field | {"maxLength": length - 1}],
        }
        answer = await made.post("encrypt-json", body)
        assert problem(answer) == (400, "field_too_long")
        assert answer.json["pointer"] == "/a"
        assert str(length) in answer.json["detail"]


async def test_a_document_has_its_limits(tmp_path: Any) -> None:
    async with payloads(tmp_path, values_max=3, document_bytes_max=64 << 10) as made:
        sealed = await made.encrypt_json([1, 2, 3], "/*")
        assert await made.decrypt_json(sealed) == [1, 2, 3]
        body: dict[str, Any] = {"key": "kms", "document": [1, 2, 3, 4], "fields": ["/*"]}
        assert problem(await made.post("encrypt-json", body)) == (400, "too_many_values")
        answer = await made.post("decrypt-json", {"document": [*sealed, sealed[0]]})
        assert problem(answer) == (400, "too_many_values")
        long = await made.post("encrypt-json", body | {"document": {"a": "x" * (64 << 10)}})
        assert problem(long) == (413, "too_large")
        assert not long.read
        most = {"key": "kms", "plaintext": b64encode(bytes((1 << 20) + 1)).decode()}
        assert problem(await made.post("encrypt", most)) == (400, "invalid_request")
        most["plaintext"] = b64encode(bytes(2 << 20)).decode()
        assert problem(await made.post("encrypt", most)) == (413, "too_large")
        twice = b'{"key":"kms","document":{"a":1,"a":2},"fields":["/a"]}'
        assert problem(await made.post("encrypt-json", twice)) == (400, "invalid_document")


async def test_no_token_is_made_that_nobody_could_read_back(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        escapes = {"\x01" * 100: "\x01" * 3_996}
        token = await made.encrypt(bytes(1 << 20), context=escapes)
        assert await made.decrypt(token, context=escapes) == bytes(1 << 20)
        full = {f"m{number}": "x" for number in range(32)}
        wide = {"a": "x" * 4_094}
        for context in (full, wide):
            assert await made.decrypt(await made.encrypt(context=context), context=context)
            body = {"key": "kms", "document": {"a": 1}, "fields": ["/a"], "context": context}
            answer = await made.post("encrypt-json", body)  # `ptr` is one member more
            assert problem(answer) == (400, "invalid_field")
            assert answer.json["pointer"] == "/a"
        for document in ({"x" * 5_000: 1}, {"a": "x" * (1 << 20)}):
            body = {"key": "kms", "document": document, "fields": ["/*"]}
            assert problem(await made.post("encrypt-json", body)) == (400, "invalid_field")
        body = {"key": "kms", "document": {"a": ["x" * 1_000_000] * 7}, "fields": ["/a/*"]}
        assert problem(await made.post("encrypt-json", body)) == (413, "too_large")
        fits = {"a": ["x" * 1_000_000] * 5}
        sealed = await made.encrypt_json(fits, "/a/*", context={"y": "\x01" * 4_000})
        assert await made.decrypt_json(sealed, context={"y": "\x01" * 4_000}) == fits


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("encrypt", {}, "invalid_request"),
        ("encrypt", [], "invalid_request"),
        ("encrypt", b"{", "invalid_document"),
        ("encrypt", {"key": "kms", "plaintext": "%"}, "invalid_request"),
        ("encrypt", {"key": "kms", "plaintext": 1}, "invalid_request"),
        ("encrypt", {"key": "kms", "plaintext": "", "contxt": {}}, "invalid_request"),
        ("encrypt", {"key": "kms", "plaintext": "", "context": []}, "invalid_request"),
        ("encrypt", {"key": "kms", "plaintext": "", "context": {"a": 1}}, "invalid_request"),
        ("encrypt", {"key": "../x", "plaintext": ""}, "invalid_request"),
        ("decrypt", {"token": 1}, "invalid_request"),
        ("decrypt", {"token": "x"}, "invalid_token"),
        ("decrypt", {"token": ""}, "invalid_token"),
        ("rewrap", {"token": "a.b.c.d.e"}, "invalid_token"),
        ("rewrap", {"token": "", "context": {}}, "invalid_request"),
        ("encrypt-json", {"key": "kms", "document": {}}, "invalid_request"),
        ("encrypt-json", {"key": "kms", "document": "x", "fields": ["/a"]}, "invalid_request"),
        ("encrypt-json", {"key": "kms", "document": {}, "fields": ["a"]}, "invalid_field"),
        ("encrypt-json", {"key": "kms", "document": {}, "fields": [""]}, "invalid_field"),
        ("decrypt-json", {"document": 1}, "invalid_request"),
    ],
)
async def test_a_request_that_says_nothing_sound_is_refused(
    tmp_path: Any, path: str, body: Any, word: str
) -> None:
    async with payloads(tmp_path) as made:
        assert problem(await made.post(path, body)) == (400, word)
        assert not [r for r in made.store.house.journal.records if r.outcome == "done"]


async def test_paths_methods_and_kinds_of_bodies(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        for path in ("", "encrypt/", "Encrypt", "encrypt/kms", "%65ncrypt", "public-keys/", "x"):
            assert problem(await made.post(path, {})) == (404, "not_found"), path
        answer = await made.send("GET", "encrypt")
        assert problem(answer) == (405, "method_not_allowed")
        assert answer.answered["allow"] == "POST"
        assert problem(await made.post("public-keys/kms", {})) == (405, "method_not_allowed")
        body = {"key": "kms", "plaintext": ""}
        for kind in ("", "text/plain", "application/x-www-form-urlencoded"):
            answer = await made.post("encrypt", body, kind=kind)
            assert problem(answer) == (415, "unsupported_media_type")
        shown = await made.send("GET", "openapi.json", token="")
        assert shown.status == 200
        assert set(shown.json["paths"]) >= {"/v1/encrypt", "/v1/decrypt-json"}
        assert shown.answered["access-control-allow-origin"] == "*"


async def test_nobody_comes_in_without_a_live_token(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        body = {"key": "kms", "plaintext": ""}
        secret = made.token.rpartition(".")[2]
        other = ("b" if secret[0] == "a" else "a") + secret[1:]
        for token in ("x", made.token[:-1], made.token.replace(secret, other), "hys.a.b.c", ""):
            answer = await made.post("encrypt", body, token=token)
            assert problem(answer) == (401, "not_authenticated"), token
            assert answer.answered["www-authenticate"].startswith("Bearer")
        vaults = [("x-vault-token", made.token)]
        assert problem(await made.post("encrypt", body, token="", headers=vaults))[0] == 401
        for _ in range(60):
            await made.post("encrypt", body, token="x", peer="203.0.113.1")
        flooded = await made.post("encrypt", body, token="x", peer="203.0.113.1")
        assert problem(flooded) == (429, "too_many_requests")
        assert (await made.post("encrypt", body, peer="203.0.113.1")).status == 200
        (row,) = await made.tokens.list("aws-kms")
        made.store.house.now[0] = row.expires_ms
        assert problem(await made.post("encrypt", body))[0] == 401


async def test_a_value_is_what_counts_against_an_apps_rate(tmp_path: Any) -> None:
    async with payloads(tmp_path, per_second=10.0) as made:
        await made.encrypt_json(list(range(25)), "/*")  # let in, and owed
        assert problem(await made.post("encrypt", {"key": "kms", "plaintext": ""})) == (
            429,
            "too_many_requests",
        )
        made.store.monotonic[0] += 1.0
        assert problem(await made.post("encrypt", {"key": "kms", "plaintext": ""}))[0] == 429
        made.store.monotonic[0] += 1.0
        assert await made.encrypt()
        other = (await made.tokens.create("ander", 60)).token.get_secret_value()
        body = {"key": "vreemd", "plaintext": ""}
        assert (await made.post("encrypt", body, token=other)).status == 200


async def test_keys_are_suspended_frozen_and_of_one_purpose(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        await made.store.make("alleen", Usage.ENCRYPT)
        token = await made.encrypt(b"x", key="alleen")
        assert problem(await made.post("decrypt", {"token": token})) == (403, "wrong_usage")
        assert problem(await made.post("encrypt", {"key": "zoek", "plaintext": ""})) == (
            403,
            "wrong_usage",
        )
        good = await made.encrypt(b"x")
        sealed = await made.encrypt_json({"a": 1}, "/a")
        await made.store.catalog.change_state("t", "kms", KeyState.SUSPENDED)

        async def refused() -> list[tuple[int, str]]:
            return [
                problem(await made.post("encrypt", {"key": "kms", "plaintext": ""})),
                problem(await made.post("decrypt", {"token": good})),
                problem(await made.post("decrypt-json", {"document": sealed})),
                problem(await made.post("rewrap", {"token": good})),
            ]

        assert set(await refused()) == {(403, "suspended")}
        await made.store.catalog.change_state("t", "kms", KeyState.ACTIVE)
        assert await made.decrypt(good) == b"x"
        freezes = Freezes(made.store.house.database, lambda: made.store.house.now[0])
        for what, name in (
            (Frozen.DOOR, "payloads"),
            (Frozen.KEY, "t/kms"),
            (Frozen.APP, "aws-kms"),
        ):
            await freezes.freeze(what, name, "anna", "incident")
            made.store.house.now[0] += 3_000
            made.store.monotonic[0] += 3
            assert set(await refused()) == {(403, "suspended")}, what
            await freezes.thaw(what, name)
            made.store.house.now[0] += 3_000
            assert await made.decrypt(good) == b"x"


async def test_every_use_is_on_record_before_the_hsm_is_asked(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        sealed = await made.encrypt_json(list(range(100)), "/*", context={"id": "123456782"})
        await made.decrypt_json(sealed, context={"id": "123456782"})
        records = made.store.house.journal.records
        assert [(r.phase, r.action, r.outcome) for r in records] == [
            ("intend", "key:encrypt", "pending"),
            ("conclude", "key:encrypt", "done"),
            ("intend", "key:decrypt", "pending"),
            ("conclude", "key:decrypt", "done"),
        ]
        intend = records[0]
        assert {
            *("values:100", "door:payloads", "key:t/kms", "operation:encrypt-json", "via:token"),
        } <= set(intend.reasons)
        assert intend.size_bytes == 190
        assert "123456782" not in repr(records)
        made.store.house.journal.away = True
        before = made.store.hsm._calls
        answer = await made.post("encrypt", {"key": "kms", "plaintext": ""})
        assert problem(answer) == (503, "unavailable")
        assert answer.answered["retry-after"] == "1"
        assert made.store.hsm._calls == before


async def test_an_hsm_that_hangs_is_answered_inside_the_deadline(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with payloads(tmp_path, deadline_seconds=0.5) as made:
        token = await made.encrypt(b"x")

        async def hang(*_: Any) -> Any:
            await asyncio.sleep(60)

        monkeypatch.setattr(made.store.hsm, "door_seal_many", hang)
        monkeypatch.setattr(made.store.hsm, "door_open_many", hang)
        loop = asyncio.get_running_loop()
        for path, body in (
            ("encrypt", {"key": "kms", "plaintext": ""}),
            ("decrypt", {"token": token}),
            ("rewrap", {"token": token}),
            ("encrypt-json", {"key": "kms", "document": [1], "fields": ["/*"]}),
        ):
            began = loop.time()
            answer = await made.post(path, body)
            assert problem(answer) == (503, "unavailable")
            assert answer.answered["retry-after"] == "1"
            assert loop.time() - began < 1.0
        failed = [r.error for r in made.store.house.journal.records if r.outcome == "failed"]
        assert set(failed) == {"Unavailable:HY-2608"}


async def test_an_hsm_that_is_away_is_not_waited_for(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        token = await made.encrypt(b"x")
        made.store.hsm.away = True
        await made.store.house.watch.look()
        began = asyncio.get_running_loop().time()
        assert problem(await made.post("decrypt", {"token": token})) == (503, "unavailable")
        assert asyncio.get_running_loop().time() - began < 0.2


async def test_whoever_has_the_public_key_makes_tokens_that_open_here_alone(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        await made.store.make("bus", Usage.DECRYPT, kind="rsa-2048")
        shown = (await made.send("GET", "public-keys/bus")).json
        assert (shown["kid"], shown["alg"], shown["use"]) == ("t/bus/1", "RSA-OAEP-256", "enc")
        numbers = rsa.RSAPublicNumbers(
            int.from_bytes(jwe.decode(shown["e"]), "big"),
            int.from_bytes(jwe.decode(shown["n"]), "big"),
        )
        oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
        content_key = bytes(range(32))

        def dropped(plain: bytes, context: dict[str, str], wrapped: bytes = content_key) -> str:
            sealed = numbers.public_key().encrypt(wrapped, oaep)
            kid = jwe.Kid("t", "bus", 1)
            return jwe.write(kid, context, jwe.Key(sealed), content_key, bytes(12), plain)

        token = dropped(b"melding", CONTEXT)
        assert await made.decrypt(token, context=CONTEXT) == b"melding"
        assert problem(await made.post("decrypt", {"token": token})) == MISMATCH
        short = dropped(b"x", {}, content_key[:16])
        assert problem(await made.post("decrypt", {"token": short})) == FAILED
        await made.store.make("bus", version=2)
        told = await made.done("rewrap", {"token": token})
        assert head_of(told["token"])["kid"] == "t/bus/2"
        assert head_of(told["token"])["alg"] == "RSA-OAEP-256"
        assert await made.decrypt(told["token"], context=CONTEXT) == b"melding"
        document = {
            "a": "hyok:1:" + dropped(b'{"x":1.0}', {"ptr": "/a"}),
            "b": (await made.encrypt_json({"b": 2}, "/b"))["b"],
        }
        assert await made.decrypt_json(document) == {"a": {"x": 1.0}, "b": 2}
        for text in (b"geen json", b'{"a":1,"a":2}', b""):
            bad = {"a": "hyok:1:" + dropped(text, {"ptr": "/a"})}
            answer = await made.post("decrypt-json", {"document": bad})
            assert problem(answer) == (400, "invalid_document")
            assert answer.json["pointer"] == "/a"
        assert problem(await made.post("encrypt", {"key": "bus", "plaintext": ""})) == NO_KEY
        assert problem(await made.send("GET", "public-keys/kms")) == NO_KEY
        # A token of one kind never reaches a key of the other.
        head = head_of(await made.encrypt(b"x"))
        parts = (await made.encrypt(b"x")).split(".")
        swapped = jwe.encode(json.dumps(head | {"kid": "t/bus/1"}).encode())
        assert problem(await made.post("decrypt", {"token": ".".join([swapped, *parts[1:]])})) == (
            NO_KEY
        )


async def test_equal_values_have_equal_indexes_where_the_installation_allows(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        field = {
            "pointer": "/rijen/*/bsn",
            "index": {"key": "zoek", "member": "bsnIndex", "context": ["app"]},
        }
        rows = [{"bsn": "123456782"}, {"bsn": "111222333"}, {"bsn": "123456782"}, {"bsn": None}]
        one = await made.encrypt_json({"rijen": rows}, field, context=CONTEXT)
        found = [row.get("bsnIndex") for row in one["rijen"]]
        assert found[0] == found[2] != found[1]
        assert found[3] is None
        assert len(found[0]) == 22
        assert len({row["bsn"] for row in one["rijen"]}) == 4
        two = await made.encrypt_json({"rijen": rows[:1]}, field, context=CONTEXT | {"id": "9"})
        assert two["rijen"][0]["bsnIndex"] == found[0]
        ask = {"key": "zoek", "pointer": "/rijen/*/bsn", "value": " 123456782 "}
        told = await made.done("index", ask | {"context": {"app": "zaaksysteem"}})
        assert told == {"index": found[0], "key": "zoek", "version": 1}
        told = await made.done("index", ask | {"context": {"app": "ander"}})
        assert told["index"] != found[0]
        back = await made.decrypt_json(one, context=CONTEXT)
        assert [row["bsn"] for row in back["rijen"]] == [row["bsn"] for row in rows]
        for bad in (
            {"key": "kms", "member": "x"},
            {"key": "zoek", "member": "x", "context": ["b"]},
        ):
            body = {
                "key": "kms",
                "document": {"a": "x"},
                "fields": [{"pointer": "/a", "index": bad}],
            }
            assert (await made.post("encrypt-json", body)).status in {400, 403}


async def test_no_index_is_made_where_nobody_switched_it_on(tmp_path: Any) -> None:
    async with payloads(tmp_path, equality_index=False) as made:
        field = {"pointer": "/a", "index": {"key": "zoek", "member": "b"}}
        body = {"key": "kms", "document": {"a": "x"}, "fields": [field]}
        assert problem(await made.post("encrypt-json", body)) == (403, "switched_off")
        ask = {"key": "zoek", "pointer": "/a", "value": "x"}
        assert problem(await made.post("index", ask)) == (403, "switched_off")


async def test_more_at_once_than_can_be_answered_are_told_to_come_back(tmp_path: Any) -> None:
    async with payloads(tmp_path, in_flight_max=0) as made:
        answer = await made.post("encrypt", {"key": "kms", "plaintext": ""})
        assert problem(answer) == (429, "too_many_requests")
        assert answer.answered["retry-after"] == "1"


async def test_requests_are_counted_by_operation_and_word(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        await made.encrypt()
        await made.post("decrypt", {"token": "x"})
        await made.post("nergens", {})
        assert made.meter.seen == [
            ("payloads", "encrypt", ""),
            ("payloads", "decrypt", "invalid_token"),
            ("payloads", "other", "not_found"),
        ]


def test_every_kind_of_error_has_a_problem_that_says_no_more_than_it_may() -> None:
    for kind in KINDS:
        fault = faults.fault_of(kind("/var/lib/secret", reason="x", code="HY-9"))
        assert 400 <= fault.status < 600
        if kind not in {Malformed}:
            assert "/var/lib" not in fault.detail, kind
    assert faults.fault_of(Tampered("x")).status == 500
    assert faults.fault_of(Refused("x", reason="DoorsOff")) is faults.INTERNAL
    assert faults.fault_of(Unavailable("x")).status == 503
    assert faults.fault_of(NotFound("x")) is faults.INTERNAL
