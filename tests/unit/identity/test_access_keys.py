"""An access key works while it is active, from memory for a while, and never after that."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select, update

from hyok.database.engine import Database
from hyok.database.tables import access_keys as key_table
from hyok.errors import Conflict, Malformed, NotAuthenticated, NotFound, Tampered, Unavailable
from hyok.identity import access_keys
from hyok.identity.access_keys import AccessKeys
from hyok.identity.apps import LIVE_KEYS_MAX, NO_BUCKET, App
from hyok.identity.epoch_memory import CACHE_ENTRIES_MAX, MEMORY_SECONDS_MAX, POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection


class PaperBox:
    """A SecretBox that binds to its purpose and counts; no secrecy."""

    def __init__(self) -> None:
        self.opened = 0
        self.fail: Exception | None = None

    async def seal(self, purpose: str, plain: bytes) -> bytes:
        return self._tag(purpose, plain) + plain[::-1]

    async def open(self, purpose: str, sealed: bytes) -> bytes:
        self.opened += 1
        await asyncio.sleep(0)
        if self.fail is not None:
            raise self.fail
        plain = sealed[32:][::-1]
        if not hmac.compare_digest(sealed[:32], self._tag(purpose, plain)):
            raise Tampered("sealed for something else")
        return plain

    def _tag(self, purpose: str, plain: bytes) -> bytes:
        return hashlib.sha256(purpose.encode() + b"\0" + plain).digest()


class CutOff(Database):
    """A database that can be taken away; it counts the reads."""

    down = False
    reads = 0
    hang: asyncio.Event | None = None

    async def read(self, act: Callable[[Connection], object]) -> object:  # type: ignore[override]
        self.reads += 1
        if self.hang is not None:
            await self.hang.wait()
        if self.down:
            raise Unavailable("gone")
        return await super().read(act)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def database(tmp_path: Path) -> Iterator[CutOff]:
    made = CutOff(f"sqlite:///{tmp_path / 'hyok.db'}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def box() -> PaperBox:
    return PaperBox()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(database: CutOff, box: PaperBox, clock: Clock) -> AccessKeys:
    return AccessKeys(database, box, monotonic=clock, now_ms=lambda: 1_700_000_000_000)


APP = App(
    app_id="zaaksysteem",
    tenant="gemeente",
    clearance=30,
    grants=frozenset({"read", "write"}),
    purpose="zaakafhandeling",
    buckets=frozenset({"zaken"}),
)


async def registered(keys: AccessKeys) -> None:
    await keys.add_tenant("gemeente", "Gemeente")
    await keys.create_app(APP)


async def test_a_new_key_proves_its_app(keys: AccessKeys) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    assert re.fullmatch(r"HY[A-Z2-7]{18}", issued.access_key)
    # in letters that every client takes, and long enough for AWS's key stores
    assert re.fullmatch(r"[A-Za-z0-9]{44}", issued.secret.get_secret_value())
    found = await keys.find(issued.access_key)
    assert found.secret == issued.secret
    assert found.principal.id == "zaaksysteem"
    assert found.principal.tenant == "gemeente"
    assert found.principal.clearance == 30
    assert found.principal.purpose == "zaakafhandeling"
    assert found.principal.buckets == {"zaken"}
    assert found.principal.grants == {"read", "write"}


async def test_no_two_keys_are_alike(keys: AccessKeys) -> None:
    await registered(keys)
    made = [await keys.create_key("zaaksysteem") for _ in range(LIVE_KEYS_MAX)]
    assert len({key.access_key for key in made}) == LIVE_KEYS_MAX
    assert len({key.secret.get_secret_value() for key in made}) == LIVE_KEYS_MAX


async def test_no_secret_shows_in_a_repr_or_in_the_database(
    keys: AccessKeys, database: CutOff
) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    found = await keys.find(issued.access_key)
    secret = issued.secret.get_secret_value()
    assert secret not in f"{issued!r} {found!r}"
    sealed = database.run_sync(lambda c: c.scalar(select(key_table.c.sealed_secret)))
    assert secret.encode() not in sealed


@pytest.mark.parametrize(
    "access_key",
    ["", "AKIAIOSFODNN7EXAMPLE", "HY" + "A" * 17, "HY" + "a" * 18, "HY" + "A" * 18 + "\n"],
)
async def test_what_cannot_be_ours_is_refused_without_a_look(
    keys: AccessKeys, database: CutOff, access_key: str
) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        await keys.find(access_key)
    assert caught.value.reason == "InvalidAccessKeyId"
    assert database.reads == 0


async def test_an_unknown_key_is_refused_and_not_remembered(keys: AccessKeys) -> None:
    for _ in range(2):
        with pytest.raises(NotAuthenticated):
            await keys.find("HY" + "A" * 18)


async def test_the_second_request_asks_neither_hsm_nor_database(
    keys: AccessKeys, database: CutOff, box: PaperBox
) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    await keys.find(issued.access_key)
    reads = database.reads
    for _ in range(5):
        await keys.find(issued.access_key)
    assert (database.reads, box.opened) == (reads, 1)


async def test_many_who_ask_at_once_share_one_look(keys: AccessKeys, box: PaperBox) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    found = await asyncio.gather(*(keys.find(issued.access_key) for _ in range(50)))
    assert box.opened == 1
    assert len({id(one) for one in found}) == 1


async def test_a_client_that_goes_away_does_not_take_the_answer_along(
    keys: AccessKeys, database: CutOff
) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    with pytest.raises(NotAuthenticated):
        await keys.find("HY" + "A" * 18)  # the epoch has been looked at
    database.hang = asyncio.Event()
    first = asyncio.create_task(keys.find(issued.access_key))
    second = asyncio.create_task(keys.find(issued.access_key))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0)
    database.hang.set()
    assert (await second).access_key == issued.access_key


@pytest.mark.parametrize("what", ["key", "app"])
async def test_revoking_bites_here_at_once(keys: AccessKeys, what: str) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    await keys.find(issued.access_key)
    if what == "key":
        await keys.revoke_key(issued.access_key)
    else:
        await keys.revoke_app("zaaksysteem")
    with pytest.raises(NotAuthenticated):
        await keys.find(issued.access_key)


@pytest.mark.parametrize("what", ["key", "app"])
async def test_revoking_bites_in_another_gateway_within_five_seconds(
    keys: AccessKeys, database: CutOff, box: PaperBox, clock: Clock, what: str
) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    other = AccessKeys(database, box, monotonic=clock)
    await other.find(issued.access_key)
    if what == "key":
        await keys.revoke_key(issued.access_key)
    else:
        await keys.revoke_app("zaaksysteem")
    clock.seconds += POLL_SECONDS
    assert POLL_SECONDS < 5
    with pytest.raises(NotAuthenticated):
        await other.find(issued.access_key)


async def test_less_clearance_reaches_another_gateway_as_fast(
    keys: AccessKeys, database: CutOff, box: PaperBox, clock: Clock
) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    other = AccessKeys(database, box, monotonic=clock)
    await other.find(issued.access_key)
    await keys.change_app(App("zaaksysteem", "gemeente", 10, frozenset({"read"})))
    clock.seconds += POLL_SECONDS
    found = await other.find(issued.access_key)
    assert (found.principal.clearance, found.principal.grants) == (10, {"read"})


async def test_without_the_database_memory_serves_thirty_seconds_and_no_longer(
    keys: AccessKeys, database: CutOff, clock: Clock
) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    await keys.find(issued.access_key)
    database.down = True
    start = clock.seconds
    for seconds in (1, 5, 15, 29, MEMORY_SECONDS_MAX):
        clock.seconds = start + seconds
        assert (await keys.find(issued.access_key)).access_key == issued.access_key
    for seconds in (MEMORY_SECONDS_MAX + 0.1, 600):
        clock.seconds = start + seconds
        with pytest.raises(Unavailable):
            await keys.find(issued.access_key)
    database.down = False
    assert (await keys.find(issued.access_key)).access_key == issued.access_key


async def test_an_old_entry_still_has_its_thirty_seconds_when_the_database_goes(
    keys: AccessKeys, database: CutOff, clock: Clock
) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    await keys.find(issued.access_key)
    clock.seconds += MEMORY_SECONDS_MAX - 1
    await keys.find(issued.access_key)  # the epoch confirms it here
    database.down = True
    clock.seconds += 20
    assert (await keys.find(issued.access_key)).access_key == issued.access_key
    clock.seconds += 11
    with pytest.raises(Unavailable):
        await keys.find(issued.access_key)


async def test_a_credential_is_read_anew_after_thirty_seconds(
    keys: AccessKeys, box: PaperBox, clock: Clock
) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    await keys.find(issued.access_key)
    clock.seconds += MEMORY_SECONDS_MAX + 1
    await keys.find(issued.access_key)
    assert box.opened == 2


async def test_a_key_never_seen_needs_the_database(keys: AccessKeys, database: CutOff) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    database.down = True
    with pytest.raises(Unavailable):
        await keys.find(issued.access_key)


async def test_a_hanging_database_delays_one_request_and_not_the_next(
    keys: AccessKeys, database: CutOff, clock: Clock
) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    await keys.find(issued.access_key)
    database.hang = asyncio.Event()
    clock.seconds += POLL_SECONDS
    loop = asyncio.get_running_loop()
    start = loop.time()
    await keys.find(issued.access_key)
    assert 0.9 < loop.time() - start < 3
    clock.seconds += 1
    start = loop.time()
    await keys.find(issued.access_key)
    assert loop.time() - start < 0.5
    database.hang.set()
    await asyncio.sleep(0.05)


async def test_an_hsm_that_is_away_is_an_outage_and_not_a_refusal(
    keys: AccessKeys, box: PaperBox
) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    box.fail = Unavailable("no token answers")
    with pytest.raises(Unavailable):
        await keys.find(issued.access_key)
    box.fail = None
    assert (await keys.find(issued.access_key)).access_key == issued.access_key


async def test_a_secret_moved_to_another_row_does_not_open(
    keys: AccessKeys, database: CutOff
) -> None:
    await registered(keys)
    await keys.create_app(App("beheer", "gemeente", 50, frozenset({"read"})))
    weak = await keys.create_key("zaaksysteem")

    def lift(connection: Connection) -> None:
        connection.execute(
            update(key_table)
            .where(key_table.c.access_key == weak.access_key)
            .values(app_id="beheer")
        )

    database.run_sync(lift)
    with pytest.raises(Tampered):
        await keys.find(weak.access_key)


async def test_a_row_put_into_the_database_by_hand_does_not_open(
    keys: AccessKeys, database: CutOff
) -> None:
    await registered(keys)
    database.run_sync(
        lambda c: c.execute(
            insert(key_table).values(
                access_key="HY" + "B" * 18,
                app_id="zaaksysteem",
                sealed_secret=b"x" * 72,
                state="active",
                created_ms=1,
            )
        )
    )
    with pytest.raises(Tampered):
        await keys.find("HY" + "B" * 18)


class Wall:
    """A clock on the wall, in milliseconds."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


async def test_rotating_with_overlap_keeps_both_until_the_old_one_ends(
    database: CutOff, box: PaperBox, clock: Clock
) -> None:
    wall = Wall()
    keys = AccessKeys(database, box, monotonic=clock, now_ms=wall)
    await registered(keys)
    old = await keys.create_key("zaaksysteem")
    new = await keys.create_key("zaaksysteem", others_end_ms=wall.ms + 60_000)
    for issued in (old, new):
        await keys.find(issued.access_key)
    wall.ms += 59_999
    await keys.find(old.access_key)
    wall.ms += 1  # remembered all the while: the end needs no look at the database
    with pytest.raises(NotAuthenticated) as caught:
        await keys.find(old.access_key)
    assert caught.value.reason == "InvalidAccessKeyId"
    await keys.find(new.access_key)
    ends = {row.access_key: row.expires_ms for row in await keys.list_keys("zaaksysteem")}
    assert ends == {old.access_key: wall.ms, new.access_key: None}


async def test_an_end_can_come_nearer_and_never_moves_away(keys: AccessKeys) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    ends = []
    for wanted in (9_000, 20_000, 5_000):
        await keys.end_key(issued.access_key, wanted)
        ends.append((await keys.list_keys("zaaksysteem"))[0].expires_ms)
    assert ends == [9_000, 9_000, 5_000]
    with pytest.raises(NotFound):
        await keys.end_key("HY" + "A" * 18, 1)


async def test_an_app_has_two_live_keys_at_most_and_ended_ones_do_not_count(
    database: CutOff, box: PaperBox, clock: Clock
) -> None:
    wall = Wall()
    keys = AccessKeys(database, box, monotonic=clock, now_ms=wall)
    await registered(keys)
    first = await keys.create_key("zaaksysteem")
    await keys.create_key("zaaksysteem", others_end_ms=wall.ms + 1000)
    with pytest.raises(Conflict):
        await keys.create_key("zaaksysteem")
    wall.ms += 1000
    third = await keys.create_key("zaaksysteem")
    with pytest.raises(Conflict):
        await keys.create_key("zaaksysteem")
    await keys.revoke_key(third.access_key)
    await keys.create_key("zaaksysteem")
    assert first.access_key in {row.access_key for row in await keys.list_keys("zaaksysteem")}


async def test_the_last_use_is_written_down_and_never_goes_back(
    database: CutOff, box: PaperBox, clock: Clock
) -> None:
    wall = Wall()
    keys = AccessKeys(database, box, monotonic=clock, now_ms=wall)
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    await keys.find(issued.access_key)
    await keys.write_uses()
    assert (await keys.list_keys("zaaksysteem"))[0].last_used_ms is None  # asked for is not used
    keys.note_use(issued.access_key)
    await keys.write_uses()
    used = wall.ms
    wall.ms -= 5
    keys.note_use(issued.access_key)
    await keys.write_uses()
    assert (await keys.list_keys("zaaksysteem"))[0].last_used_ms == used


async def test_uses_that_could_not_be_written_wait_and_are_bounded(
    keys: AccessKeys, database: CutOff, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registered(keys)
    issued = await keys.create_key("zaaksysteem")
    keys.note_use(issued.access_key)
    with monkeypatch.context() as away:
        away.setattr(database, "run_sync", lambda _act: (_ for _ in ()).throw(Unavailable("gone")))
        with pytest.raises(Unavailable):
            await keys.write_uses()
    await keys.write_uses()
    assert (await keys.list_keys("zaaksysteem"))[0].last_used_ms is not None
    monkeypatch.setattr(access_keys, "USES_MAX", 3)
    for number in range(5):
        keys.note_use(f"key-{number}")
    assert len(keys._used) == 3


async def test_a_revoked_app_gets_no_new_key_and_no_new_rights(keys: AccessKeys) -> None:
    await registered(keys)
    await keys.revoke_app("zaaksysteem")
    await keys.revoke_app("zaaksysteem")
    with pytest.raises(NotFound):
        await keys.create_key("zaaksysteem")
    with pytest.raises(NotFound):
        await keys.change_app(APP)


@pytest.mark.parametrize(
    ("buckets", "in_principal"),
    [
        (None, frozenset()),  # every bucket of the tenant
        (frozenset({"zaken"}), frozenset({"zaken"})),
        (frozenset(), frozenset({NO_BUCKET})),  # none: never to be read as all
    ],
)
async def test_no_bucket_is_not_every_bucket(
    keys: AccessKeys, buckets: frozenset[str] | None, in_principal: frozenset[str]
) -> None:
    await keys.add_tenant("gemeente")
    await keys.create_app(App("a", "gemeente", 30, frozenset({"read"}), buckets=buckets))
    issued = await keys.create_key("a")
    assert (await keys.find(issued.access_key)).principal.buckets == in_principal
    stored = await keys.find_app("a")
    assert stored is not None
    assert stored.buckets == buckets


@pytest.mark.parametrize(
    "app",
    [
        App("", "gemeente", 30, frozenset({"read"})),
        App("Zaak Systeem", "gemeente", 30, frozenset({"read"})),
        App("a" * 65, "gemeente", 30, frozenset({"read"})),
        App("a", "../x", 30, frozenset({"read"})),
        App("a", "gemeente", 30, frozenset({"read", "rule"})),
        App("a", "gemeente", 30, frozenset()),
        App("a", "gemeente", -1, frozenset({"read"})),
    ],
)
async def test_a_wrong_registration_is_refused(keys: AccessKeys, app: App) -> None:
    await keys.add_tenant("gemeente")
    with pytest.raises(Malformed):
        await keys.create_app(app)


async def test_an_app_is_registered_once_and_in_a_tenant_that_exists(keys: AccessKeys) -> None:
    with pytest.raises(NotFound):
        await keys.create_app(APP)
    await registered(keys)
    with pytest.raises(Conflict):
        await keys.create_app(APP)
    await keys.add_tenant("gemeente")
    assert [app.app_id for app in await keys.list_apps()] == ["zaaksysteem"]
    assert await keys.list_apps("elders") == []


async def test_an_app_cannot_be_moved_to_another_tenant(keys: AccessKeys) -> None:
    await registered(keys)
    await keys.add_tenant("elders")
    with pytest.raises(NotFound):
        await keys.change_app(App("zaaksysteem", "elders", 50, frozenset({"read"})))


async def test_an_app_serves_from_memory_and_what_changed_elsewhere_is_seen(
    keys: AccessKeys, database: CutOff, box: PaperBox, clock: Clock
) -> None:
    assert await keys.serving_app("zaaksysteem") is None
    await registered(keys)
    found = await keys.serving_app("zaaksysteem")
    assert found == await keys.find_app("zaaksysteem"), "that there was none is not remembered"
    reads = database.reads
    assert await keys.serving_app("zaaksysteem") == found
    assert database.reads == reads
    await AccessKeys(database, box, monotonic=clock).revoke_app("zaaksysteem")
    clock.seconds += 5
    gone = await keys.serving_app("zaaksysteem")
    assert gone is not None
    assert gone.state == "revoked"
    database.down = True
    clock.seconds += 25
    assert await keys.serving_app("zaaksysteem") == gone
    clock.seconds += 10
    with pytest.raises(Unavailable):
        await keys.serving_app("zaaksysteem")


async def test_memory_is_bounded(keys: AccessKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CACHE_ENTRIES_MAX == 10_000
    monkeypatch.setattr("hyok.identity.epoch_memory.CACHE_ENTRIES_MAX", 2)
    await registered(keys)
    await keys.create_app(App("beheer", "gemeente", 50, frozenset({"read"})))
    made = [await keys.create_key(app) for app in ("zaaksysteem", "beheer") * 2]
    for key in made:
        await keys.find(key.access_key)
    assert set(keys._memory._cache) == {key.access_key for key in made[-2:]}
