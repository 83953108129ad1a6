"""Records under `.hyok/` in a bucket with versions: what is replaced or forgotten is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.fakes.memory_store import MemoryStore

from hyok.backends.port import DefaultLock
from hyok.errors import Refused
from hyok.objects.mirror import StoreMirror
from hyok.vocabulary import Bucket, ClassificationName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.backends.port import StoredVersion

BUCKET = Bucket(
    bucket_id="id",
    tenant="t",
    store="s",
    backend_name="b",
    classification=ClassificationName("intern"),
    names="clear",
)


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    await made.create_bucket("b")
    return made


async def versions(store: MemoryStore) -> Sequence[StoredVersion]:
    return (await store.list_versions("b")).versions


@pytest.mark.parametrize("status", ["", "Enabled", "Suspended"])
async def test_a_record_has_no_older_versions(store: MemoryStore, status: str) -> None:
    """What was written before versions were on, while on and while suspended: all of it goes."""
    mirror = StoreMirror({"s": store})
    for state in ("", "Enabled", status):
        if state:
            await store.set_versioning("b", state)
        await mirror.write(BUCKET, "keyring/x", state.encode())
        assert await mirror.read(BUCKET, "keyring/x") == state.encode()
        assert len(await versions(store)) == 1


@pytest.mark.parametrize("status", ["", "Enabled", "Suspended"])
async def test_a_record_that_was_forgotten_left_nothing(store: MemoryStore, status: str) -> None:
    mirror = StoreMirror({"s": store})
    await mirror.write(BUCKET, "keyring/x", b"1")
    if status:
        await store.set_versioning("b", status)
    await mirror.write(BUCKET, "keyring/x2", b"2")
    await mirror.remove(BUCKET, "keyring/x")
    await mirror.remove(BUCKET, "keyring/nothing")
    assert await mirror.read(BUCKET, "keyring/x") is None
    assert await mirror.list(BUCKET, "keyring/") == ["keyring/x2"]
    assert [v.name for v in await versions(store)] == [".hyok/keyring/x2"]


async def test_a_record_that_object_lock_keeps_is_not_called_forgotten() -> None:
    store = MemoryStore()
    await store.create_bucket("b", object_lock=True)
    await store.set_object_lock("b", DefaultLock("COMPLIANCE", days=1))
    mirror = StoreMirror({"s": store})
    for raw in (b"1", b"2"):
        await mirror.write(BUCKET, "keyring/x", raw)
    assert await mirror.read(BUCKET, "keyring/x") == b"2"
    with pytest.raises(Refused):
        await mirror.remove(BUCKET, "keyring/x")
