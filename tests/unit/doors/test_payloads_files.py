"""Files: sealed as they come, opened as they come, and nothing taken for what it is not."""

from __future__ import annotations

from dataclasses import replace
from hashlib import shake_256
from typing import TYPE_CHECKING

import pytest
from tests.fakes.memory_store import MemoryStore
from tests.unit.doors.payloads import Payloads, Streamed, payloads, problem
from tests.unit.objects.vaults import Body, vaults_over

from hyok.custody.freezes import Frozen
from hyok.custody.key_states import KeyState
from hyok.custody.keyring_rows import KeyringRows
from hyok.custody.lone_keys import LoneKeys
from hyok.envelope.layout import HYOK1, LAYOUT
from hyok.envelope.metadata import Metadata
from hyok.envelope.sealed_file import FILE_BLOCK_BYTES, parse_block, render_block
from hyok.errors import Unavailable
from hyok.objects.export_folder import SealedFolder
from hyok.objects.facts import PutFacts
from hyok.objects.places import FilePlace
from hyok.objects.reading import ObjectReader
from hyok.objects.streams import Rooms
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX, Ask, Principal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.objects.vaults import Vaults

    from hyok.audit.record import AuditRecord

HERE = "bucket=brieven&name=2026/brief%20%C3%A9%C3%A9n.pdf"
NAME = "2026/brief één.pdf"
SEGMENT = HYOK1.segment_plain_bytes
LONG = WHOLE_BODY_BYTES_MAX + 3 * SEGMENT + 17
SIZES = [0, 1, SEGMENT - 41, SEGMENT - 40, SEGMENT, WHOLE_BODY_BYTES_MAX, WHOLE_BODY_BYTES_MAX + 1]


def body_of(size: int) -> bytes:
    return shake_256(b"%d" % size).digest(size)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Payloads]:
    async with payloads(tmp_path) as made:
        yield made


async def seal(
    door: Payloads, plain: bytes, where: str = HERE, kind: str = "application/pdf"
) -> bytes:
    answer = await door.post(f"seal?{where}", plain, token=door.of_files, kind=kind)
    assert answer.status == 200, answer.answer
    assert not answer.cut
    assert answer.answered["content-type"] == "application/vnd.hyok.sealed-file"
    return answer.answer


async def unseal(door: Payloads, file: bytes, where: str = HERE, **more: object) -> Streamed:
    return await door.post(f"open?{where}", file, token=door.of_files, kind="", **more)


@pytest.mark.parametrize("size", [*SIZES, LONG])
async def test_what_was_sealed_opens_to_the_same_bytes_of_the_same_type(
    door: Payloads, size: int
) -> None:
    plain = body_of(size)
    file = await seal(door, plain)
    assert len(file) == FILE_BLOCK_BYTES + LAYOUT.object_sealed_size(size)
    assert not size or plain[:64] not in file or size < 16
    answer = await unseal(door, file)
    assert (answer.status, answer.cut) == (200, False)
    assert answer.answer == plain
    assert answer.answered["content-type"] == "application/pdf"
    assert answer.answered["x-content-type-options"] == "nosniff"
    assert answer.answered["cache-control"] == "no-store"


async def test_two_files_of_the_same_bytes_have_nothing_in_common(door: Payloads) -> None:
    one, two = await seal(door, b"x" * 1000), await seal(door, b"x" * 1000)
    assert one[FILE_BLOCK_BYTES : FILE_BLOCK_BYTES + 40] != two[FILE_BLOCK_BYTES:][:40]
    assert one[-200:] != two[-200:]


@pytest.mark.parametrize("size", [1000, LONG])
async def test_it_opens_without_a_gateway(door: Payloads, tmp_path: Path, size: int) -> None:
    (tmp_path / "brief").write_bytes(await seal(door, body_of(size)))
    house = door.store.house
    here = SealedFolder(tmp_path)
    bucket = await door.door._files._buckets.get("brieven")

    rows = KeyringRows(house.database)

    async def records(_bucket: object, ik_id: bytes) -> bytes | None:
        kept = await rows.kept(ik_id)
        return None if kept is None else kept.raw

    keks = {kek.kek_id: kek for kek in await house.keks.all()}
    reader = ObjectReader(LoneKeys(house.hsm, keks, records), Rooms())
    ask = Ask(Principal("opener", "t", "officer"), "object:get", bucket, NAME, "", "local", 0)
    opened = await reader.open(
        ask, FilePlace(here, "brief"), here.stored("brief"), asked=None, checksums=False, body=True
    )
    assert bytes(opened.whole()) == body_of(size)
    await opened.close()


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("seal", 400, "invalid_request"),
        ("seal?bucket=brieven", 400, "invalid_request"),
        ("seal?bucket=brieven&name=", 400, "invalid_request"),
        ("seal?bucket=brieven&name=a&name=b", 400, "invalid_request"),
        ("seal?bucket=brieven&name=a&zaak=1", 400, "invalid_request"),
        ("seal?bucket=brieven&name=%FF", 400, "invalid_request"),
        ("seal?bucket=brieven&name=.hyok/keyring/x", 400, "invalid_request"),
        ("seal?bucket=brieven&name=" + "x" * 1025, 400, "invalid_request"),
        ("seal?bucket=brieven&name=a%00b", 400, "invalid_request"),
        ("seal?bucket=scans&name=a", 404, "unknown_bucket"),
        ("seal?bucket=nergens&name=a", 404, "unknown_bucket"),
        ("open?bucket=scans&name=a", 404, "unknown_bucket"),
        ("open?" + HERE, 400, "invalid_file"),
    ],
)
async def test_what_an_address_cannot_say_is_refused(
    door: Payloads, path: str, status: int, word: str
) -> None:
    answer = await door.post(path, b"kort", token=door.of_files)
    assert problem(answer) == (status, word)
    assert not door.store.house.hsm.asked


async def test_an_app_that_was_registered_for_no_bucket_has_none(door: Payloads) -> None:
    assert problem(await door.post(f"seal?{HERE}", b"x")) == (404, "unknown_bucket")


async def test_without_a_token_nothing_is_looked_at(door: Payloads) -> None:
    assert problem(await door.post("seal?bucket=nergens&name=a", b"x", token="")) == (
        401,
        "not_authenticated",
    )


@pytest.mark.parametrize("operation", ["seal", "open"])
async def test_a_length_must_be_told(door: Payloads, operation: str) -> None:
    answer = await door.post(f"{operation}?{HERE}", b"x" * 9000, token=door.of_files, length=False)
    assert problem(answer) == (411, "length_required")


def flipped(file: bytes, at: int) -> bytes:
    return file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]


AT = FILE_BLOCK_BYTES
DAMAGES = {
    "no magic": lambda file: flipped(file, 0),
    "envelope": lambda file: flipped(file, 80),
    "padding": lambda file: flipped(file, AT - 1),
    "header": lambda file: flipped(file, AT),
    "first segment": lambda file: flipped(file, AT + 60),
    "trailer": lambda file: flipped(file, len(file) - 1),
    "cut": lambda file: file[:-1],
    "half": lambda file: file[: len(file) // 2],
    "more": lambda file: file + b"\0",
    "no body": lambda file: file[:AT],
    "no block": lambda file: file[AT:],
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_short_file_that_was_changed_opens_to_nothing(door: Payloads, damage: str) -> None:
    file = DAMAGES[damage](await seal(door, body_of(5000)))
    assert problem(await unseal(door, file)) == (400, "invalid_file")


@pytest.mark.parametrize("damage", ["envelope", "header", "first segment", "cut", "more", "half"])
async def test_a_long_file_whose_front_was_changed_is_refused_before_a_byte(
    door: Payloads, damage: str
) -> None:
    file = DAMAGES[damage](await seal(door, body_of(LONG)))
    assert problem(await unseal(door, file)) == (400, "invalid_file")


@pytest.mark.parametrize("where", [LONG // 2, -1])
async def test_a_long_file_that_was_changed_further_on_is_cut_off(
    door: Payloads, where: int
) -> None:
    plain = body_of(LONG)
    file = await seal(door, plain)
    door.store.house.journal.entries.clear()
    answer = await unseal(door, flipped(file, where % len(file)))
    assert (answer.status, answer.cut) == (200, True)
    assert len(answer.answer) < answer.promised == LONG
    assert plain.startswith(answer.answer)
    ended = [one for one, _ in door.store.house.journal.entries if one.phase == "conclude"]
    assert [(one.action, one.outcome) for one in ended] == [("file:open", "failed")]
    assert door.meter.seen[-1] == ("payloads", "open", "invalid_file")


async def test_segments_that_changed_places_do_not_open(door: Payloads) -> None:
    file = await seal(door, body_of(LONG))
    first, size = AT + HYOK1.segment_bytes, HYOK1.segment_bytes
    one, two = file[first : first + size], file[first + size : first + 2 * size]
    answer = await unseal(door, file[:first] + two + one + file[first + 2 * size :])
    assert answer.cut
    assert len(answer.answer) < LONG


async def test_a_file_opens_under_its_own_name_alone(door: Payloads) -> None:
    file = await seal(door, b"geheim")
    for where in ("bucket=brieven&name=ander", "bucket=brieven&name=2026/brief"):
        assert problem(await unseal(door, file, where)) == (400, "invalid_file")


async def test_a_file_of_another_bucket_does_not_open_here(door: Payloads) -> None:
    file = await seal(door, b"geheim")
    files = door.door._files
    named = files._buckets

    class Renamed:
        async def get(self, bucket_id: str) -> object:
            return replace(await named.get("brieven"), bucket_id="anders")

    files._buckets = Renamed()
    app = await door.store.keys.serving_app("bestanden")
    assert app is not None
    await door.store.keys.create_app(replace(app, app_id="verhuisd", buckets=frozenset({"anders"})))
    token = (await door.tokens.create("verhuisd", 60)).token.get_secret_value()
    answer = await door.post(f"open?{HERE.replace('brieven', 'anders')}", file, token=token)
    assert problem(answer) == (400, "invalid_file")


@pytest.mark.parametrize("size", [1000, LONG])
async def test_a_body_that_is_shorter_than_it_said_makes_no_file(door: Payloads, size: int) -> None:
    head = await door.post(f"seal?{HERE}", body_of(size), token=door.of_files)
    short = Streamed(head.head, body_of(size)[:-1], size)
    door.store.house.journal.entries.clear()
    await door.door.handle(short)
    whole = FILE_BLOCK_BYTES + LAYOUT.object_sealed_size(size)
    if size > WHOLE_BODY_BYTES_MAX:
        assert short.cut
        assert len(short.answer) < whole
        assert problem(await unseal(door, short.answer)) == (400, "invalid_file")
    else:
        assert problem(short) == (400, "invalid_request")
    ended = [one for one, _ in door.store.house.journal.entries if one.phase == "conclude"]
    assert [(one.action, one.outcome) for one in ended] == [("file:seal", "failed")]


async def test_both_are_on_the_log_before_the_key_and_after(door: Payloads) -> None:
    journal = door.store.house.journal
    journal.entries.clear()
    await unseal(door, await seal(door, b"geheim"))
    told = [(one.action, one.phase, one.outcome) for one, _ in journal.entries]
    assert told == [
        ("file:seal", "intend", "pending"),
        ("file:seal", "conclude", "done"),
        ("file:open", "intend", "pending"),
        ("file:open", "conclude", "done"),
    ]
    assert all("brief" not in repr(one) for one, _ in journal.entries)
    assert [one for one in door.meter.seen if one[1] in {"seal", "open"}] == [
        ("payloads", "seal", ""),
        ("payloads", "open", ""),
    ]


@pytest.mark.parametrize("operation", ["seal", "open"])
@pytest.mark.parametrize("size", [1000, LONG])
async def test_no_answer_is_whole_whose_record_is_not_on_the_log(
    door: Payloads, monkeypatch: pytest.MonkeyPatch, operation: str, size: int
) -> None:
    plain = body_of(size)
    sent = plain if operation == "seal" else await seal(door, plain)
    record = door.store.house.journal.record

    async def refuse(entry: AuditRecord, *, durable: bool) -> None:
        if entry.phase == "conclude" and entry.outcome == "done":
            raise Unavailable("The audit log does not take records.", code="HY-5001")
        await record(entry, durable=durable)

    monkeypatch.setattr(door.store.house.journal, "record", refuse)
    answer = await door.post(f"{operation}?{HERE}", sent, token=door.of_files)
    if size == LONG:
        assert answer.cut
        assert len(answer.answer) < answer.promised
    else:
        assert problem(answer) == (503, "unavailable")


async def test_one_app_has_half_of_the_places_at_most(tmp_path: Path) -> None:
    async with payloads(tmp_path, files_in_flight_max=4) as made:
        file = await seal(made, b"x")
        made.door._files_of["bestanden"] = 2
        assert problem(await unseal(made, file)) == (429, "too_many_requests")
        made.door._files_of["bestanden"] = 1
        assert (await unseal(made, file)).answer == b"x"
        assert made.door._files_of["bestanden"] == 1


@pytest.mark.parametrize("kind", ["", "text/héé", "a\tb", " text/plain", "x" * 300])
async def test_a_type_that_no_header_can_say_is_octets(door: Payloads, kind: str) -> None:
    house = door.store.house
    vaults = await vaults_over(house, classification="vertrouwelijk", name="brieven")
    # As an object of the S3 door may have come to it.
    assert await unseal_object(door, vaults, b"geheim", kind) == "application/octet-stream"
    assert await unseal_object(door, vaults, b"geheim", "text/plain") == "text/plain"


@pytest.mark.parametrize("size", [0, 1000, LONG])
async def test_the_file_of_an_object_as_an_export_holds_it_opens_here(
    door: Payloads, size: int
) -> None:
    vaults = await vaults_over(door.store.house, classification="vertrouwelijk", name="brieven")
    await unseal_object(door, vaults, body_of(size), "application/pdf")


async def unseal_object(door: Payloads, vaults: Vaults, plain: bytes, kind: str) -> str:
    """Put an object, take its sealed file to the door, and return the type that it says."""
    bucket = vaults.buckets["brieven"]
    app = Principal("s3", "t", clearance=50, grants=frozenset({"write"}), purpose="x")
    house = door.store.house
    ask = Ask(app, "object:put", bucket, NAME, "", "", house.now[0], bucket.classification)
    store = MemoryStore(keeps_metadata=False)
    await store.create_bucket("brieven")
    vaults.vault.places._stores["local"] = store
    await vaults.vault.put(ask, Body(plain), PutFacts({"content-type": kind}))
    name = (await vaults.vault.places.of(bucket, NAME)).name
    stored, sealed = await store.read_whole("brieven", name)
    assert stored.facts is not None
    answer = await unseal(door, render_block(stored.facts.envelope) + sealed)
    assert (answer.status, answer.answer) == (200, plain)
    return answer.answered["content-type"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Frozen.DOOR, "payloads"), (Frozen.BUCKET, "brieven"), (Frozen.APP, "bestanden")],
)
async def test_what_is_frozen_seals_and_opens_nothing(
    door: Payloads, kind: Frozen, name: str
) -> None:
    file = await seal(door, b"geheim")
    await door.store.house.custodian.decisions._freezes.freeze(kind, name, "anna", "incident")
    door.store.house.now[0] += 10_000
    for path, body in (("seal", b"x"), ("open", file)):
        answer = await door.post(f"{path}?{HERE}", body, token=door.of_files)
        assert problem(answer) == (403, "suspended")


async def test_a_suspended_key_opens_and_seals_nothing(door: Payloads) -> None:
    file = await seal(door, b"geheim")
    house = door.store.house
    await house.keks.change_state("t/vertrouwelijk/1", KeyState.SUSPENDED)
    house.now[0] += 10_000
    assert problem(await unseal(door, file))[0] == 403
    answer = await door.post(f"seal?{HERE}", b"x", token=door.of_files)
    assert answer.status in {403, 503}
    problem(answer)


async def test_an_hsm_that_is_away_is_told_at_once(door: Payloads) -> None:
    file = await seal(door, b"geheim")
    door.store.house.watch.reachable = False
    assert problem(await unseal(door, file)) == (503, "unavailable")


async def test_more_files_than_the_door_takes_are_told_to_come_back(tmp_path: Path) -> None:
    async with payloads(tmp_path, files_in_flight_max=0) as made:
        answer = await made.post(f"seal?{HERE}", b"x", token=made.of_files)
        assert problem(answer) == (429, "too_many_requests")
        assert await made.encrypt()  # values have places of their own


async def test_the_file_of_an_upload_in_parts_is_left_to_what_can_read_it_from_any_place(
    door: Payloads,
) -> None:
    house, app = door.store.house, await door.store.keys.serving_app("bestanden")
    assert app is not None
    bucket = await door.door._files._buckets.get("brieven")
    ask = Ask(app.principal, "file:seal", bucket, NAME, "", "", house.now[0], bucket.classification)
    metadata = Metadata(protected=frozenset())
    issued = await house.custodian.issue(
        ask, plain_size=None, multipart=True, metadata=metadata, part_header=b""
    )
    envelope = issued.envelope
    file = render_block(envelope) + bytes(LAYOUT.object_sealed_size(10))
    assert parse_block(file[:FILE_BLOCK_BYTES]) == envelope
    assert problem(await unseal(door, file)) == (400, "file_of_parts")
