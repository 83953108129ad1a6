"""Keys in memory are bounded and overwritten; records that were destroyed stay so."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import delete, insert
from tests.unit.custody.test_custodian import READ, House, asking, bucket, house, issue

from hyok.custody.intermediate_key import IK, Lifetime
from hyok.custody.keyring import LEASE
from hyok.custody.secrets_cache import SecretCache
from hyok.database.tables import keyring, tombstones
from hyok.envelope.block import parse
from hyok.errors import HyokError, NotFound, Tampered

__all__ = ["house"]

LIFE = Lifetime(write_ms=3_600_000, writes_max=1 << 20, read_ms=60_000)


async def current(house: House, life: Lifetime = LIFE) -> IK:
    return await house.keyring.current(
        bucket(), "t", "intern", "bucket:dossiers", life, mirrored=True
    )


async def forget_the_database(house: House, *, tombstone_scope: str = "") -> None:
    def act(connection) -> None:  # type: ignore[no-untyped-def]
        connection.execute(delete(keyring))
        if tombstone_scope:
            connection.execute(
                insert(tombstones).values(
                    tenant="t",
                    ik_id=bytes(16),
                    classification="intern",
                    scope=tombstone_scope,
                    kek_id="t/intern/1",
                    destroyed_ms=1,
                )
            )

    await house.database.run(act)
    house.keyring.forget()


async def test_a_key_dropped_from_memory_is_overwritten_but_a_request_keeps_its_own(
    house: House,
) -> None:
    handed = await current(house)
    kept = house.keyring._writing.peek(("t", "intern", "bucket:dossiers"))
    assert kept is not None
    before = bytes(handed.secret)
    assert kept.secret == before
    house.keyring.forget()
    assert kept.secret == b""
    assert handed.secret == before


async def test_no_key_shows_when_printed(house: House) -> None:
    handed = await current(house)
    shown = repr(handed) + repr(house.keyring._writing)
    assert handed.secret.hex() not in shown
    assert repr(bytes(handed.secret)) not in shown


async def test_an_intermediate_key_writes_no_more_often_than_it_may(house: House) -> None:
    life = Lifetime(write_ms=3_600_000, writes_max=2 * LEASE, read_ms=60_000)
    used = [(await current(house, life)).ik_id for _ in range(2 * LEASE + 1)]
    assert len(set(used[: 2 * LEASE])) == 1
    assert used[-1] != used[0]


async def test_a_new_version_of_a_key_takes_over_and_the_old_one_reads(house: House) -> None:
    old = await issue(house, asking("intern"))
    await house.keks.create(house.hsm, "t", "intern", 1, house.now[0])
    new = await issue(house, asking("intern"))
    assert (parse(old).kek_id, parse(new).kek_id) == ("t/intern/1", "t/intern/2")
    house.keyring.forget()
    assert parse(await issue(house, asking("intern"))).token == parse(new).token
    await house.custodian.recover(READ, old)


async def test_the_mirror_serves_where_the_database_has_none(house: House) -> None:
    envelope = await issue(house, asking("intern"))
    await forget_the_database(house)
    await house.custodian.recover(READ, envelope)


async def test_the_mirror_is_not_asked_for_a_scope_that_was_destroyed(house: House) -> None:
    envelope = await issue(house, asking("intern"))
    await forget_the_database(house, tombstone_scope="bucket:dossiers")
    with pytest.raises(NotFound):
        await house.custodian.recover(READ, envelope)


async def test_a_tombstone_in_the_bucket_outlives_the_database(house: House) -> None:
    envelope = await issue(house, asking("intern"))
    await forget_the_database(house)
    name = f"tombstones/{parse(envelope).token.hex()}"
    await house.mirror.write(bucket(), name, b"{}")
    with pytest.raises(NotFound):
        await house.custodian.recover(READ, envelope)


async def test_a_record_changed_in_the_mirror_is_refused_at_every_byte(house: House) -> None:
    envelope = await issue(house, asking("intern"))
    ((place, raw),) = house.mirror.held.items()
    for at in range(len(raw)):
        await forget_the_database(house)
        house.mirror.held[place] = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(HyokError):
            await house.custodian.recover(READ, envelope)


async def test_a_record_of_another_key_in_the_mirror_asks_no_hsm(house: House) -> None:
    one = await issue(house, asking("intern"))
    await issue(house, asking("openbaar"))
    first, second = (f"keyring/{token.hex()}" for token in _tokens(house, parse(one).token))
    await forget_the_database(house)
    house.mirror.held["dossiers", first] = house.mirror.held["dossiers", second]
    before = len(house.hsm.asked)
    with pytest.raises(Tampered):
        await house.custodian.recover(READ, one)
    assert len(house.hsm.asked) == before


def _tokens(house: House, first: bytes) -> tuple[bytes, bytes]:
    held = [bytes.fromhex(name.removeprefix("keyring/")) for _, name in house.mirror.held]
    (other,) = (token for token in held if token != first)
    return first, other


async def test_the_cache_keeps_a_bounded_number_and_drops_the_oldest() -> None:
    dropped: list[int] = []
    cache: SecretCache[int] = SecretCache(lambda: 0, dropped.append, entries_max=3)
    for number in range(5):
        cache.put(number, number, 10)
    assert dropped == [0, 1]
    assert cache.peek(0) is None
    assert cache.peek(4) == 4


async def test_what_is_cleared_while_on_its_way_is_not_kept() -> None:
    cache: SecretCache[int] = SecretCache(lambda: 0, lambda _v: None)
    arrive = asyncio.Event()

    async def fetch() -> int:
        await arrive.wait()
        return 7

    waiting = asyncio.create_task(cache.get("key", 10, fetch))
    await asyncio.sleep(0)
    cache.clear()
    arrive.set()
    assert await waiting == 7
    await asyncio.sleep(0)
    assert cache.peek("key") is None


async def test_one_who_gives_up_does_not_break_the_others_call() -> None:
    cache: SecretCache[int] = SecretCache(lambda: 0, lambda _v: None)
    calls = 0

    async def fetch() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        return 7

    first = asyncio.create_task(cache.get("key", 10, fetch))
    second = asyncio.create_task(cache.get("key", 10, fetch))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 7
    assert calls == 1
