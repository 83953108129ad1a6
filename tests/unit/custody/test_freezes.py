"""Freezes: nobody gets a key for what is frozen, by whatever way it is named; officers do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.custody.test_custodian import HEADER, METADATA, READ, House, asking, bucket, house

from hyok.custody.freezes import Freezes, Frozen
from hyok.errors import Conflict, NotFound, Refused
from hyok.policy.decision import Decision
from hyok.vocabulary import Ask

__all__ = ["house"]

EACH = pytest.mark.parametrize(
    ("kind", "name", "another"),
    [
        (Frozen.APP, "app", "ander"),
        (Frozen.BUCKET, "dossiers", "app"),
        (Frozen.TENANT, "t", "dossiers"),
        (Frozen.STORE, "local", "t"),
    ],
)


async def sealed(house: House) -> bytes:
    made = await house.custodian.issue(
        asking("intern"), plain_size=1, multipart=False, metadata=METADATA, part_header=HEADER
    )
    return made.envelope


def freezes_of(house: House) -> Freezes:
    return Freezes(house.database, lambda: house.now[0])


async def refused(house: House, envelope: bytes) -> list[str]:
    """Return the codes with which each use of a key is refused; all or none are."""
    codes = []
    listing = replace(READ, action="bucket:list")

    async def decide(ask: Ask) -> Decision:
        return await house.custodian.decide(ask)

    for use in (
        lambda: house.custodian.recover(READ, envelope),
        lambda: sealed(house),
        lambda: decide(replace(listing, principal=replace(READ.principal, grants={"list"}))),
    ):
        try:
            await use()
        except Refused as error:
            codes.append(error.code)
    return codes


@EACH
async def test_nothing_is_opened_sealed_or_listed_until_it_is_thawed(
    house: House, kind: Frozen, name: str, another: str
) -> None:
    envelope = await sealed(house)
    assert await refused(house, envelope) == []
    freezes = freezes_of(house)
    await freezes.freeze(kind, another, "operator:els", "een ander")
    house.now[0] += 2_000
    assert await refused(house, envelope) == []
    await freezes.freeze(kind, name, "operator:els", "incident")
    house.now[0] += 2_000
    assert await refused(house, envelope) == ["HY-2315"] * 3
    denied = [r for r in house.journal.records if f"freeze:{kind}:{name}" in r.reasons]
    assert {r.outcome for r in denied} == {"denied"}
    assert len(denied) == 3
    await freezes.thaw(kind, name)
    house.now[0] += 2_000
    assert await refused(house, envelope) == []


@pytest.mark.parametrize("parent", ["Contoso Cloud", "contoso  cloud"])
async def test_a_store_that_a_supplier_has_is_frozen_also_when_it_is_added_later(
    house: House, parent: str
) -> None:
    envelope = await sealed(house)
    parents = {"local": ""}
    house.custodian._decisions._freezes = Freezes(house.database, lambda: house.now[0], parents)
    freezes = freezes_of(house)
    await freezes.freeze(Frozen.SUPPLIER, "Contoso Cloud", "operator:els", "kort geding")
    assert [one.word for one in await freezes.all()] == ["freeze:supplier:Contoso Cloud"]
    house.now[0] += 2_000
    assert await refused(house, envelope) == []
    parents["local"] = "Ander"
    assert await refused(house, envelope) == []
    parents["local"] = parent
    assert await refused(house, envelope) == ["HY-2315"] * 3
    del parents["local"]  # a store of which nobody knows whose it is
    assert await refused(house, envelope) == ["HY-2315"] * 3
    parents["local"] = parent
    await freezes.thaw(Frozen.SUPPLIER, "Contoso Cloud")
    house.now[0] += 2_000
    assert await refused(house, envelope) == []


async def test_officers_act_on_what_is_frozen(house: House) -> None:
    await freezes_of(house).freeze(Frozen.TENANT, "t", "operator:els", "incident")
    house.now[0] += 2_000
    officer = replace(READ.principal, kind="officer", clearance=100)
    await house.custodian.decide(replace(READ, action="bucket:list", principal=officer))
    rules = replace(officer, id="lifecycle")
    with pytest.raises(Refused) as said:
        await house.custodian.decide(replace(READ, action="object:expire", principal=rules))
    assert said.value.code == "HY-2315"


async def test_what_is_frozen_twice_or_never_is_told(house: House) -> None:
    freezes = freezes_of(house)
    await freezes.freeze(Frozen.BUCKET, bucket().bucket_id, "operator:els", "incident")
    with pytest.raises(Conflict) as twice:
        await freezes.freeze(Frozen.BUCKET, bucket().bucket_id, "operator:els", "weer")
    with pytest.raises(NotFound) as never:
        await freezes.thaw(Frozen.APP, "dossiers")
    assert {twice.value.code, never.value.code} == {"HY-2316"}
    assert [one.reason for one in await freezes.all()] == ["incident"]
