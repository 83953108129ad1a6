"""The Transit door: shapes, statuses and refusals as Vault's clients know them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import SecretStr
from tests.unit.doors.vault import errors, vault

from hyok.custody.door_key import Usage
from hyok.custody.freezes import Freezes, Frozen
from hyok.custody.key_states import KeyState
from hyok.errors import Conflict, Malformed, NotAuthenticated, NotFound, Refused, Unavailable
from hyok.identity.access_keys import Credential
from hyok.identity.apps import App

DENIED = (403, ["permission denied"])
FAILED = (400, ["cipher: message authentication failed"])


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


async def test_what_was_encrypted_opens_and_the_answer_has_the_envelope(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        answer = await made.post("encrypt/kms", {"plaintext": b64(b"geheim"), "unknown": [1]})
        assert answer.status == 200
        told = answer.json
        assert set(told) == {
            *("request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info"),
            *("warnings", "auth"),
        }
        assert told["data"]["key_version"] == 1
        sealed = told["data"]["ciphertext"]
        assert sealed.startswith("vault:v1:")
        assert len(b64decode(sealed.split(":")[2])) == 12 + 6 + 16
        assert await made.decrypt(sealed) == b"geheim"
        put = await made.send("PUT", "decrypt/kms", {"ciphertext": sealed})
        assert put.status == 200
        assert await made.decrypt(await made.encrypt(b"")) == b""


async def test_a_new_version_encrypts_rewrap_brings_along_and_old_ones_open(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        old = await made.encrypt(b"oud", associated_data=b64(b"zaak 1"))
        await made.store.make("kms", version=2)
        beside = {"associated_data": b64(b"zaak 1")}
        assert await made.decrypt(old, **beside) == b"oud"
        answer = await made.post("rewrap/kms", {"ciphertext": old, **beside})
        assert answer.json["data"]["key_version"] == 2
        new = answer.json["data"]["ciphertext"]
        assert new.startswith("vault:v2:")
        assert await made.decrypt(new, **beside) == b"oud"
        same = (await made.encrypt(b"x", key_version=2)).split(":")[1]
        assert same == "v2"
        for version, sentence in ((3, "higher than the latest"), (1, "less than the minimum")):
            body = {"plaintext": "", "key_version": version}
            status, said = errors(await made.post("encrypt/kms", body))
            assert status == 400
            assert sentence in said[0]


async def test_every_ciphertext_that_does_not_open_is_answered_alike(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        await made.store.make("tweede")
        sealed = await made.encrypt(b"x", associated_data=b64(b"a"), context=b64(b"c"))
        right = {"associated_data": b64(b"a"), "context": b64(b"c")}
        assert await made.decrypt(sealed, **right) == b"x"
        raw = b64decode(sealed.split(":")[2])
        flipped = "vault:v1:" + b64(raw[:-1] + bytes([raw[-1] ^ 1]))
        cases: list[tuple[str, str, dict[str, str]]] = [
            ("kms", sealed, right | {"associated_data": b64(b"b")}),
            ("kms", sealed, right | {"context": b64(b"d")}),
            ("kms", sealed, {}),
            ("kms", sealed, {"associated_data": b64(b"ca")}),
            ("kms", sealed, {"context": b64(b"ca")}),
            ("kms", flipped, right),
            ("kms", sealed.replace("v1", "v2"), right),
            ("kms", "vault:v1:", right),
            ("kms", "vault:v1:" + b64(b"kort"), right),
            ("tweede", sealed, right),
        ]
        for key, text, beside in cases:
            answer = await made.post(f"decrypt/{key}", {"ciphertext": text, **beside})
            assert errors(answer) == FAILED, (key, text, beside)


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("encrypt/kms", {}, "missing plaintext"),
        ("encrypt/kms", {"plaintext": "%"}, "failed to base64-decode plaintext"),
        ("encrypt/kms", {"plaintext": 1}, "failed to base64-decode plaintext"),
        ("encrypt/kms", {"plaintext": "", "context": "?"}, "failed to base64-decode context"),
        ("encrypt/kms", {"plaintext": "", "context": b64(bytes(1025))}, "at most 1024 bytes"),
        ("encrypt/kms", {"plaintext": "", "nonce": b64(bytes(12))}, "a nonce of the caller's"),
        ("encrypt/kms", {"plaintext": "", "convergent_encryption": True}, "convergent encryption"),
        ("encrypt/kms", {"plaintext": "", "key_version": "x"}, "key_version must be a number"),
        ("encrypt/kms", {"plaintext": "", "key_version": True}, "key_version must be a number"),
        ("encrypt/kms", {"plaintext": b64(bytes(4301))}, "At most 4300 bytes"),
        ("encrypt/kms", b"[]", "error parsing JSON"),
        ("encrypt/kms", b"{", "error parsing JSON"),
        ("encrypt/kms", b'{"plaintext":"","plaintext":"eA=="}', "error parsing JSON"),
        ("encrypt/anders", {"plaintext": ""}, "encryption key not found"),
        ("encrypt/vreemd", {"plaintext": ""}, "encryption key not found"),
        ("encrypt/macs", {"plaintext": ""}, "the key was not made for this"),
        ("decrypt/kms", {"ciphertext": "x"}, "invalid ciphertext: no prefix"),
        ("decrypt/kms", {}, "invalid ciphertext: no prefix"),
        ("decrypt/kms", {"ciphertext": "vault:v1:a:b"}, "wrong number of fields"),
        ("decrypt/kms", {"ciphertext": "vault:v0:eA=="}, "version number could not be decoded"),
        ("decrypt/kms", {"ciphertext": "vault:1:eA=="}, "version number could not be decoded"),
        ("decrypt/kms", {"ciphertext": "vault:v1:%"}, "could not decode base64"),
        ("encrypt/kms", {"batch_input": []}, "missing batch input to process"),
        ("encrypt/kms", {"batch_input": {"a": 1}}, "failed to parse batch input"),
        ("encrypt/kms", {"batch_input": [1]}, "failed to parse batch input"),
        ("encrypt/kms", {"batch_input": [{}] * 129}, "at most 128 items"),
        ("datakey/plaintext/kms", {"bits": 100}, "invalid bit length"),
        ("datakey/anders/kms", {}, "must be 'plaintext' or 'wrapped'"),
        ("random/0", {}, "1 to 4096 random bytes"),
        ("random/4097", {}, "1 to 4096 random bytes"),
        ("random/x", {}, "bytes must be a number"),
        ("random/seal/32/x", {}, ""),
        ("random", {"format": "octal"}, "unsupported encoding format"),
        ("hmac/macs", {}, "missing input"),
        ("hmac/macs/sha2-512", {"input": ""}, "the one algorithm served is sha2-256"),
        ("hmac/macs", {"input": b64(bytes(8193))}, "At most 8192 bytes"),
        ("hmac/macs", {"input": "", "key_version": 2}, "with the newest version, 1"),
        ("hmac/kms", {"input": ""}, "the key was not made for this"),
        ("verify/macs", {"input": "", "signature": "vault:v1:eA=="}, "the key was not made for"),
        ("sign/macs", {"input": ""}, "the key was not made for this"),
        ("sign/teken", {}, "missing input"),
        ("sign/teken/sha2-512", {"input": ""}, "the one algorithm served is sha2-256"),
        ("sign/teken", {"input": "", "prehashed": True}, "a digest of 32 bytes"),
        ("sign/teken", {"input": "", "marshaling_algorithm": "x"}, "asn1 and jws are served"),
        ("sign/teken", {"input": "", "key_version": 2}, "with the newest version, 1"),
        ("hmac/teken", {"input": ""}, "the key was not made for this"),
        ("encrypt/teken", {"plaintext": ""}, "the key was not made for this"),
        ("verify/macs", {"input": "", "hmac": "x"}, "invalid HMAC: no prefix"),
    ],
)
async def test_what_cannot_be_served_is_said(
    tmp_path: Any, path: str, body: Any, sentence: str
) -> None:
    async with vault(tmp_path) as made:
        answer = await made.post(path, body)
        assert answer.status == (404 if not sentence else 400)
        assert answer.json["errors"] == [] if not sentence else sentence in answer.json["errors"][0]


async def test_a_batch_answers_in_order_and_tells_what_failed(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        items: list[dict[str, Any]] = [
            {"plaintext": b64(b"1"), "reference": "a"},
            {"plaintext": "%", "reference": "b"},
            {"plaintext": b64(b"3"), "associated_data": b64(b"z")},
        ]
        answer = await made.post("encrypt/kms", {"batch_input": items, "plaintext": "%"})
        assert answer.status == 400
        one, two, three = answer.json["data"]["batch_results"]
        assert (one["reference"], two["reference"]) == ("a", "b")
        assert two["error"] == "failed to base64-decode plaintext"
        told = await made.post(
            "encrypt/kms", {"batch_input": items, "partial_failure_response_code": 200}
        )
        assert told.status == 200
        opened = await made.post(
            "decrypt/kms",
            {
                "batch_input": [
                    {"ciphertext": one["ciphertext"]},
                    {"ciphertext": three["ciphertext"], "associated_data": b64(b"z")},
                ]
            },
        )
        assert opened.status == 200
        plains = [b64decode(one["plaintext"]) for one in opened.json["data"]["batch_results"]]
        assert plains == [b"1", b"3"]
        bad = [{"plaintext": "%"}]
        whole = {"batch_input": bad, "partial_failure_response_code": 200}
        assert (await made.post("encrypt/kms", whole)).status == 400
        wrong = {"batch_input": items, "partial_failure_response_code": 204}
        assert (await made.post("encrypt/kms", wrong)).status == 400
        await made.store.catalog.change_state("t", "kms", KeyState.SUSPENDED)
        stopped = await made.post("encrypt/kms", {"batch_input": items})
        assert stopped.status == 403


@pytest.mark.parametrize("bits", [128, 256, 512])
async def test_data_keys(tmp_path: Any, bits: int) -> None:
    async with vault(tmp_path) as made:
        context = {"context": b64(b"bucket/object")}
        told = (await made.post("datakey/plaintext/kms", {"bits": bits, **context})).json["data"]
        plain = b64decode(told["plaintext"])
        assert len(plain) == bits // 8
        assert await made.decrypt(told["ciphertext"], **context) == plain
        wrapped = (await made.post("datakey/wrapped/kms", {"bits": bits})).json["data"]
        assert set(wrapped) == {"ciphertext", "key_version"}
        opened = await made.decrypt(wrapped["ciphertext"])
        assert (len(opened), opened != plain) == (bits // 8, True)


@pytest.mark.parametrize(
    ("path", "body", "size"),
    [
        ("random", {}, 32),
        ("random/16", {}, 16),
        ("random/all/48", {}, 48),
        ("random", {"bytes": 8}, 8),
    ],
)
async def test_random_bytes(tmp_path: Any, path: str, body: Any, size: int) -> None:
    async with vault(tmp_path) as made:
        found = (await made.post(path, body)).json["data"]["random_bytes"]
        assert len(b64decode(found)) == size
        told = (await made.post(path, body | {"format": "hex"})).json["data"]["random_bytes"]
        assert len(bytes.fromhex(told)) == size
        phases = [(r.phase, r.action, r.outcome) for r, _ in made.store.house.journal.entries]
        assert phases[:2] == [
            ("intend", "key:random", "pending"),
            ("conclude", "key:random", "done"),
        ]


async def test_hmacs_are_hmacs_and_verify_tells_them_from_others(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        answer = await made.post("hmac/macs/sha2-256", {"input": b64(b"bericht")})
        told = answer.json["data"]["hmac"]
        value = made.store.key_value("macs")
        assert told == "vault:v1:" + b64(hmac.digest(value, b"bericht", hashlib.sha256))

        async def valid(text: bytes, mac: str) -> bool:
            body = {"input": b64(text), "hmac": mac}
            return bool((await made.post("verify/macs", body)).json["data"]["valid"])

        assert await valid(b"bericht", told)
        assert not await valid(b"ander", told)
        assert not await valid(b"bericht", told.replace("v1", "v2"))
        assert not await valid(b"bericht", "vault:v1:" + b64(bytes(32)))
        assert not await valid(b"bericht", "vault:v1:")
        await made.store.make("macs", version=2)
        newer = await made.post("hmac/macs", {"input": b64(b"bericht")})
        assert newer.json["data"]["hmac"].startswith("vault:v2:")
        assert await valid(b"bericht", told)
        batch = {"batch_input": [{"input": b64(b"1")}, {"input": b64(b"2")}]}
        made_of = (await made.post("hmac/macs", batch)).json["data"]["batch_results"]
        checked = [{"input": b64(b"1"), **made_of[0]}, {"input": b64(b"1"), **made_of[1]}]
        answer = await made.post("verify/macs", {"batch_input": checked})
        assert [one["valid"] for one in answer.json["data"]["batch_results"]] == [True, False]


async def test_signatures_are_those_of_the_public_key_that_is_shown(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        shown = (await made.send("GET", "keys/teken")).json["data"]
        assert (shown["type"], shown["supports_signing"]) == ("ecdsa-p256", True)
        key = load_pem_public_key(shown["keys"]["1"]["public_key"].encode())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        answer = await made.post("sign/teken/sha2-256", {"input": b64(b"bericht")})
        told = answer.json["data"]["signature"]
        key.verify(b64decode(told.split(":")[2]), b"bericht", ec.ECDSA(SHA256()))
        digest = hashlib.sha256(b"bericht").digest()
        before = {"input": b64(digest), "prehashed": True}
        hashed = (await made.post("sign/teken", before)).json["data"]["signature"]
        key.verify(b64decode(hashed.split(":")[2]), b"bericht", ec.ECDSA(SHA256()))
        jws = {"input": b64(b"bericht"), "marshaling_algorithm": "jws"}
        compact = (await made.post("sign/teken", jws)).json["data"]["signature"]
        assert len(compact.split(":")[2]) == 86

        async def valid(body: dict[str, Any]) -> bool:
            return bool((await made.post("verify/teken", body)).json["data"]["valid"])

        assert await valid({"input": b64(b"bericht"), "signature": told})
        assert await valid(before | {"signature": told})
        assert await valid(jws | {"signature": compact})
        raw = b64decode(told.split(":")[2])
        for wrong in (
            {"input": b64(b"ander"), "signature": told},
            {"input": b64(b"bericht"), "signature": told.replace("v1", "v2")},
            {"input": b64(b"bericht"), "signature": "vault:v1:" + b64(raw[:-1] + b"x")},
            {"input": b64(b"bericht"), "signature": "vault:v1:" + b64(b"kort")},
            jws | {"signature": "vault:v1:eA"},
        ):
            assert not await valid(wrong), wrong
        await made.store.make("teken", version=2)
        newer = (await made.post("sign/teken", {"input": b64(b"bericht")})).json["data"]
        assert newer["key_version"] == 2
        assert await valid({"input": b64(b"bericht"), "signature": told})
        actions = [r.action for r, _ in made.store.house.journal.entries if r.outcome == "done"]
        assert {"key:sign", "key:verify"} <= set(actions)


async def test_keys_are_shown_and_made_by_officers_alone(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        await made.store.make("kms", version=2)
        shown = (await made.send("GET", "keys/kms")).json["data"]
        assert (shown["type"], shown["latest_version"], shown["exportable"]) == (
            "aes256-gcm96",
            2,
            False,
        )
        assert set(shown["keys"]) == {"1", "2"}
        assert (await made.send("GET", "keys/macs")).json["data"]["type"] == "hmac"
        for name in ("anders", "vreemd"):
            assert errors(await made.send("GET", f"keys/{name}")) == (404, [])
        for method, path in (
            ("LIST", "keys"),
            ("GET", "keys?list=true"),
            ("GET", "keys/?list=true"),
        ):
            assert (await made.send(method, path)).json["data"]["keys"] == ["kms", "macs", "teken"]
        assert (await made.send("GET", "keys")).status == 405
        there = await made.post("keys/kms", {"type": "aes256-gcm96"})
        assert (there.status, there.answer) == (204, b"")
        for method, path in (
            ("POST", "keys/nieuw"),
            ("POST", "keys/kms/rotate"),
            ("POST", "keys/kms/config"),
            ("DELETE", "keys/kms"),
        ):
            status, said = errors(await made.send(method, path, {}))
            assert (status, "officers" in said[0]) == (403, True)
        for path in ("export/encryption-key/kms", "backup/kms", "hash/sha2-256"):
            assert (await made.send("GET", path)).status == 403
        assert (await made.send("GET", "encrypt/kms")).status == 405
        assert (await made.send("GET", "anders/kms")).status == 404
        assert (await made.send("GET", "keys/kms", root="/v1/elders/")).status == 404


async def test_nobody_comes_in_without_a_live_token_of_the_app(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        secret = made.token.rpartition(".")[2]
        other = ("b" if secret[0] == "a" else "a") + secret[1:]
        wrong = ["x", made.token[:-1], made.token.replace(secret, other), "hyv..", "hys.a.b.c", ""]
        for token in wrong:
            assert errors(await made.send("GET", "keys/kms", token=token)) == DENIED, token
        bearer = [("authorization", f"Bearer {made.token}")]
        assert (await made.send("GET", "keys/kms", token="", headers=bearer)).status == 200
        twice = [("x-vault-token", made.token)]
        assert (await made.send("GET", "keys/kms", headers=twice)).status == 200
        assert errors(await made.send("GET", "keys/kms", token="x", headers=twice)) == DENIED
        for name, status in (("t", 200), ("t/", 200), ("", 200), ("ander", 403)):
            headers = [("x-vault-namespace", name)]
            assert (await made.send("GET", "keys/kms", headers=headers)).status == status, name
        (row,) = await made.tokens.list("aws-kms")
        made.store.house.now[0] = row.expires_ms
        assert errors(await made.send("GET", "keys/kms")) == DENIED


async def test_tokens_overlap_are_revoked_and_kept_as_a_hash(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        second = await made.tokens.create("aws-kms", 60)
        with pytest.raises(Conflict) as full:
            await made.tokens.create("aws-kms", 60)
        assert full.value.code == "HY-2674"
        shown = second.token.get_secret_value()
        assert (await made.send("GET", "keys/kms", token=shown)).status == 200
        await made.tokens.revoke(second.row.token_id)
        assert errors(await made.send("GET", "keys/kms", token=shown)) == DENIED
        assert (await made.send("GET", "keys/kms")).status == 200
        await made.tokens.create("aws-kms", 60)
        raw = b"".join(file.read_bytes() for file in tmp_path.glob("hyok.db*"))
        assert second.row.token_id.encode() in raw
        assert shown.rpartition(".")[2].encode() not in raw
        with pytest.raises(NotFound):
            await made.tokens.revoke("A" * 20)
        with pytest.raises(NotFound):
            await made.tokens.create("niemand", 60)
        reads = App("leest", "t", 50, frozenset({"read", "use-keys"}), purpose="x")
        await made.store.keys.create_app(reads)
        with pytest.raises(Malformed):
            await made.tokens.create("leest", 60)
        await made.store.keys.revoke_app("aws-kms")
        made.store.monotonic[0] += 3
        assert errors(await made.send("GET", "keys/kms")) == DENIED


async def test_a_token_of_another_app_reaches_its_own_keys_alone(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        token = (await made.tokens.create("ander", 60)).token.get_secret_value()
        answer = await made.send("LIST", "keys", token=token)
        assert answer.json["data"]["keys"] == ["vreemd"]
        sealed = await made.encrypt(b"x")
        for path, body in (
            ("encrypt/kms", {"plaintext": ""}),
            ("decrypt/kms", {"ciphertext": sealed}),
        ):
            answer = await made.post(path, body, token=token)
            assert errors(answer) == (400, ["encryption key not found"])


async def test_a_token_is_told_of_itself(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        root = "/v1/"
        told = (await made.send("GET", "auth/token/lookup-self", root=root)).json["data"]
        assert (told["id"], told["ttl"], told["meta"]["app"]) == ("", 3600, "aws-kms")
        renewed = (await made.post("auth/token/renew-self", {}, root=root)).json["auth"]
        assert renewed["client_token"] == made.token
        assert (renewed["lease_duration"], renewed["renewable"]) == (3600, False)
        mounts = (await made.send("GET", "sys/mounts", root=root)).json["data"]
        assert mounts["transit/"]["type"] == "transit"
        path = "sys/internal/ui/mounts/transit/keys"
        assert (await made.send("GET", path, root=root)).json["data"]["path"] == "transit/"
        assert errors(await made.send("GET", "sys/policies", root=root)) == DENIED
        assert errors(await made.send("GET", "sys/mounts", root=root, token="")) == DENIED


async def test_health_is_for_everybody_and_says_when_the_hsm_is_away(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:

        async def health(method: str = "GET", query: str = "") -> Any:
            return await made.send(method, "sys/health" + query, root="/v1/", token="")

        well = await health()
        assert (well.status, well.json["sealed"], well.json["initialized"]) == (200, False, True)
        head = await health("HEAD")
        assert (head.status, head.answer) == (200, b"")
        assert int(head.answered["content-length"]) > 0
        made.store.hsm.away = True
        await made.store.house.watch.look()
        ill = await health()
        assert (ill.status, ill.json["sealed"]) == (503, True)
        assert (await health("GET", "?sealedcode=299")).status == 299
        assert (await health("GET", "?sealedcode=99999")).status == 503
        seal = await made.send("GET", "sys/seal-status", root="/v1/", token="")
        assert (seal.status, seal.json["sealed"]) == (200, True)
        init = await made.send("GET", "sys/init", root="/v1/", token="")
        assert (init.status, init.json) == (200, {"initialized": True})
        answer = await made.post("encrypt/kms", {"plaintext": ""})
        assert errors(answer) == (503, ["Vault is sealed"])
        assert answer.answered["retry-after"] == "1"


async def test_each_use_is_on_record_before_the_hsm_is_asked(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        await made.encrypt(b"geheim")
        (intend, durable), (conclude, _) = made.store.house.journal.entries
        assert (intend.phase, intend.action, durable) == ("intend", "key:encrypt", True)
        assert (conclude.phase, conclude.outcome) == ("conclude", "done")
        assert {"door:transit", "key:t/kms", "operation:encrypt", "via:token"} <= set(
            intend.reasons
        )
        assert intend.session == made.token.split(".")[1]
        assert made.token.split(".")[2] not in repr(made.store.house.journal.entries)
        assert ("transit", "encrypt", "") in made.meter.seen


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Frozen.DOOR, "transit"),
        (Frozen.KEY, "t/kms"),
        (Frozen.APP, "aws-kms"),
        (Frozen.TENANT, "t"),
    ],
)
async def test_a_freeze_stops_it(tmp_path: Any, kind: Frozen, name: str) -> None:
    async with vault(tmp_path) as made:
        sealed = await made.encrypt()
        now = made.store.house.now
        await Freezes(made.store.house.database, lambda: now[0]).freeze(kind, name, "els", "x")
        now[0] += 2_500  # as long as a process may take to see it
        wanted = (403, ["the key's owner has suspended this use"])
        for path, body in (
            ("encrypt/kms", {"plaintext": ""}),
            ("decrypt/kms", {"ciphertext": sealed}),
            ("datakey/plaintext/kms", {}),
        ):
            assert errors(await made.post(path, body)) == wanted
        random = (await made.post("random", {})).status
        assert random == (200 if kind is Frozen.KEY else 403)


async def test_states_of_a_key_are_heeded(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        sealed = await made.encrypt()
        await made.store.catalog.change_state("t", "kms", KeyState.SUSPENDED)
        for path, body in (
            ("encrypt/kms", {"plaintext": ""}),
            ("decrypt/kms", {"ciphertext": sealed}),
        ):
            assert (await made.post(path, body)).status == 403
        await made.store.catalog.change_state("t", "kms", KeyState.ACTIVE)
        await made.store.catalog.change_state("t", "kms", KeyState.DEACTIVATED)
        assert (await made.post("encrypt/kms", {"plaintext": ""})).status == 403
        assert (await made.post("rewrap/kms", {"ciphertext": sealed})).status == 403
        assert await made.decrypt(sealed) == b"geheim"


async def test_a_key_for_one_direction_does_nothing_else(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        await made.store.make("sluit", Usage.ENCRYPT)
        sealed = await made.encrypt(b"x", "sluit")
        usage = (400, ["the key was not made for this"])
        for path in ("decrypt/sluit", "rewrap/sluit"):
            assert errors(await made.post(path, {"ciphertext": sealed})) == usage
        assert (await made.post("datakey/wrapped/sluit", {})).status == 200


async def test_another_version_than_the_newest_is_refused_before_the_hsm_is_asked(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with vault(tmp_path) as made:
        await made.store.make("macs", Usage.HMAC)
        await made.store.make("teken", Usage.SIGN)

        async def never(*_: object) -> bytes:
            raise AssertionError("the HSM was asked")

        sealed = await made.encrypt()
        await made.store.make("kms", version=2)
        for verb in ("door_mac", "door_sign", "door_open", "door_seal"):
            monkeypatch.setattr(made.store.hsm, verb, never)
        for number, word in ((1, "less than"), (3, "higher than")):
            answer = await made.post("rewrap/kms", {"ciphertext": sealed, "key_version": number})
            assert (answer.status, word in errors(answer)[1][0]) == (400, True)
        for path in ("hmac/macs", "sign/teken"):
            answer = await made.post(path, {"input": "", "key_version": 2})
            assert (answer.status, "newest version, 1" in errors(answer)[1][0]) == (400, True)


async def test_a_batch_counts_as_so_many_requests(tmp_path: Any) -> None:
    item, one = {"plaintext": ""}, "encrypt/kms"
    async with vault(tmp_path, per_second=4.0) as made:
        assert (await made.post(one, {"batch_input": [item] * 6})).status == 200
        assert (await made.post(one, item)).status == 429
        made.store.monotonic[0] += 0.5
        assert (await made.post(one, item)).status == 429, "what was taken ahead is owed still"
        made.store.monotonic[0] += 0.5
        assert (await made.post(one, item)).status == 200


async def test_a_flood_is_shed(tmp_path: Any) -> None:
    async with vault(tmp_path, per_second=2.0) as made:
        statuses = [(await made.post("encrypt/kms", {"plaintext": ""})).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        made.store.monotonic[0] += 1
        assert (await made.post("encrypt/kms", {"plaintext": ""})).status == 200
    (tmp_path / "2").mkdir()
    async with vault(tmp_path / "2", in_flight_max=1) as made:
        gate, real = asyncio.Event(), made.store.hsm.door_seal

        async def slow(*given: Any) -> Any:
            await gate.wait()
            return await real(*given)

        made.store.hsm.door_seal = slow  # type: ignore[method-assign]
        first = asyncio.create_task(made.post("encrypt/kms", {"plaintext": ""}))
        await asyncio.sleep(0.05)
        refused = await made.post("encrypt/kms", {"plaintext": ""})
        assert (refused.status, refused.answered["retry-after"]) == (429, "1")
        health = await made.send("GET", "sys/health", root="/v1/", token="")
        assert health.status == 200
        gate.set()
        assert (await first).status == 200


async def test_wrong_tokens_run_out(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:
        statuses = [(await made.send("GET", "keys/kms", token="x")).status for _ in range(51)]
        assert (statuses[0], statuses[-1]) == (403, 429)
        login = await made.post("auth/kubernetes/login", {}, root="/v1/", token="")
        assert login.status == 429
        assert (await made.send("GET", "keys/kms")).status == 200  # a good one is served
        assert not made.store.house.journal.entries


async def test_a_hanging_hsm_is_answered_within_the_deadline(tmp_path: Any) -> None:
    async with vault(tmp_path, deadline_seconds=0.2) as made:

        async def hang(*_: Any) -> Any:
            await asyncio.Event().wait()

        made.store.hsm.door_seal = hang  # type: ignore[method-assign]
        began = asyncio.get_running_loop().time()
        answer = await made.post("encrypt/kms", {"plaintext": ""})
        assert errors(answer) == (503, ["Vault is sealed"])
        assert asyncio.get_running_loop().time() - began < 1
        assert made.store.house.journal.entries[-1][0].outcome == "failed"


async def test_what_fails_inside_is_not_told(tmp_path: Any) -> None:
    async with vault(tmp_path) as made:

        async def bug(*_: Any) -> Any:
            raise ZeroDivisionError("geheime bijzonderheid")

        made.store.hsm.door_seal = bug  # type: ignore[method-assign]
        answer = await made.post("encrypt/kms", {"plaintext": ""})
        assert errors(answer) == (500, ["internal error"])


class Identities:
    """Believes one token, for one role."""

    def __init__(self, grants: frozenset[str] = frozenset({"use-keys"})) -> None:
        self.grants = grants

    async def identify(self, token: str, now_ms: int) -> Any:
        from hyok.identity.tokens import WebIdentity

        if token == "away":
            raise Unavailable("the issuer does not answer", reason="IDPCommunicationError")
        if token != "goed":
            raise NotAuthenticated("not genuine", reason="InvalidIdentityToken")
        return WebIdentity("https://k8s", "system:serviceaccount:zaken:api", ("hyok",), 2e9)

    async def assume(self, identity: Any, role: Any, name: str, seconds: Any, now_ms: int) -> Any:
        from hyok.identity.sessions import IssuedSession
        from hyok.identity.trusts import Trust

        if role.app_id != "aws-kms":
            raise Refused("no trust fits", reason="AccessDenied")
        app = App("aws-kms", "t", 50, self.grants, purpose="x")
        trust = Trust("trust-1", "aws-kms", "https://k8s", identity.subject, "hyok", 900)
        issued = IssuedSession(
            "ASIA1", SecretStr("geheim"), SecretStr("sealed"), name, now_ms + 900_000
        )
        return app, trust, issued


async def test_a_workload_of_kubernetes_logs_in_and_uses_keys(tmp_path: Any) -> None:
    async with vault(tmp_path, Identities()) as made:
        now = made.store.house.now[0]
        path, root = "auth/kubernetes/login", "/v1/"
        body = {"role": "aws-kms", "jwt": "goed"}
        answer = await made.post(path, body, root=root, token="")
        assert answer.status == 200
        auth = answer.json["auth"]
        assert (auth["lease_duration"], auth["renewable"]) == (900, False)
        token = auth["client_token"]
        assert token == "hys.ASIA1.geheim.sealed"
        record = made.store.house.journal.entries[-1][0]
        assert (record.action, record.outcome, record.actor) == ("door:login", "done", "aws-kms")
        assert "geheim" not in repr(made.store.house.journal.entries)
        app = await made.store.keys.find_app("aws-kms")
        assert app is not None
        principal = replace(app.principal, session="ASIA1:transit")
        made.sessions.known["ASIA1"] = Credential(
            "ASIA1", SecretStr("geheim"), principal, now + 900_000
        )
        used = await made.post("encrypt/kms", {"plaintext": ""}, token=token)
        assert used.status == 200
        assert "via:kubernetes" in made.store.house.journal.entries[-1][0].reasons
        for wrong in ("hys.ASIA1.ander.sealed", "hys.ASIA1..sealed", "hys.ASIA1.geheim.x"):
            assert errors(await made.post("random", {}, token=wrong)) == DENIED
        for bad in ({"role": "ander"}, {"jwt": "fout"}):
            answer = await made.post(path, body | bad, root=root, token="")
            assert errors(answer) == DENIED
        denied = [r for r, _ in made.store.house.journal.entries if r.action == "door:login"]
        assert [one.outcome for one in denied] == ["done", "denied", "denied"]
        assert (await made.post(path, body | {"jwt": "away"}, root=root, token="")).status == 503
        for missing in ({"role": "aws-kms"}, {"jwt": "goed"}):
            assert (await made.post(path, missing, root=root, token="")).status == 400


async def test_an_app_with_more_grants_gets_no_login(tmp_path: Any) -> None:
    async with vault(tmp_path, Identities(frozenset({"use-keys", "read"}))) as made:
        body = {"role": "aws-kms", "jwt": "goed"}
        answer = await made.post("auth/kubernetes/login", body, root="/v1/", token="")
        assert errors(answer) == DENIED
