"""On SQLite as on PostgreSQL: transactions are whole, readers cannot write, one IK is current."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from tests.peers.postgresql import PostgreSQL

from hyok.custody.keyring_rows import KeyringRows
from hyok.database import engine as engine_module
from hyok.database.engine import Database
from hyok.database.migrate import _config, newest
from hyok.database.rows import (
    NewIK,
    bump_epoch,
    current_ik,
    epoch,
    make_current,
    put_setting,
    setting,
)
from hyok.database.schema import NEWEST, is_newest
from hyok.database.tables import (
    access_keys,
    buckets,
    job_failures,
    job_shards,
    keks,
    keyring,
    metadata,
    tenants,
    upload_parts,
    uploads,
)
from hyok.errors import Conflict, NotFound, Unavailable
from hyok.jobs.catalog import DONE, EXPIRE, Failure, Planned, Step
from hyok.jobs.ledger import JobLedger, NewJob

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection


pytestmark = pytest.mark.integration


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL(durable=False) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hyok.db"
    return str(request.getfixturevalue("server").new_database())


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    made.migrate()
    yield made
    made.close()


def add_tenant(connection: Connection, name: str = "gemeente") -> None:
    connection.execute(insert(tenants).values(tenant=name, created_ms=1))


def add_kek(connection: Connection) -> None:
    add_tenant(connection)
    connection.execute(
        insert(keks).values(
            kek_id="gemeente/intern/1",
            tenant="gemeente",
            classification="intern",
            version=1,
            profile=1,
            state="active",
            check_value=b"12345678",
            check_token=b"",
            origin=b"",
            public_key=b"",
            created_ms=1,
        )
    )


def new_ik(number: int, scope: str = "bucket:b") -> NewIK:
    return NewIK(
        ik_id=number.to_bytes(16, "big"),
        tenant="gemeente",
        classification="intern",
        scope=scope,
        kek_id="gemeente/intern/1",
        record=b"record",
        created_ms=number,
    )


def test_the_migrations_make_exactly_the_tables_we_use(database: Database) -> None:
    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == newest() == NEWEST
        assert is_newest(connection)
        return list(compare_metadata(context, metadata))

    assert database.read_sync(compare) == []


def test_a_database_of_the_first_schema_keeps_its_rows_through_the_upgrade(url: str) -> None:
    made = Database(url)
    made.run_sync(lambda c: command.upgrade(_config(c), "0001"))
    key = {"access_key": "HY" + "A" * 18, "app_id": "a", "state": "active", "created_ms": 5}
    rows = (
        "INSERT INTO tenants (tenant, created_ms) VALUES ('t', 1)",
        "INSERT INTO apps (app_id, tenant, clearance, grants, state, created_ms) "
        "VALUES ('a', 't', 10, '[]', 'active', 1)",
        "INSERT INTO access_keys (access_key, app_id, sealed_secret, state, created_ms) "
        "VALUES (:access_key, :app_id, 'x', :state, :created_ms)",
    )
    for row in rows:
        made.run_sync(lambda c, row=row: c.execute(text(row), key))
    made.migrate()
    row = made.read_sync(lambda c: c.execute(select(access_keys)).one())
    assert (row.access_key, row.created_ms) == (key["access_key"], 5)
    assert (row.expires_ms, row.last_used_ms) == (None, None)
    made.close()


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.run_sync(add_tenant)
    database.migrate()
    assert database.read_sync(lambda c: c.scalar(select(tenants.c.tenant))) == "gemeente"


def test_many_processes_may_migrate_at_once(url: str) -> None:
    several = [Database(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Database.migrate, several))
    for one in several:
        one.close()


def test_an_act_that_raises_leaves_nothing_behind(database: Database) -> None:
    def act(connection: Connection) -> None:
        add_tenant(connection)
        raise NotFound("no such thing")

    with pytest.raises(NotFound):
        database.run_sync(act)
    assert database.read_sync(lambda c: c.execute(select(tenants)).all()) == []


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match=r"read-?only"):
        database.read_sync(add_tenant)
    assert database.read_sync(lambda c: c.execute(select(tenants)).all()) == []


def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    inside, done = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        add_tenant(connection)
        inside.set()
        assert done.wait(10)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(database.run_sync, slow)
        assert inside.wait(10)
        assert database.read_sync(lambda c: c.execute(select(tenants)).all()) == []
        done.set()
        writing.result()
    assert len(database.read_sync(lambda c: c.execute(select(tenants)).all())) == 1


def test_a_broken_constraint_is_a_conflict(database: Database) -> None:
    database.run_sync(add_tenant)
    with pytest.raises(Conflict):
        database.run_sync(add_tenant)


def test_a_row_that_refers_to_nothing_is_refused(database: Database) -> None:
    with pytest.raises(Conflict):
        database.run_sync(
            lambda c: c.execute(
                insert(access_keys).values(
                    access_key="HYX",
                    app_id="nobody",
                    sealed_secret=b"",
                    state="active",
                    created_ms=1,
                )
            )
        )


def test_a_wrong_statement_is_our_bug_and_not_an_outage(database: Database) -> None:
    with pytest.raises(DBAPIError, match=r"no such table|does not exist"):
        database.read_sync(lambda c: c.execute(text("SELECT * FROM nowhere")))


def test_a_writer_that_waits_too_long_is_told_to_try_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "BUSY_SECONDS_MAX", 0)
    one, other = Database(url), Database(url)
    one.migrate()
    with one._writer.begin(), pytest.raises(Unavailable) as caught:
        other.run_sync(add_tenant)
    assert caught.value.code == "HY-3101"
    one.close()
    other.close()


async def test_calls_beyond_the_waiting_room_are_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "WAITING_MAX", 2)
    go = threading.Event()
    calls = [asyncio.create_task(database.read(lambda _c: go.wait(10))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await database.read(lambda _c: None)
    go.set()
    assert await asyncio.gather(*calls) == [True, True]
    assert await database.read(lambda _c: 7) == 7


async def test_acts_run_in_threads_of_a_known_name(database: Database) -> None:
    name = await database.run(lambda _c: threading.current_thread().name)
    assert name.startswith("hyok-database")


def test_an_epoch_counts_every_bump_once(database: Database) -> None:
    assert database.read_sync(lambda c: epoch(c, "credentials")) == 0
    with ThreadPoolExecutor(4) as pool:
        seen = list(
            pool.map(
                lambda _n: database.run_sync(lambda c: bump_epoch(c, "credentials")), range(20)
            )
        )
    assert sorted(seen) == list(range(1, 21))
    assert database.read_sync(lambda c: epoch(c, "policy")) == 0


def test_a_setting_is_the_last_one_put(database: Database) -> None:
    assert database.read_sync(lambda c: setting(c, "tenant")) is None
    database.run_sync(lambda c: put_setting(c, "tenant", "a", now_ms=1))
    database.run_sync(lambda c: put_setting(c, "tenant", "b", now_ms=2))
    assert database.read_sync(lambda c: setting(c, "tenant")) == "b"


def test_of_all_who_make_the_first_ik_one_wins_and_all_hear_which(database: Database) -> None:
    database.run_sync(add_kek)
    with ThreadPoolExecutor(4) as pool:
        answers = set(
            pool.map(
                lambda n: database.run_sync(lambda c: make_current(c, new_ik(n), instead_of=None)),
                range(1, 9),
            )
        )
    assert len(answers) == 1
    rows = database.read_sync(lambda c: c.execute(select(keyring.c.ik_id)).scalars().all())
    assert set(rows) == answers


def test_the_next_ik_replaces_only_the_one_it_meant(database: Database) -> None:
    database.run_sync(add_kek)
    first, second, late = new_ik(1), new_ik(2), new_ik(3)

    def make(new: NewIK, instead_of: bytes | None) -> bytes | None:
        return database.run_sync(lambda c: make_current(c, new, instead_of=instead_of))

    assert make(first, None) == first.ik_id
    assert make(second, first.ik_id) == second.ik_id
    assert make(late, first.ik_id) == second.ik_id
    assert make(late, None) == second.ik_id
    rows = database.read_sync(
        lambda c: c.execute(select(keyring.c.ik_id, keyring.c.current).order_by("ik_id")).all()
    )
    assert [tuple(row) for row in rows] == [(first.ik_id, False), (second.ik_id, True)]


async def test_records_are_moved_where_they_still_are_what_was_read(database: Database) -> None:
    database.run_sync(add_kek)
    for number in range(1, 6):
        new = new_ik(number, f"bucket:{number}")
        database.run_sync(lambda c, n=new: make_current(c, n, instead_of=None))
    rows = KeyringRows(database)
    every = update(keyring).values(kek_id=keyring.c.kek_id)
    assert database.run_sync(lambda c: c.execute(every).rowcount) == 5
    found = await rows.behind("gemeente", "intern", "gemeente/intern/2", limit=3)
    rest = await rows.behind(
        "gemeente", "intern", "gemeente/intern/2", after=found[-1].ik_id, limit=3
    )
    assert [kept.ik_id for kept in (*found, *rest)] == [new_ik(n).ik_id for n in range(1, 6)]
    assert not await rows.behind("ander", "intern", "gemeente/intern/2", limit=3)
    changed = update(keyring).where(keyring.c.ik_id == found[1].ik_id).values(record=b"another")
    database.run_sync(lambda c: c.execute(changed))
    moved = [(kept, b"moved") for kept in found]
    assert await rows.rewrite(moved, found[0].kek_id) == 2
    assert await rows.rewrite([], found[0].kek_id) == 0
    held = [await rows.kept(kept.ik_id) for kept in found]
    assert [kept and kept.raw for kept in held] == [b"moved", b"another", b"moved"]


def test_scopes_have_current_iks_of_their_own(database: Database) -> None:
    database.run_sync(add_kek)
    for number, scope in enumerate(("bucket:a", "bucket:b"), 1):
        database.run_sync(
            lambda c, n=number, s=scope: make_current(c, new_ik(n, s), instead_of=None)
        )
    assert (
        database.read_sync(lambda c: current_ik(c, "gemeente", "intern", "bucket:b"))
        == new_ik(2).ik_id
    )
    assert database.read_sync(lambda c: current_ik(c, "gemeente", "geheim", "bucket:b")) is None


def test_a_destroyed_ik_gives_no_winner(database: Database) -> None:
    database.run_sync(add_kek)
    database.run_sync(lambda c: make_current(c, new_ik(1), instead_of=None))
    database.run_sync(
        lambda c: c.execute(update(keyring).values(record=None, destroyed_ms=5, current=False))
    )
    answer = database.run_sync(lambda c: make_current(c, new_ik(2), instead_of=new_ik(1).ik_id))
    assert answer is None


def test_an_unknown_kek_is_not_mistaken_for_a_race(database: Database) -> None:
    def act(connection: Connection) -> None:
        with pytest.raises(IntegrityError):
            make_current(connection, new_ik(1), instead_of=None)

    database.run_sync(act)


@pytest.mark.parametrize(
    "change",
    [
        {"record": None},  # gone without a word
        {"destroyed_ms": 5, "current": False},  # called destroyed, and still there
        {"record": None, "destroyed_ms": 5},  # destroyed, and still written under
    ],
)
def test_a_keyring_row_cannot_contradict_itself(
    database: Database, change: dict[str, object]
) -> None:
    database.run_sync(add_kek)
    database.run_sync(lambda c: make_current(c, new_ik(1), instead_of=None))
    with pytest.raises(Conflict):
        database.run_sync(lambda c: c.execute(update(keyring).values(**change)))


def test_two_current_iks_of_one_scope_cannot_be_written_at_all(database: Database) -> None:
    database.run_sync(add_kek)
    database.run_sync(lambda c: make_current(c, new_ik(1), instead_of=None))
    database.run_sync(lambda c: make_current(c, new_ik(2), instead_of=new_ik(1).ik_id))
    with pytest.raises(Conflict):
        database.run_sync(lambda c: c.execute(update(keyring).values(current=True)))


def test_the_parts_go_with_their_upload(database: Database) -> None:
    def begin(connection: Connection) -> None:
        add_tenant(connection)
        connection.execute(
            insert(buckets).values(
                bucket_id="b-b",
                tenant="gemeente",
                store="files",
                backend_name="b",
                classification="intern",
                names="clear",
                allowed=["intern"],
                prefix_rules={},
                created_ms=1,
            )
        )
        connection.execute(
            insert(uploads).values(
                upload_id="u",
                tenant="gemeente",
                bucket_id="b-b",
                object_key="k",
                store_upload_id="s",
                object_id=b"o" * 16,
                envelope=b"e",
                classification="intern",
                state="open",
                created_ms=1,
            )
        )
        connection.execute(
            insert(upload_parts).values(
                upload_id="u",
                part_number=1,
                store_etag="e",
                part_id=b"p" * 16,
                plain_size=1,
                at_ms=1,
            )
        )

    database.run_sync(begin)
    database.run_sync(lambda c: c.execute(uploads.delete()))
    assert database.read_sync(lambda c: c.execute(select(upload_parts)).all()) == []


async def test_what_jobs_kept_adds_up_and_old_ones_are_forgotten_whole(database: Database) -> None:
    ledger = JobLedger(database)
    planned = Planned(4, 40, [("", "x"), ("x", "")])
    for job_id, at_ms in (("oud", 10), ("ander", 10), ("nieuw", 30)):
        bucket = "b-c" if job_id == "ander" else "b-b"
        await ledger.begin(NewJob(job_id, EXPIRE, bucket, "lifecycle", at_ms), planned)
        for shard in await ledger.unfinished(job_id):
            failure = Failure(b"naam", "Tampered HY-3501", "geen envelop")
            step = Step("a", objects=1, kept=2, failures=[failure], finished=True)
            assert await ledger.save(shard, step, at_ms)
        if job_id != "nieuw":
            await ledger.set_state(job_id, DONE, at_ms)
    newest = await ledger.latest(EXPIRE, "b-b")
    assert newest is not None
    assert (newest.job_id, newest.objects, newest.kept, newest.failed) == ("nieuw", 2, 4, 1)
    assert newest.looked_at == 7
    assert await ledger.latest("seal", "b-b") is None
    await ledger.forget(EXPIRE, "b-b", 10)  # not the ones of that very moment
    assert len(await ledger.progress()) == 3
    await ledger.forget(EXPIRE, "b-b", 100)
    assert {one.job_id for one in await ledger.progress()} == {"ander", "nieuw"}
    for table in (job_shards, job_failures):
        held = database.read_sync(lambda c, table=table: c.execute(select(table)).all())
        assert {row.job_id for row in held} == {"ander", "nieuw"}


def test_a_read_sees_one_moment(database: Database) -> None:
    def look(connection: Connection) -> tuple[int, int]:
        first = len(connection.execute(select(tenants)).all())
        database.run_sync(add_tenant)
        return first, len(connection.execute(select(tenants)).all())

    assert database.read_sync(look) == (0, 0)
    assert len(database.read_sync(lambda c: c.execute(select(tenants)).all())) == 1


def test_a_writer_sees_what_the_one_before_it_wrote(database: Database) -> None:
    """Read, compute and write are one step, so twenty at once count to twenty."""

    def add_one(connection: Connection) -> None:
        number = int(setting(connection, "number") or 0)
        put_setting(connection, "number", str(number + 1), now_ms=1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _n: database.run_sync(add_one), range(20)))
    assert database.read_sync(lambda c: setting(c, "number")) == "20"


def test_only_a_database_with_every_migration_is_left_alone(url: str) -> None:
    database = Database(url)
    assert not database.read_sync(is_newest)
    database.run_sync(lambda c: command.upgrade(_config(c), "0013"))
    assert not database.read_sync(is_newest)
    database.migrate()
    assert database.read_sync(is_newest)
    database.close()
