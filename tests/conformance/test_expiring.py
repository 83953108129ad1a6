"""Lifecycle rules carried out over every store, with the clock moved: what goes and what stays."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.custody.test_custodian import CLASSES, house
from tests.unit.objects.vaults import Body, vaults_over

from hyok.backends.port import Lock, StoredFacts, StoreFeatures
from hyok.errors import Conflict, NotFound, Unavailable
from hyok.expiring import ACTOR, expire_bucket, expire_due
from hyok.jobs import expire as job
from hyok.jobs.catalog import CANCELLED, DONE, EXPIRE, OPEN, PAUSED
from hyok.jobs.config import LifecycleSettings
from hyok.jobs.ledger import JobLedger
from hyok.jobs.runner import Runner
from hyok.objects.facts import PutFacts
from hyok.objects.registry import BucketRegistry
from hyok.s3.lifecycle import DAY_MS, KIND, Filter, Lifecycle, Rule, kept_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.conformance.conftest import Place
    from tests.unit.custody.test_custodian import House
    from tests.unit.objects.vaults import Vaults

    from hyok.jobs.catalog import Progress
    from hyok.objects.facts import ObjectFacts

__all__ = ["house"]


def rule(wanted: Filter | None = None, **actions: int | bool | None) -> Rule:
    return Rule(secrets.token_hex(4), True, wanted or Filter(), **actions)  # type: ignore[arg-type]


@dataclass
class Stage:
    """A bucket with sealed objects, its rules, and a clock of the rules' own."""

    place: Place
    house: House
    vaults: Vaults
    core: Any
    ahead_ms: int = 0

    def now_ms(self) -> int:
        return self.place.now_ms + self.ahead_ms

    def later(self, days: int) -> None:
        self.ahead_ms += days * DAY_MS
        self.house.now[0] = self.now_ms()

    async def rules(self, *rules: Rule) -> None:
        text = kept_text(Lifecycle(rules)) if rules else ""
        await self.core.registry.set_document(self.place.bucket, KIND, text)

    async def put(
        self, key: str, body: bytes = b"inhoud", *, classification: str = "", **facts: Any
    ) -> str:
        """Write an object; return its version's id."""
        ask = self.vaults.ask(key, classification=classification)
        written = await self.vaults.vault.put(ask, Body(body), PutFacts(**facts))
        return written.version_id

    async def delete(self, key: str) -> None:
        await self.vaults.vault.delete(self.vaults.ask(key, "object:put"))

    async def look(self, key: str, version_id: str = "") -> ObjectFacts:
        ask = self.vaults.ask(key, "object:head")
        return await self.vaults.vault.head(ask, version_id=version_id)

    async def keys(self) -> set[str]:
        """Return the keys of what is there, in clear."""
        name_key = await self.vaults.vault.places.name_key(self.bucket)
        page = await self.place.store.list(self.place.bucket)
        names = {one.name for one in page.objects if not one.name.startswith(".hyok/")}
        return names if name_key is None else {name_key.open(name) for name in names}

    async def versions(self, key: str) -> list[bool]:
        """Return a key's versions, newest first: True for a delete marker."""
        place = await self.vaults.vault.places.of(self.bucket, key)
        found = await self.place.store.list_versions(place.bucket, place.name)
        return [one.marker for one in found.versions]

    @property
    def bucket(self) -> Any:
        return self.vaults.buckets[self.place.bucket]

    def runner(self) -> Runner:
        async def work(_kind: str, name: str) -> job.ExpireBucket:
            return await expire_bucket(self.core, name, self.now_ms)

        ledger = JobLedger(self.house.database)
        return Runner(ledger, self.vaults.leases, work, self.now_ms, secrets.token_bytes)

    async def run(self) -> Progress:
        runner = self.runner()
        return await runner.run(await runner.begin(EXPIRE, self.place.bucket, "operator:x"))

    async def dry(self) -> job.Preview:
        made = await expire_bucket(self.core, self.place.bucket, self.now_ms, dry=True)
        return await made.preview()


async def stage_of(place: Place, house: House, classification: str = "onbekend") -> Stage:
    house.now[0] = place.now_ms
    vaults = await vaults_over(house, place.store, classification=classification, name=place.bucket)
    core = SimpleNamespace(
        registry=BucketRegistry(house.database, CLASSES, lambda: house.now[0]),
        places=vaults.vault.places,
        multipart=vaults.multipart,
        vault=vaults.vault,
        database=house.database,
        leases=vaults.leases,
        settings=SimpleNamespace(lifecycle=LifecycleSettings()),
    )
    return Stage(place, house, vaults, core)


def acts(house: House) -> list[tuple[str, str, str]]:
    """Return what the audit log has of the lifecycle's own deletes."""
    return [
        (record.action, record.phase, record.outcome)
        for record in house.journal.records
        if record.actor == ACTOR and record.action.endswith(":expire")
    ]


@pytest.mark.parametrize("classification", ["intern", "onbekend"])
async def test_what_a_rule_is_about_goes_after_its_days_and_nothing_else(
    place: Place, house: House, classification: str
) -> None:
    stage = await stage_of(place, house, classification)
    assert (stage.bucket.names == "sealed") is (classification == "onbekend")
    for key in ("logs/a", "logs/map/b", "logsx", "brief"):
        await stage.put(key)
    await stage.put("label/weg", tags={"bewaren": "nee", "soort": "x"})
    await stage.put("label/blijft", tags={"bewaren": "ja"})
    await stage.put("groot", b"g" * 100)
    await stage.rules(
        rule(Filter("logs/"), days=1),
        rule(Filter("label/", (("bewaren", "nee"),)), days=1),
        rule(Filter(larger_than=99), days=1),
        rule(Filter("brief"), days=1000),
        Rule("uit", False, Filter(), days=1),
    )
    before = await stage.keys()
    early = await stage.run()
    assert (early.objects, early.state) == (0, DONE)
    assert await stage.keys() == before
    stage.later(2)
    counted = await stage.dry()
    assert (counted.objects, counted.failures) == (4, ())
    assert await stage.keys() == before
    assert acts(house) == []
    done = await stage.run()
    assert (done.objects, done.kept, done.failed, done.state) == (4, 0, 0, DONE)
    assert await stage.keys() == {"logsx", "brief", "label/blijft"}
    assert (
        acts(house)
        == [
            ("object:expire", "intend", "pending"),
            ("object:expire", "conclude", "done"),
        ]
        * 4
    )
    assert (await stage.run()).objects == 0


async def test_a_marker_is_laid_first_then_versions_go_and_the_marker_last(
    versioned: Place, house: House
) -> None:
    stage = await stage_of(versioned, house)
    await stage.put("a", b"1")
    await stage.put("a", b"2")
    await stage.rules(rule(days=1, noncurrent_days=3))
    stage.later(2)
    assert (await stage.run()).objects == 1
    assert await stage.versions("a") == [True, False, False]
    assert await stage.keys() == set()
    assert (await stage.run()).objects == 0  # a marker over versions stays
    stage.later(3)
    assert (await stage.run()).objects == 2
    assert await stage.versions("a") == [True]
    assert (await stage.run()).objects == 1  # by its age: nothing is left below it
    assert await stage.versions("a") == []


async def test_the_newest_noncurrent_versions_are_kept_and_the_current_one_always(
    versioned: Place, house: House
) -> None:
    stage = await stage_of(versioned, house)
    made = [await stage.put("a", f"{n}".encode()) for n in range(6)]
    await stage.rules(rule(noncurrent_days=1, newer_noncurrent=2))
    stage.later(3)
    assert (await stage.run()).objects == 3
    assert await stage.versions("a") == [False] * 3
    for version_id in made[3:]:
        await stage.look("a", version_id)
    for version_id in made[:3]:
        with pytest.raises(NotFound):
            await stage.look("a", version_id)


async def test_a_delete_marker_with_nothing_below_goes_and_others_stay(
    versioned: Place, house: House
) -> None:
    stage = await stage_of(versioned, house)
    gone = await stage.put("weg")
    for key in ("weg", "nog"):
        if key == "nog":
            await stage.put(key)
        await stage.delete(key)
    await stage.vaults.vault.delete(stage.vaults.ask("weg"), version_id=gone)
    assert await stage.versions("weg") == [True]
    await stage.rules(rule(expired_marker=True))
    assert (await stage.run()).objects == 1
    assert await stage.versions("weg") == []
    assert await stage.versions("nog") == [True, False]
    assert acts(house)[0][0] == "marker:expire"


async def test_locked_versions_stay_and_are_counted(locked: Place, house: House) -> None:
    stage = await stage_of(locked, house)
    names = {"bewaard": Lock("GOVERNANCE", stage.now_ms() + 10 * DAY_MS), "hold": Lock(hold=True)}
    for key in (*names, "vrij"):
        version_id = await stage.put(key, b"oud")
        where = await stage.vaults.vault.places.of(stage.bucket, key)
        if key in names:
            await locked.store.set_lock(where.bucket, where.name, names[key], version_id)
        await stage.put(key, b"nieuw")
    await stage.rules(rule(noncurrent_days=1))
    stage.later(3)
    assert ((await stage.dry()).objects, (await stage.dry()).kept) == (1, 2)
    done = await stage.run()
    assert (done.objects, done.kept, done.failed) == (1, 2, 0)
    for key in names:
        assert await stage.versions(key) == [False, False]
    assert await stage.versions("vrij") == [False]


async def test_an_upload_that_nobody_completed_is_given_up(place: Place, house: House) -> None:
    stage = await stage_of(place, house, "vertrouwelijk")
    begun = [
        await stage.vaults.multipart.create(stage.vaults.ask(key), PutFacts())
        for key in ("map/a", "b")
    ]
    await stage.rules(rule(Filter("map/"), abort_days=2))
    # What is asked about here is the clock of the ledger, which the vault's ask brought.
    assert (await stage.dry()).objects == 1
    assert (await stage.run()).objects == 1
    left = await stage.vaults.multipart.open_uploads(stage.bucket, "")
    assert [one.upload_id for one in left] == [begun[1].upload_id]
    assert acts(house)[-1] == ("upload:expire", "conclude", "done")


async def test_an_object_of_a_class_that_rules_may_not_take_stays(
    place: Place, house: House
) -> None:
    stage = await stage_of(place, house, "onbekend")
    await stage.put("gewoon")
    await stage.put("dossier", classification="vertrouwelijk")
    await stage.rules(rule(days=1))
    stage.later(2)
    done = await stage.run()
    assert (done.objects, done.kept, done.failed) == (1, 1, 0)
    assert await stage.keys() == {"dossier"}


async def test_what_nobody_sealed_here_is_left_alone(place: Place, house: House) -> None:
    stage = await stage_of(place, house, "intern")
    await stage.put("ons")
    await place.store.put_whole(place.bucket, "van-vroeger", b"in clear", StoredFacts())
    await stage.rules(rule(days=1))
    stage.later(2)
    done = await stage.run()
    assert (done.objects, done.kept, done.failed) == (1, 1, 0)
    assert await stage.keys() == {"van-vroeger"}


async def test_an_object_written_anew_at_the_last_moment_is_not_the_one_that_expires(
    place: Place, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await stage_of(place, house)
    await stage.put("a", b"oud")
    await stage.rules(rule(days=1))
    stage.later(2)
    vault = stage.vaults.vault
    head = vault.head

    async def then_written(*given: Any, **more: Any) -> ObjectFacts:
        facts = await head(*given, **more)
        monkeypatch.setattr(vault, "head", head)
        await stage.put("a", b"nieuw")
        return facts

    monkeypatch.setattr(vault, "head", then_written)
    assert (await place.store.features_of(place.bucket)).conditional_delete
    done = await stage.run()
    assert (done.objects, done.failed) == (0, 0)
    assert await stage.vaults.get(stage.vaults.ask("a")) == b"nieuw"


async def test_where_the_store_decides_no_deletes_what_changed_since_the_listing_stays(
    place: Place, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await stage_of(place, house)
    await stage.put("a", b"oud")
    await stage.rules(rule(days=1))
    stage.later(2)
    vault, store = stage.vaults.vault, place.store
    head, features = vault.head, await store.features_of(place.bucket)

    async def undecided(_bucket: str) -> StoreFeatures:
        return replace(features, conditional_delete=False)

    async def written_first(*given: Any, **more: Any) -> ObjectFacts:
        monkeypatch.setattr(vault, "head", head)
        await stage.put("a", b"nieuw")
        return await head(*given, **more)

    monkeypatch.setattr(store, "features_of", undecided)
    monkeypatch.setattr(vault, "head", written_first)
    assert (await stage.run()).objects == 0
    assert await stage.vaults.get(stage.vaults.ask("a")) == b"nieuw"
    stage.later(2)
    assert (await stage.run()).objects == 1


async def test_a_version_that_is_current_again_does_not_expire_as_an_old_one(
    versioned: Place, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await stage_of(versioned, house)
    await stage.put("a", b"1")
    await stage.delete("a")
    marker = (await versioned.store.list_versions(versioned.bucket)).versions[0]
    await stage.rules(rule(noncurrent_days=1))
    stage.later(3)
    vault = stage.vaults.vault
    head = vault.head

    async def then_restored(*given: Any, **more: Any) -> ObjectFacts:
        facts = await head(*given, **more)
        monkeypatch.setattr(vault, "head", head)
        await versioned.store.delete(versioned.bucket, marker.name, version_id=marker.version_id)
        return facts

    monkeypatch.setattr(vault, "head", then_restored)
    assert (await stage.run()).objects == 0
    assert await stage.vaults.get(stage.vaults.ask("a")) == b"1"


async def test_a_run_that_was_killed_goes_on_where_it_was(
    place: Place, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "STEP_OBJECTS", 2)
    stage = await stage_of(place, house)
    keys = {f"map/{n}" for n in range(7)}
    for key in keys:
        await stage.put(key)
    await stage.put("blijft")
    await stage.rules(rule(Filter("map/"), days=1))
    stage.later(2)
    runner = stage.runner()
    vault, deleted = stage.vaults.vault, 0
    delete = vault.delete

    async def killed_at_the_sixth(*given: Any, **more: Any) -> Any:
        nonlocal deleted
        deleted += 1
        if deleted == 6:
            raise asyncio.CancelledError
        return await delete(*given, **more)

    monkeypatch.setattr(vault, "delete", killed_at_the_sixth)
    job_id = await runner.begin(EXPIRE, place.bucket, "operator:x")
    with pytest.raises(asyncio.CancelledError):
        await runner.run(job_id)
    monkeypatch.setattr(vault, "delete", delete)
    halfway = (await runner.ledger.progress(job_id))[0]
    assert (halfway.state, halfway.objects) == (OPEN, 4)
    assert len(await stage.keys()) == 3
    done = await stage.runner().run(job_id)
    assert (done.state, done.failed) == (DONE, 0)
    assert done.objects == 6  # one went, and was not written down
    assert await stage.keys() == {"blijft"}


async def test_a_rule_that_was_taken_away_stops_at_once(
    place: Place, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "STEP_OBJECTS", 2)
    stage = await stage_of(place, house)
    for n in range(6):
        await stage.put(f"{n}")
    await stage.rules(rule(days=1))
    stage.later(2)
    runner = stage.runner()
    job_id = await runner.begin(EXPIRE, place.bucket, "operator:x")
    made = await expire_bucket(stage.core, place.bucket, stage.now_ms)
    shard = (await runner.ledger.unfinished(job_id))[0]
    step = await made.step(shard)
    assert (step.objects, step.finished) == (2, False)
    await stage.rules()
    step = await made.step(replace(shard, cursor=step.cursor))
    assert (step.objects, step.finished) == (0, True)
    assert len(await stage.keys()) == 4


# ── by themselves ────────────────────────────────────────────────────────────────────────────


async def jobs_of(stage: Stage) -> Sequence[Progress]:
    return await JobLedger(stage.house.database).progress()


async def due(stage: Stage) -> Progress | None:
    found = await stage.core.registry.get(stage.place.bucket)
    return await expire_due(stage.core, found, stage.now_ms)


async def test_rules_are_carried_out_once_a_day_by_one_worker(place: Place, house: House) -> None:
    stage = await stage_of(place, house)
    await stage.put("a")
    assert await due(stage) is None  # no rules, so nothing is begun
    await stage.rules(rule(days=1))
    first = await due(stage)
    assert first is not None
    assert (first.objects, first.begun_by) == (0, ACTOR)
    assert await due(stage) is None
    stage.later(2)
    both = await asyncio.gather(due(stage), due(stage))
    assert [done.objects for done in both if done is not None] == [1]
    assert await stage.keys() == set()
    assert await due(stage) is None
    assert len(await jobs_of(stage)) == 2
    stage.later(40)
    await due(stage)
    assert len(await jobs_of(stage)) == 1  # what has long ended is forgotten


async def test_a_worker_that_comes_too_late_does_nothing_more(
    place: Place, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await stage_of(place, house)
    await stage.rules(rule(days=1))
    leases = stage.core.leases
    hold = leases.hold

    @asynccontextmanager
    async def after_another(*given: Any) -> AsyncIterator[Any]:
        monkeypatch.setattr(leases, "hold", hold)
        assert await due(stage) is not None
        async with hold(*given) as lease:
            yield lease

    monkeypatch.setattr(leases, "hold", after_another)
    assert await due(stage) is None
    assert len(await jobs_of(stage)) == 1


async def test_what_people_stopped_stays_so_and_what_trouble_stopped_begins_anew_next_day(
    place: Place, house: House
) -> None:
    stage = await stage_of(place, house)
    await stage.put("a")
    await stage.rules(rule(days=1))
    stage.later(2)
    runner = stage.runner()
    job_id = await runner.begin(EXPIRE, place.bucket, "operator:x")
    await runner.ledger.set_state(job_id, PAUSED, stage.now_ms())
    stage.later(1)
    assert await due(stage) is None
    assert await stage.keys() == {"a"}
    await runner.ledger.set_state(job_id, PAUSED, stage.now_ms(), cause="the store is away")
    done = await due(stage)
    assert done is not None
    assert (done.objects, done.state) == (1, DONE)
    assert (await runner.ledger.progress(job_id))[0].state == CANCELLED


async def test_a_run_of_a_worker_that_died_is_gone_on_with(
    place: Place, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await stage_of(place, house)
    await stage.put("a")
    await stage.rules(rule(days=1))
    stage.later(2)

    async def away(*_given: object, **_more: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as broken:
        broken.setattr(stage.vaults.vault, "delete", away)
        with pytest.raises(asyncio.CancelledError):
            await due(stage)
    (left,) = await jobs_of(stage)
    assert left.state == OPEN
    done = await due(stage)
    assert done is not None
    assert (done.job_id, done.objects, done.state) == (left.job_id, 1, DONE)


async def test_a_bucket_without_a_rule_that_is_enabled_has_nothing_to_carry_out(
    place: Place, house: House
) -> None:
    stage = await stage_of(place, house)
    await stage.rules(Rule("uit", False, Filter(), days=1))
    assert await due(stage) is None
    with pytest.raises(Conflict) as refused:
        await stage.run()
    assert refused.value.code == "HY-3603"


async def test_without_its_log_nothing_expires(place: Place, house: House) -> None:
    stage = await stage_of(place, house)
    await stage.put("a")
    await stage.rules(rule(days=1))
    stage.later(2)
    made = await expire_bucket(stage.core, place.bucket, stage.now_ms)
    runner = stage.runner()
    shard = (await runner.ledger.unfinished(await runner.begin(EXPIRE, place.bucket, "x")))[0]
    house.journal.away = True
    with pytest.raises(Unavailable):
        await made.step(shard)
    house.journal.away = False
    assert await stage.keys() == {"a"}
