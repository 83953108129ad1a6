"""Plaintext of before is handed out as it stands, and what we wrote never turns back into it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update
from tests.unit.custody.test_custodian import house
from tests.unit.objects.adopted import BACKEND, adopting
from tests.unit.objects.vaults import Body

from hyok.backends.port import Condition, StoredFacts
from hyok.database.tables import adopted_objects
from hyok.envelope.layout import LAYOUT
from hyok.errors import Conflict, Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.objects.copying import copy_object
from hyok.objects.facts import PutFacts
from hyok.objects.registry import NewBucket
from hyok.s3.names import etag_out
from hyok.s3.ranges import Asked
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from tests.unit.custody.test_custodian import House
    from tests.unit.objects.adopted import Adopting

__all__ = ["house"]

LONG = bytes(range(256)) * 8_000  # 2 MB, streamed
OBJECTS = {"brief": b"in klare taal", "map/leeg": b"", "map/lang": LONG}
NAMES = pytest.mark.parametrize("names", ["clear", "sealed"])


def stand(town: Adopting, key: str, sealed: bytes, facts: StoredFacts, *, etag: str = "") -> None:
    """Play the store: let these bytes stand under a name, with an ETag of its choice."""
    shelf = town.shelf
    stored = shelf[key][0] if key in shelf else next(iter(shelf.values()))[0]
    told = replace(stored, name=key, size=len(sealed), facts=facts, etag=etag or stored.etag)
    shelf[key] = (told, sealed)


@NAMES
async def test_in_mode_read_through_clients_get_what_stood_there_and_the_log_says_so(
    house: House, names: str
) -> None:
    town = await adopting(house, OBJECTS, names)
    report = await town.adopt("read-through")
    assert (report.counted.objects, report.counted.left) == (3, 3)
    assert report.counted.size_bytes == sum(map(len, OBJECTS.values()))
    for key, plain in OBJECTS.items():
        assert await town.get(key) == plain
        facts = await town.vaults.vault.head(
            replace(town.ask(key, "object:head"), classification=None)
        )
        assert (facts.size, facts.sealed, facts.kek_id) == (len(plain), False, "")
        assert facts.headers == {"content-type": "text/x"}
        assert (facts.user_metadata, facts.tags) == ({"van": "vroeger"}, {"a": "b"})
        assert house.journal.records[-1].outcome == "unsealed"
        assert (
            house.journal.records[-1].classification
            == town.vaults.buckets["archief"].classification
        )
    ask = replace(town.ask("map/lang", "object:get"), classification=None)
    for asked in (Asked(5, 9), Asked(100, None), Asked(0, 1_500_000)):
        opened = await town.vaults.vault.open(ask, asked)
        start, stop = asked.resolve(len(LONG))
        assert (opened.start, opened.stop) == (start, stop)
        assert bytes(opened.whole()) == LONG[start:stop]
        await opened.close()
    with pytest.raises(Malformed, match="range"):
        await town.vaults.vault.open(ask, Asked(len(LONG), None))
    with pytest.raises(Malformed) as refused:
        await town.vaults.vault.open(ask, None, part_number=2)
    assert refused.value.reason == "InvalidPartNumber"


@NAMES
async def test_policy_decides_about_plaintext_as_about_what_is_sealed(
    house: House, names: str
) -> None:
    town = await adopting(house, OBJECTS, names)
    await town.adopt("read-through")
    ask = replace(town.ask("brief", "object:get"), classification=None)
    low = replace(ask, principal=replace(ask.principal, clearance=0))
    with pytest.raises(Refused):
        await town.vaults.vault.open(low, None)
    with pytest.raises(Refused):
        await town.vaults.vault.head(replace(low, action="object:head"))


@NAMES
async def test_by_default_nothing_in_clear_is_handed_out(house: House, names: str) -> None:
    town = await adopting(house, OBJECTS, names)
    before = dict(town.shelf)
    assert (await town.adopt("refuse")).counted.objects == 3
    with pytest.raises(Tampered) as refused:
        await town.get("brief")
    assert refused.value.code == "HY-3501"
    kept = {n: o for n, o in town.shelf.items() if not n.startswith(".hyok/")}
    assert kept == before


# ── the supplier would like plaintext of its own to be believed ─────────────────────────────────


@NAMES
@pytest.mark.parametrize("mode", ["read-through", "seal"])
async def test_an_object_that_we_wrote_does_not_turn_into_plaintext(
    house: House, names: str, mode: str
) -> None:
    """Its envelope stripped, its bytes replaced, under its clear or its sealed name."""
    town = await adopting(house, OBJECTS, names)
    await town.adopt(mode)
    await town.put("nieuw", b"van ons")
    place = await town.vaults.vault.places.of(town.vaults.buckets["archief"], "nieuw")
    for body in (b"vals!", b"van ons", town.shelf[place.name][1]):
        stand(town, place.name, body, StoredFacts())
        stand(town, "nieuw", body, StoredFacts())
        with pytest.raises(Tampered) as refused:
            await town.get("nieuw")
        assert refused.value.code == "HY-3501"
    stand(town, "erbij", b"vals!", StoredFacts())  # nor does a key that nobody wrote
    with pytest.raises(Tampered if names == "clear" else NotFound):
        await town.get("erbij")


@NAMES
@pytest.mark.parametrize("mode", ["refuse", "read-through", "seal"])
@pytest.mark.parametrize("how", ["put", "multipart", "copy", "sealed by the job"])
async def test_what_was_counted_and_then_written_does_not_turn_back(
    house: House, names: str, mode: str, how: str
) -> None:
    """The store brings the old plaintext back, with the very ETag and length that were counted."""
    town = await adopting(house, OBJECTS, names)
    await town.adopt(mode)
    old, body = town.shelf["brief"]
    if how == "put":
        await town.put("brief", b"nieuwer")
    elif how == "multipart":
        await town.vaults.upload(town.ask("brief"), b"nieuwer")
    elif how == "copy":
        await town.put("bron", b"nieuwer")
        await copied(town, "bron", "brief")
    else:
        await town.change_mode("seal")
        assert (await town.seal()).failed == 0
    if town.vaults.buckets["archief"].adoption:
        await town.change_mode("read-through")
    place = await town.vaults.vault.places.of(town.vaults.buckets["archief"], "brief")
    if names == "sealed":
        assert "brief" not in town.shelf
    town.shelf["brief"] = (old, body)
    town.shelf[place.name] = (replace(old, name=place.name), body)
    with pytest.raises(Tampered) as refused:
        await town.get("brief")
    assert refused.value.code == "HY-3501"
    if names == "sealed":  # nor when the sealed one is kept from us
        del town.shelf[place.name]
        with pytest.raises(NotFound):
            await town.get("brief")


async def test_a_plain_object_that_could_not_be_removed_is_shown_no_more_and_removed_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = await adopting(house, OBJECTS, "sealed")
    await town.adopt("seal")

    async def delete(*_args: object) -> None:
        raise Unavailable("away", reason="ServiceUnavailable")

    with monkeypatch.context() as patched:
        patched.setattr(town.store, "delete", delete)
        await town.put("brief", b"nieuwer")
    assert "brief" in town.in_clear()
    place = await town.vaults.vault.places.of(town.vaults.buckets["archief"], "brief")
    held = town.shelf.pop(place.name)
    with pytest.raises(NotFound):  # though the store keeps the sealed one from us
        await town.get("brief")
    town.shelf[place.name] = held
    assert (await town.seal()).failed == 0
    assert town.in_clear() == set()
    assert await town.get("brief") == b"nieuwer"


async def test_what_was_once_seen_sealed_does_not_turn_back(house: House) -> None:
    """A write whose gateway died before it told the inventory, and the client."""
    town = await adopting(house, OBJECTS)
    await town.adopt("read-through")
    old = town.shelf["brief"]
    row = await town.vaults.inventories.find("archief", "brief")
    assert row is not None
    with pytest.MonkeyPatch.context() as patched:

        async def died(*_args: object) -> None: ...

        patched.setattr(town.vaults.inventories, "forget", died)
        await town.put("brief", b"nieuwer")
    assert await town.vaults.inventories.find("archief", "brief") == row
    assert await town.get("brief") == b"nieuwer"
    town.shelf["brief"] = old
    with pytest.raises(Tampered) as refused:
        await town.get("brief")
    assert refused.value.code == "HY-3501"


@NAMES
async def test_what_was_removed_does_not_come_back_in_clear(house: House, names: str) -> None:
    town = await adopting(house, OBJECTS, names)
    await town.adopt("read-through")
    old = town.shelf["brief"]
    await town.delete("brief")
    assert "brief" not in town.shelf
    with pytest.raises(NotFound):
        await town.get("brief")
    town.shelf["brief"] = old
    with pytest.raises(NotFound if names == "sealed" else Tampered):
        await town.get("brief")


@NAMES
async def test_another_plaintext_than_was_counted_is_refused(house: House, names: str) -> None:
    town = await adopting(house, OBJECTS, names)
    await town.adopt("seal")
    stand(town, "brief", b"in valse taal", StoredFacts(), etag="0" * 32)
    stand(town, "map/leeg", b"langer", StoredFacts())
    for key in ("brief", "map/leeg"):
        with pytest.raises(Tampered) as refused:
            await town.get(key)
        assert refused.value.code == "HY-3511"
    found = await town.seal()
    assert (found.objects, found.failed) == (1, 2)
    assert found.causes == {"Tampered HY-3511": 2}
    names_told = {name for name, _, _ in await town.runner().failures(found.job_id)}
    assert names_told == {"brief", "map/leeg"}
    assert town.in_clear() == {"brief", "map/leeg"}  # left alone for people to look at


async def test_an_envelope_that_does_not_open_is_damage_and_never_plaintext(house: House) -> None:
    town = await adopting(house, OBJECTS)
    await town.adopt("seal")
    await town.put("ander", b"van ons")
    elsewhere = town.shelf["ander"][0].facts
    assert elsewhere is not None
    for envelope in (b"onzin", elsewhere.envelope):
        old, body = town.shelf["brief"]
        stand(town, "brief", body, replace(old.facts or StoredFacts(), envelope=envelope))
        with pytest.raises(Tampered):
            await town.get("brief")
        found = await town.seal()
        assert found.failed == 1
        assert all(cause.startswith("Tampered") for cause in found.causes)
        assert town.shelf["brief"][1] == body


async def test_a_row_that_somebody_wrote_into_the_database_opens_nothing(house: House) -> None:
    town = await adopting(house, OBJECTS)
    await town.adopt("read-through")
    rows = adopted_objects
    mine = await town.vaults.inventories.find("archief", "brief")
    other = await town.vaults.inventories.find("archief", "map/leeg")
    assert mine is not None
    assert other is not None

    def moved(connection):  # type: ignore[no-untyped-def]
        raw = connection.execute(rows.select().where(rows.c.row_id == other.row_id)).one()
        connection.execute(update(rows).where(rows.c.row_id == mine.row_id).values(entry=raw.entry))

    await house.database.run(moved)
    with pytest.raises(Tampered) as refused:
        await town.get("brief")
    assert refused.value.code == "HY-2403"


async def test_a_bucket_is_adopted_once_and_never_one_that_was_ours(house: House) -> None:
    town = await adopting(house, OBJECTS)
    await town.adopt("read-through")
    with pytest.raises(Conflict):
        await town.adopt("read-through")
    with pytest.raises(Conflict) as refused:  # nor under another name
        await town.adopt("read-through", "andere-naam")
    assert refused.value.code == "HY-3520"
    await town.registry.remove("archief")  # a lost database: the store still has the registration
    with pytest.raises(Conflict) as refused:
        await town.adopt("read-through")
    assert refused.value.code == "HY-3520"
    missing = NewBucket("iets", "t", "local", ClassificationName("intern"), "", "is-er-niet")
    with pytest.raises(NotFound):
        await town.adopter.adopt(town.operator(), missing, "refuse")


@NAMES
@pytest.mark.parametrize("step", ["begin", "add", "register", "keep_registration"])
async def test_an_adoption_that_was_broken_off_is_done_again(
    house: House, monkeypatch: pytest.MonkeyPatch, names: str, step: str
) -> None:
    town = await adopting(house, OBJECTS, names)

    async def killed(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        keeper = step in ("register", "keep_registration")
        patched.setattr(town.adopter._keeper if keeper else town.vaults.inventories, step, killed)
        with pytest.raises(KeyboardInterrupt):
            await town.adopt("read-through")
    served = [bucket.bucket_id for bucket in await town.registry.fresh()]
    if step == "keep_registration":  # all but this was done; a gateway makes it anew
        town.vaults.buckets["archief"] = await town.registry.get("archief")
        assert await town.get("brief") == OBJECTS["brief"]
        return
    assert "archief" not in served
    await town.store.delete(BACKEND, "map/leeg")
    assert (await town.adopt("read-through")).counted.objects == 2
    assert await town.get("brief") == OBJECTS["brief"]


async def test_one_bucket_is_counted_by_one_operator_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = await adopting(house, OBJECTS)
    refused: list[str] = []
    real = town.store.list

    async def slow(*args: object, **more: object) -> object:
        if not refused:
            refused.append("")
            with pytest.raises(Conflict) as told:
                await town.adopt("seal")
            refused[0] = told.value.reason
        return await real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(town.store, "list", slow)
    assert (await town.adopt("read-through")).counted.left == 3
    assert refused == ["OperationAborted"]


@pytest.mark.parametrize(("names", "lacks"), [("clear", "put"), ("sealed", "delete")])
async def test_a_store_that_does_not_decide_conditions_is_not_sealed_in_place(
    house: House, names: str, lacks: str
) -> None:
    town = await adopting(house, OBJECTS, names)
    town.store.features = replace(town.store.features, **{f"conditional_{lacks}": False})
    with pytest.raises(Refused) as refused:
        await town.adopt("seal")
    assert refused.value.code == "HY-3512"
    await town.adopt("read-through")
    with pytest.raises(Refused):
        await town.change_mode("seal")


# ── listings, conditions, copies ────────────────────────────────────────────────────────────────


@NAMES
async def test_a_listing_tells_each_object_with_the_length_that_clients_get(
    house: House, names: str
) -> None:
    lookalike = bytes(LAYOUT.object_sealed_size(7))  # could be seven sealed bytes
    town = await adopting(house, {**OBJECTS, "lijkt": lookalike, "map/x/y": b"1"}, names)
    await town.adopt("read-through")
    await town.put("brief", b"nieuwer")
    await town.put("map/erbij", b"12")
    wanted = {
        "brief": 7, "lijkt": len(lookalike), "map/leeg": 0, "map/lang": len(LONG),
        "map/erbij": 2, "map/x/y": 1,
    }  # fmt: skip
    ask = replace(town.ask("", "bucket:list"), classification=None)
    ask = replace(ask, principal=replace(ask.principal, grants=frozenset({"list"})))
    for limit in (1000, 2):
        told: dict[str, int] = {}
        token = ""
        while True:
            page = await town.listings.page(ask, token=token, limit=limit)
            told |= {entry.key: entry.size for entry in page.entries}
            token = page.next_token
            if not token:
                break
        assert told == wanted
        assert list(told) == sorted(told)
    page = await town.listings.page(ask, prefix="map/", delimiter="/")
    assert [e.key for e in page.entries] == ["map/erbij", "map/lang", "map/leeg"]
    assert page.prefixes == ["map/x/"]
    assert town.vaults.buckets["archief"].adoption == "read-through"


@NAMES
async def test_conditions_of_a_write_hold_for_the_plain_object(house: House, names: str) -> None:
    town = await adopting(house, OBJECTS, names)
    await town.adopt("read-through")
    etag = town.shelf["brief"][0].etag
    vault = town.vaults.vault
    for wrong in (Condition(absent=True), Condition(if_match="0" * 32)):
        with pytest.raises(Conflict) as refused:
            await vault.put(town.ask("brief"), Body(b"x"), PutFacts(), wrong)
        assert refused.value.reason == "PreconditionFailed"
    assert await town.get("brief") == b"in klare taal"
    await vault.put(town.ask("brief"), Body(b"nieuw"), PutFacts(), Condition(if_match=etag))
    assert await town.get("brief") == b"nieuw"
    assert town.in_clear() == {"map/leeg", "map/lang"}
    told = await vault.head(replace(town.ask("brief", "object:head"), classification=None))
    assert told.etag != etag_out(etag)


@pytest.mark.parametrize("key", ["brief", "map/lang"])
@NAMES
async def test_a_copy_of_plaintext_is_sealed(house: House, names: str, key: str) -> None:
    town = await adopting(house, OBJECTS, names)
    await town.adopt("read-through")
    await copied(town, key, "afschrift")
    assert await town.get("afschrift") == OBJECTS[key]
    assert town.in_clear() == set(OBJECTS)
    told = [r.outcome for r in house.journal.records if r.action == "object:get"]
    assert "unsealed" in told


async def copied(town: Adopting, source: str, target: str) -> None:
    await copy_object(
        town.vaults.vault,
        source=replace(town.ask(source, "object:get"), classification=None),
        target=town.ask(target),
        size=len(OBJECTS.get(source, b"")),
        check=lambda _facts: None,
        facts=lambda facts: PutFacts(facts.headers, facts.user_metadata, facts.tags),
    )
