"""AWS's key store protocol: every case of its specification, answered by its own names."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import update
from tests.unit.doors.house import CALLER, METADATA, PREFIX, b64, key_store, plain_of

from hyok.custody.door_key import USES_AT_ONCE, USES_MAX, Usage
from hyok.custody.freezes import Freezes, Frozen
from hyok.custody.key_states import KeyState
from hyok.database.rows import bump_epoch
from hyok.database.tables import door_key_versions, door_keys
from hyok.errors import Conflict, NotFound, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Connection
    from tests.unit.doors.house import FakeExchange, KeyStore

AAD = b"project=nile,department=marketing"
DIGEST = {"ciphertextDataIntegrityValueAlgorithm": "SHA_256"}


@pytest.fixture
async def aws(tmp_path: Path) -> AsyncIterator[KeyStore]:
    async with key_store(tmp_path) as made:
        yield made


def told(exchange: FakeExchange) -> tuple[int, str]:
    assert exchange.answered["content-type"] == "application/json"
    return exchange.status, exchange.json["errorName"]


def joined(aad: bytes, metadata: bytes) -> bytes:
    return len(aad).to_bytes(2, "big") + aad + bytes([len(metadata)]) + metadata


# ── what is asked for and given ─────────────────────────────────────────────────────────────────


async def test_health_tells_of_each_token_what_a_trial_showed(aws: KeyStore) -> None:
    asked = {"requestMetadata": {"kmsRequestId": "1", "kmsOperation": "KmsHealthCheck"}}
    answer = await aws.ask("health", asked)
    assert answer.status == 200
    assert answer.json == {
        "xksProxyFleetSize": 1,
        "xksProxyVendor": "hyok",
        "xksProxyModel": "hyok test",
        "ekmVendor": "softhsm",
        "ekmFleetDetails": [
            {
                "id": "software keys (NOT for production)",
                "model": "softhsm",
                "healthStatus": "ACTIVE",
            }
        ],
    }
    aws.hsm.probe_doors = ill  # type: ignore[method-assign]
    assert (await aws.ask("health", asked)).json["ekmFleetDetails"][0]["healthStatus"] == "ACTIVE"
    aws.monotonic[0] += 61  # no trial is believed for longer than a minute
    details = (await aws.ask("health", asked)).json["ekmFleetDetails"]
    assert details[0]["healthStatus"] == "UNAVAILABLE"


async def ill(_seconds: float) -> dict[str, str]:
    return {"a": "no answer"}


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        ([Usage.ENCRYPT, Usage.DECRYPT], ["ENCRYPT", "DECRYPT"]),
        ([Usage.ENCRYPT], ["ENCRYPT"]),
        ([Usage.DECRYPT], ["DECRYPT"]),
    ],
)
async def test_a_keys_purpose_is_told(aws: KeyStore, usage: list[Usage], said: list[str]) -> None:
    await aws.make("k-1", *usage)
    for operation in ("CreateKey", "DescribeKey", "OfTomorrow"):
        metadata = {**METADATA, "kmsOperation": operation}
        del metadata["kmsKeyArn"]
        answer = await aws.ask("metadata", {"requestMetadata": metadata}, "k-1")
        assert answer.status == 200
        assert answer.json == {"keySpec": "AES_256", "keyUsage": said, "keyStatus": "ENABLED"}


@pytest.mark.parametrize("aad", [None, b"", AAD, bytes(8192)])
@pytest.mark.parametrize("size", [1, 12, 4096, 4300])
async def test_what_was_encrypted_is_decrypted_and_others_agree(
    aws: KeyStore, aad: bytes | None, size: int
) -> None:
    plain = bytes(range(256)) * 17
    more: dict[str, Any] = {} if aad is None else {"additionalAuthenticatedData": b64(aad)}
    made = await aws.encrypt(plain[:size], **more, **DIGEST)
    assert made.status == 200, made.answer
    given = made.json
    ciphertext, iv, tag, metadata = (
        b64decode(given[name])
        for name in (
            *("ciphertext", "initializationVector"),
            *("authenticationTag", "ciphertextMetadata"),
        )
    )
    assert (len(ciphertext), len(iv), len(tag), metadata) == (size, 12, 16, b"v1")
    data = joined(aad or b"", metadata)
    assert AESGCM(aws.key_value("kms")).decrypt(iv, ciphertext + tag, data) == plain[:size]
    digest = hashlib.sha256((aad or b"") + metadata + iv + ciphertext + tag).digest()
    assert given["ciphertextDataIntegrityValue"] == b64(digest)
    assert plain_of(await aws.decrypt(given, **more)) == plain[:size]
    # and what another implementation made with the same key opens here
    theirs = AESGCM(aws.key_value("kms")).encrypt(bytes(12), b"van elders", data)
    sealed = {"ciphertext": b64(theirs[:-16]), "authenticationTag": b64(theirs[-16:])}
    sealed |= {"initializationVector": b64(bytes(12)), "ciphertextMetadata": b64(metadata)}
    assert plain_of(await aws.decrypt(sealed, **more)) == b"van elders"


async def test_an_integrity_value_is_told_only_where_it_was_asked_for(aws: KeyStore) -> None:
    assert "ciphertextDataIntegrityValue" not in (await aws.encrypt()).json


async def test_an_integrity_value_covers_only_what_the_hsm_opens_again(
    aws: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    opened = aws.hsm.door_open

    async def other(*asked: Any) -> bytes:
        order.append("open")
        return await opened(*asked) + b"x"

    monkeypatch.setattr(aws.hsm, "door_open", other)
    assert told(await aws.encrypt(**DIGEST)) == (500, "InternalException")
    assert order == ["open"]
    assert (await aws.encrypt()).status == 200
    assert order == ["open"]


async def test_an_older_version_decrypts_and_the_newest_encrypts(aws: KeyStore) -> None:
    before = (await aws.encrypt()).json
    await aws.make("kms", version=2)
    after = (await aws.encrypt()).json
    assert [b64decode(made["ciphertextMetadata"]) for made in (before, after)] == [b"v1", b"v2"]
    assert plain_of(await aws.decrypt(before)) == plain_of(await aws.decrypt(after))
    swapped = before | {"ciphertextMetadata": after["ciphertextMetadata"]}
    assert told(await aws.decrypt(swapped)) == (400, "InvalidCiphertextException")


async def test_load_balancers_may_ask_without_a_key(aws: KeyStore) -> None:
    answer = await aws.send("/ping", b"", "GET")
    assert (answer.status, answer.answer) == (200, b"ok\n")


# ── every error of the specification ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        {"additionalAuthenticatedData": b64(b"project=nil")},
        {"additionalAuthenticatedData": None},
        {"authenticationTag": b64(bytes(16))},
        {"initializationVector": b64(bytes(12))},
        {"initializationVector": b64(bytes(16))},
        {"ciphertext": b64(bytes(12))},
        {"ciphertext": ""},
        {"ciphertextMetadata": None},
        {"ciphertextMetadata": b64(b"v2")},
        {"ciphertextMetadata": b64(b"v01")},
        {"ciphertextMetadata": b64(b"key_version=1")},
        {"ciphertextMetadata": b64(bytes(20))},
    ],
)
async def test_whatever_does_not_open_is_one_error(aws: KeyStore, change: dict[str, Any]) -> None:
    more = {"additionalAuthenticatedData": b64(AAD)}
    sealed = (await aws.encrypt(**more)).json
    good = await aws.decrypt(sealed, **more)
    assert plain_of(good) == b"Hello World!"
    answer = await aws.decrypt(sealed, **(more | change))
    assert told(answer) == (400, "InvalidCiphertextException")
    assert answer.json["errorMessage"] == "The ciphertext does not open under this key."


@pytest.mark.parametrize("operation", ["encrypt", "decrypt", "metadata", "health"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"requestMetadata":null}',
        b'{"requestMetadata":{}}',
        b'{"requestMetadata":{"kmsRequestId":1,"kmsOperation":"x"}}',
        b'{"requestMetadata":{"kmsRequestId":"","kmsOperation":"x"}}',
        b'{"requestMetadata":{"kmsRequestId":"\\ud800","kmsOperation":"x"}}',
        b'{"requestMetadata":{"kmsRequestId":"1"}}',
        b'{"requestMetadata":{},"requestMetadata":{"kmsRequestId":"1","kmsOperation":"x"}}',
        b"[" * 20_000,
    ],
)
async def test_a_body_without_what_it_must_have_is_told(
    aws: KeyStore, operation: str, body: bytes
) -> None:
    assert told(await aws.ask(operation, body)) == (400, "ValidationException")
    assert aws.house.journal.records == []


@pytest.mark.parametrize(
    "change",
    [
        {"plaintext": None},
        {"plaintext": ""},
        {"plaintext": 7},
        {"plaintext": "SGVsbG8"},
        {"plaintext": "QR=="},  # decodes to `A`, which is written QQ==
        {"plaintext": "-_-_"},
        {"plaintext": "SGVs bG8="},
        {"plaintext": "é"},
        {"encryptionAlgorithm": None},
        {"encryptionAlgorithm": "AES_CBC"},
        {"additionalAuthenticatedData": 1},
        {"ciphertextDataIntegrityValueAlgorithm": "MD5"},
        {"requestMetadata": {**METADATA, "kmsKeyArn": None}},
        {"requestMetadata": {**METADATA, "awsPrincipalArn": "a" * 2049}},
        {"requestMetadata": {**METADATA, "awsPrincipalArn": "a\nb"}},
    ],
)
async def test_members_that_are_missing_or_wrong_are_told(
    aws: KeyStore, change: dict[str, Any]
) -> None:
    assert told(await aws.encrypt(**change)) == (400, "ValidationException")


@pytest.mark.parametrize(
    "change",
    [
        {"ciphertext": None},
        {"authenticationTag": None},
        {"authenticationTag": b64(bytes(12))},
        {"initializationVector": None},
        {"initializationVector": b64(bytes(8))},
        {"ciphertextMetadata": b64(bytes(21))},
        {"encryptionAlgorithm": "AES_CTR"},
    ],
)
async def test_so_are_those_of_a_decryption(aws: KeyStore, change: dict[str, Any]) -> None:
    sealed = (await aws.encrypt()).json
    assert told(await aws.decrypt(sealed, **change)) == (400, "ValidationException")


@pytest.mark.parametrize("key", ["anders", "k.ms", "k_ms", "x" * 128])
@pytest.mark.parametrize("operation", ["metadata", "encrypt", "decrypt"])
async def test_an_unknown_key_is_told_by_its_name(aws: KeyStore, key: str, operation: str) -> None:
    assert told(await _use(aws, operation, key)) == (404, "KeyNotFoundException")


async def _use(aws: KeyStore, operation: str, key: str = "kms") -> FakeExchange:
    if operation == "metadata":
        return await aws.ask("metadata", {"requestMetadata": METADATA}, key)
    if operation == "encrypt":
        return await aws.encrypt(key=key)
    sealed = {name: b64(bytes(12)) for name in ("ciphertext", "initializationVector")}
    return await aws.decrypt(sealed | {"authenticationTag": b64(bytes(16))}, key=key)


@pytest.mark.parametrize("operation", ["metadata", "encrypt", "decrypt"])
async def test_a_key_of_another_app_or_tenant_is_not_there(aws: KeyStore, operation: str) -> None:
    await aws.make("van-ander", app="ander")
    await aws.keys.add_tenant("buur")
    await aws.make("van-buur", tenant="buur")
    for key in ("van-ander", "van-buur"):
        assert told(await _use(aws, operation, key)) == (404, "KeyNotFoundException")


STATES = {
    KeyState.SUSPENDED: ("DISABLED", False, False),
    KeyState.DEACTIVATED: ("ENABLED", False, True),
    KeyState.COMPROMISED: ("ENABLED", False, True),
}


@pytest.mark.parametrize("state", STATES)
async def test_a_keys_state_stops_what_it_must(aws: KeyStore, state: KeyState) -> None:
    sealed = (await aws.encrypt()).json
    await aws.catalog.change_state("t", "kms", state)
    status, encrypts, decrypts = STATES[state]
    assert (await _use(aws, "metadata")).json["keyStatus"] == status
    for answer, allowed in ((await aws.encrypt(), encrypts), (await aws.decrypt(sealed), decrypts)):
        if allowed:
            assert answer.status == 200
        else:
            assert told(answer) == (400, "InvalidStateException")


async def test_what_was_ended_never_begins_again(aws: KeyStore) -> None:
    await aws.catalog.change_state("t", "kms", KeyState.DEACTIVATED)
    for to in (KeyState.ACTIVE, KeyState.SUSPENDED):
        with pytest.raises(Conflict):
            await aws.catalog.change_state("t", "kms", to)
    with pytest.raises(NotFound):
        await aws.catalog.change_state("t", "anders", KeyState.SUSPENDED)


async def test_a_key_that_another_process_suspends_stops_within_seconds(aws: KeyStore) -> None:
    from hyok.custody.door_catalog import DoorCatalog

    assert (await aws.encrypt()).status == 200
    beside = DoorCatalog(aws.house.database, lambda: aws.house.now[0])
    await beside.change_state("t", "kms", KeyState.SUSPENDED)
    aws.house.now[0] += 2_000
    assert told(await aws.encrypt()) == (400, "InvalidStateException")
    await beside.change_state("t", "kms", KeyState.ACTIVE)
    aws.house.now[0] += 2_000
    assert (await aws.encrypt()).status == 200


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Frozen.KEY, "t/kms"),
        (Frozen.DOOR, "xks"),
        (Frozen.APP, "aws-kms"),
        (Frozen.TENANT, "t"),
    ],
)
async def test_what_is_frozen_is_not_used(aws: KeyStore, kind: Frozen, name: str) -> None:
    freezes = Freezes(aws.house.database, lambda: aws.house.now[0])
    await freezes.freeze(kind, name, "operator:els", "incident")
    aws.house.now[0] += 2_000
    for operation in ("metadata", "encrypt"):
        assert told(await _use(aws, operation)) == (400, "InvalidStateException")
    await freezes.thaw(kind, name)
    aws.house.now[0] += 2_000
    assert (await aws.encrypt()).status == 200


@pytest.mark.parametrize(
    ("usage", "operation", "more", "allowed"),
    [
        (Usage.ENCRYPT, "encrypt", {}, True),
        (Usage.ENCRYPT, "encrypt", DIGEST, False),  # it would have to be opened to be shown
        (Usage.ENCRYPT, "decrypt", {}, False),
        (Usage.DECRYPT, "encrypt", {}, False),
    ],
)
async def test_a_key_is_put_to_what_it_was_made_for(
    aws: KeyStore, usage: Usage, operation: str, more: dict[str, str], allowed: bool
) -> None:
    await aws.make("half", usage)
    answer = await (
        aws.encrypt(key="half", **more) if operation == "encrypt" else _use(aws, operation, "half")
    )
    if allowed:
        assert answer.status == 200
    else:
        assert told(answer) == (400, "InvalidKeyUsageException")


async def test_policy_says_no(aws: KeyStore) -> None:
    await aws.make("geheim", classification="geheim")
    app = await aws.keys.find_app("aws-kms")
    assert app is not None
    from dataclasses import replace

    await aws.keys.change_app(replace(app, clearance=30))
    for operation in ("metadata", "encrypt", "decrypt"):
        assert told(await _use(aws, operation, "geheim")) == (403, "AccessDeniedException")
    assert (await aws.encrypt()).status == 200
    await aws.keys.change_app(replace(app, grants=frozenset({"read", "use-keys"})))
    assert told(await aws.encrypt()) == (403, "AccessDeniedException")


async def test_more_than_one_call_takes_is_told(aws: KeyStore) -> None:
    assert told(await aws.encrypt(bytes(4301))) == (501, "UnsupportedOperationException")
    aad = b64(bytes(8300))
    answer = await aws.encrypt(additionalAuthenticatedData=aad)
    assert told(answer) == (501, "UnsupportedOperationException")
    whole = await aws.ask("encrypt", bytes(49 << 10))
    assert told(whole) == (501, "UnsupportedOperationException")
    assert not whole.read


async def test_unknown_paths_are_told_before_who_asks(aws: KeyStore) -> None:
    for target in (
        "/kms/xks/v1/health",
        "/vreemd/kms/xks/v1/health",
        PREFIX + "/kms/xks/v2/health",
        PREFIX + "/kms/xks/v1/keys/kms",
        PREFIX + "/kms/xks/v1/keys/kms/rewrap",
        PREFIX + "/kms/xks/v1/health?x=1",
        PREFIX + "/kms/xks/v1/keys/k%6Ds/metadata",
        PREFIX + "//kms/xks/v1/health",
    ):
        answer = await aws.send(target, b"{}", change={"authorization": ""})
        assert told(answer) == (404, "InvalidUriPathException"), target
        assert not answer.read


async def test_only_post_is_answered(aws: KeyStore) -> None:
    for path in ("health", "keys/kms/metadata", "keys/kms/encrypt", "keys/kms/decrypt"):
        answer = await aws.send(f"{PREFIX}/kms/xks/v1/{path}", b"", "GET")
        assert (answer.status, answer.answered["allow"]) == (405, "POST")


async def test_too_many_requests_wait(tmp_path: Path) -> None:
    from hyok.doors.xks.config import XksStoreSettings

    store = XksStoreSettings(
        prefix=PREFIX, app="aws-kms", regions=("eu-central-1",), requests_per_second_max=3
    )
    async with key_store(tmp_path, stores=[store]) as aws:
        said = [(await aws.encrypt()).status for _ in range(5)]
        assert said == [200, 200, 200, 429, 429]
        assert told(await aws.encrypt()) == (429, "ThrottlingException")
        aws.monotonic[0] += 1
        assert (await aws.encrypt()).status == 200
        wrong = await aws.ask("encrypt", b"{}", secret="x" * 44)
        assert wrong.status == 401  # whoever is nobody takes nothing of the store's rate


async def test_a_hanging_hsm_is_answered_in_time_and_sheds(tmp_path: Path) -> None:
    async with key_store(tmp_path, in_flight_max=2) as aws:
        assert (await aws.encrypt()).status == 200
        aws.door._deadline_seconds = 0.5

        async def hang(*_: Any) -> None:
            await asyncio.sleep(30)

        aws.hsm.door_seal = hang  # type: ignore[assignment]
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers = await asyncio.gather(*(aws.encrypt() for _ in range(4)))
        assert loop.time() - began < 5  # on a machine with other things to do; it hangs for 30 s
        assert sorted(map(told, answers)) == [
            *[(429, "ThrottlingException")] * 2,
            *[(503, "DependencyTimeoutException")] * 2,
        ]
        last = aws.house.journal.records[-1]
        assert (last.outcome, last.error) == ("failed", "Unavailable:HY-2608")


async def test_everything_else_that_hangs_is_answered_in_time_too(tmp_path: Path) -> None:
    async with key_store(tmp_path, deadline_seconds=0.1) as aws:

        async def hang(*_: Any, **__: Any) -> None:
            await asyncio.sleep(30)

        aws.house.journal.record = hang  # type: ignore[method-assign]
        assert told(await aws.encrypt()) == (503, "DependencyTimeoutException")


async def test_an_hsm_that_is_known_to_be_away_is_not_waited_for(aws: KeyStore) -> None:
    aws.house.watch.reachable = False
    assert told(await aws.encrypt()) == (503, "DependencyTimeoutException")
    assert (await _use(aws, "metadata")).status == 200


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unavailable("no token", code="HY-2101"), (503, "DependencyTimeoutException")),
        (Tampered("another key", code="HY-2106"), (500, "InternalException")),
        (ZeroDivisionError(), (500, "InternalException")),
    ],
)
async def test_what_fails_inside_is_told_by_name_alone(
    aws: KeyStore, error: Exception, said: tuple[int, str]
) -> None:
    async def fail(*_: Any) -> None:
        raise error

    aws.hsm.door_seal = fail  # type: ignore[assignment]
    answer = await aws.encrypt()
    assert told(answer) == said
    assert "token" not in answer.answer.decode()
    assert "another" not in answer.answer.decode()


# ── how often, and what is on record ────────────────────────────────────────────────────────────


async def test_no_version_encrypts_more_often_than_random_ivs_bear(aws: KeyStore) -> None:

    sealed = (await aws.encrypt()).json
    far = update(door_key_versions).values(uses=USES_MAX - USES_AT_ONCE + 1)
    await aws.house.database.run(lambda c: c.execute(far))
    for _ in range(USES_AT_ONCE - 1):  # what was set aside before still counts
        aws.catalog._set_aside["hyok-door/t/kms/1"] -= 1
        if not aws.catalog._set_aside["hyok-door/t/kms/1"]:
            break
    assert told(await aws.encrypt()) == (400, "InvalidStateException")
    assert plain_of(await aws.decrypt(sealed)) == b"Hello World!"
    await aws.make("kms", version=2)
    assert (await aws.encrypt()).status == 200


async def test_a_key_that_is_for_nothing_is_told_so_and_does_nothing(aws: KeyStore) -> None:
    row = door_keys.c
    for_nothing = update(door_keys).where(row.name == "kms").values(usage=[])

    def act(connection: Connection) -> None:  # by hand: no officer can make such a key
        connection.execute(for_nothing)
        bump_epoch(connection, "door_keys")

    sealed = (await aws.encrypt()).json
    await aws.house.database.run(act)
    aws.house.now[0] += 10_000
    for answer in (await aws.encrypt(), await aws.decrypt(sealed)):
        assert told(answer) == (400, "InvalidKeyUsageException")
    shown = {"requestMetadata": METADATA | {"kmsOperation": "DescribeKey"}}
    assert (await aws.ask("metadata", shown)).json["keyUsage"] == []


@pytest.mark.parametrize("where", ["at the log", "at the hsm", "a fault of ours"])
async def test_a_use_that_is_cut_off_is_on_record_as_failed(
    aws: KeyStore, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    waits = asyncio.Event()

    async def hang(*_asked: Any) -> Any:
        waits.set()
        await asyncio.sleep(60)

    async def break_(*_asked: Any) -> Any:
        waits.set()
        raise ZeroDivisionError

    record = aws.house.journal.record

    async def slow(entry: Any, *, durable: bool) -> None:
        await record(entry, durable=durable)
        if entry.phase == "intend":
            await hang()

    if where == "at the log":
        monkeypatch.setattr(aws.house.journal, "record", slow)
    else:
        monkeypatch.setattr(aws.hsm, "door_seal", hang if where == "at the hsm" else break_)
    task = asyncio.create_task(aws.encrypt())
    await waits.wait()
    if where != "a fault of ours":
        task.cancel()  # as the door's deadline does, and a process that stops
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        assert told(await task) == (500, "InternalException")
    first, last = [one for one, _ in aws.house.journal.entries]
    assert (first.phase, last.phase) == ("intend", "conclude")
    assert (last.outcome, last.error) == ("failed", "Unavailable:CutOff")
    assert last.kek_id == first.kek_id


async def test_each_use_is_on_record_before_the_hsm_is_asked(aws: KeyStore) -> None:
    seen = []
    sealing = aws.hsm.door_seal

    async def look(*asked: Any) -> Any:
        seen.extend(aws.house.journal.entries)
        return await sealing(*asked)

    aws.hsm.door_seal = look  # type: ignore[method-assign]
    await aws.encrypt()
    [(intent, durable)] = seen
    assert durable
    assert (intent.phase, intent.action, intent.outcome) == ("intend", "key:encrypt", "pending")
    assert intent.request_id == METADATA["kmsRequestId"]
    assert intent.actor == "aws-kms"
    assert intent.origin == "192.0.2.7"
    assert intent.kek_id == "hyok-door/t/kms/1"
    assert intent.classification == "vertrouwelijk"
    assert "door-key-use" in intent.reasons
    words = dict(word.split(":", 1) for word in intent.reasons if ":" in word)
    assert words["door"] == "xks"
    assert words["operation"] == "Encrypt"
    assert words["via"] == "ebs"
    assert words["resource"] == METADATA["kmsKeyArn"]
    assert words["caller"].startswith("name:")
    closing = aws.house.journal.records[-1]
    assert (closing.phase, closing.outcome, closing.size_bytes) == ("conclude", "done", 12)


async def test_nobody_is_named_on_record_or_in_metrics(aws: KeyStore) -> None:
    await aws.encrypt()
    await aws.encrypt(key="anders")
    for record in aws.house.journal.records:
        assert CALLER not in repr(record)
        assert "anna" not in repr(record)
    assert aws.meter.seen == [("xks", "encrypt", ""), ("xks", "encrypt", "KeyNotFoundException")]


async def test_without_the_log_no_key_is_used(aws: KeyStore) -> None:
    sealed = (await aws.encrypt()).json
    aws.house.journal.away = True
    called = []
    aws.hsm.door_seal = lambda *_: called.append(1)  # type: ignore[assignment]
    assert told(await aws.encrypt()) == (503, "DependencyTimeoutException")
    assert told(await aws.decrypt(sealed)) == (503, "DependencyTimeoutException")
    assert not called


async def test_every_refusal_is_on_record(aws: KeyStore) -> None:
    await aws.make("half", Usage.DECRYPT)
    await aws.encrypt(key="half")
    await aws.encrypt(key="anders")
    await aws.encrypt(bytes(4301))
    errors = [record.error for record in aws.house.journal.records if record.error]
    assert errors == ["Refused:HY-2603", "NotFound:HY-2601", "Malformed:HY-2605"]
