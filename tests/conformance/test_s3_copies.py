"""Copies by rewrap and new envelopes in place, on a real SeaweedFS."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.peers import seaweedfs
from tests.unit.custody.test_custodian import house
from tests.unit.objects.test_rewrapping import job
from tests.unit.objects.test_store_copy import FACTS, LARGE, OTHER, PART, copy, head, shares, stored
from tests.unit.objects.vaults import Vaults, vaults_over

from hyok.backends.port import Condition
from hyok.backends.s3 import S3Store
from hyok.backends.s3_credentials import CredentialChain
from hyok.database.leases import Leases
from hyok.errors import Conflict, NotFound, Tampered, Unavailable
from hyok.http1.client import Pool
from hyok.http1.pump import PumpPool
from hyok.objects.rewrapping import Rewrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.peers.seaweedfs import SeaweedFS
    from tests.unit.custody.test_custodian import House

__all__ = ["house"]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    made = seaweedfs.start(tmp_path_factory.mktemp("weed"))
    yield made
    made.stop()


@asynccontextmanager
async def over(house: House, weed: SeaweedFS, classification: str) -> AsyncIterator[Vaults]:
    store = S3Store(
        pool=Pool(weed.endpoint),
        host=weed.endpoint.removeprefix("http://"),
        credentials=CredentialChain("us-east-1", weed.credentials_file()),
    )
    pump = PumpPool(4)
    made = await vaults_over(house, store, classification=classification, name=_fresh())
    made.vault.pump = pump
    yield made
    pump.close()
    await store.close()


def _fresh() -> str:
    return f"b{secrets.token_hex(6)}"


async def test_a_copy_is_made_by_the_store_and_outlives_its_source(
    house: House, weed: SeaweedFS
) -> None:
    async with over(house, weed, "vertrouwelijk") as vaults:
        one, two = vaults.ask("map/één", case="Z-1"), vaults.ask("map/twee +%", case="Z-1")
        await vaults.put(one, LARGE, FACTS)
        await copy(vaults, one, two)
        assert await shares(vaults, one, two)
        await vaults.store.delete(
            two.bucket.backend_name, (await vaults.vault.places.of(one.bucket, one.key)).name
        )
        with pytest.raises(NotFound):
            await vaults.get(one)
        assert await vaults.get(two) == LARGE
        facts = await head(vaults, two)
        assert (facts.user_metadata, facts.tags) == ({"naam": "Jansen"}, {"soort": "brief"})


async def test_metadata_is_replaced_in_a_copy_and_in_place(house: House, weed: SeaweedFS) -> None:
    async with over(house, weed, "vertrouwelijk") as vaults:
        one, two = vaults.ask("een"), vaults.ask("twee")
        await vaults.put(one, LARGE, FACTS)
        await copy(vaults, one, two, OTHER)
        assert await shares(vaults, one, two)
        assert (await head(vaults, two)).user_metadata == {"naam": "Pietersen"}
        assert (await head(vaults, two)).tags == {}
        await copy(vaults, one, one, OTHER)
        assert await shares(vaults, one, two)
        assert (await head(vaults, one)).user_metadata == {"naam": "Pietersen"}
        assert await vaults.get(one) == LARGE


async def test_clear_metadata_follows_a_copy_or_is_replaced(house: House, weed: SeaweedFS) -> None:
    async with over(house, weed, "openbaar") as vaults:
        one, two, three = (vaults.ask(key) for key in ("een", "twee", "drie"))
        await vaults.put(one, LARGE, replace(FACTS, tags={}))
        await copy(vaults, one, two)
        assert await shares(vaults, one, two)
        facts = await head(vaults, two)
        assert (facts.headers["content-type"], facts.user_metadata) == (
            "text/x",
            {"naam": "Jansen"},
        )
        await copy(vaults, one, three, OTHER)
        assert (await head(vaults, three)).user_metadata == {"naam": "Pietersen"}


async def test_a_copy_of_an_upload_opens_in_every_range(house: House, weed: SeaweedFS) -> None:
    async with over(house, weed, "vertrouwelijk") as vaults:
        one, two = vaults.ask("een"), vaults.ask("twee")
        await vaults.upload(one, PART, PART, b"slot", facts=FACTS)
        await copy(vaults, one, two)
        assert await shares(vaults, one, two)
        assert (await stored(vaults, two))[0].plain_size == 2 * len(PART) + 4
        assert await vaults.get(two) == PART + PART + b"slot"


async def test_a_source_replaced_at_the_last_moment_is_not_copied(
    house: House, weed: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over(house, weed, "vertrouwelijk") as vaults:
        one, two = vaults.ask("een"), vaults.ask("twee")
        await vaults.put(one, LARGE)
        whole = vaults.store.copy

        async def late(*args, **more):  # type: ignore[no-untyped-def]
            await vaults.put(one, b"anders" + LARGE)
            return await whole(*args, **more)

        monkeypatch.setattr(vaults.store, "copy", late)
        with pytest.raises(Conflict):
            await copy(vaults, one, two)
        with pytest.raises(NotFound):
            await vaults.get(two)


async def test_a_condition_at_the_destination_holds(house: House, weed: SeaweedFS) -> None:
    async with over(house, weed, "vertrouwelijk") as vaults:
        one, two = vaults.ask("een"), vaults.ask("twee")
        await vaults.put(one, LARGE)
        await vaults.put(two, b"er al")
        with pytest.raises(Conflict):
            await copy(vaults, one, two, condition=Condition(absent=True))
        assert await vaults.get(two) == b"er al"


async def test_a_copy_whose_bytes_or_envelope_were_changed_is_refused(
    house: House, weed: SeaweedFS
) -> None:
    async with over(house, weed, "vertrouwelijk") as vaults:
        one, two = vaults.ask("een"), vaults.ask("twee")
        await vaults.put(one, LARGE)
        await copy(vaults, one, two)
        place = await vaults.vault.places.of(two.bucket, two.key)
        beside = await vaults.vault.places.of(one.bucket, one.key)
        told, body = await place.store.read_whole(place.bucket, place.name)
        source = await place.store.head(beside.bucket, beside.name)
        await place.store.put_whole(place.bucket, place.name, body, source.facts)
        with pytest.raises(Tampered):
            await vaults.get(two)
        flipped = body[:700_000] + bytes([body[700_000] ^ 1]) + body[700_001:]
        await place.store.put_whole(place.bucket, place.name, flipped, told.facts)
        with pytest.raises(Tampered):
            await vaults.get(two)


@pytest.mark.parametrize("plain", [b"klein", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("moment", ["", "write"])
async def test_an_envelope_is_renewed_in_place_and_no_write_is_lost(
    house: House,
    weed: SeaweedFS,
    monkeypatch: pytest.MonkeyPatch,
    plain: bytes,
    moment: str,
) -> None:
    async with over(house, weed, "geheim") as vaults:
        await vaults.put(vaults.ask(), plain, FACTS)
        before = await stored(vaults, vaults.ask())
        await house.keks.create(house.hsm, "t", "geheim", 1, 1)
        leases = Leases(house.database, secrets.token_bytes, lambda: house.now[0])
        if moment:
            name = "put" if plain is LARGE else "put_whole"
            whole = getattr(vaults.store, name)

            async def late(*args, **more):  # type: ignore[no-untyped-def]
                monkeypatch.setattr(vaults.store, name, whole)
                await vaults.put(vaults.ask(), b"van de klant")
                return await whole(*args, **more)

            monkeypatch.setattr(vaults.store, name, late)
            with pytest.raises((Conflict, Unavailable)):
                await Rewrapper(vaults.vault, leases).rewrap(job(vaults))
            assert await vaults.get(vaults.ask()) == b"van de klant"
            return
        await Rewrapper(vaults.vault, leases).rewrap(job(vaults))
        after = await stored(vaults, vaults.ask())
        assert (after[1], after[0].object_id) == (before[1], before[0].object_id)
        assert after[0].kek_id == "t/geheim/2"
        assert await vaults.get(vaults.ask()) == plain
        assert (await head(vaults, vaults.ask())).tags == {"soort": "brief"}
