"""Uploads that are cut off, repeated or met half-way: nothing is lost, nothing stays behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.unit.custody.test_custodian import house
from tests.unit.objects.test_store_copy import PART
from tests.unit.objects.vaults import Body, Vaults, vaults_over

from hyok.backends.port import Condition
from hyok.errors import Conflict, Malformed, NotFound, Unavailable
from hyok.objects.facts import PutFacts
from hyok.objects.multipart import UPLOAD_SECONDS_MAX

if TYPE_CHECKING:
    from tests.fakes.memory_store import MemoryStore
    from tests.unit.custody.test_custodian import House

__all__ = ["house"]

ABSENT = Condition(absent=True)


@pytest.fixture
async def vaults(house: House) -> Vaults:
    return await vaults_over(house)


def store_of(vaults: Vaults) -> MemoryStore:
    return vaults.store  # type: ignore[return-value]


async def begun(vaults: Vaults, *parts: bytes) -> tuple[str, list[tuple[int, str]]]:
    made = await vaults.multipart.create(vaults.ask(), PutFacts())
    wanted = [
        (n, (await vaults.multipart.upload_part(vaults.ask(), made.upload_id, n, Body(part)))[0])
        for n, part in enumerate(parts, 1)
    ]
    return made.upload_id, wanted


async def names(vaults: Vaults) -> set[str]:
    listed = await vaults.store.list("dossiers")
    return {entry.name for entry in listed.objects if not entry.name.startswith(".hyok/keyring")}


def outcomes(vaults: Vaults) -> list[str]:
    return [r.outcome for r in vaults.house.journal.records if r.phase == "conclude"]


async def test_a_completion_that_fails_leaves_every_part_as_it_was(vaults: Vaults) -> None:
    await vaults.put(vaults.ask(), b"er al")
    upload_id, wanted = await begun(vaults, PART, PART, b"slot")
    with pytest.raises(Conflict):
        await vaults.multipart.complete(vaults.ask(), upload_id, wanted[:1], ABSENT)
    assert outcomes(vaults)[-1] == "failed"
    await vaults.multipart.complete(vaults.ask(), upload_id, wanted)
    assert await vaults.get(vaults.ask()) == PART + PART + b"slot"
    assert await names(vaults) == {"sleutel"}


@pytest.mark.parametrize("condition", [ABSENT, Condition()], ids=["absent", "always"])
async def test_a_completion_whose_answer_was_lost_is_a_success_when_repeated(
    vaults: Vaults, condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id, wanted = await begun(vaults, PART, b"slot")
    with monkeypatch.context() as broken:

        async def cut(*_args) -> None:  # type: ignore[no-untyped-def]
            raise Unavailable("cut off")

        broken.setattr(vaults.multipart._ledger, "finish", cut)
        with pytest.raises(Unavailable):
            await vaults.multipart.complete(vaults.ask(), upload_id, wanted, condition)
    made = await vaults.store.head("dossiers", "sleutel")
    done = await vaults.multipart.complete(vaults.ask(), upload_id, wanted, condition)
    assert (await vaults.store.head("dossiers", "sleutel")).etag == made.etag
    assert done.result.kek_id == "t/openbaar/1"
    assert await vaults.get(vaults.ask()) == PART + b"slot"


async def test_a_precondition_that_another_object_breaks_stays_broken(vaults: Vaults) -> None:
    upload_id, wanted = await begun(vaults, PART, b"slot")
    await vaults.put(vaults.ask(), b"van een ander")
    with pytest.raises(Conflict):
        await vaults.multipart.complete(vaults.ask(), upload_id, wanted, ABSENT)
    assert await vaults.get(vaults.ask()) == b"van een ander"


async def test_two_completions_at_once_are_both_told_of_one_object(vaults: Vaults) -> None:
    upload_id, wanted = await begun(vaults, PART, PART)
    done = await asyncio.gather(
        *(vaults.multipart.complete(vaults.ask(), upload_id, wanted) for _ in range(4))
    )
    assert len({one.result.etag for one in done}) == 1


async def test_an_upload_that_could_not_be_written_down_is_ended_at_the_store(
    vaults: Vaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_args) -> None:  # type: ignore[no-untyped-def]
        raise Unavailable("away")

    monkeypatch.setattr(vaults.multipart._ledger, "begin", away)
    with pytest.raises(Unavailable):
        await vaults.multipart.create(vaults.ask(), PutFacts())
    assert not store_of(vaults).uploads
    assert outcomes(vaults) == ["failed"]


async def test_a_part_that_comes_after_the_end_leaves_nothing_behind(
    vaults: Vaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id, wanted = await begun(vaults, PART)
    whole = vaults.store.put_whole

    async def late(*args, **more):  # type: ignore[no-untyped-def]
        made = await whole(*args, **more)
        await vaults.multipart.complete(vaults.ask(), upload_id, wanted)
        return made

    monkeypatch.setattr(vaults.store, "put_whole", late)
    with pytest.raises(NotFound):
        await vaults.multipart.upload_part(vaults.ask(), upload_id, 2, Body(b"te laat"))
    assert await names(vaults) == {"sleutel"}
    assert outcomes(vaults)[-1] == "failed"


async def test_a_part_that_breaks_off_is_recorded_and_the_one_before_stands(
    vaults: Vaults,
) -> None:
    upload_id, wanted = await begun(vaults, b"slot")

    class Broken(Body):
        async def whole(self) -> memoryview:
            raise Malformed("cut", reason="IncompleteBody")

    with pytest.raises(Malformed):
        await vaults.multipart.upload_part(vaults.ask(), upload_id, 1, Broken(b"anders"))
    assert outcomes(vaults)[-1] == "failed"
    await vaults.multipart.complete(vaults.ask(), upload_id, wanted)
    assert await vaults.get(vaults.ask()) == b"slot"


async def test_one_old_upload_that_cannot_be_dropped_does_not_keep_the_others(
    vaults: Vaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, _ = await begun(vaults, b"slot")
    await begun(vaults, b"slot")
    found = await vaults.multipart.find(vaults.buckets["dossiers"], "sleutel", stuck)
    whole = vaults.store.abort_upload

    async def away(bucket: str, name: str, upload_id: str) -> None:
        if upload_id == found.store_upload_id:
            raise Unavailable("away")
        await whole(bucket, name, upload_id)

    monkeypatch.setattr(vaults.store, "abort_upload", away)
    later = vaults.ask().at_ms + UPLOAD_SECONDS_MAX * 1000 + 1
    assert await vaults.multipart.sweep(vaults.buckets["dossiers"], later) == 1
    monkeypatch.setattr(vaults.store, "abort_upload", whole)
    assert await vaults.multipart.sweep(vaults.buckets["dossiers"], later) == 1
    assert not store_of(vaults).uploads
    assert await names(vaults) == set()
