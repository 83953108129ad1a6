"""A catalogue of an older release opens with what it held; one of a newer release does not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.conformance.object_stores import envelope

from hyok.backends.catalogue_schema import SCHEMA_VERSION
from hyok.backends.filesystem import FileStore
from hyok.backends.port import DefaultLock, StoredFacts
from hyok.errors import Conflict

if TYPE_CHECKING:
    from pathlib import Path

FACTS = StoredFacts(envelope(1))
SINCE_VERSION_2 = {
    "buckets": ("versioning", "object_lock", "lock_mode", "lock_days", "lock_years"),
    "objects": ("version", "born"),
    "uploads": ("tags", "lock_mode", "lock_until_ms", "lock_hold"),
}


def change(folder: Path, *statements: str) -> None:
    path = folder / "catalogue.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as catalogue:
        for statement in statements:
            catalogue.execute(statement)


def schema_of(folder: Path) -> dict[str, list[tuple[str, str]]]:
    with closing(sqlite3.connect(folder / "catalogue.sqlite3")) as catalogue:
        tables = [
            row[0]
            for row in catalogue.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        ]
        return {
            table: [(row[1], row[2]) for row in catalogue.execute(f"PRAGMA table_info({table})")]
            for table in tables
        }


def make_version_1(folder: Path) -> None:
    """Take away what version 2 brought: what is left is the schema of version 1, word for word."""
    change(
        folder,
        *(f"DROP TABLE {table}" for table in ("versions", "tags", "locks")),
        *(
            f"ALTER TABLE {table} DROP COLUMN {column}"
            for table, columns in SINCE_VERSION_2.items()
            for column in columns
        ),
        "PRAGMA user_version = 1",
    )
    assert [name for name, _ in schema_of(folder)["objects"]] == [
        "bucket", "name", "file", "sealed", "size", "etag", "modified_ms",
    ]  # fmt: skip


async def filled(folder: Path) -> str:
    """Make a store of version 1 with an object and an upload; return the upload's id."""
    store = FileStore(folder)
    await store.create_bucket("b")
    await store.put_whole("b", "a", b"old", FACTS)
    upload = await store.begin_upload("b", "m", FACTS)
    await store.put_part_whole("b", "m", upload, 1, b"part")
    await store.close()
    make_version_1(folder)
    return upload


async def test_a_store_of_version_1_opens_with_all_it_held(tmp_path: Path) -> None:
    upload = await filled(tmp_path / "old")
    store = FileStore(tmp_path / "old")
    assert (await store.read_whole("b", "a"))[1] == b"old"
    assert (await store.head("b", "a")).version_id == ""
    parts = await store.list_parts("b", "m", upload)
    await store.complete_upload("b", "m", upload, parts)
    await store.set_versioning("b", "Enabled")
    new = await store.put_whole("b", "a", b"new", StoredFacts(FACTS.envelope, tags={"k": "v"}))
    found = (await store.list_versions("b")).versions
    assert [(v.name, v.version_id) for v in found] == [
        ("a", new.version_id),
        ("a", "null"),
        ("m", "null"),
    ]
    assert (await store.read_whole("b", "a", version_id="null"))[1] == b"old"
    await store.set_object_lock("b", DefaultLock("GOVERNANCE", days=1))
    assert await store.sweep() == 0
    await store.close()
    await FileStore(tmp_path / "new").close()
    assert schema_of(tmp_path / "old") == schema_of(tmp_path / "new")


async def test_a_look_of_version_1_at_a_newer_catalogue_does_no_harm(tmp_path: Path) -> None:
    """It sets its own number on opening; the columns stand already when we come back."""
    store = FileStore(tmp_path)
    await store.create_bucket("b")
    await store.set_versioning("b", "Enabled")
    await store.put_whole("b", "a", b"kept", FACTS)
    await store.close()
    change(tmp_path, "PRAGMA user_version = 1")
    store = FileStore(tmp_path)
    assert (await store.read_whole("b", "a"))[1] == b"kept"
    assert await store.versioning("b") == "Enabled"
    await store.close()


async def test_a_catalogue_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    await FileStore(tmp_path).close()
    change(tmp_path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(Conflict) as caught:
        FileStore(tmp_path)
    assert "HY-" in caught.value.explain()
    with closing(sqlite3.connect(tmp_path / "catalogue.sqlite3")) as catalogue:
        assert catalogue.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 1,)
