"""A classification that is destroyed: its keys in the database and in the HSM, then its objects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from tests.unit.custody.test_custodian import house
from tests.unit.officer.test_acts import ask_of, case_of
from tests.unit.officer.test_shredding_sets import Sets, names, sets

from hyok.backends.port import Lock
from hyok.custody.key_states import KeyState
from hyok.custody.port import KEYRING_FOLDER, TOMBSTONES_FOLDER
from hyok.custody.quorum import Act, Role
from hyok.database.tables import keyring
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Unavailable
from hyok.officer.statement_page import render_page

if TYPE_CHECKING:
    from hyok.custody.proposal import Effect

__all__ = ["house", "sets"]


async def states(sets: Sets, name: str) -> list[KeyState]:
    return [kek.state for kek in await sets.house.keks.versions("t", name)]


async def copies_of(sets: Sets, bucket: str) -> dict[str, Any]:
    store = sets.vaults.store
    return {name: await store.read_whole(bucket, name) for name in await names(sets, bucket)}


async def put_back(sets: Sets, bucket: str, copies: dict[str, Any]) -> None:
    for name, (stored, body) in copies.items():
        await sets.vaults.store.put_whole(bucket, name, body, stored.facts)


async def test_geheim_goes_with_the_only_key_that_it_has_which_the_hsm_had(sets: Sets) -> None:
    copies = await copies_of(sets, "kluis")
    spec = (await sets.house.keks.versions("t", "geheim"))[0].spec
    done = await sets.done(all_of="geheim")
    assert done.figures["keks"] == ["t/geheim/1"]
    assert (done.figures["keys"], done.figures["versions"]) == (0, 2)
    assert await names(sets, "kluis") == []
    assert await states(sets, "geheim") == [KeyState.DESTROYED, KeyState.ACTIVE]
    with pytest.raises(NotFound):
        await sets.house.hsm.check(spec)

    document = await sets.document()
    assert document["scope"] == "classification geheim"
    assert document["deleted"] == []
    assert (document["keks_kept"], document["remaining"]) == ({}, 0)
    (kek,) = document["keks"]
    assert (kek["kek_id"], kek["tokens"]) == ("t/geheim/1", ["software keys (NOT for production)"])
    assert [one["answer"] for one in document["attempts"]] == ["HY-2301", "HY-2103"]
    page = render_page(document, str, "")
    for said in ("die heeft deze KEK niet meer", "the HSM itself was asked", "back-ups van de HSM"):
        assert said in page
    for untrue in ("Let op", "van de database kunnen de sleutels nog bevatten", "another reason"):
        assert untrue not in page

    # The bucket stays, with its names and a new key; a copy that is put back opens no more.
    await sets.put("nieuw", "", "kluis")
    assert await sets.read("nieuw", "kluis") == b"nieuw"
    await put_back(sets, "kluis", copies)
    with pytest.raises(HyokError):
        await sets.read("a", "kluis")
    assert await sets.read("los", "zaken") == b"los"


async def test_a_class_with_a_keyring_goes_in_all_buckets_with_records_and_their_key(
    sets: Sets,
) -> None:
    await sets.put("intern in zaken", "", "gewoon")
    copies = await copies_of(sets, "zaken") | {}
    done = await sets.done(all_of="vertrouwelijk")
    assert (done.figures["keys"], done.figures["versions"]) == (3, 4)
    document = await sets.document()
    assert {part["bucket"]: part["versions"] for part in document["parts"]} == {
        "zaken": 3,
        "meer": 1,
    }
    assert (len(document["keys"]), document["keys_count"]) == (3, 3)
    assert {one["answer"] for one in document["attempts"]} == {"HY-2304"}
    assert await states(sets, "vertrouwelijk") == [KeyState.DESTROYED, KeyState.ACTIVE]
    for key in document["keys"]:
        for bucket in sets.vaults.buckets:
            assert (bucket, TOMBSTONES_FOLDER + key["ik_id"]) in sets.house.mirror.held
    await put_back(sets, "zaken", copies)
    for key in ("los", "alleen hier", "hier"):
        with pytest.raises(NotFound):
            await sets.read(key, "zaken")
    for key in ("a", "b", "intern in zaken"):
        assert await sets.read(key, "gewoon") == key.encode()


async def test_copies_of_records_leave_the_buckets_and_the_page_names_no_danger_in_them(
    sets: Sets,
) -> None:
    await sets.done(all_of="intern")
    document = await sets.document()
    assert [one["mirrored"] for one in document["keys"]] == [True]
    assert "geroteerd en vernietigd" not in render_page(document, str, "")
    held = [name for bucket, name in sets.house.mirror.held if bucket == "gewoon"]
    assert KEYRING_FOLDER + document["keys"][0]["ik_id"] not in held


async def test_a_kek_that_keeps_another_key_lives_on_and_the_statement_says_what_that_means(
    sets: Sets,
) -> None:
    """The record of the bucket's names is damaged, so nothing can move it."""

    def damage(connection: Any) -> None:
        named = keyring.c.scope == "names:kluis"
        assert connection.execute(select(keyring).where(named)).one()
        connection.execute(keyring.update().where(named).values(record=b"damaged"))

    await sets.house.database.run(damage)
    await sets.done(all_of="geheim")
    document = await sets.document()
    assert document["keks"] == []
    assert document["keks_kept"]["t/geheim/1"] > 0
    assert [(one["why"], one["versions"]) for one in document["deleted"]] == [("alone", 2)]
    assert document["attempts"] == []
    page = render_page(document, str, "")
    for said in ("Let op", "die nog bestaan, omdat ze ook andere", "bewaard onder de KEK"):
        assert said in page
    assert (await states(sets, "geheim"))[0] is KeyState.DEACTIVATED


async def test_two_approve_and_the_archivist_on_a_ground_and_a_hold_stops_it(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await sets.all.plan({"tenant": "t", "all_of": "geheim", "selection": "B1.2"})
    assert Role.ARCHIVIST in plan.quorum.among
    assert plan.quorum.approvals >= 2
    assert plan.effect["keks"] == ["t/geheim/1"]
    assert plan.effect["holdings"] == [plan.effect["holdings"][0]]  # type: ignore[index]
    with pytest.raises(Malformed):
        await sets.all.plan({"tenant": "t", "all_of": "geheim"})
    for word in ("onzin", "zeer_vertrouwelijk"):
        with pytest.raises(NotFound) as said:
            await sets.all.plan({"tenant": "t", "all_of": word, "selection": "B"})
        assert said.value.code == "HY-2320"
    with pytest.raises(Malformed):
        await sets.all.plan({"tenant": "t", "all_of": "geheim", "bucket": "kluis"})
    head = sets.vaults.store.head

    async def held(bucket: str, name: str, version_id: str = "") -> Any:
        found = await head(bucket, name, version_id)
        return replace(found, facts=replace(found.facts, lock=Lock(hold=True)))

    with monkeypatch.context() as patch:
        patch.setattr(sets.vaults.store, "head", held)
        for act in (
            sets.all.plan(plan.effect),
            sets.all.perform(ask_of(Act.SHRED, plan), case_of(Act.SHRED, plan)),
        ):
            with pytest.raises(Conflict) as locked:
                await act
            assert locked.value.code == "HY-2321"
    assert await sets.read("a", "kluis") == b"a"
    assert await states(sets, "geheim") == [KeyState.ACTIVE], "not even a new key was made"


async def test_what_is_written_since_it_began_lives_on_and_is_told(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = sets.book.write

    async def write_late(*words: Any, **more: Any) -> None:
        await write(*words, **more)
        if not more["final"] and words[1]["counted"]:
            await sets.put("later", "2026-1", "zaken")

    monkeypatch.setattr(sets.book, "write", write_late)
    await sets.done(all_of="vertrouwelijk")
    document = await sets.document()
    assert (document["written_since"], document["remaining"]) == (1, 0)
    assert "onder een nieuwe sleutel, en die nog bestaan: 1" in render_page(document, str, "")
    assert await sets.read("later", "zaken") == b"later"


async def test_an_upload_that_ends_late_under_the_old_key_is_told_and_destroyed(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await sets.all.plan({"tenant": "t", "all_of": "geheim", "selection": "B1.2"})
    ask, case = ask_of(Act.SHRED, plan), case_of(Act.SHRED, plan)
    copies = await copies_of(sets, "kluis")
    erase = sets.classification._erase

    async def erase_and_land(*words: Any) -> None:
        await erase(*words)
        await put_back(sets, "kluis", dict([*copies.items()][:1]))

    with monkeypatch.context() as patch:
        patch.setattr(sets.classification, "_erase", erase_and_land)
        with pytest.raises(Unavailable) as said:
            await sets.all.perform(ask, case)
    assert said.value.code == "HY-2323"
    with pytest.raises(NotFound):
        await sets.document()
    await sets.all.perform(ask, case)
    document = await sets.document()
    assert document["remaining"] == 0
    assert [part["versions"] for part in document["parts"]] == [3], "each is counted"
    assert await names(sets, "kluis") == []


@pytest.mark.parametrize("at", ["made", "tombstones", "hsm", "objects", "statement"])
@pytest.mark.parametrize("name", ["geheim", "vertrouwelijk"])
async def test_one_that_was_killed_is_carried_on_to_the_same_end(
    sets: Sets, monkeypatch: pytest.MonkeyPatch, at: str, name: str
) -> None:
    effect: Effect = {"tenant": "t", "all_of": name, "selection": "B1.2"}
    plan = await sets.all.plan(effect)
    ask, case = ask_of(Act.SHRED, plan), case_of(Act.SHRED, plan)
    store, mirror, count = sets.vaults.store, sets.house.mirror, [0]

    async def die(*_: Any, **__: Any) -> None:
        raise Unavailable("killed here")

    with monkeypatch.context() as patch:
        if at == "made":
            patch.setattr(sets.shredder, "retire", die)
        elif at == "tombstones":
            patch.setattr(mirror, "write", die)
        elif at == "hsm":
            patch.setattr(sets.house.hsm, "destroy_kek", die)
        elif at == "objects":
            real = store.delete

            async def delete_one(*words: Any, **more: Any) -> Any:
                count[0] += 1
                if count[0] > 1:
                    await die()
                return await real(*words, **more)

            patch.setattr(store, "delete", delete_one)
        else:
            patch.setattr(sets.classification, "_record", die)
        with pytest.raises(Unavailable):
            await sets.all.perform(ask, case)
    assert (await sets.all.plan(plan.effect)).quorum == plan.quorum
    done = await sets.all.perform(ask, case)
    expected = {"geheim": (0, 2), "vertrouwelijk": (3, 4)}
    assert (done.figures["keys"], done.figures["versions"]) == expected[name]
    document = await sets.document()
    assert (document["remaining"], document["deleted"]) == (0, [])
    assert [one["kek_id"] for one in document["keks"]] == [f"t/{name}/1"]
    assert len(await states(sets, name)) == 2, "one new version, however often it was begun"
