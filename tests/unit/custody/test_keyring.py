"""Keys in memory are bounded and overwritten; records that were destroyed stay so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, insert, update
from tests.unit.custody.test_custodian import READ, House, asking, bucket, build, house, issue

from hyok.custody.intermediate_key import IK, Lifetime
from hyok.custody.keks import KEYRING_EPOCH as EPOCH
from hyok.custody.secrets_cache import ByteSecrets, SecretCache
from hyok.custody.write_leases import LEASE
from hyok.database.epoch_rows import POLL_MS
from hyok.database.rows import bump_epoch
from hyok.database.tables import keyring, tombstones
from hyok.envelope.block import parse
from hyok.errors import HyokError, NotFound, Tampered

if TYPE_CHECKING:
    from pathlib import Path

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


async def test_a_key_that_is_destroyed_elsewhere_writes_and_reads_no_more_from_memory(
    house: House, tmp_path: Path
) -> None:
    other = build(tmp_path / "hyok.db", house.hsm, house.mirror, house.now)
    envelope = await issue(house, asking("vertrouwelijk"))
    await other.custodian.recover(READ, envelope)
    token = parse(await issue(other, asking("vertrouwelijk"))).token

    def destroy(connection) -> None:  # type: ignore[no-untyped-def]
        gone = {"record": None, "destroyed_ms": 1, "current": False}
        connection.execute(update(keyring).where(keyring.c.ik_id == token).values(**gone))
        bump_epoch(connection, EPOCH)

    await house.database.run(destroy)
    house.now[0] += POLL_MS
    for one in (house, other):
        with pytest.raises(NotFound):
            await one.custodian.recover(READ, envelope)
        assert parse(await issue(one, asking("vertrouwelijk"))).token != token
    other.database.close()


async def test_a_clock_that_is_set_back_keeps_no_key_longer() -> None:
    now = [10_000]
    cache = ByteSecrets(lambda: now[0])
    secret = bytearray(b"s" * 32)
    cache.put("key", secret, 1_000)
    now[0] = 9_000
    assert cache.peek("key") is None
    assert secret == b""


async def lose_the_mirror(house: House) -> dict[tuple[str, str], bytes]:
    held = dict(house.mirror.held)
    house.mirror.held.clear()
    return held


async def test_records_that_a_mirror_lost_are_made_anew_from_the_database(house: House) -> None:
    envelope = await issue(house, asking("intern"))
    await issue(house, asking("vertrouwelijk", case="Z-1"))  # makes the tenant's key as well
    await issue(house, asking("vertrouwelijk"))
    named = replace(bucket(), names="sealed")
    named = replace(named, names_ik_id=await house.custodian.new_names_key(named))
    await house.custodian.mirror_tenant_key(named)
    held = await lose_the_mirror(house)
    assert len(held) == 3  # of `intern`, of the names and of the tenant; none that is shreddable
    assert await house.custodian.keep_mirror(named) == 3
    assert house.mirror.held == held
    assert await house.custodian.keep_mirror(named) == 0
    await forget_the_database(house)
    await house.custodian.recover(READ, envelope)


async def test_a_record_of_another_bucket_or_tenant_is_not_spread(house: House) -> None:
    await issue(house, asking("intern"))
    await lose_the_mirror(house)
    assert await house.custodian.keep_mirror(bucket("elders")) == 0
    assert await house.custodian.keep_mirror(bucket(tenant="ander")) == 0
    assert not house.mirror.held


@pytest.mark.parametrize("where", ["row", "scope", "bucket", "meanwhile"])
async def test_what_was_destroyed_never_comes_back_to_a_mirror(
    house: House, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = parse(await issue(house, asking("intern"))).token
    await lose_the_mirror(house)

    def destroy(connection) -> None:  # type: ignore[no-untyped-def]
        gone = {"record": None, "destroyed_ms": 1, "current": False}
        connection.execute(update(keyring).where(keyring.c.ik_id == token).values(**gone))

    if where == "row":
        await house.database.run(destroy)
    elif where == "scope":
        buried = {"tenant": "t", "classification": "intern", "scope": "bucket:dossiers"}
        buried |= {"ik_id": bytes(16), "kek_id": "t/intern/1", "destroyed_ms": 1}  # type: ignore[dict-item]
        await house.database.run(lambda c: c.execute(insert(tombstones).values(**buried)).rowcount)
    elif where == "bucket":
        await house.mirror.write(bucket(), f"tombstones/{token.hex()}", b"{}")
    else:
        whole = house.mirror.write

        async def late(*args) -> None:  # type: ignore[no-untyped-def]
            await house.database.run(destroy)
            await whole(*args)

        monkeypatch.setattr(house.mirror, "write", late)
    assert await house.custodian.keep_mirror(bucket()) == 0
    assert not [name for _, name in house.mirror.held if name.startswith("keyring/")]


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
