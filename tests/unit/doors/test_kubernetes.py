"""The door for Kubernetes: what an API server is given, what is refused, and what is on record."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.doors.api_server import SEED, api_server

from hyok.custody.door_key import Usage
from hyok.custody.freezes import Freezes, Frozen
from hyok.custody.key_states import KeyState
from hyok.doors.kubernetes.faults import Fault
from hyok.doors.kubernetes.wire import Operation
from hyok.identity.apps import App

if TYPE_CHECKING:
    from tests.unit.doors.api_server import ApiServer

SUSPENDED = ("PERMISSION_DENIED", "Suspended")
AWAY = ("UNAVAILABLE", "Unavailable")


def refused(told: Any) -> tuple[str, str]:
    assert isinstance(told, Fault), told
    return told.status, told.name


async def rotate(made: ApiServer) -> None:
    await made.store.make("kms", version=2)


async def test_what_is_encrypted_is_decrypted_and_each_time_otherwise(tmp_path: Any) -> None:
    async with api_server(tmp_path) as made:
        status = await made.status()
        assert (status.version, status.healthz) == ("v2", "ok")
        first, second = await made.encrypt(), await made.encrypt()
        assert first.ciphertext != second.ciphertext
        assert first.key_id == second.key_id == status.key_id
        assert len(first.ciphertext) <= 1024
        assert SEED not in first.ciphertext
        assert (await made.decrypt(first)).plaintext == SEED
        longest = await made.encrypt(bytes(512))
        assert len(longest.ciphertext) <= 1024
        assert (await made.decrypt(longest)).plaintext == bytes(512)


async def test_the_id_of_the_key_changes_with_a_rotation_alone_and_old_ones_decrypt(
    tmp_path: Any,
) -> None:
    async with api_server(tmp_path) as made:
        ids = {(await made.status()).key_id for _ in range(3)}
        old = await made.encrypt()
        await rotate(made)
        status = await made.status()
        assert ids == {old.key_id} != {status.key_id}
        assert (await made.encrypt()).key_id == status.key_id
        assert (await made.decrypt(old)).plaintext == SEED
        crossed = await made.decrypt(old, key_id=status.key_id)
        assert refused(crossed) == ("INVALID_ARGUMENT", "Ciphertext")


async def test_another_key_of_the_same_name_and_number_has_another_id(tmp_path: Any) -> None:
    ids = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        async with api_server(tmp_path / name) as made:
            ids.append((await made.status()).key_id)
    first, second = (one.rpartition(":") for one in ids)
    assert first[0] == second[0] == "hyok:t/kms/1"
    assert first[2] != second[2]


async def test_a_ciphertext_is_bound_to_its_key_and_annotations(tmp_path: Any) -> None:
    async with api_server(tmp_path) as made:
        sealed = await made.encrypt()
        added = await made.decrypt(sealed, annotations={"plugin.example.nl": b"x"})
        assert refused(added) == ("INVALID_ARGUMENT", "Ciphertext")
        for at in (5, 20, len(sealed.ciphertext) - 1):
            changed = bytearray(sealed.ciphertext)
            changed[at] ^= 1
            told = await made.decrypt(sealed, ciphertext=bytes(changed))
            assert refused(told) == ("INVALID_ARGUMENT", "Ciphertext")
        for key_id in ("hyok:t/kms/2:0000000000000000", "elders", sealed.key_id + "0"):
            told = await made.decrypt(sealed, key_id=key_id)
            assert refused(told) == ("NOT_FOUND", "NoKeyId")
        outcomes = [entry.outcome for entry, _ in made.store.house.journal.entries]
        assert outcomes.count("failed") == 7, "each attempt is on record"


async def test_each_use_is_on_record_before_the_hsm_is_asked(tmp_path: Any) -> None:
    async with api_server(tmp_path) as made:
        sealed = await made.encrypt()
        await made.decrypt(sealed, uid="een regel\nnog een")
        entries = made.store.house.journal.entries
        told = [(entry.phase, entry.action, durable) for entry, durable in entries]
        assert told == [
            ("intend", "key:encrypt", True),
            ("conclude", "key:encrypt", False),
            ("intend", "key:decrypt", True),
            ("conclude", "key:decrypt", False),
        ]
        intend = entries[0][0]
        assert {"door:kubernetes", "key:t/kms", "operation:encrypt"} <= set(intend.reasons)
        assert [entry.request_id for entry, _ in entries] == ["u-1"] * 2 + ["made-here"] * 2
        assert (intend.actor, intend.origin, intend.size_bytes) == ("aws-kms", "unix", 32)
        assert made.meter.seen[0] == ("kubernetes", "encrypt", "")


async def test_what_is_sealed_is_opened_again_before_it_is_given_out(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api_server(tmp_path) as made:

        async def other(*_: object) -> bytes:
            return bytes(32)

        monkeypatch.setattr(made.store.hsm, "door_open", other)
        assert refused(await made.encrypt()) == ("INTERNAL", "Internal")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Frozen.DOOR, "kubernetes"),
        (Frozen.KEY, "t/kms"),
        (Frozen.APP, "aws-kms"),
        (Frozen.TENANT, "t"),
    ],
)
async def test_a_freeze_stops_it(tmp_path: Any, kind: Frozen, name: str) -> None:
    async with api_server(tmp_path) as made:
        sealed = await made.encrypt()
        now = made.store.house.now
        await Freezes(made.store.house.database, lambda: now[0]).freeze(kind, name, "els", "x")
        now[0] += 2_500  # as long as a process may take to see it
        for told in (await made.status(), await made.encrypt(), await made.decrypt(sealed)):
            assert refused(told) == SUSPENDED


async def test_states_of_the_key_are_heeded(tmp_path: Any) -> None:
    async with api_server(tmp_path) as made:
        sealed = await made.encrypt()
        await made.store.catalog.change_state("t", "kms", KeyState.SUSPENDED)
        assert (await made.status()).healthz == "the key is suspended"
        assert refused(await made.encrypt()) == SUSPENDED
        assert refused(await made.decrypt(sealed)) == SUSPENDED
        await made.store.catalog.change_state("t", "kms", KeyState.ACTIVE)
        await made.store.catalog.change_state("t", "kms", KeyState.DEACTIVATED)
        assert (await made.status()).healthz == "the key is deactivated"
        assert refused(await made.encrypt()) == SUSPENDED
        assert (await made.decrypt(sealed)).plaintext == SEED


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"key": "geen"}, ("NOT_FOUND", "NoKey")),
        ({"key": "vreemd"}, ("NOT_FOUND", "NoKey")),
        ({"classification": "intern"}, ("PERMISSION_DENIED", "Denied")),
        ({"app": "niemand"}, ("PERMISSION_DENIED", "Denied")),
        ({"app": "zaken"}, ("PERMISSION_DENIED", "Denied")),
        ({"app": "laag"}, ("PERMISSION_DENIED", "Denied")),
    ],
)
async def test_app_key_and_class_must_be_those_of_the_settings(
    tmp_path: Any, change: Any, wanted: tuple[str, str]
) -> None:
    async with api_server(tmp_path) as good:
        sealed = await good.encrypt()
    async with api_server(tmp_path, **change) as made:
        await made.store.make("vreemd", app="ander")
        grants = frozenset({"use-keys", "read"})
        await made.store.keys.create_app(App("zaken", "t", 50, grants, purpose="x"))
        low = App("laag", "t", 10, frozenset({"use-keys"}), purpose="x")
        await made.store.keys.create_app(low)
        if change.get("app") == "laag":  # it has a key, but no clearance for its class
            await made.store.make("hoog", app="laag")
            made.door._settings = made.door._settings.model_copy(update={"key": "hoog"})
        made.store.house.journal.entries.clear()
        for told in (await made.status(), await made.encrypt(), await made.decrypt(sealed)):
            assert refused(told) == wanted
        if "app" not in change:  # an unknown one asks for nothing
            outcomes = [entry.outcome for entry, _ in made.store.house.journal.entries]
            assert outcomes == ["failed" if wanted[0] == "NOT_FOUND" else "denied"] * 3


async def test_a_key_for_one_direction_does_not_serve(tmp_path: Any) -> None:
    async with api_server(tmp_path, key="sluit") as made:
        await made.store.make("sluit", Usage.ENCRYPT)
        assert refused(await made.encrypt()) == ("PERMISSION_DENIED", "Usage")


@pytest.mark.parametrize(
    ("operation", "raw"),
    [
        (Operation.STATUS, b"\x0a\xff"),
        (Operation.ENCRYPT, b"\x0a\x05x"),
        (Operation.ENCRYPT, {"plaintext": b""}),
        (Operation.ENCRYPT, {"plaintext": bytes(513)}),
        (Operation.DECRYPT, b"\x1a\x02\xff\xfe"),  # a key_id that is no UTF-8
        (Operation.DECRYPT, {"key_id": "x", "ciphertext": b"\x01" + bytes(28)}),
        (Operation.DECRYPT, {"key_id": "x", "ciphertext": b"\x02" + bytes(40)}),
        (Operation.DECRYPT, {"key_id": "x", "ciphertext": b"\x01" + bytes(1024)}),
        (Operation.DECRYPT, {"key_id": "", "ciphertext": b"\x01" + bytes(40)}),
        (Operation.DECRYPT, {"key_id": "x" * 1025, "ciphertext": b"\x01" + bytes(40)}),
        (
            Operation.DECRYPT,
            {
                "key_id": "x",
                "ciphertext": b"\x01" + bytes(40),
                "annotations": {f"a{n}.example.nl": b"" for n in range(17)},
            },
        ),
        (
            Operation.DECRYPT,
            {
                "key_id": "x",
                "ciphertext": b"\x01" + bytes(40),
                "annotations": {"a.example.nl": bytes(4097)},
            },
        ),
    ],
)
async def test_what_no_api_server_sends_is_refused_without_a_key(
    tmp_path: Any, operation: Operation, raw: Any
) -> None:
    async with api_server(tmp_path) as made:
        assert refused(await made.ask(operation, raw)) == ("INVALID_ARGUMENT", "Malformed")
        assert made.store.house.journal.entries == []


async def test_an_hsm_that_is_away_is_told_of_at_once(tmp_path: Any) -> None:
    async with api_server(tmp_path) as made:
        sealed = await made.encrypt()
        before = (await made.status()).key_id
        made.ill[0] = "a: no GCM"
        assert (await made.status()).healthz == "no token of the HSM is well: a: no GCM"
        made.store.hsm.away = True
        await made.store.house.watch.look()
        status = await made.status()
        assert (status.healthz, status.key_id) == ("the HSM does not answer", before)
        assert refused(await made.encrypt()) == AWAY
        assert refused(await made.decrypt(sealed)) == AWAY


@pytest.mark.parametrize(("deadline_ms", "seconds"), [(200, 3.0), (2_900, 0.25), (200, None)])
async def test_an_hsm_that_hangs_is_answered_for_in_time(
    tmp_path: Any, deadline_ms: int, seconds: float | None
) -> None:
    async with api_server(tmp_path, deadline_ms=deadline_ms) as made:

        async def hang(*_: object) -> Any:
            await asyncio.sleep(30)

        made.store.hsm.door_seal = hang  # type: ignore[method-assign]
        loop = asyncio.get_running_loop()
        began = loop.time()
        members = {"plaintext": SEED, "uid": "u"}
        assert refused(await made.ask(Operation.ENCRYPT, members, seconds)) == AWAY
        assert loop.time() - began < 1.0
        assert made.store.house.journal.entries[-1][0].outcome == "failed"


async def test_a_flood_is_shed_and_the_status_is_still_told(tmp_path: Any) -> None:
    async with api_server(tmp_path, requests_per_second_max=2) as made:
        told = [await made.encrypt() for _ in range(3)]
        assert refused(told[2]) == ("RESOURCE_EXHAUSTED", "TooMany")
        assert (await made.status()).healthz == "ok"
        made.store.monotonic[0] += 1
        assert (await made.encrypt()).ciphertext
    (tmp_path / "2").mkdir()
    async with api_server(tmp_path / "2", requests_in_flight_max=1) as made:
        gate, real = asyncio.Event(), made.store.hsm.door_seal

        async def slow(*given: Any) -> Any:
            await gate.wait()
            return await real(*given)

        made.store.hsm.door_seal = slow  # type: ignore[method-assign]
        first = asyncio.create_task(made.encrypt())
        await asyncio.sleep(0.05)
        assert refused(await made.encrypt()) == ("RESOURCE_EXHAUSTED", "TooMany")
        gate.set()
        assert (await first).ciphertext


async def test_a_bug_of_ours_is_told_as_no_more_than_that(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api_server(tmp_path) as made:

        async def bug(*_: object) -> Any:
            raise ValueError("geheim 1234")

        monkeypatch.setattr(made.store.custody, "describe", bug)
        told = await made.encrypt()
        assert refused(told) == ("INTERNAL", "Internal")
        assert "1234" not in told.message
