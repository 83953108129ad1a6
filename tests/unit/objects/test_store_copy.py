"""CopyObject: the store copies sealed bytes only where the copy may share the data key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.conformance.object_stores import STORES
from tests.fakes.memory_store import MemoryStore
from tests.unit.custody.test_custodian import house
from tests.unit.objects.vaults import Vaults, vaults_over

from hyok.backends.port import ALWAYS, Condition
from hyok.custody.key_states import KeyState
from hyok.envelope.block import parse
from hyok.errors import Conflict, HyokError, NotFound, Refused, Tampered
from hyok.objects.copying import copy_object
from hyok.objects.facts import PutFacts
from hyok.s3.names import etag_in
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.custody.test_custodian import House

    from hyok.envelope.block import Envelope
    from hyok.objects.facts import ObjectFacts
    from hyok.objects.vault import PutResult
    from hyok.vocabulary import Ask

__all__ = ["house"]

LARGE = bytes(range(256)) * (WHOLE_BODY_BYTES_MAX // 256 + 1)
PART = bytes(range(256)) * (5 << 12)
FACTS = PutFacts(
    headers={"content-type": "text/x"}, user_metadata={"naam": "Jansen"}, tags={"soort": "brief"}
)
OTHER = PutFacts(headers={"content-type": "text/y"}, user_metadata={"naam": "Pietersen"})


@pytest.fixture(params=STORES, ids=lambda maker: maker.__name__)
async def vaults(
    house: House, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Vaults]:
    async with request.param(tmp_path) as store:
        yield await vaults_over(house, store)


def memory(vaults: Vaults) -> MemoryStore:
    assert isinstance(vaults.store, MemoryStore)
    return vaults.store


async def copy(
    vaults: Vaults,
    source: Ask,
    target: Ask,
    facts: PutFacts | None = None,
    condition: Condition = ALWAYS,
    size: int = len(LARGE),
) -> PutResult:
    """Copy as the door does: metadata of the source, or ``facts`` in their place."""

    def chosen(found: ObjectFacts) -> PutFacts:
        if facts is not None:
            return facts
        return PutFacts(found.headers, found.user_metadata, found.tags)

    result, _ = await copy_object(
        vaults.vault,
        size=size,
        source=replace(source, action="object:get", classification=None),
        target=target,
        check=lambda _facts: None,
        facts=chosen,
        condition=condition,
    )
    return result


async def stored(vaults: Vaults, ask: Ask) -> tuple[Envelope, bytes]:
    """Return what the store holds of an object."""
    assert ask.bucket is not None
    place = await vaults.vault.places.of(ask.bucket, ask.key)
    told, body = await place.store.read_whole(place.bucket, place.name)
    assert told.facts is not None
    return parse(told.facts.envelope), body


async def shares(vaults: Vaults, one: Ask, other: Ask) -> bool:
    """Do two objects have one data key?  Told by their bytes: a new key makes new ones."""
    first, second = await stored(vaults, one), await stored(vaults, other)
    assert (first[0].object_id == second[0].object_id) is (first[1] == second[1])
    return first[1] == second[1]


async def head(vaults: Vaults, ask: Ask) -> ObjectFacts:
    return await vaults.vault.head(
        replace(ask, action="object:head", classification=None), tags=True
    )


async def test_a_large_copy_has_the_sealed_bytes_of_its_source_and_outlives_it(
    vaults: Vaults,
) -> None:
    one, two = vaults.ask("een"), vaults.ask("twee")
    await vaults.put(one, LARGE, FACTS)
    await copy(vaults, one, two)
    assert await shares(vaults, one, two)
    before, after = (await stored(vaults, one))[0], (await stored(vaults, two))[0]
    assert before.wrap_salt != after.wrap_salt
    assert before.wrapped_dek != after.wrapped_dek
    assert before.metadata_block != after.metadata_block
    await vaults.vault.delete(replace(one, action="object:delete", principal=_deleter(one)))
    assert await vaults.get(two) == LARGE
    facts = await head(vaults, two)
    assert (facts.headers["content-type"], facts.user_metadata, facts.tags) == (
        "text/x",
        {"naam": "Jansen"},
        {"soort": "brief"},
    )
    with pytest.raises(NotFound):
        await vaults.get(one)


def _deleter(ask: Ask):  # type: ignore[no-untyped-def]
    return replace(ask.principal, grants=ask.principal.grants | {"delete"})


async def test_replaced_metadata_stands_in_the_copy_and_the_source_keeps_its_own(
    vaults: Vaults,
) -> None:
    one, two = vaults.ask("een"), vaults.ask("twee")
    await vaults.put(one, LARGE, replace(FACTS, tags={}))
    await copy(vaults, one, two, OTHER)
    if not vaults.store.features.keeps_metadata:  # else tags in clear are replaced by sealing anew
        assert await shares(vaults, one, two)
    facts = await head(vaults, two)
    assert (facts.headers["content-type"], facts.user_metadata) == ("text/y", {"naam": "Pietersen"})
    assert facts.tags == {}
    assert (await head(vaults, one)).user_metadata == {"naam": "Jansen"}
    assert await vaults.get(two) == LARGE


async def test_an_object_is_copied_onto_itself_with_other_metadata(vaults: Vaults) -> None:
    one = vaults.ask("een")
    await vaults.put(one, LARGE)
    before = await stored(vaults, one)
    await copy(vaults, one, one, OTHER)
    after = await stored(vaults, one)
    assert (await head(vaults, one)).user_metadata == {"naam": "Pietersen"}
    assert await vaults.get(one) == LARGE
    if not vaults.store.features.keeps_metadata:
        assert before[1] == after[1]


async def test_a_copy_of_an_upload_knows_its_length_and_keeps_its_parts(vaults: Vaults) -> None:
    one, two = vaults.ask("een"), vaults.ask("twee")
    await vaults.upload(one, PART, PART, b"slot", facts=FACTS)
    assert (await stored(vaults, one))[0].plain_size is None
    await copy(vaults, one, two)
    assert await shares(vaults, one, two)
    assert (await stored(vaults, two))[0].plain_size == 2 * len(PART) + 4
    assert await vaults.get(two) == PART + PART + b"slot"


async def test_a_small_object_is_sealed_anew(vaults: Vaults) -> None:
    one, two = vaults.ask("een"), vaults.ask("twee")
    await vaults.put(one, b"klein", FACTS)
    await copy(vaults, one, two, size=5)
    assert not await shares(vaults, one, two)
    assert await vaults.get(two) == b"klein"


async def test_a_source_that_is_replaced_at_the_last_moment_is_a_conflict(
    vaults: Vaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = vaults.ask("een"), vaults.ask("twee")
    await vaults.put(one, LARGE)
    whole = vaults.store.copy

    async def late(*args, **more):  # type: ignore[no-untyped-def]
        await vaults.put(one, b"anders" + LARGE)
        return await whole(*args, **more)

    monkeypatch.setattr(vaults.store, "copy", late)
    with pytest.raises(Conflict) as caught:
        await copy(vaults, one, two)
    assert caught.value.reason == "ConditionalRequestConflict"
    with pytest.raises(NotFound):
        await vaults.get(two)
    assert vaults.house.journal.records[-1].outcome == "failed"


async def test_the_destinations_condition_is_decided_by_the_store(vaults: Vaults) -> None:
    one, two = vaults.ask("een"), vaults.ask("twee")
    await vaults.put(one, LARGE)
    await vaults.put(two, b"er al")
    with pytest.raises(Conflict) as caught:
        await copy(vaults, one, two, condition=Condition(absent=True))
    assert caught.value.reason == "PreconditionFailed"
    assert await vaults.get(two) == b"er al"
    etag = etag_in((await head(vaults, two)).etag)
    assert etag
    await copy(vaults, one, two, condition=Condition(if_match=etag))
    assert await shares(vaults, one, two)


async def test_where_the_store_decides_no_condition_of_a_copy_it_is_sealed_anew(
    house: House,
) -> None:
    vaults = await vaults_over(house)
    vaults.store.features = replace(vaults.store.features, conditional_copy=False)
    one, two = vaults.ask("een"), vaults.ask("twee")
    await vaults.put(one, LARGE)
    await copy(vaults, one, two, condition=Condition(absent=True))
    assert not await shares(vaults, one, two)
    await copy(vaults, one, two)
    assert await shares(vaults, one, two)


# ── which copies share ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("classification", ["vertrouwelijk", "zeer_vertrouwelijk"])
async def test_within_one_case_copies_share_and_between_cases_they_do_not(
    house: House, classification: str
) -> None:
    vaults = await vaults_over(house, classification=classification)
    await vaults.make_bucket("archief", classification)
    one = vaults.ask("een", case="Z-1")
    await vaults.put(one, LARGE)
    same = vaults.ask("twee", case="Z-1", bucket_id="archief")
    await copy(vaults, one, same)
    assert await shares(vaults, one, same)
    for other in (vaults.ask("drie", case="Z-2"), vaults.ask("vier")):
        await copy(vaults, one, other)
        assert not await shares(vaults, one, other)
        assert await vaults.get(other) == LARGE


async def test_another_bucket_is_another_shred_scope(house: House) -> None:
    vaults = await vaults_over(house)
    await vaults.make_bucket("archief", "openbaar")
    one, other = vaults.ask("een"), vaults.ask("een", bucket_id="archief")
    await vaults.put(one, LARGE)
    await copy(vaults, one, other)
    assert not await shares(vaults, one, other)


async def test_a_raised_classification_is_sealed_anew(house: House) -> None:
    vaults = await vaults_over(house)
    one, other = vaults.ask("een"), vaults.ask("twee", classification="intern")
    await vaults.put(one, LARGE)
    await copy(vaults, one, other)
    assert not await shares(vaults, one, other)
    assert (await head(vaults, other)).classification == "intern"


async def test_every_copy_of_geheim_has_a_key_of_its_own(house: House) -> None:
    vaults = await vaults_over(house, classification="geheim")
    one, other = vaults.ask("een"), vaults.ask("twee")
    await vaults.put(one, LARGE)
    await copy(vaults, one, other)
    assert not await shares(vaults, one, other)


async def test_what_was_sealed_under_an_older_or_compromised_key_gets_a_new_one(
    house: House,
) -> None:
    vaults = await vaults_over(house)
    one, two, three = (vaults.ask(key) for key in ("een", "twee", "drie"))
    await vaults.put(one, LARGE)
    await house.keks.create(house.hsm, "t", "openbaar", 1, 1)
    await copy(vaults, one, two)
    assert not await shares(vaults, one, two)
    assert (await head(vaults, two)).kek_id == "t/openbaar/2"
    await house.keks.change_state("t/openbaar/1", KeyState.COMPROMISED)
    await copy(vaults, one, three)
    assert not await shares(vaults, one, three)


# ── decided and recorded; tampering refused ──────────────────────────────────────────────────


async def test_both_sides_of_a_copy_are_decided_and_recorded(house: House) -> None:
    vaults = await vaults_over(house)
    one, two = vaults.ask("een"), vaults.ask("twee")
    await vaults.put(one, LARGE)
    before = len(house.journal.records)
    await copy(vaults, one, two)
    made = house.journal.records[before:]
    assert [(r.action, r.phase, r.outcome) for r in made] == [
        ("object:get", "intend", "pending"),
        ("object:put", "intend", "pending"),
        ("object:put", "conclude", "done"),
        ("object:get", "conclude", "done"),
    ]
    assert len({r.object_id for r in made}) == 1
    for who in ("read", "write"):
        ask = replace(two, principal=replace(two.principal, grants=frozenset({who})))
        source = replace(one, principal=ask.principal)
        with pytest.raises(Refused):
            await copy(vaults, source, ask)


@pytest.mark.parametrize("what", ["envelope", "trailer", "length", "other"])
async def test_a_source_that_was_tampered_with_is_not_copied(house: House, what: str) -> None:
    vaults = await vaults_over(house)
    one, two = vaults.ask("een"), vaults.ask("twee")
    await vaults.put(one, LARGE)
    await vaults.put(vaults.ask("vreemd"), LARGE)
    store = memory(vaults)
    told, body = store.newest("dossiers", "een")
    assert told.facts is not None
    if what == "envelope":
        raw = bytearray(told.facts.envelope)
        raw[40] ^= 1
        told = replace(told, facts=replace(told.facts, envelope=bytes(raw)))
    elif what == "trailer":
        body = body[:-30] + bytes([body[-30] ^ 1]) + body[-29:]
    elif what == "length":
        told, body = replace(told, size=told.size + 1), body + b"\0"
    else:
        told, body = store.newest("dossiers", "vreemd")
    store.tamper("dossiers", "een", told, body)
    with pytest.raises(HyokError):
        await copy(vaults, one, two)
    with pytest.raises(NotFound):
        await vaults.get(two)


async def test_a_copy_that_is_changed_at_the_store_is_refused(house: House) -> None:
    vaults = await vaults_over(house)
    one, two = vaults.ask("een"), vaults.ask("twee")
    await vaults.put(one, LARGE)
    await copy(vaults, one, two)
    store = memory(vaults)
    told, body = store.newest("dossiers", "twee")
    # The source's own envelope: the same bytes, the same data key, but another object.
    source = store.newest("dossiers", "een")[0].facts
    store.tamper("dossiers", "twee", replace(told, facts=source), body)
    with pytest.raises(Tampered):
        await vaults.get(two)
    changed = body[:500_000] + bytes([body[500_000] ^ 1]) + body[500_001:]
    store.tamper("dossiers", "twee", told, changed)
    with pytest.raises(Tampered):
        await vaults.get(two)


async def test_a_store_that_copies_another_length_is_caught(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    vaults = await vaults_over(house)
    one, two = vaults.ask("een"), vaults.ask("twee")
    await vaults.put(one, LARGE)
    whole = vaults.store.copy

    async def short(*args, **more):  # type: ignore[no-untyped-def]
        made = await whole(*args, **more)
        return replace(made, size=made.size - 1)

    monkeypatch.setattr(vaults.store, "copy", short)
    with pytest.raises(Tampered):
        await copy(vaults, one, two)
