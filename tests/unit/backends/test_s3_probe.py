"""What a store is taken for after its trials: one that decides, looks first, or ignores."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from hyok.backends.port import Condition, DefaultLock, StoreFeatures
from hyok.backends.s3_abilities import TRIALS, KnownAbilities
from hyok.backends.s3_names import ALL_NAMES
from hyok.errors import Conflict, NotFound, Refused, Unavailable
from hyok.http1.client import Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.backends.port import StoredPart

KINDS = ("put", "rare", "copy", "complete", "delete")


class FakeEndpoint:
    """A store of one bucket.  ``how`` it treats conditions: decides, ignores, looks-first, never.

    looks-first checks, lets others run, and writes: right alone, wrong in a race.
    """

    def __init__(self, how: str) -> None:
        self.how = how
        self.objects: dict[str, str] = {}
        self.uploads: dict[str, str] = {}
        self.count = itertools.count(1)
        self.failing: list[Unavailable] = []

    async def _write(self, name: str, headers: Mapping[str, str]) -> str:
        await self._decide(name, headers)
        self.objects[name] = f"etag-{next(self.count)}"
        return self.objects[name]

    async def _decide(self, name: str, headers: Mapping[str, str]) -> None:
        here = self.objects.get(name)
        absent, match = headers.get("if-none-match"), headers.get("if-match", "").strip('"')
        if self.how == "amazon" and (match == "*" or absent not in (None, "*")):
            raise Refused("no", reason="NotImplemented")
        if self.how == "ignores *" and match == "*":
            match = ""
        if self.how == "ignores others" and absent != "*":
            absent = None
        if not absent and not match:
            return
        if self.how == "refuses":
            raise Refused("no", reason="NotImplemented")
        wrong = here if absent == "*" else absent and here == absent.strip('"')
        wrong = wrong or (not here if match == "*" else match and match != here)
        if self.how != "ignores" and (self.how == "never" or wrong):
            raise Conflict("no", reason="PreconditionFailed")
        if self.how == "looks-first":
            await asyncio.sleep(0)

    async def request(
        self,
        method: str,
        bucket: str,
        name: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        **_more: Any,
    ) -> Response:
        del bucket
        if self.failing:
            raise self.failing.pop()
        headers = headers or {}
        if method == "PUT" and "query" in _more:
            return Response(200, {"etag": '"part"'}, b"")
        if method == "PUT":
            etag = await self._write(name, headers)
            body = f"<CopyObjectResult><ETag>{etag}</ETag></CopyObjectResult>".encode()
            return Response(200, {"etag": f'"{etag}"'}, body)
        if method == "DELETE":
            await self._decide(name, headers)
            self.objects.pop(name, None)
            return Response(204, {}, b"")
        if name not in self.objects:
            raise NotFound("no", reason="NoSuchKey")
        return Response(200, {"etag": f'"{self.objects[name]}"'}, b"")

    async def begin_upload(self, _bucket: str, name: str, _headers: object) -> str:
        upload = f"upload-{next(self.count)}"
        self.uploads[upload] = name
        return upload

    async def complete_upload(
        self,
        _bucket: str,
        name: str,
        upload_id: str,
        _parts: Sequence[StoredPart],
        condition: Condition,
    ) -> tuple[str, str]:
        headers = {"if-match": condition.if_match} if condition.if_match else {}
        etag = await self._write(
            name, headers | ({"if-none-match": "*"} if condition.absent else {})
        )
        del self.uploads[upload_id]
        return etag, ""

    async def abort_upload(self, _bucket: str, _name: str, upload_id: str) -> None:
        if self.uploads.pop(upload_id, None) is None:
            raise NotFound("no", reason="NoSuchUpload")


class NoVersions:
    """A store that keeps neither versions nor locks."""

    async def versioning(self, _bucket: str) -> str:
        return ""

    async def object_lock(self, _bucket: str) -> DefaultLock | None:
        return None


async def decides(endpoint: FakeEndpoint, kind: str) -> bool:
    features = StoreFeatures(keeps_metadata=True, conditional_put=False, conditional_copy=False)
    known = KnownAbilities(NoVersions(), endpoint, features)  # type: ignore[arg-type]
    return await known.decides("b", kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("how", "found"),
    [("decides", True), ("ignores", False), ("never", False), ("refuses", False)],
)
async def test_a_store_is_believed_only_if_it_decides(how: str, kind: str, found: bool) -> None:
    endpoint = FakeEndpoint(how)
    assert await decides(endpoint, kind) is found
    assert endpoint.objects == {}, "a trial leaves nothing"
    assert endpoint.uploads == {}


@pytest.mark.parametrize("how", ["amazon", "ignores *", "ignores others"])
async def test_a_store_that_decides_the_conditions_of_amazon_alone_is_asked_for_no_others(
    how: str,
) -> None:
    endpoint = FakeEndpoint(how)
    features = StoreFeatures(keeps_metadata=True, conditional_put=False, conditional_copy=False)
    known = KnownAbilities(NoVersions(), endpoint, features)  # type: ignore[arg-type]
    await known.prepare("b", ".hyok/own", Condition(absent=True))
    for rare in (Condition(exists=True), Condition(not_match="e")):
        with pytest.raises(Refused) as caught:
            await known.prepare("b", ".hyok/own", rare)
        assert caught.value.reason == "NotImplemented"
    assert endpoint.objects == {}


@pytest.mark.parametrize("kind", ["copy", "complete", "delete"])
async def test_rare_conditions_are_for_a_put_alone(kind: str) -> None:
    features = StoreFeatures(keeps_metadata=True, conditional_put=False, conditional_copy=False)
    known = KnownAbilities(NoVersions(), FakeEndpoint("decides"), features)  # type: ignore[arg-type]
    with pytest.raises(Refused):
        await known.prepare("b", ".hyok/own", Condition(exists=True), kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["put", "copy", "complete"])
async def test_a_store_that_looks_first_and_writes_later_is_found_out(kind: str) -> None:
    endpoint = FakeEndpoint("looks-first")
    assert not await decides(endpoint, kind)
    assert endpoint.objects == {}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_store_that_is_busy_is_asked_again_later(kind: str) -> None:
    endpoint = FakeEndpoint("decides")
    features = StoreFeatures(keeps_metadata=True, conditional_put=False, conditional_copy=False)
    known = KnownAbilities(NoVersions(), endpoint, features)  # type: ignore[arg-type]
    endpoint.failing = [Unavailable("busy", untouched=True)]
    with pytest.raises(Unavailable):
        await known.decides("b", kind)  # type: ignore[arg-type]
    assert await known.decides("b", kind)  # type: ignore[arg-type]


async def test_a_condition_is_refused_where_any_store_does_not_decide_it() -> None:
    endpoint = FakeEndpoint("ignores")
    features = StoreFeatures(keeps_metadata=True, conditional_put=False, conditional_copy=False)
    known = KnownAbilities(NoVersions(), endpoint, features)  # type: ignore[arg-type]
    with pytest.raises(Refused) as caught:
        await known.prepare("b", ".hyok/own", Condition(absent=True))
    assert caught.value.reason == "NotImplemented"
    assert not known.features.conditional_put


async def test_features_hold_only_where_every_bucket_seen_has_them() -> None:
    endpoint = FakeEndpoint("decides")
    features = StoreFeatures(keeps_metadata=True, conditional_put=False, conditional_copy=False)
    known = KnownAbilities(NoVersions(), endpoint, features)  # type: ignore[arg-type]
    assert not known.features.conditional_put
    await known.decides("a", "put")
    assert known.features.conditional_put
    endpoint.how = "ignores"
    await known.decides("b", "put")
    assert not known.features.conditional_put
    assert await known.decides("a", "put")


class Locking(NoVersions):
    async def object_lock(self, bucket: str) -> DefaultLock | None:
        return DefaultLock("COMPLIANCE", days=1) if bucket.startswith("locked") else None


async def test_nothing_is_tried_where_it_could_not_be_taken_away_again() -> None:
    endpoint = FakeEndpoint("decides")
    features = StoreFeatures(keeps_metadata=True, conditional_put=False, conditional_copy=False)
    known = KnownAbilities(Locking(), endpoint, features)  # type: ignore[arg-type]
    assert not await known.decides("locked", "put")
    with pytest.raises(Refused):
        await known.prepare("locked", "a/../b")
    assert next(endpoint.count) == 1, "nothing was written"
    assert known.locks_all("locked")
    assert await known.decides("open", "put")
    assert await known.decides("locked-too", "put"), "what another bucket showed holds here"


def test_every_kind_of_condition_has_a_trial() -> None:
    assert set(TRIALS) == set(KINDS)
    assert ALL_NAMES & ALL_NAMES == ALL_NAMES
