"""Names, trailers, tags and locks of a store: what a trial shows, and one cut short does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hyok.backends.port import (
    DefaultLock,
    Listed,
    ListedObjects,
    Stored,
    StoreFeatures,
    StoreListing,
)
from hyok.backends.s3_abilities import KnownAbilities
from hyok.backends.s3_answers import broken
from hyok.backends.s3_errors import Failure, error_of
from hyok.backends.s3_findings import PAUSE_SECONDS
from hyok.errors import HyokError, Malformed, Refused, Unavailable
from hyok.http1.client import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.backends.port import StoredFacts
    from hyok.http1.client import Pieces

BROKEN = error_of(Failure(500, "InternalError"))
ODD = "a//b"


class FakeStore:
    """A store in memory that holds every name, and fails when it is told to."""

    def __init__(self) -> None:
        self.server = ""
        self.bodies: dict[str, bytes] = {}
        self.tags: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        self.on_tags: Mapping[str, str] = {}  # headers that change with the tags
        self.failing: dict[str, HyokError] = {}
        self.asked: list[str] = []

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if what in self.failing:
            raise self.failing[what]

    async def versioning(self, _bucket: str) -> str:
        self._ask("versioning")
        return ""

    async def object_lock(self, _bucket: str) -> DefaultLock | None:
        self._ask("object-lock")
        return None

    async def put_whole(self, _bucket: str, name: str, body: bytes, _facts: StoredFacts) -> Stored:
        self._ask("name")
        self.bodies[name] = body
        return Stored(name, "e", len(body), 0)

    async def read_whole(self, _bucket: str, name: str) -> tuple[Stored, bytes]:
        return Stored(name, "e", 0, 0), self.bodies[name]

    async def list(self, _bucket: str, prefix: str) -> StoreListing:
        names = [name for name in self.bodies if name.startswith(prefix)]
        return StoreListing(ListedObjects.of(Listed(name, "e", 5, 0) for name in names), [])

    async def delete(self, _bucket: str, name: str) -> None:
        self.bodies.pop(name, None)

    async def request(
        self,
        method: str,
        _bucket: str,
        name: str = "",
        *,
        query: list[tuple[str, str]] | None = None,
        body: bytes = b"",
    ) -> Response:
        if method == "PUT":
            self.bodies[name] = body
            self.headers = {"etag": '"1"', "last-modified": "first"}
        if method == "DELETE":
            self.bodies.pop(name, None)
        if query:
            return Response(200, {}, self.tags[name])
        return Response(200, dict(self.headers), self.bodies.get(name, b""))

    async def send_document(
        self, _method: str, _bucket: str, name: str, _query: Any, body: bytes
    ) -> Response:
        self._ask("tags")
        self.tags[name] = body
        self.headers |= self.on_tags
        return Response(200, {}, b"")

    async def send_framed(self, _bucket: str, name: str, _size: int, encoded: Pieces) -> None:
        self._ask("trailer")
        told = b"crc32c:" in encoded[-1]
        if told and self.bodies.get(name) is None and "seen" not in self.headers:
            self.headers = {"seen": "one"}
            raise Malformed("wrong", reason="InvalidRequest")
        self.bodies[name] = b"trailing checksum"


def abilities(store: FakeStore, now: list[float] | None = None) -> KnownAbilities:
    features = StoreFeatures(keeps_metadata=True, conditional_put=False, conditional_copy=False)
    clock = now or [1000.0]
    return KnownAbilities(
        store,  # type: ignore[arg-type]
        store,  # type: ignore[arg-type]
        features,
        clock=lambda: clock[0],
    )


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.mark.parametrize(
    ("moved", "found"),
    [
        ({}, True),
        # radosgw 16 does so; a trial that looked said yes or no by the second it fell into.
        ({"last-modified": "later"}, True),
        ({"etag": '"2"'}, False),
        ({"x-amz-version-id": "new"}, False),
    ],
)
async def test_tags_may_change_where_no_version_is_made(
    moved: Mapping[str, str], found: bool, store: FakeStore
) -> None:
    store.on_tags = moved
    assert await abilities(store).changes_tags("b") is found
    assert store.bodies == {}


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (BROKEN, None),
        (error_of(Failure(503, "SlowDown")), None),
        (error_of(Failure(504, "")), None),
        (error_of(Failure(408, "RequestTimeout")), None),
        (Unavailable("The store does not answer.", code="HY-4001"), None),
        (error_of(Failure(404, "NoSuchBucket")), None),
        (error_of(Failure(403, "AccessDenied")), None),
        (error_of(Failure(501, "NotImplemented")), False),
        (error_of(Failure(400, "MalformedXML")), False),
        (error_of(Failure(405, "MethodNotAllowed")), False),
    ],
)
async def test_only_a_refusal_in_words_says_that_tags_cannot_change(
    error: HyokError, found: bool | None, store: FakeStore
) -> None:
    now = [1000.0]
    known = abilities(store, now)
    store.failing["tags"] = error
    if found is None:
        with pytest.raises(type(error)):
            await known.changes_tags("b")
    else:
        assert await known.changes_tags("b") is found
    store.failing.clear()
    now[0] += PAUSE_SECONDS
    assert await known.changes_tags("b") is (found is None)


async def test_a_store_too_busy_to_show_its_names_takes_those_that_every_store_holds(
    store: FakeStore,
) -> None:
    now = [1000.0]
    known = abilities(store, now)
    store.failing["name"] = BROKEN
    await known.prepare("b", "map/gewoon.pdf")
    with pytest.raises(Unavailable) as caught:
        await known.prepare("b", ODD)
    assert caught.value.code == "HY-2480"
    assert store.asked == ["versioning", "object-lock", "name"], "nothing within the pause"
    store.failing.clear()
    now[0] += PAUSE_SECONDS
    await known.prepare("b", ODD)


async def test_a_name_that_is_refused_in_words_is_one_that_the_store_cannot_hold(
    store: FakeStore,
) -> None:
    known = abilities(store)
    store.failing["name"] = error_of(Failure(400, "InvalidURI"))
    await known.prepare("b", "map/gewoon.pdf")
    store.failing.clear()
    with pytest.raises(Refused):
        await known.prepare("b", ODD)


async def test_bodies_go_without_a_trailer_until_the_store_showed_that_it_checks_one(
    store: FakeStore,
) -> None:
    now = [1000.0]
    known = abilities(store, now)
    await known.prepare("a", "x")
    assert known.takes_trailers("a")
    store.headers = {}
    store.failing["trailer"] = BROKEN
    await known.prepare("b", "x")
    assert not known.takes_trailers("b")
    store.failing.clear()
    now[0] += PAUSE_SECONDS
    await known.prepare("b", "x")
    assert known.takes_trailers("b"), "tried again with the next write"


@pytest.mark.parametrize("what", ["versioning", "object-lock"])
async def test_a_store_that_fails_when_asked_for_its_locks_is_not_one_without(
    what: str, store: FakeStore
) -> None:
    """Else trials would write into a bucket that locks what is written."""
    known = abilities(store)
    store.failing[what] = BROKEN
    with pytest.raises(Unavailable):
        await known.decides("b", "put")
    with pytest.raises(Unavailable):
        await known.prepare("b", ODD)
    assert "name" not in store.asked
    store.failing[what] = broken("it is no LockConfiguration")
    with pytest.raises(Unavailable):
        await known.prepare("b", ODD)
    assert "name" not in store.asked
    # Credentials that may not ask are no failure (docs/stores.md).
    store.failing[what] = error_of(Failure(403, "AccessDenied"))
    await known.prepare("b", ODD)
