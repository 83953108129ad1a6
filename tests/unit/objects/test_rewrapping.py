"""A new envelope in place: the bytes stay, and what a client writes meanwhile stays as well."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.conformance.object_stores import files, memory
from tests.fakes.memory_store import MemoryStore
from tests.unit.custody.test_custodian import house
from tests.unit.objects.test_store_copy import LARGE, PART, stored
from tests.unit.objects.vaults import Vaults, vaults_over

from hyok.custody.key_states import KeyState
from hyok.database.leases import HOLD_MS, Leases
from hyok.errors import Conflict, Refused, Unavailable
from hyok.objects.facts import PutFacts
from hyok.objects.rewrapping import ACTION, Rewrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.custody.test_custodian import House

    from hyok.envelope.metadata import Metadata
    from hyok.vocabulary import Ask

__all__ = ["house"]


@pytest.fixture(params=["memory", "files", "writes_back"])
async def vaults(
    house: House, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Vaults]:
    """`geheim`; ``writes_back`` is a store that decides no condition of a copy."""
    if request.param != "writes_back":
        maker = {"memory": memory, "files": files}[request.param]
        async with maker(tmp_path) as store:
            yield await vaults_over(house, store, classification="geheim")
        return
    writing_back = MemoryStore()
    writing_back.features = replace(writing_back.features, conditional_copy=False)
    yield await vaults_over(house, writing_back, classification="geheim")


def rewrapper(vaults: Vaults) -> Rewrapper:
    house = vaults.house
    return Rewrapper(
        vaults.vault, Leases(house.database, secrets.token_bytes, lambda: house.now[0])
    )


def job(vaults: Vaults, key: str = "sleutel") -> Ask:
    ask = vaults.ask(key, ACTION)
    return replace(ask, principal=replace(ask.principal, kind="officer", grants=frozenset()))


async def rotate(vaults: Vaults) -> None:
    await vaults.house.keks.create(vaults.house.hsm, "t", "geheim", 1, 1)


@pytest.mark.parametrize("plain", [b"klein", LARGE], ids=["small", "large"])
async def test_after_a_rotation_an_object_is_kept_under_the_new_key_with_its_bytes(
    vaults: Vaults, plain: bytes
) -> None:
    facts = PutFacts(headers={"content-type": "text/x"}, tags={"a": "b"})
    await vaults.put(vaults.ask(), plain, facts)
    before = await stored(vaults, vaults.ask())
    await rotate(vaults)
    renewed = await rewrapper(vaults).rewrap(job(vaults))
    assert renewed is not None
    assert renewed.kek_id == "t/geheim/2"
    after = await stored(vaults, vaults.ask())
    assert after[1] == before[1]
    assert after[0].object_id == before[0].object_id
    assert after[0].metadata_block == before[0].metadata_block
    assert after[0].wrapped_dek != before[0].wrapped_dek
    assert after[0].kek_id == "t/geheim/2"
    assert await vaults.get(vaults.ask()) == plain
    told = await vaults.vault.head(vaults.ask(action="object:head"))
    assert (told.headers["content-type"], told.tags) == ("text/x", {"a": "b"})
    assert await rewrapper(vaults).rewrap(job(vaults)) is None  # a job may be repeated


async def test_an_object_of_parts_learns_its_length(vaults: Vaults) -> None:
    await vaults.upload(vaults.ask(), PART, b"slot")
    await rotate(vaults)
    await rewrapper(vaults).rewrap(job(vaults))
    assert (await stored(vaults, vaults.ask()))[0].plain_size == len(PART) + 4
    assert await vaults.get(vaults.ask()) == PART + b"slot"


async def test_other_tags_are_sealed_in_place(vaults: Vaults) -> None:
    await vaults.put(vaults.ask(), b"klein", PutFacts(tags={"a": "b"}))

    def change(metadata: Metadata) -> Metadata:
        return metadata._replace(tg={"c": "d"})

    await rewrapper(vaults).rewrap(job(vaults), change)
    assert (await vaults.vault.head(vaults.ask(action="object:head"))).tags == {"c": "d"}
    assert await vaults.get(vaults.ask()) == b"klein"


MOMENTS = [
    ("memory", "read_whole", b"klein"),
    ("memory", "replace_facts", b"klein"),
    ("files", "replace_facts", b"klein"),
    ("files", "replace_facts", LARGE),
    ("writes_back", "read_whole", b"klein"),
    ("writes_back", "put_whole", b"klein"),
    ("writes_back", "read", LARGE),
    ("writes_back", "put", LARGE),
]


@pytest.mark.parametrize(("vaults", "moment", "plain"), MOMENTS, indirect=["vaults"])
async def test_what_a_client_writes_meanwhile_is_not_overwritten(
    vaults: Vaults, monkeypatch: pytest.MonkeyPatch, moment: str, plain: bytes
) -> None:
    await vaults.put(vaults.ask(), plain)
    await rotate(vaults)
    whole = getattr(vaults.store, moment)
    written: list[bytes] = []

    async def late(*args, **more):  # type: ignore[no-untyped-def]
        if not written:
            written.append(b"van de klant")
            await vaults.put(vaults.ask(), b"van de klant")
        return await whole(*args, **more)

    monkeypatch.setattr(vaults.store, moment, late)
    with pytest.raises((Conflict, Unavailable)):
        await rewrapper(vaults).rewrap(job(vaults))
    assert await vaults.get(vaults.ask()) == b"van de klant"


async def test_a_write_while_the_bytes_go_back_wins(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    store.features = replace(store.features, conditional_copy=False)
    vaults = await vaults_over(house, store, classification="geheim")
    await vaults.put(vaults.ask(), LARGE)
    await rotate(vaults)
    pump = vaults.vault.pump.run
    calls: list[None] = []

    async def late(work):  # type: ignore[no-untyped-def]
        calls.append(None)
        if len(calls) == 2:  # every byte is there, and only the commit is missing
            await vaults.put(vaults.ask(), b"van de klant")
        return await pump(work)

    monkeypatch.setattr(vaults.vault.pump, "run", late)
    with pytest.raises(Conflict):
        await rewrapper(vaults).rewrap(job(vaults))
    assert await vaults.get(vaults.ask()) == b"van de klant"
    outcomes = [r.outcome for r in house.journal.records if r.action == ACTION]
    assert outcomes[-1] == "failed"


async def test_two_rewraps_of_one_object_never_undo_each_other(vaults: Vaults) -> None:
    await vaults.put(vaults.ask(), b"klein")
    await rotate(vaults)

    def tagged(metadata: Metadata) -> Metadata:
        return metadata._replace(tg={"c": "d"})

    outcomes = await asyncio.gather(
        rewrapper(vaults).rewrap(job(vaults), tagged),
        rewrapper(vaults).rewrap(job(vaults)),
        return_exceptions=True,
    )
    assert all(o is None or isinstance(o, Conflict) or hasattr(o, "kek_id") for o in outcomes)
    won = [not isinstance(o, BaseException) for o in outcomes]
    assert any(won)
    told = await vaults.vault.head(vaults.ask(action="object:head"))
    assert told.kek_id == "t/geheim/2"
    assert told.tags == ({"c": "d"} if won[0] else {})


async def test_a_lease_of_a_process_that_died_ends_and_one_that_is_lost_writes_nothing(
    house: House,
) -> None:
    leases = Leases(house.database, secrets.token_bytes, lambda: house.now[0])
    async with leases.hold("rewrap:x") as first:
        with pytest.raises(Conflict) as caught:
            async with leases.hold("rewrap:x"):
                pass
        assert caught.value.code == "HY-3105"
        await first.renew()
        house.now[0] += HOLD_MS
        async with leases.hold("rewrap:x") as second:
            with pytest.raises(Conflict):
                await first.renew()
            await second.renew()
    async with leases.hold("rewrap:x"):
        pass


async def test_a_compromised_key_is_not_papered_over(vaults: Vaults) -> None:
    await vaults.put(vaults.ask(), b"klein")
    await rotate(vaults)
    await vaults.house.keks.change_state("t/geheim/1", KeyState.COMPROMISED)
    before = await stored(vaults, vaults.ask())
    with pytest.raises(Refused) as caught:
        await rewrapper(vaults).rewrap(job(vaults))
    assert caught.value.code == "HY-2308"
    assert await stored(vaults, vaults.ask()) == before


async def test_an_app_may_not_rewrap(vaults: Vaults) -> None:
    await vaults.put(vaults.ask(), b"klein")
    await rotate(vaults)
    with pytest.raises(Refused):
        await rewrapper(vaults).rewrap(vaults.ask(action=ACTION))


async def test_tags_in_clear_are_not_lost_at_a_store_that_cannot_change_facts(
    house: House,
) -> None:
    store = MemoryStore()
    store.features = replace(store.features, conditional_copy=False)
    vaults = await vaults_over(house, store)
    await vaults.put(vaults.ask(), b"klein", PutFacts(tags={"a": "b"}))
    await house.keks.create(house.hsm, "t", "openbaar", 1, 1)
    assert await rewrapper(vaults).rewrap(job(vaults))
    facts = await vaults.vault.head(vaults.ask(action="object:head"), tags=True)
    assert facts.tags == {"a": "b"}
