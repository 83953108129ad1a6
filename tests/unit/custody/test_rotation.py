"""Rotation: every record under a new key version, no object touched, whenever it is killed."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, select, update
from tests.unit.custody.test_custodian import (
    CLASSES,
    HEADER,
    METADATA,
    House,
    asking,
    bucket,
    build,
    house,
)

from hyok.custody import rotation as rotation_module
from hyok.custody.key_states import KeyState
from hyok.custody.keyring_rows import KeyringRows
from hyok.custody.rotation import KeyRotation
from hyok.database.tables import keyring
from hyok.envelope.records import parse_record
from hyok.errors import Conflict, NotFound, Refused, Tampered, Unavailable

if TYPE_CHECKING:
    from hyok.custody.kek import Kek
    from hyok.hsm.port import KekSpec

__all__ = ["house"]

CASES = 40


@dataclass(frozen=True, slots=True)
class Sealed:
    """An object's envelope, and how it is asked for."""

    case: str
    envelope: bytes
    data_key: bytes


def rotation_of(house: House) -> KeyRotation:
    return KeyRotation(
        database=house.database,
        hsm=house.hsm,
        keks=house.keks,
        mirror=house.mirror,
        entropy=secrets.token_bytes,
        clock_ms=lambda: house.now[0],
    )


async def sealed(house: House, classification: str, cases: int = CASES) -> list[Sealed]:
    made = []
    for number in range(cases):
        ask = asking(classification, case=f"zaak-{number}")
        issued = await house.custodian.issue(
            ask, plain_size=1, multipart=False, metadata=METADATA, part_header=HEADER
        )
        made.append(Sealed(f"zaak-{number}", issued.envelope, issued.data_key.reveal()))
    return made


async def reads(house: House, one: Sealed) -> bool:
    ask = asking(None, "object:get", case=one.case)
    found = await house.custodian.recover(ask, one.envelope)
    return found.data_key.reveal() == one.data_key


async def rotate(house: House, classification: str) -> Kek:
    rotation = rotation_of(house)
    kek, _ = await rotation.next_version("t", classification)
    done = await rotation.move(kek, [bucket()])
    assert done.whole, done.failures
    return kek


async def kept_by(house: House) -> set[str]:
    query = select(keyring.c.kek_id, keyring.c.record).where(
        keyring.c.classification == "vertrouwelijk", keyring.c.record.is_not(None)
    )
    rows = await house.database.read(lambda connection: connection.execute(query).all())
    named = {row.kek_id for row in rows}
    assert named == {parse_record(row.record).kek_id for row in rows}
    return named


async def test_every_record_is_under_the_new_version_and_every_envelope_opens_as_it_is(
    house: House,
) -> None:
    before = await sealed(house, "vertrouwelijk")
    house.keyring.forget()
    calls = len(house.hsm.asked)
    kek = await rotate(house, "vertrouwelijk")
    assert kek.version == 2
    assert len(house.hsm.asked) - calls <= 2 * CASES + 10
    assert await kept_by(house) == {kek.kek_id}
    old = await house.keks.find("t/vertrouwelijk/1")
    assert old is not None
    assert old.state is KeyState.DEACTIVATED
    await house.keks.change_state(old.kek_id, KeyState.DESTROYED)
    await house.hsm.destroy_kek(old.spec)
    house.now[0] += 5_000  # others look within so long
    for one in before:
        assert await reads(house, one)


async def test_what_is_kept_under_a_destroyed_version_is_gone_also_from_memory(
    house: House,
) -> None:
    (one,) = await sealed(house, "vertrouwelijk", 1)
    assert await reads(house, one)
    await house.keks.change_state("t/vertrouwelijk/1", KeyState.SUSPENDED)
    house.now[0] += 5_000
    with pytest.raises(Refused) as said:
        await reads(house, one)
    assert said.value.code == "HY-2301"
    await house.keks.change_state("t/vertrouwelijk/1", KeyState.ACTIVE)
    house.now[0] += 5_000
    assert await reads(house, one)


async def test_copies_in_buckets_are_written_anew_too(house: House) -> None:
    (one,) = await sealed(house, "intern", 1)
    records = [name for name in house.mirror.held if name[1].startswith("keyring/")]
    assert records
    kek = await rotate(house, "intern")
    under = {parse_record(house.mirror.held[name]).kek_id for name in records}
    assert kek.kek_id in under
    assert "t/intern/1" not in under
    old = await house.keks.find("t/intern/1")
    assert old is not None
    assert await rotation_of(house).mirrored_under(old, bucket()) == 0
    assert await reads(house, one)


async def test_a_rotation_that_was_killed_is_carried_on_and_makes_no_further_version(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_module, "BATCH_RECORDS", 10)
    before = await sealed(house, "vertrouwelijk")
    rotation = rotation_of(house)
    kek, is_new = await rotation.next_version("t", "vertrouwelijk")
    assert is_new
    seen: list[int] = []

    def die(records: int) -> None:
        seen.append(records)
        if records == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rotation.move(kek, [], die)
    assert await kept_by(house) == {"t/vertrouwelijk/1", kek.kek_id}
    again, is_new = await rotation.next_version("t", "vertrouwelijk")
    assert (again.kek_id, is_new) == (kek.kek_id, False)
    done = await rotation.move(again, [])
    assert (done.records, done.whole) == (CASES - 20, True)
    assert await kept_by(house) == {kek.kek_id}
    assert all([await reads(house, one) for one in before])


async def test_one_that_was_killed_before_the_version_was_active_uses_that_version(
    house: House,
) -> None:
    await sealed(house, "vertrouwelijk", 1)
    made = await house.keks.make(house.hsm, "t", "vertrouwelijk", 1, 1)
    assert made.state is KeyState.PRE_ACTIVE
    kek = await rotate(house, "vertrouwelijk")
    assert kek.kek_id == made.kek_id
    # And one that was killed when the key was in the HSM alone has spent that number.
    await house.hsm.create_kek("t/vertrouwelijk/3", 1)
    assert (await rotate(house, "vertrouwelijk")).version == 4


async def test_two_rotations_at_once_leave_every_record_whole(house: House) -> None:
    before = await sealed(house, "vertrouwelijk")
    rotation = rotation_of(house)
    kek, _ = await rotation.next_version("t", "vertrouwelijk")
    done = await asyncio.gather(rotation.move(kek, []), rotation.move(kek, []))
    assert sum(one.records for one in done) == CASES
    assert await kept_by(house) == {kek.kek_id}
    assert all([await reads(house, one) for one in before])


async def test_a_record_that_is_destroyed_meanwhile_stays_destroyed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sealed(house, "vertrouwelijk", 2)
    rotation = rotation_of(house)
    kek, _ = await rotation.next_version("t", "vertrouwelijk")
    asked = house.hsm.secret

    async def destroy_first(spec: KekSpec, scope: str, token: bytes) -> bytes:
        gone = (
            update(keyring)
            .where(keyring.c.scope == scope)
            .values(record=None, destroyed_ms=1, current=False)
        )
        await house.database.run(lambda connection: connection.execute(gone))
        return await asked(spec, scope, token)

    monkeypatch.setattr(house.hsm, "secret", destroy_first)
    done = await rotation.move(kek, [])
    assert done.records == 0
    query = select(keyring.c.record).where(keyring.c.classification == "vertrouwelijk")
    rows = await house.database.read(lambda connection: connection.execute(query).all())
    assert {row.record for row in rows} == {None}


async def test_one_damaged_record_does_not_stop_the_others_and_is_told(house: House) -> None:
    await sealed(house, "vertrouwelijk", 3)
    query = select(keyring).where(keyring.c.classification == "vertrouwelijk").limit(1)
    row = await house.database.read(lambda connection: connection.execute(query).one())
    bad = row.record[:-1] + bytes([row.record[-1] ^ 1])
    damage = update(keyring).where(keyring.c.ik_id == row.ik_id).values(record=bad)
    await house.database.run(lambda connection: connection.execute(damage))
    rotation = rotation_of(house)
    kek, _ = await rotation.next_version("t", "vertrouwelijk")
    done = await rotation.move(kek, [])
    assert (done.records, done.failed, done.whole) == (2, 1, False)
    assert row.ik_id.hex() in done.failures[0]
    assert await kept_by(house) == {"t/vertrouwelijk/1", kek.kek_id}


async def test_a_damaged_record_does_not_keep_a_key_from_being_rotated_again(
    house: House,
) -> None:
    await sealed(house, "vertrouwelijk", 2)
    query = select(keyring).where(keyring.c.classification == "vertrouwelijk").limit(1)
    row = await house.database.read(lambda connection: connection.execute(query).one())
    bad = row.record[:-1] + bytes([row.record[-1] ^ 1])
    damage = update(keyring).where(keyring.c.ik_id == row.ik_id).values(record=bad)
    await house.database.run(lambda connection: connection.execute(damage))
    rotation = rotation_of(house)
    kek, _ = await rotation.next_version("t", "vertrouwelijk")
    await rotation.move(kek, [])
    again, is_new = await rotation.next_version("t", "vertrouwelijk")
    assert (again.version, is_new) == (2, False)
    anew, is_new = await rotation.next_version("t", "vertrouwelijk", anew=True)
    assert (anew.version, is_new) == (3, True)


async def test_what_a_compromised_key_kept_is_not_wrapped_anew_but_for_keys_that_must_stay(
    house: House,
) -> None:
    before = await sealed(house, "vertrouwelijk", 2)
    named = await house.keyring.create_fixed(bucket(), "t", "vertrouwelijk", "names:dossiers")
    await house.keks.change_state("t/vertrouwelijk/1", KeyState.COMPROMISED)
    rotation = rotation_of(house)
    kek, is_new = await rotation.next_version("t", "vertrouwelijk")
    assert (kek.version, is_new) == (2, True)
    done = await rotation.move(kek, [bucket()])
    assert (done.records, done.failed) == (1, 2)
    assert "compromised" in done.failures[0]
    counts = await rotation.count_by_kek()
    assert (counts["t/vertrouwelijk/1"], counts[kek.kek_id]) == (2, 1)
    house.now[0] += 5_000
    assert all([await reads(house, one) for one in before]), "so that it can be sealed anew"
    new = (await sealed(house, "vertrouwelijk", 1))[0]
    assert await reads(house, new)
    assert (await rotation.count_by_kek())[kek.kek_id] == 2, "and that is under the new version"
    assert named.scope == "names:dossiers"
    # It does not look like a rotation that was broken off.
    assert (await rotation.next_version("t", "vertrouwelijk"))[1]


async def test_an_hsm_that_is_away_stops_it_and_nothing_is_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await sealed(house, "vertrouwelijk", 3)
    rotation = rotation_of(house)
    kek, _ = await rotation.next_version("t", "vertrouwelijk")

    async def away(*_: object) -> bytes:
        raise Unavailable("the HSM is away", code="HY-2101")

    with monkeypatch.context() as patch:
        patch.setattr(house.hsm, "secret", away)
        with pytest.raises(Unavailable):
            await rotation.move(kek, [])
    assert (await rotation.move(kek, [])).records == 3
    assert all([await reads(house, one) for one in before])


@pytest.mark.parametrize("known", ["not at all", "as one that serves nothing yet"])
async def test_another_process_reads_on_in_the_moment_of_a_rotation(
    house: House, known: str
) -> None:
    """Its memory of the keys is younger than the rotation's first step, and older than its last."""
    [one] = await sealed(house, "vertrouwelijk", 1)
    other = build(house.database_path, house.hsm, house.mirror, house.now)
    made = None
    if known != "not at all":
        made = await house.keks.make(house.hsm, "t", "vertrouwelijk", 1, house.now[0])
    seen = {kek.kek_id: kek.state for kek in await other.keks.all()}
    assert seen.get("t/vertrouwelijk/2") == (made and KeyState.PRE_ACTIVE)
    await rotate(house, "vertrouwelijk")
    assert await reads(other, one)
    other.database.close()


async def test_a_batch_of_a_million_records_is_read_by_their_ids_and_nothing_is_sorted(
    house: House,
) -> None:
    asked: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, sql: str, values: object, *_: object) -> None:
        asked.append((sql, values))

    reader = house.database._reader
    event.listen(reader, "before_cursor_execute", note)
    await KeyringRows(house.database).behind("t", "vertrouwelijk", "t/vertrouwelijk/2", limit=256)
    event.remove(reader, "before_cursor_execute", note)
    [(sql, values)] = [one for one in asked if "ORDER BY" in one[0]]
    with closing(sqlite3.connect(house.database_path)) as opened:
        plan = [row[3] for row in opened.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert plan == ["SEARCH keyring USING INDEX sqlite_autoindex_keyring_1 (ik_id>?)"]


async def test_an_hsm_that_gives_the_old_key_a_new_name_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sealed(house, "vertrouwelijk", 1)
    create = house.hsm.create_kek

    async def copy(kek_id: str, profile: int) -> KekSpec:
        await create(kek_id, profile)
        held = house.hsm._keks
        held[kek_id] = held["t/vertrouwelijk/1"]
        found = {spec.kek_id: spec for spec in await house.hsm.find_keks()}
        return found[kek_id]

    monkeypatch.setattr(house.hsm, "create_kek", copy)
    with pytest.raises(Tampered) as said:
        await rotation_of(house).next_version("t", "vertrouwelijk")
    assert said.value.code == "HY-2312"
    active = await house.keks.active("t", "vertrouwelijk")
    assert active.version == 1


async def test_there_is_nothing_to_rotate_where_no_key_is(house: House) -> None:
    with pytest.raises(NotFound) as said:
        await rotation_of(house).next_version("nergens", "intern")
    assert said.value.code == "HY-2310"


@pytest.mark.parametrize("classification", CLASSES.names())
async def test_a_new_version_is_active_and_the_older_one_opens_only(
    house: House, classification: str
) -> None:
    await rotate(house, classification)
    states = {one.version: one.state for one in await house.keks.versions("t", classification)}
    assert states == {1: KeyState.DEACTIVATED, 2: KeyState.ACTIVE}
    with pytest.raises(Conflict):
        await house.keks.change_state(f"t/{classification}/1", KeyState.ACTIVE)
