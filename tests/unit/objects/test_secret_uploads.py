"""`geheim`: an upload in parts does not ask the HSM for each of them; a reading always does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update
from tests.unit.custody.test_custodian import build, house
from tests.unit.objects.vaults import Body, Vaults, vaults_over

from hyok.custody import upload_secrets
from hyok.custody.key_states import KeyState
from hyok.database.tables import uploads
from hyok.errors import NotFound, Refused, Tampered, Unavailable
from hyok.objects.facts import PutFacts
from hyok.s3.ranges import Asked

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.custody.test_custodian import House

__all__ = ["house"]

PART = bytes(range(256)) * (5 << 12)  # 5 MiB
LAST = b"slot"
NAME = 1
"""What sealing the object's name costs: `geheim` does not remember that key either."""


@pytest.fixture
async def vaults(house: House) -> Vaults:
    return await vaults_over(house, classification="geheim")


async def parts_of(vaults: Vaults, upload_id: str, count: int) -> list[tuple[int, str]]:
    bodies = [PART] * (count - 1) + [LAST]
    return [
        (n, (await vaults.multipart.upload_part(vaults.ask(), upload_id, n, Body(body)))[0])
        for n, body in enumerate(bodies, 1)
    ]


async def test_an_upload_asks_the_hsm_for_its_name_and_its_key_once(vaults: Vaults) -> None:
    before = vaults.asked
    await vaults.upload(vaults.ask(), PART, PART, LAST)
    assert vaults.asked == before + NAME + 1


async def test_every_reading_asks_the_hsm_even_while_the_upload_of_the_same_key_is_open(
    vaults: Vaults,
) -> None:
    await vaults.upload(vaults.ask(), PART, LAST)
    begun = await vaults.multipart.create(vaults.ask(), PutFacts())
    await parts_of(vaults, begun.upload_id, 2)
    for asked in (None, Asked(0, 9), Asked(len(PART), None)):
        before = vaults.asked
        opened = await vaults.vault.open(vaults.ask(action="object:get"), asked)
        assert bytes(opened.whole())[:2] in (PART[:2], LAST[:2])
        await opened.close()
        assert vaults.asked == before + NAME + 1
    before = vaults.asked
    await vaults.vault.head(vaults.ask(action="object:head"))
    assert vaults.asked == before + NAME + 1


async def test_every_part_is_decided_and_recorded_all_the_same(vaults: Vaults) -> None:
    begun = await vaults.multipart.create(vaults.ask(), PutFacts())
    before = len(vaults.house.journal.records)
    await parts_of(vaults, begun.upload_id, 3)
    made = vaults.house.journal.records[before:]
    assert [(r.phase, r.outcome) for r in made] == [("intend", "pending"), ("conclude", "done")] * 3
    assert all(r.classification == "geheim" for r in made if r.phase == "intend")


@pytest.mark.parametrize("state", [KeyState.SUSPENDED, KeyState.COMPROMISED])
@pytest.mark.parametrize("classification", ["geheim", "openbaar"])
async def test_a_key_that_is_taken_away_bites_at_the_next_part(
    house: House, state: KeyState, classification: str
) -> None:
    vaults = await vaults_over(house, classification=classification)
    begun = await vaults.multipart.create(vaults.ask(), PutFacts())
    wanted = await parts_of(vaults, begun.upload_id, 2)
    await vaults.house.keks.change_state(f"t/{classification}/1", state)
    with pytest.raises(Refused):
        await vaults.multipart.upload_part(vaults.ask(), begun.upload_id, 3, Body(LAST))
    with pytest.raises(Refused):
        await vaults.multipart.complete(vaults.ask(), begun.upload_id, wanted)


async def test_an_upload_goes_on_when_its_key_is_followed_by_a_newer_one(vaults: Vaults) -> None:
    begun = await vaults.multipart.create(vaults.ask(), PutFacts())
    await vaults.house.keks.create(vaults.house.hsm, "t", "geheim", 1, 1)
    wanted = await parts_of(vaults, begun.upload_id, 2)
    await vaults.multipart.complete(vaults.ask(), begun.upload_id, wanted)
    assert await vaults.get(vaults.ask()) == PART + LAST


async def test_an_app_that_lost_its_right_is_refused_at_the_next_part(vaults: Vaults) -> None:
    begun = await vaults.multipart.create(vaults.ask(), PutFacts())
    await parts_of(vaults, begun.upload_id, 2)
    ask = vaults.ask()
    lowered = replace(ask, principal=replace(ask.principal, clearance=20))
    with pytest.raises(Refused):
        await vaults.multipart.upload_part(lowered, begun.upload_id, 3, Body(LAST))


async def test_the_key_is_gone_when_the_upload_ends(vaults: Vaults) -> None:
    for ends in ("complete", "abort"):
        begun = await vaults.multipart.create(vaults.ask(), PutFacts())
        wanted = await parts_of(vaults, begun.upload_id, 2)
        assert vaults.house.custodian.uploads_held() == {begun.upload_id}
        if ends == "complete":
            await vaults.multipart.complete(vaults.ask(), begun.upload_id, wanted)
        else:
            await vaults.multipart.abort(vaults.ask(), begun.upload_id)
        assert not vaults.house.custodian.uploads_held()


async def test_after_an_hour_it_is_overwritten_and_the_hsm_asked_again(vaults: Vaults) -> None:
    begun = await vaults.multipart.create(vaults.ask(), PutFacts())
    kept = vaults.house.custodian._uploads._held
    secret = next(iter(kept._entries.values())).value
    assert len(secret) == 32
    vaults.house.now[0] += upload_secrets.HELD_MS_MAX
    vaults.house.custodian.sweep()
    assert secret == b""
    before = vaults.asked
    wanted = await parts_of(vaults, begun.upload_id, 3)
    await vaults.multipart.complete(vaults.ask(), begun.upload_id, wanted)
    assert vaults.asked == before + 1


async def test_it_does_not_serve_while_the_hsm_is_away(vaults: Vaults) -> None:
    begun = await vaults.multipart.create(vaults.ask(), PutFacts())
    vaults.house.hsm.away = True
    await vaults.house.watch.look()
    with pytest.raises(Unavailable):
        await parts_of(vaults, begun.upload_id, 1)


async def test_no_more_uploads_are_held_than_said_and_the_others_work_on(
    vaults: Vaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vaults.house.custodian._uploads._held, "_entries_max", 2)
    begun = [await vaults.multipart.create(vaults.ask(), PutFacts()) for _ in range(3)]
    assert vaults.house.custodian.uploads_held() == {one.upload_id for one in begun[1:]}
    wanted = await parts_of(vaults, begun[0].upload_id, 2)
    await vaults.multipart.complete(vaults.ask(), begun[0].upload_id, wanted)


async def test_another_worker_asks_once_and_forgets_what_ended_elsewhere(
    vaults: Vaults, tmp_path: Path
) -> None:
    house = vaults.house
    beside = build(tmp_path / "hyok.db", house.hsm, house.mirror, house.now)
    other = await vaults_over(beside, vaults.store, classification="geheim")
    other.buckets.update(vaults.buckets)
    begun = await vaults.multipart.create(vaults.ask(), PutFacts())
    before = vaults.asked
    wanted = await parts_of(other, begun.upload_id, 3)
    assert vaults.asked == before + NAME + 1
    await vaults.multipart.complete(vaults.ask(), begun.upload_id, wanted)
    assert other.house.custodian.uploads_held() == {begun.upload_id}
    await other.multipart.forget_ended()
    assert not other.house.custodian.uploads_held()
    with pytest.raises(NotFound):
        await parts_of(other, begun.upload_id, 1)
    beside.database.close()


async def test_an_envelope_of_another_upload_is_refused(vaults: Vaults) -> None:
    one = await vaults.multipart.create(vaults.ask(), PutFacts())
    two = await vaults.multipart.create(vaults.ask(), PutFacts())
    upload = await vaults.multipart.find(vaults.buckets["dossiers"], "sleutel", two.upload_id)
    await vaults.house.database.run(
        lambda c: c.execute(
            update(uploads)
            .where(uploads.c.upload_id == one.upload_id)
            .values(envelope=upload.envelope)
        )
    )
    with pytest.raises(Tampered):
        await parts_of(vaults, one.upload_id, 1)
