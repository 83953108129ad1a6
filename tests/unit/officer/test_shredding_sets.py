"""A bucket or an object that is destroyed: with its keys where these keep nothing else."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert
from tests.unit.custody.test_custodian import CLASSES, House, house
from tests.unit.objects.vaults import vaults_over
from tests.unit.officer.own_rows import own_rows
from tests.unit.officer.test_acts import ask_of, case_of
from tests.unit.officer.test_shredding import Shredding as Cases

from hyok.backends.port import Lock
from hyok.custody.exposure import Exposures
from hyok.custody.key_end import KeyEnder
from hyok.custody.keyring_rows import KeyringRows
from hyok.custody.port import KEYRING_FOLDER, TOMBSTONES_FOLDER
from hyok.custody.quorum import Act, Role
from hyok.custody.rotation import KeyRotation
from hyok.database.tables import proposals
from hyok.errors import Conflict, Malformed, NotFound, Unavailable
from hyok.objects.facts import PutFacts
from hyok.objects.uploads import UploadLedger
from hyok.officer.key_uses import KeyUses
from hyok.officer.shred_any import Shred
from hyok.officer.shred_class_acts import ShredClass
from hyok.officer.shred_set_acts import ShredSet
from hyok.officer.statement_page import render_page

if TYPE_CHECKING:
    from tests.unit.objects.vaults import Vaults

    from hyok.custody.proposal import Effect

__all__ = ["house"]


class Sets(Cases):
    """The act over buckets and objects of one worker."""

    def __init__(self, vaults: Vaults) -> None:
        super().__init__(vaults)
        house = self.house
        common: dict[str, Any] = {
            "shredder": self.shredder,
            "custodian": house.custodian,
            "registry": self.registry,
            "stores": {"local": vaults.store},
            "classifications": CLASSES,
            "book": self.book,
            "journal": house.journal,
            "installation": "proef",
            "backups_kept_days": 35,
            "progress": lambda _objects, _bytes: None,
            "clock_ms": lambda: house.now[0],
            "wait": self._wait,
        }
        self.whole = ShredSet(
            keks=house.keks,
            places=vaults.vault.places,
            uploads=UploadLedger(house.database),
            **common,
        )
        rotation = KeyRotation(
            database=house.database,
            hsm=house.hsm,
            keks=house.keks,
            mirror=house.mirror,
            entropy=secrets.token_bytes,
            clock_ms=lambda: house.now[0],
        )
        uses = KeyUses(
            rotation=rotation,
            exposures=Exposures(house.keks, KeyringRows(house.database)),
            registry=self.registry,
            stores={"local": vaults.store},
            classifications=CLASSES,
            own_rows=own_rows(vaults),
            keks=house.keks,
            progress=lambda _objects, _bytes: None,
        )
        self.ender = KeyEnder(house.keks, house.hsm)
        self.classification = ShredClass(
            keks=house.keks, rotation=rotation, uses=uses, ender=self.ender, **common
        )
        self.all = Shred(self.act, self.whole, self.classification)

    async def done(self, **effect: str) -> Any:
        given: Effect = {"tenant": "t", "selection": "B1.2", **effect}
        plan = await self.all.plan(given)
        return await self.all.perform(ask_of(Act.SHRED, plan), case_of(Act.SHRED, plan))

    async def document(self) -> dict[str, Any]:
        return dict((await self.book.get("P1")).document)


@pytest.fixture
async def sets(house: House) -> Sets:
    vaults = await vaults_over(house, classification="intern", name="gewoon")
    await vaults.make_bucket("zaken", "vertrouwelijk")
    await vaults.make_bucket("meer", "vertrouwelijk")
    await vaults.make_bucket("kluis", "geheim")
    made = Sets(vaults)
    for key in ("a", "b"):
        await made.put(key, "", "gewoon")
        await made.put(key, "", "kluis")
    await made.put("los", "", "zaken")
    await made.put("alleen hier", "2026-1", "zaken")
    await made.put("hier", "2026-2", "zaken")
    await made.put("daar", "2026-2", "meer")
    house.now[0] += 5_000
    row = insert(proposals).values(
        proposal_id="P1",
        act="scope:shred",
        author="anna",
        state="executing",
        sealed=b"",
        created_ms=1,
        expires_ms=2,
    )
    await house.database.run(lambda connection: connection.execute(row))
    return made


async def names(sets: Sets, bucket: str) -> list[str]:
    listed = (await sets.vaults.store.list(bucket)).objects
    return [entry.name for entry in listed if not entry.name.startswith(".hyok/")]


async def test_a_bucket_goes_with_every_key_that_keeps_nothing_else(sets: Sets) -> None:
    store = sets.vaults.store
    copies = {name: await store.read_whole("zaken", name) for name in await names(sets, "zaken")}
    done = await sets.done(bucket="zaken")
    assert (done.figures["keys"], done.figures["versions"]) == (2, 3)
    assert await names(sets, "zaken") == []
    document = await sets.document()
    assert document["scope"] == "bucket zaken"
    (deleted,) = document["deleted"]
    assert (deleted["why"], deleted["versions"]) == ("shared", 1)
    assert [one["answer"] for one in document["attempts"]] == ["HY-2304"]

    # From a copy that the supplier kept: only what shares its key with another bucket opens.
    for name, (stored, body) in copies.items():
        await store.put_whole("zaken", name, body, stored.facts)
    for key in ("los", "alleen hier"):
        with pytest.raises(NotFound) as said:
            await sets.read(key, "zaken")
        assert said.value.code == "HY-2304"
    assert await sets.read("hier", "zaken") == b"hier", "as the statement says"
    assert await sets.read("daar", "meer") == b"daar"
    assert await sets.read("a", "gewoon") == b"a"
    page = render_page(document, str, "")
    assert "de sleutel bewaart ook andere bestanden" in page
    assert "Let op" in page


async def test_a_key_of_a_class_that_is_mirrored_leaves_the_store_and_the_page_says_so(
    sets: Sets,
) -> None:
    held = sets.house.mirror.held
    before = [name for bucket, name in held if bucket == "gewoon" and KEYRING_FOLDER in name]
    assert before
    await sets.done(bucket="gewoon")
    document = await sets.document()
    assert [one["mirrored"] for one in document["keys"]] == [True]
    assert document["deleted"] == []
    assert ("gewoon", KEYRING_FOLDER + document["keys"][0]["ik_id"]) not in held
    for bucket in sets.vaults.buckets:
        assert (bucket, TOMBSTONES_FOLDER + document["keys"][0]["ik_id"]) in held
    assert "geroteerd en vernietigd" in render_page(document, str, "")
    # The bucket serves on, with a key of its own.
    await sets.put("nieuw", "", "gewoon")
    assert await sets.read("nieuw", "gewoon") == b"nieuw"


async def test_what_only_the_kek_keeps_is_deleted_and_told_so(sets: Sets) -> None:
    done = await sets.done(bucket="kluis")
    assert (done.figures["keys"], done.figures["versions"]) == (0, 2)
    document = await sets.document()
    (deleted,) = document["deleted"]
    assert (deleted["why"], deleted["versions"]) == ("alone", 2)
    assert document["attempts"] == []
    assert "bewaard onder de KEK" in render_page(document, str, "")


async def test_an_object_goes_alone_and_its_key_only_where_it_keeps_nothing_else(
    sets: Sets,
) -> None:
    await sets.done(bucket="zaken", key="alleen hier")
    document = await sets.document()
    assert len(document["keys"]) == 1
    assert document["deleted"] == []
    assert "alleen hier" not in str(document), "no name of an object"
    assert document["scope"].startswith("object ")
    assert await sets.read("hier", "zaken") == b"hier"
    assert await sets.read("los", "zaken") == b"los"
    with pytest.raises(NotFound):
        await sets.read("alleen hier", "zaken")


async def test_an_object_that_shares_its_key_is_only_deleted(sets: Sets) -> None:
    await sets.done(bucket="gewoon", key="a")
    document = await sets.document()
    assert document["keys"] == []
    assert [one["why"] for one in document["deleted"]] == ["shared"]
    assert await sets.read("b", "gewoon") == b"b"


async def test_an_upload_that_is_open_keeps_its_key(sets: Sets) -> None:
    vaults = sets.vaults
    ask = vaults.ask("later", bucket_id="meer", case="2026-1")
    await vaults.multipart.create(ask, PutFacts())
    await sets.done(bucket="zaken", key="alleen hier")
    document = await sets.document()
    assert document["keys"] == []
    assert [one["why"] for one in document["deleted"]] == ["shared"]


async def test_nothing_is_written_under_a_key_between_the_look_and_its_end(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client writes another object of the same case after all was counted: it must survive."""
    write = sets.book.write

    async def write_late(*words: Any, **more: Any) -> None:
        await write(*words, **more)
        if not more["final"]:
            await sets.put("erbij", "2026-1", "meer")

    monkeypatch.setattr(sets.book, "write", write_late)
    await sets.done(bucket="zaken", key="alleen hier")
    assert len((await sets.document())["keys"]) == 1
    assert await sets.read("erbij", "meer") == b"erbij"


async def test_who_approves_follows_the_strictest_class_and_a_hold_stops_it(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await sets.all.plan({"tenant": "t", "bucket": "zaken", "selection": "B1.2"})
    assert Role.ARCHIVIST in plan.quorum.among
    assert plan.quorum.approvals >= 2
    assert plan.effect["keys"] == 2
    with pytest.raises(Malformed):
        await sets.all.plan({"tenant": "t", "bucket": "zaken"})
    for effect in ({"tenant": "t"}, {"tenant": "t", "bucket": "zaken", "case": "1"}):
        with pytest.raises(Malformed):
            await sets.all.plan(effect)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        await sets.all.plan({"tenant": "ander", "bucket": "zaken", "selection": "B1.2"})
    with pytest.raises(NotFound) as said:
        nowhere: Effect = {"tenant": "t", "bucket": "zaken", "key": "x", "selection": "B"}
        await sets.all.plan(nowhere)
    assert said.value.code == "HY-2320"
    head = sets.vaults.store.head

    async def held(bucket: str, name: str, version_id: str = "") -> Any:
        found = await head(bucket, name, version_id)
        return replace(found, facts=replace(found.facts, lock=Lock(hold=True)))

    with monkeypatch.context() as patch:
        patch.setattr(sets.vaults.store, "head", held)
        with pytest.raises(Conflict) as locked:
            await sets.all.plan({"tenant": "t", "bucket": "zaken", "selection": "B1.2"})
        assert locked.value.code == "HY-2321"
        with pytest.raises(Conflict):  # laid between the approval and the execution
            await sets.all.perform(ask_of(Act.SHRED, plan), case_of(Act.SHRED, plan))
    assert await sets.read("los", "zaken") == b"los"


@pytest.mark.parametrize("at", ["tombstones", "keys", "objects", "statement"])
async def test_one_that_was_killed_is_carried_on_to_the_same_end(
    sets: Sets, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    plan = await sets.all.plan({"tenant": "t", "bucket": "zaken", "selection": "B1.2"})
    ask, case = ask_of(Act.SHRED, plan), case_of(Act.SHRED, plan)
    store, mirror, count = sets.vaults.store, sets.house.mirror, [0]

    async def die(*_: Any, **__: Any) -> None:
        raise Unavailable("killed here")

    with monkeypatch.context() as patch:
        if at == "tombstones":
            patch.setattr(mirror, "write", die)
        elif at == "keys":
            patch.setattr(sets.whole, "_erase", die)
        elif at == "objects":
            real = store.delete

            async def delete_one(*words: Any, **more: Any) -> Any:
                count[0] += 1
                if count[0] > 1:
                    await die()
                return await real(*words, **more)

            patch.setattr(store, "delete", delete_one)
        else:
            patch.setattr(sets.whole, "_record", die)
        with pytest.raises(Unavailable):
            await sets.all.perform(ask, case)
    again = await sets.all.plan(plan.effect)
    assert again.quorum == plan.quorum
    done = await sets.all.perform(ask, case)
    assert (done.figures["keys"], done.figures["versions"]) == (2, 3)
    document = await sets.document()
    assert document["remaining"] == 0
    assert [one["versions"] for one in document["deleted"]] == [1]
