"""What a store is taken for after its trials: one that decides, looks first, or ignores."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from hyok.backends.port import Condition, DefaultLock, StoreFeatures, VersionListing
from hyok.backends.s3_abilities import TRIALS, KnownAbilities
from hyok.backends.s3_answers import broken
from hyok.backends.s3_errors import Failure, error_of
from hyok.backends.s3_findings import AGE_SECONDS_MAX, PAUSE_SECONDS
from hyok.backends.s3_names import ALL_NAMES
from hyok.backends.s3_trial_file import ENTRIES_MAX, TrialFile
from hyok.errors import Conflict, HyokError, NotFound, Refused, Unavailable
from hyok.http1.client import Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hyok.backends.port import StoredPart

KINDS = ("put", "rare", "copy", "complete", "delete")
UNFINISHED = [
    Failure(500, "InternalError"),
    Failure(500, ""),
    Failure(502, ""),
    Failure(503, ""),
    Failure(503, "SlowDown"),
    Failure(504, ""),
    Failure(408, ""),
    Failure(400, "RequestTimeout"),
    Failure(429, ""),
]
IN_WORDS = [Failure(400, "InvalidRequest"), Failure(405, ""), Failure(501, "NotImplemented")]
NO_BUCKET = error_of(Failure(404, "NoSuchBucket"))


class FakeEndpoint:
    """A store of one bucket.  ``how`` it treats conditions: decides, ignores, looks-first, never.

    looks-first checks, lets others run, and writes: right alone, wrong in a race.
    """

    def __init__(self, how: str) -> None:
        self.how = how
        self.objects: dict[str, str] = {}
        self.uploads: dict[str, str] = {}
        self.count = itertools.count(1)
        self.failing: list[HyokError] = []
        self.server = "Store 1.0"
        self.writes = 0

    async def _write(self, name: str, headers: Mapping[str, str]) -> str:
        self.writes += 1
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


class Versions(NoVersions):
    """One that keeps versions, and has none left over."""

    async def versioning(self, _bucket: str) -> str:
        return "Enabled"

    async def list_versions(self, *_where: str, **_more: Any) -> VersionListing:
        return VersionListing([], [])


def abilities(
    endpoint: FakeEndpoint,
    *,
    now: list[float] | None = None,
    races: TrialFile | None = None,
    versions: bool = False,
) -> KnownAbilities:
    features = StoreFeatures(keeps_metadata=True, conditional_put=False, conditional_copy=False)
    clock = now or [1000.0]
    store = Versions() if versions else NoVersions()
    return KnownAbilities(
        store,  # type: ignore[arg-type]
        endpoint,  # type: ignore[arg-type]
        features,
        races=races,
        clock=lambda: clock[0],
    )


async def decides(endpoint: FakeEndpoint, kind: str) -> bool:
    return await abilities(endpoint).decides("b", kind)  # type: ignore[arg-type]


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
@pytest.mark.parametrize("failure", UNFINISHED)
async def test_a_trial_that_the_store_let_nobody_finish_is_made_again_and_never_a_no(
    kind: str, failure: Failure
) -> None:
    endpoint, now = FakeEndpoint("decides"), [1000.0]
    known = abilities(endpoint, now=now)
    endpoint.failing = [error_of(failure)]
    with pytest.raises(Unavailable) as caught:
        await known.decides("b", kind)  # type: ignore[arg-type]
    assert caught.value.reason == "SlowDown"
    assert caught.value.untouched, "a write with a condition may be sent again"
    with pytest.raises(Unavailable) as again:
        await known.decides("b", kind)  # type: ignore[arg-type]
    assert 0 < again.value.retry_after_seconds <= PAUSE_SECONDS
    assert next(endpoint.count) < 3, "a store in trouble is left alone for a moment"
    now[0] += PAUSE_SECONDS
    assert await known.decides("b", kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [*map(error_of, IN_WORDS), broken("it has no ETag")])
async def test_a_refusal_in_words_is_a_no(kind: str, error: HyokError) -> None:
    endpoint = FakeEndpoint("decides")
    known = abilities(endpoint)
    endpoint.failing = [error]
    assert not await known.decides("b", kind)  # type: ignore[arg-type]
    assert not await known.decides("b", kind), "and is remembered"  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [error_of(Failure(403, "AccessDenied")), NO_BUCKET])
async def test_what_people_must_mend_is_said_and_not_remembered(
    kind: str, error: HyokError
) -> None:
    endpoint, now = FakeEndpoint("decides"), [1000.0]
    known = abilities(endpoint, now=now)
    endpoint.failing = [error]
    with pytest.raises(type(error)) as caught:
        await known.decides("b", kind)  # type: ignore[arg-type]
    assert caught.value is error
    now[0] += PAUSE_SECONDS
    assert await known.decides("b", kind)  # type: ignore[arg-type]


async def test_what_was_found_is_believed_for_a_day() -> None:
    endpoint, now = FakeEndpoint("decides"), [1000.0]
    known = abilities(endpoint, now=now)
    assert await known.decides("b", "put")
    endpoint.how = "ignores"
    now[0] += AGE_SECONDS_MAX
    assert await known.decides("b", "put")
    now[0] += 1
    assert not await known.decides("b", "put"), "the store is another version by now"


async def test_a_store_that_calls_itself_another_version_is_tried_anew() -> None:
    endpoint = FakeEndpoint("decides")
    known = abilities(endpoint)
    assert await known.decides("b", "put")
    endpoint.how, endpoint.server = "ignores", "Store 2.0"
    assert not await known.decides("b", "put")


def trial_file(path: Path, now: list[float], endpoint: str = "http://store") -> TrialFile:
    return TrialFile(path / "stores" / "s.json", endpoint, lambda: now[0])


RACED = ("put", "copy", "complete")


@pytest.mark.parametrize("kind", RACED)
async def test_a_race_is_that_of_the_store_and_one_writer_tries_each_bucket(
    kind: str, tmp_path: Path
) -> None:
    now = [1000.0]
    endpoint = FakeEndpoint("decides")
    known = abilities(endpoint, now=now, races=trial_file(tmp_path, now))
    assert await known.decides("a", kind)  # type: ignore[arg-type]
    raced = endpoint.writes
    assert await known.decides("b", kind)  # type: ignore[arg-type]
    alone = 8 if kind == "copy" else 4  # a copy needs a source
    assert endpoint.writes - raced == alone, "no race"
    # Another process, after a restart.
    fresh = FakeEndpoint("decides")
    other = abilities(fresh, now=now, races=trial_file(tmp_path, now))
    assert await other.decides("a", kind)  # type: ignore[arg-type]
    assert fresh.writes == alone
    assert fresh.objects == fresh.uploads == {}
    # What one writer can see is not taken from elsewhere.
    for how in ("ignores", "never", "refuses"):
        worse = abilities(FakeEndpoint(how), now=now, races=trial_file(tmp_path, now))
        assert not await worse.decides("c", kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", RACED)
async def test_a_race_that_the_store_lost_is_lost_in_all_of_its_buckets(
    kind: str, tmp_path: Path
) -> None:
    now = [1000.0]
    endpoint = FakeEndpoint("looks-first")
    known = abilities(endpoint, now=now, races=trial_file(tmp_path, now))
    assert not await known.decides("a", kind)  # type: ignore[arg-type]
    before = endpoint.writes
    assert not await known.decides("b", kind)  # type: ignore[arg-type]
    assert endpoint.writes == before


@pytest.mark.parametrize(
    "change", ["older than a day", "from the future", "endpoint", "version", "versions", "cut"]
)
async def test_on_any_doubt_the_race_is_run_again(change: str, tmp_path: Path) -> None:
    now = [1_000_000.0]
    known = abilities(FakeEndpoint("decides"), now=now, races=trial_file(tmp_path, now))
    assert await known.decides("a", "put")
    # The store decides no more, which a race alone can show.
    endpoint, versions, name = FakeEndpoint("looks-first"), False, "http://store"
    if change == "older than a day":
        now[0] += AGE_SECONDS_MAX + 1
    elif change == "from the future":
        now[0] -= 1
    elif change == "endpoint":
        name = "http://other"
    elif change == "version":
        endpoint.server = "Store 2.0"
    elif change == "versions":
        versions = True
    else:
        path = tmp_path / "stores" / "s.json"
        path.write_text(path.read_text()[:-3])
    races = trial_file(tmp_path, now, name)
    other = abilities(endpoint, now=now, races=races, versions=versions)
    assert not await other.decides("b", "put")


async def test_a_finding_is_not_older_in_memory_than_in_the_file(tmp_path: Path) -> None:
    now = [1000.0]
    first = abilities(FakeEndpoint("decides"), now=now, races=trial_file(tmp_path, now))
    assert await first.decides("a", "put")
    now[0] += AGE_SECONDS_MAX - 10
    endpoint = FakeEndpoint("decides")
    second = abilities(endpoint, now=now, races=trial_file(tmp_path, now))
    assert await second.decides("a", "put")
    endpoint.how = "looks-first"
    now[0] += 20
    assert not await second.decides("a", "put")


async def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "stores").write_text("no folder")
    now = [1000.0]
    races = trial_file(tmp_path, now)
    assert await abilities(FakeEndpoint("decides"), now=now, races=races).decides("a", "put")
    assert races.known("anything") is None


def test_the_file_stays_small(tmp_path: Path) -> None:
    now = [1000.0]
    races = trial_file(tmp_path, now)
    for number in range(ENTRIES_MAX + 3):
        now[0] += 1
        races.keep(f"key {number}", decides=True)
    assert races.known("key 2") is None
    assert races.known("key 3") is not None
    assert len(list((tmp_path / "stores").iterdir())) == 1


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
