"""The file store beyond its port: files on the disk, other processes, full and broken disks."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.conformance.object_stores import envelope

from hyok.backends import data_files
from hyok.backends.catalogue import Catalogue
from hyok.backends.filesystem import FileStore
from hyok.backends.port import DefaultLock, Lock, StoredFacts
from hyok.envelope.sealed_file import FILE_BLOCK_BYTES, parse_block
from hyok.errors import Conflict, Malformed, NotFound, Refused, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FACTS = StoredFacts(envelope(1))
OTHER = StoredFacts(envelope(2))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    made = FileStore(tmp_path)
    await made.create_bucket("b")
    yield made
    await made.close()


def everything(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


def files(folder: Path) -> list[Path]:
    return [path for path in everything(folder / "data") if path.is_file()]


def forget_catalogue(folder: Path) -> None:
    for path in folder.glob("catalogue*"):
        path.unlink()


async def test_an_object_is_one_sealed_file(store: FileStore, tmp_path: Path) -> None:
    await store.put_whole("b", "a", b"body", FACTS)
    (file,) = files(tmp_path)
    raw = file.read_bytes()
    assert parse_block(raw[:FILE_BLOCK_BYTES]) == FACTS.envelope
    assert raw[FILE_BLOCK_BYTES:] == b"body"


async def test_a_new_envelope_stands_in_the_file_itself(store: FileStore, tmp_path: Path) -> None:
    stored = await store.put_whole("b", "a", b"body", FACTS)
    await store.replace_facts("b", "a", OTHER, stored.etag)
    (file,) = files(tmp_path)
    assert parse_block(file.read_bytes()[:FILE_BLOCK_BYTES]) == OTHER.envelope


async def test_joined_parts_are_one_sealed_file(store: FileStore, tmp_path: Path) -> None:
    upload = await store.begin_upload("b", "m", FACTS)
    parts = [await store.put_part_whole("b", "m", upload, n, b"%d" % n) for n in (1, 2, 3)]
    await store.complete_upload("b", "m", upload, parts)
    (file,) = files(tmp_path)
    assert file.read_bytes()[FILE_BLOCK_BYTES:] == b"123"


async def test_only_the_owner_may_look(store: FileStore, tmp_path: Path) -> None:
    await store.put_whole("b", "a", b"body", FACTS)
    for path in everything(tmp_path):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


async def test_what_is_replaced_or_deleted_leaves_no_file(store: FileStore, tmp_path: Path) -> None:
    await store.put_whole("b", "a", b"one", FACTS)
    await store.put_whole("b", "a", b"two", FACTS)
    assert len(files(tmp_path)) == 1
    await store.delete("b", "a")
    assert files(tmp_path) == []


async def test_a_new_envelope_that_did_not_reach_its_file_is_read_and_repaired(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await store.put_whole("b", "a", b"body", FACTS)

    def torn(fd: int, block: bytes) -> None:
        os.pwrite(fd, block[:100], 0)
        raise Unavailable("the power went off")

    with monkeypatch.context() as broken:
        broken.setattr("hyok.backends.filesystem_objects.overwrite_block", torn)
        new = await store.replace_facts("b", "a", OTHER, stored.etag)
    told, body = await store.read_whole("b", "a", if_match=new.etag)
    assert told.facts == OTHER
    assert body == b"body"
    again = FileStore(tmp_path)
    (file,) = files(tmp_path)
    assert parse_block(file.read_bytes()[:FILE_BLOCK_BYTES]) == OTHER.envelope
    assert (await again.head("b", "a")).facts == OTHER
    await again.close()


async def test_a_block_that_somebody_changed_is_not_believed(
    store: FileStore, tmp_path: Path
) -> None:
    await store.put_whole("b", "a", b"body", FACTS)
    (file,) = files(tmp_path)
    raw = bytearray(file.read_bytes())
    raw[20] ^= 1
    file.write_bytes(raw)
    with pytest.raises(Tampered):
        await store.head("b", "a")


async def test_a_file_cut_short_is_an_error_not_a_short_object(
    store: FileStore, tmp_path: Path
) -> None:
    await store.put_whole("b", "a", b"body", FACTS)
    (file,) = files(tmp_path)
    os.truncate(file, FILE_BLOCK_BYTES + 2)
    with pytest.raises(Unavailable):
        await store.read_whole("b", "a")


async def test_a_full_disk_leaves_the_old_object_and_no_file(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put_whole("b", "a", b"old", FACTS)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(data_files.os, "pwrite", full)
        with pytest.raises(Unavailable) as caught:
            await store.put_whole("b", "a", b"new", OTHER)
        broken.setattr(data_files.os, "posix_fallocate", full)
        with pytest.raises(Unavailable):
            await store.put("b", "c", 2 << 20, OTHER)
    assert caught.value.reason == "ServiceUnavailable"
    assert (await store.read_whole("b", "a"))[1] == b"old"
    assert len(files(tmp_path)) == 1


async def test_a_catalogue_that_is_lost_is_not_taken_for_an_empty_store(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    await store.create_bucket("b")
    await store.put_whole("b", "a", b"body", FACTS)
    await store.close()
    forget_catalogue(tmp_path)
    with pytest.raises(Conflict):
        FileStore(tmp_path)
    assert len(files(tmp_path)) == 1


async def test_the_sweep_takes_strays_and_spares_files_in_the_making(
    store: FileStore, tmp_path: Path
) -> None:
    sink = await store.put("b", "a", 4, FACTS)
    (tmp_path / "data" / "ab" / ("ab" * 16)).write_bytes(b"left by a crash")
    other = FileStore(tmp_path)
    assert await other.sweep() == 1
    await other.close()
    sink.write(memoryview(b"body"))
    sink.commit()
    assert (await store.read_whole("b", "a"))[1] == b"body"


RACE = """
import asyncio, sys
from pathlib import Path
from tests.conformance.object_stores import envelope
from hyok.backends.filesystem import FileStore
from hyok.backends.port import Condition, StoredFacts
from hyok.errors import Conflict

async def main():
    store = FileStore(Path(sys.argv[1]))
    sys.stdin.readline()
    for n in range(60):
        try:
            facts = StoredFacts(envelope(n))
            await store.put_whole("b", str(n), b"x", facts, Condition(absent=True))
            print(n)
        except Conflict:
            pass
    await store.close()

asyncio.run(main())
"""


def race(folder: Path) -> list[str]:
    """Let two processes begin together; return what each won."""
    command = [sys.executable, "-c", RACE, str(folder)]
    pipe = subprocess.PIPE
    racers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = [racer.communicate()[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    return answers


async def test_of_two_processes_exactly_one_finds_each_name_free(
    store: FileStore, tmp_path: Path
) -> None:
    answers = await asyncio.to_thread(race, tmp_path)
    won = [int(line) for out in answers for line in out.split()]
    assert sorted(won) == list(range(60))
    assert len(files(tmp_path)) == 60


def test_one_write_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path / "c.sqlite3")

    def insert(db: object, name: str) -> None:
        db.execute("INSERT INTO buckets (name, created_ms) VALUES (?, 0)", (name,))  # type: ignore[attr-defined]

    catalogue.write(lambda db: insert(db, "one"))

    def fails(db: object) -> None:
        insert(db, "two")
        raise NotFound("no")

    with pytest.raises(NotFound):
        catalogue.write(fails)
    with pytest.raises(Unavailable):
        catalogue.write(lambda db: insert(db, "one"))
    catalogue.write(lambda db: insert(db, "three"))
    names = [row[0] for row in catalogue.reading.execute("SELECT name FROM buckets ORDER BY id")]
    assert names == ["one", "three"]
    catalogue.close()


async def test_a_plain_object_takes_no_envelope_later(store: FileStore) -> None:
    plain = await store.put_whole("b", ".hyok/x", b"record", StoredFacts())
    with pytest.raises(Malformed):
        await store.replace_facts("b", ".hyok/x", FACTS, plain.etag)


async def test_versions_have_a_file_each_and_leave_none(store: FileStore, tmp_path: Path) -> None:
    await store.set_versioning("b", "Enabled")
    ids = [(await store.put_whole("b", "a", b"%d" % n, FACTS)).version_id for n in range(3)]
    assert len(files(tmp_path)) == 3
    marker = (await store.delete("b", "a")).version_id
    assert len(files(tmp_path)) == 3
    assert await store.sweep() == 0  # an older version is no stray
    for number, version_id in enumerate([marker, *ids]):
        await store.delete("b", "a", version_id=version_id)
        assert len(files(tmp_path)) == 3 - number
    await store.set_versioning("b", "Suspended")
    for body in (b"one", b"two"):
        await store.put_whole("b", "a", body, FACTS)
        assert len(files(tmp_path)) == 1


async def test_versions_tags_and_locks_outlive_the_process(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    await store.create_bucket("b", object_lock=True)
    await store.set_object_lock("b", DefaultLock("GOVERNANCE", days=1))
    facts = StoredFacts(FACTS.envelope, tags={"k": "v"}, lock=Lock("COMPLIANCE", 4_000_000_000_000))
    old = await store.put_whole("b", "a", b"old", facts)
    await store.put_whole("b", "a", b"new", FACTS)
    upload = await store.begin_upload("b", "m", facts)
    part = await store.put_part_whole("b", "m", upload, 1, b"part")
    before = await store.list_versions("b")
    await store.close()
    store = FileStore(tmp_path)
    assert await store.list_versions("b") == before
    assert await store.object_lock("b") == DefaultLock("GOVERNANCE", days=1)
    assert await store.tags("b", "a", old.version_id) == {"k": "v"}
    with pytest.raises(Refused):
        await store.delete("b", "a", version_id=old.version_id, bypass_governance=True)
    joined = await store.complete_upload("b", "m", upload, [part])
    assert await store.tags("b", "m") == {"k": "v"}
    assert joined.facts is not None
    assert joined.facts.lock == facts.lock
    await store.close()


async def test_versions_of_one_millisecond_keep_their_order(tmp_path: Path) -> None:
    """The clock may stand still, or go back."""
    moments = iter([1_800_000_000_000, *[1_700_000_000_000] * 20])
    store = FileStore(tmp_path, clock_ms=lambda: next(moments))
    await store.create_bucket("b")
    await store.set_versioning("b", "Enabled")
    ids = [(await store.put_whole("b", "a", b"%d" % n, FACTS)).version_id for n in range(5)]
    found = (await store.list_versions("b")).versions
    assert [v.version_id for v in found] == ids[::-1]
    assert (await store.read_whole("b", "a"))[1] == b"4"
    await store.close()


async def test_a_page_goes_on_behind_a_version_that_is_gone_by_then(store: FileStore) -> None:
    await store.put_whole("b", "a", b"0", FACTS)
    await store.set_versioning("b", "Enabled")
    ids = ["null", *[(await store.put_whole("b", "a", b"x", FACTS)).version_id for _ in range(3)]]
    first = await store.list_versions("b", limit=2)
    await store.delete("b", "a", version_id=ids[2])
    rest = await store.list_versions("b", "", "", first.next_name, first.next_version)
    assert [v.version_id for v in rest.versions] == [ids[1], ids[0]]


async def test_an_older_version_that_was_swapped_is_not_believed(
    store: FileStore, tmp_path: Path
) -> None:
    await store.set_versioning("b", "Enabled")
    old = await store.put_whole("b", "a", b"old", FACTS)
    (file,) = files(tmp_path)
    await store.put_whole("b", "a", b"new", OTHER)
    raw = bytearray(file.read_bytes())
    raw[20] ^= 1
    file.write_bytes(raw)
    with pytest.raises(Tampered):
        await store.head("b", "a", old.version_id)
    assert (await store.read_whole("b", "a"))[1] == b"new"


@pytest.mark.parametrize("length", [16, 31])
async def test_half_an_id_names_no_version(store: FileStore, length: int) -> None:
    """The front of an id leads to the row; all of it must be the row's."""
    await store.set_versioning("b", "Enabled")
    old = (await store.put_whole("b", "a", b"old", FACTS)).version_id
    await store.put_whole("b", "a", b"new", FACTS)
    forged = old[:length] + "z" * (32 - length)
    with pytest.raises(NotFound) as caught:
        await store.head("b", "a", forged)
    assert caught.value.reason == "NoSuchVersion"
    await store.delete("b", "a", version_id=forged)
    assert (await store.read_whole("b", "a", version_id=old))[1] == b"old"
