"""The stores that the suites of versions, tags and locks are run against, the real one included."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.fakes.memory_store import MemoryStore
from tests.peers import seaweedfs

from hyok.backends import s3_abilities
from hyok.backends.filesystem import FileStore
from hyok.backends.port import Lock
from hyok.backends.s3 import S3Store
from hyok.backends.s3_credentials import CredentialChain
from hyok.errors import HyokError
from hyok.http1.client import Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    from tests.peers.seaweedfs import SeaweedFS

    from hyok.backends.port import ObjectStore, StoredVersion, VersionListing
    from hyok.backends.s3_abilities import Decided
    from hyok.backends.s3_endpoint import Endpoint

    Trial: TypeAlias = Callable[[Endpoint, str], Awaitable[bool]]


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    made = seaweedfs.start(tmp_path_factory.mktemp("weed"))
    yield made
    made.stop()


def s3_store(weed: SeaweedFS) -> S3Store:
    return S3Store(
        pool=Pool(weed.endpoint),
        host=weed.endpoint.removeprefix("http://"),
        credentials=CredentialChain("us-east-1", weed.credentials_file()),
    )


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


@dataclass
class Place:
    """A store, a bucket in it that nobody else uses, and its time."""

    store: ObjectStore
    bucket: str
    clock: Clock | None  # None: the store's own, which only waiting moves on
    buckets: list[str] = field(default_factory=list)  # all that were made

    @property
    def now_ms(self) -> int:
        return (self.clock or Clock())()

    async def wait(self, seconds: float) -> None:
        if self.clock is None:
            await asyncio.sleep(seconds)
        else:
            self.clock.ahead_ms += int(seconds * 1000)

    async def versions(self, prefix: str = "") -> list[StoredVersion]:
        """Every version below a prefix, by name and newest first."""
        page: VersionListing = await self.store.list_versions(self.bucket, prefix)
        assert not page.next_name
        return list(page.versions)

    async def bodies(self, name: str) -> list[bytes | None]:
        """The bodies of a name's versions, newest first; None for a delete marker."""
        return [
            None
            if found.marker
            else (await self.store.read_whole(self.bucket, name, version_id=found.version_id))[1]
            for found in await self.versions(name)
            if found.name == name
        ]


@pytest.fixture(scope="session")
def trials() -> dict[Decided, Trial]:
    """The trials of what a store decides, each once in a session and not in every test's bucket.

    SeaweedFS lets writers of one name wait three seconds; `test_s3_store.py` has the trials proper.
    """
    seen: dict[Decided, bool] = {}

    def once(kind: Decided, trial: Trial) -> Trial:
        async def remembered(endpoint: Endpoint, bucket: str) -> bool:
            if kind not in seen:
                seen[kind] = await trial(endpoint, bucket)
            return seen[kind]

        return remembered

    return {kind: once(kind, trial) for kind, trial in s3_abilities.TRIALS.items()}


@pytest.fixture(params=["memory", "files", pytest.param("s3", marks=pytest.mark.integration)])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    """A place in a bucket that never had versions."""
    clock = None if request.param == "s3" else Clock()
    store: ObjectStore
    if request.param == "s3":
        monkeypatch.setattr(s3_abilities, "TRIALS", request.getfixturevalue("trials"))
        store = s3_store(request.getfixturevalue("weed"))
    elif request.param == "files":
        assert clock is not None
        store = FileStore(tmp_path / "store", clock_ms=clock)
    else:
        store = MemoryStore(clock_ms=clock)
    bucket = f"c-{secrets.token_hex(8)}"
    made = Place(store, bucket, clock, [bucket])
    await store.create_bucket(bucket)
    yield made
    if request.param == "s3":  # each bucket of SeaweedFS takes volumes, and those are few
        for bucket in made.buckets:
            await _clear(store, bucket)
    await store.close()


async def _clear(store: ObjectStore, bucket: str) -> None:
    with suppress(HyokError):
        while True:
            page = await store.list_versions(bucket)
            for found in page.versions:
                if not found.marker:
                    with suppress(HyokError):
                        free = Lock(hold=False)
                        await store.set_lock(bucket, found.name, free, found.version_id)
                await store.delete(
                    bucket,
                    found.name,
                    version_id=found.version_id,
                    bypass_governance=True,
                )
            if not page.next_name:
                break
        await store.delete_bucket(bucket)


@pytest.fixture
async def versioned(place: Place) -> Place:
    """A place in a bucket with versions."""
    await place.store.set_versioning(place.bucket, "Enabled")
    return place


@pytest.fixture
async def locked(place: Place) -> Place:
    """A place in a bucket with object lock."""
    place.bucket += "-lock"
    place.buckets.append(place.bucket)
    await place.store.create_bucket(place.bucket, object_lock=True)
    return place
