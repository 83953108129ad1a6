"""After a compromise every object gets new keys, and what cannot is told with its reason."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.custody.test_custodian import CLASSES, house
from tests.unit.custody.test_rotation import rotation_of
from tests.unit.objects.test_rewrapping import job as officer
from tests.unit.objects.test_store_copy import LARGE, stored
from tests.unit.objects.vaults import vaults_over
from tests.unit.officer.own_rows import own_rows
from tests.unit.officer.test_acts import ask_of, case_of

from hyok.backends.port import DefaultLock, Lock, StoredFacts
from hyok.cli.reseal import Resealed, _next_step
from hyok.custody.exposure import Exposures
from hyok.custody.key_end import KeyEnder
from hyok.custody.key_states import KeyState
from hyok.custody.keyring_rows import KeyringRows
from hyok.custody.quorum import Act
from hyok.errors import Conflict, NotFound, Refused, Unavailable
from hyok.jobs.catalog import RESEAL, STEP_OBJECTS
from hyok.jobs.ledger import JobLedger
from hyok.jobs.reseal import ResealBucket
from hyok.jobs.runner import Runner
from hyok.objects.facts import PutFacts
from hyok.objects.keys_in_use import Exposed
from hyok.objects.registry import BucketRegistry
from hyok.objects.resealing import ACTION
from hyok.objects.rewrapping import Rewrapper
from hyok.officer.key_acts import DestroyKey
from hyok.officer.key_uses import OLDER_ROAD, KeyUses

if TYPE_CHECKING:
    from tests.unit.custody.test_custodian import House
    from tests.unit.objects.vaults import Vaults

    from hyok.custody.kek import Kek
    from hyok.jobs.catalog import Progress
    from hyok.vocabulary import Ask

__all__ = ["house"]


@dataclass
class Scene:
    """A bucket, its keys, and the job over it."""

    vaults: Vaults
    classification: str

    def __post_init__(self) -> None:
        house = self.vaults.house
        self.house = house
        self.exposures = Exposures(house.keks, KeyringRows(house.database))
        self.uses = KeyUses(
            rotation=rotation_of(house),
            exposures=self.exposures,
            registry=BucketRegistry(house.database, CLASSES, lambda: house.now[0]),
            stores={"local": self.vaults.store},
            classifications=CLASSES,
            own_rows=own_rows(self.vaults),
            keks=house.keks,
            progress=lambda _objects, _bytes: None,
        )
        self.destroy = DestroyKey(
            keks=house.keks,
            uses=self.uses,
            ender=KeyEnder(house.keks, house.hsm),
            custodian=house.custodian,
            classifications=CLASSES,
        )
        self.runner = Runner(
            JobLedger(house.database),
            self.vaults.leases,
            self.work,
            lambda: house.now[0],
            secrets.token_bytes,
        )

    def ask(self) -> Ask:
        asked = replace(officer(self.vaults), key="", action=ACTION, at_ms=self.house.now[0])
        return replace(asked, classification=None)

    async def work(self, _kind: str, _bucket: str) -> ResealBucket:
        return ResealBucket(self.vaults.vault, self.vaults.leases, self.exposures, self.ask)

    async def kek(self, version: int) -> Kek:
        found = await self.house.keks.find(f"t/{self.classification}/{version}")
        assert found is not None
        return found

    async def rotate(self) -> None:
        self.house.now[0] += 10_000
        kek, _ = await rotation_of(self.house).next_version("t", self.classification)
        buckets = list(self.vaults.buckets.values())
        await rotation_of(self.house).move(kek, buckets)
        self.house.now[0] += 5_000

    async def compromise(self, version: int = 1) -> None:
        await self.house.keks.change_state(
            f"t/{self.classification}/{version}", KeyState.COMPROMISED
        )
        self.house.now[0] += 5_000

    async def run(self) -> Progress:
        await self.runner.ledger.reopen(job := await self.runner.begin(RESEAL, "dossiers", "x"))
        return await self.runner.run(job)

    async def left(self, version: int = 1) -> int:
        exposed = await self.uses.exposed(await self.kek(version))
        return sum(one.total for one in exposed.values())


async def scene(house: House, classification: str = "vertrouwelijk") -> Scene:
    vaults = await vaults_over(house, classification=classification)
    house.now[0] += 5_000  # the registry looks again
    return Scene(vaults, classification)


async def names_of(made: Scene) -> list[tuple[str, str, bool]]:
    listed = await made.vaults.store.list_versions("dossiers")
    return [(v.name, v.version_id, v.marker) for v in listed.versions if ".hyok" not in v.name]


@pytest.mark.parametrize("classification", ["intern", "vertrouwelijk", "geheim"])
async def test_every_object_gets_new_keys_and_a_second_run_does_nothing(
    house: House, classification: str
) -> None:
    made = await scene(house, classification)
    vaults = made.vaults
    keys = [f"map/{n}" for n in range(STEP_OBJECTS + 3)]
    facts = PutFacts(
        headers={"content-type": "text/x"}, user_metadata={"a": "b"}, tags={"zaak": "7"}
    )
    for key in keys:
        await vaults.put(vaults.ask(key, case="7"), key.encode(), facts)
    await vaults.put(vaults.ask("groot"), LARGE)
    before = {key: (await stored(vaults, vaults.ask(key)))[0] for key in keys}
    await made.compromise()
    await made.rotate()
    assert await made.left() == len(keys) + 1
    with pytest.raises(Conflict) as said:
        await made.destroy.plan({"key": f"t/{classification}/1"})
    assert said.value.code == "HY-2311"
    assert "hyok keys reseal" in said.value.next_step

    found = await made.run()
    assert (found.state, found.objects, found.skipped, found.failed) == ("done", 29, 0, 0)
    assert await made.left() == 0
    for key in keys:
        envelope = (await stored(vaults, vaults.ask(key)))[0]
        assert envelope.kek_id == f"t/{classification}/2"
        assert envelope.object_id != before[key].object_id, "a data key of its own"
        assert envelope.scope == before[key].scope, "destroying its case reaches it"
        if classification != "geheim":
            assert envelope.token != before[key].token, "an intermediate key of its own"
        assert await vaults.get(vaults.ask(key)) == key.encode()
        head = await vaults.vault.head(
            replace(vaults.ask(key, "object:head"), classification=None), tags=True
        )
        assert (head.user_metadata, head.tags) == ({"a": "b"}, {"zaak": "7"})
    assert await vaults.get(vaults.ask("groot")) == LARGE
    again = await made.run()
    assert (again.objects, again.skipped, again.failed) == (0, 29, 0)

    plan = await made.destroy.plan({"key": f"t/{classification}/1"})
    await made.destroy.perform(ask_of(Act.DESTROY_KEY, plan), case_of(Act.DESTROY_KEY, plan))
    assert (await rotation_of(house).count_by_kek()).get(f"t/{classification}/1", 0) == 0
    house.now[0] += 5_000
    house.keyring.forget()
    for key in keys:
        assert await vaults.get(vaults.ask(key)) == key.encode()


async def test_shards_meet_and_leave_nothing_between_them(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyok.jobs.reseal.SHARD_KEYS", 7)
    made = await scene(house, "intern")
    keys = [f"map/{n}" for n in range(30)] + ["é", "z"]
    for key in keys:
        await made.vaults.put(made.vaults.ask(key), key.encode())
    await made.compromise()
    await made.rotate()
    planned = await (await made.work("", "")).plan()
    assert len(planned.shards) == 5
    monkeypatch.setattr("hyok.jobs.reseal.SHARDS_MAX", 3)
    assert len((await (await made.work("", "")).plan()).shards) == 3
    found = await made.run()
    assert (found.objects, found.skipped, found.failed) == (len(keys), 0, 0)
    assert await made.left() == 0
    for key in keys:
        assert await made.vaults.get(made.vaults.ask(key)) == key.encode()


async def test_a_key_that_was_moved_before_the_compromise_is_exposed_all_the_same(
    house: House,
) -> None:
    """Its record stood under the old version once: whoever kept it has the intermediate key."""
    made = await scene(house)
    await made.vaults.put(made.vaults.ask("oud"), b"oud")
    await made.rotate()
    await made.vaults.put(replace(made.vaults.ask("nieuw"), at_ms=house.now[0]), b"nieuw")
    await made.compromise()
    assert await made.left() == 1
    found = await made.run()
    assert (found.objects, found.skipped) == (1, 1)
    assert await made.left() == 0


async def test_an_envelope_that_was_renewed_before_the_compromise_does_not_hide_its_object(
    house: House,
) -> None:
    made = await scene(house, "geheim")
    vaults = made.vaults
    await vaults.put(vaults.ask("oud"), b"oud")
    before = (await stored(vaults, vaults.ask("oud")))[0]
    await made.rotate()
    assert await Rewrapper(vaults.vault, vaults.leases).rewrap(officer(vaults, "oud"))
    renewed = (await stored(vaults, vaults.ask("oud")))[0]
    assert (renewed.kek_id, renewed.object_id) == ("t/geheim/2", before.object_id)
    await vaults.put(replace(vaults.ask("nieuw"), at_ms=house.now[0]), b"nieuw")
    await made.compromise()
    found = await made.run()
    assert (found.objects, found.skipped) == (1, 1)
    assert (await stored(vaults, vaults.ask("oud")))[0].object_id != before.object_id
    assert await vaults.get(vaults.ask("oud")) == b"oud"


async def test_an_older_version_is_told_and_keeps_the_key_until_it_is_removed(
    house: House,
) -> None:
    made = await scene(house)
    vaults, store = made.vaults, made.vaults.store
    await store.set_versioning("dossiers", "Enabled")
    await vaults.put(vaults.ask("brief"), b"eerste")
    await vaults.put(vaults.ask("brief"), b"tweede")
    await vaults.put(vaults.ask("weg"), b"weg")
    name = (await vaults.vault.places.of(vaults.buckets["dossiers"], "weg")).name
    await store.delete("dossiers", name)
    await made.compromise()
    await made.rotate()
    exposed = await made.uses.exposed(await made.kek(1))
    assert exposed == {"dossiers": Exposed(newest=1, older=2)}
    with pytest.raises(Conflict, match="3 objects of bucket dossiers") as said:
        await made.destroy.plan({"key": "t/vertrouwelijk/1"})
    assert "hyok keys reseal" in said.value.next_step
    found = await made.run()
    assert (found.objects, found.failed) == (1, 2)
    assert set(found.causes) == {"Refused HY-2424"}
    told = [text for text, _, _ in await made.runner.failures(found.job_id)]
    assert sorted(text.split(" (version ")[0] for text in told) == ["brief", "weg"]
    assert await vaults.get(vaults.ask("brief")) == b"tweede"
    assert len([one for one in await names_of(made) if not one[2]]) == 3, "the old newest is gone"
    exposed = await made.uses.exposed(await made.kek(1))
    assert exposed == {"dossiers": Exposed(newest=0, older=2)}
    with pytest.raises(Conflict, match="2 older versions in bucket dossiers") as said:
        await made.destroy.plan({"key": "t/vertrouwelijk/1"})
    assert said.value.next_step == OLDER_ROAD, "another run of reseal would mend nothing"
    done = Resealed([], exposed)
    assert (done.left, done.older, _next_step("k", done)) == (2, 2, OLDER_ROAD)
    assert "keys reseal k again" in _next_step("k", Resealed([], {"b": Exposed(1, 1)}))
    with pytest.raises(NotFound):
        await vaults.get(vaults.ask("weg"))
    for one, version, marker in await names_of(made):
        stored_now = None if marker else await store.head("dossiers", one, version)
        if stored_now and b"t/vertrouwelijk/1" in stored_now.facts.envelope:
            await store.delete("dossiers", one, version_id=version)
    assert (await made.run()).failed == 0
    assert await made.left() == 0


async def test_a_locked_version_stays_and_what_is_newest_is_sealed_anew_once(house: House) -> None:
    made = await scene(house)
    vaults, store = made.vaults, made.vaults.store
    await store.set_versioning("dossiers", "Enabled")
    await store.set_object_lock("dossiers", DefaultLock())
    await vaults.put(vaults.ask("brief"), b"brief")
    name = (await vaults.vault.places.of(vaults.buckets["dossiers"], "brief")).name
    await store.set_lock("dossiers", name, Lock(hold=True))
    await made.compromise()
    await made.rotate()
    for _ in range(2):
        found = await made.run()
        assert set(found.causes) == {"Refused HY-2422"}
        assert len(await names_of(made)) == 2, "sealed anew once"
        assert (await store.head("dossiers", name)).facts.lock.hold, "the lock goes along"
    assert (await stored(vaults, vaults.ask("brief")))[0].kek_id == "t/vertrouwelijk/2"
    for _, version, _ in (await names_of(made))[1:]:
        await store.set_lock("dossiers", name, Lock(hold=False), version)
    assert (await made.run()).failed == 0
    assert await made.left() == 0


async def test_killed_between_writing_and_removing_it_removes_the_old_version_next_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await scene(house)
    vaults, store = made.vaults, made.vaults.store
    await store.set_versioning("dossiers", "Enabled")
    await vaults.put(vaults.ask("brief"), b"brief", PutFacts(tags={"a": "b"}))
    await made.compromise()
    await made.rotate()

    async def die(*_: Any, **__: Any) -> None:
        raise Unavailable("killed here")

    work = await made.work("", "")
    work._judging = await made.exposures.of_tenant("t")
    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", die)
        with pytest.raises(Unavailable):
            await work._resealer.reseal(replace(made.ask(), key="brief"))
    assert len(await names_of(made)) == 2
    found = await made.run()
    assert (found.objects, found.failed) == (1, 0)
    assert len(await names_of(made)) == 1
    assert await vaults.get(vaults.ask("brief")) == b"brief"
    assert await made.left() == 0


async def test_what_a_client_writes_meanwhile_is_never_overwritten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await scene(house)
    vaults = made.vaults
    await vaults.put(vaults.ask("brief"), b"oud")
    await made.compromise()
    await made.rotate()
    put = vaults.vault.put
    raced = []

    async def raced_put(ask: Ask, *more: Any) -> Any:
        if not raced:
            raced.append(1)
            await vaults.put(vaults.ask("brief"), b"van de klant")
        return await put(ask, *more)

    work = await made.work("", "")
    with monkeypatch.context() as patch:
        patch.setattr(type(vaults.vault), "put", lambda _self, ask, *more: raced_put(ask, *more))
        patch.setattr(vaults, "put", lambda ask, body: _put(put, ask, body))
        work._judging = await made.exposures.of_tenant("t")
        await work._resealer.reseal(replace(made.ask(), key="brief"))
    assert raced
    assert await vaults.get(vaults.ask("brief")) == b"van de klant"
    assert await made.left() == 0


async def _put(put: Any, ask: Ask, body: bytes) -> None:
    from tests.unit.objects.vaults import Body

    await put(ask, Body(body), PutFacts())


async def test_an_object_whose_case_no_tag_names_is_told_and_left(house: House) -> None:
    made = await scene(house)
    vaults = made.vaults
    await vaults.put(vaults.ask("brief", case="2026-1"), b"brief")  # its tag was not kept
    await made.compromise()
    await made.rotate()
    found = await made.run()
    assert set(found.causes) == {"Conflict HY-2423"}
    assert await made.left() == 1
    assert await vaults.get(vaults.ask("brief")) == b"brief"


async def test_it_is_not_begun_where_it_would_mend_nothing_or_could_lose_a_write(
    house: House,
) -> None:
    made = await scene(house)
    await made.vaults.put(made.vaults.ask("brief"), b"brief")
    with pytest.raises(NotFound) as nothing:
        await made.run()
    assert nothing.value.code == "HY-2420"
    await made.compromise()
    with pytest.raises(Conflict) as unsound:
        await made.run()
    assert unsound.value.code == "HY-2421"
    await made.rotate()
    store: Any = made.vaults.store
    store.features = replace(store.features, conditional_put=False)
    with pytest.raises(Refused) as blind:
        await made.run()
    assert blind.value.code == "HY-2425"


async def test_what_stands_in_clear_or_was_written_by_others_is_left(house: House) -> None:
    made = await scene(house, "intern")
    await made.vaults.store.put_whole("dossiers", "klaar", b"x", StoredFacts())
    await made.vaults.put(made.vaults.ask("brief"), b"brief")
    await made.compromise()
    await made.rotate()
    found = await made.run()
    assert (found.objects, found.skipped, found.failed) == (1, 1, 0)
