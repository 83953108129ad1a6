"""What hosts of one audit log share, in memory and in PostgreSQL: durable, fenced, cleaned."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, make_url, text
from tests.fakes.shared_log import MemoryLog, Rows
from tests.peers.postgresql import PostgreSQL
from tests.unit.audit.test_order import KEYS, batch, run
from tests.unit.audit.test_ordering import Host

from hyok.audit.rows import Batch, Chunk, sign_chunk
from hyok.audit.shared import Head, Registered, SharedLog
from hyok.database.audit_rows import AuditRows
from hyok.errors import Conflict, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration
KINDS = (Batch, Chunk, Head, Registered)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL(durable=False) as made:
        yield made


@pytest.fixture
def url(server: PostgreSQL) -> str:
    return server.new_database()


@pytest.fixture(params=["memory", "postgresql"])
def way(request: pytest.FixtureRequest) -> Iterator[Callable[[], SharedLog]]:
    """Return what makes ways to the same rows, one for each host."""
    made: list[Any] = []
    rows = Rows()
    url = request.getfixturevalue("url") if request.param == "postgresql" else ""

    def another() -> SharedLog:
        made.append(AuditRows(url, KINDS, lambda: 5) if url else MemoryLog(rows))
        return made[-1]

    yield another
    for one in made:
        one.close()


def chunk(first: int, *said: str) -> Chunk:
    lines = [f'{{"a":"{one}"}}\n'.encode() for one in said]
    return sign_chunk(KEYS["a"], "a1", first, lines, "", {})


def test_what_was_handed_in_waits_until_it_has_its_place(way: Callable[[], SharedLog]) -> None:
    one, two = way(), way()
    a = one.begin_run(run("a"))
    b = two.begin_run(run("b"))
    assert (a.number, b.number) == (1, 1)
    batches = [batch(a, 1, 5), batch(a, 2, 6), batch(b, 1, 1)]
    one.hand_in(batches[0], again=False)
    one.hand_in(batches[1], again=False)
    two.hand_in(batches[2], again=False)
    assert sorted(two.waiting(9), key=batches.index) == batches
    assert sorted(two.waiting(1), key=batches.index) == [batches[0], batches[2]]
    head = one.lead(0, 0)
    assert head is not None
    head = one.extend(head, chunk(1, "x", "y"), [("a1", 1)], [("b1", 1)])
    assert two.waiting(9) == [batches[1]]
    assert (head.size, two.head()) == (2, head)
    assert two.chunks(0, 9) == two.chunks(1, 9) == [chunk(1, "x", "y")]
    assert two.chunks(2, 9) == []
    assert two.newest_chunk() == chunk(1, "x", "y")


def test_handed_in_again_it_is_there_once_and_nothing_else_takes_its_place(
    way: Callable[[], SharedLog],
) -> None:
    one = way()
    a = one.begin_run(run("a"))
    one.hand_in(batch(a, 1, 5), again=False)
    one.hand_in(batch(a, 1, 5), again=True)
    for other, again in ((batch(a, 1, 6), True), (batch(a, 1, 5), False)):
        with pytest.raises(Tampered):
            one.hand_in(other, again=again)
    assert one.waiting(9) == [batch(a, 1, 5)]


def test_a_run_ends_when_the_next_one_of_its_host_begins(way: Callable[[], SharedLog]) -> None:
    one, twin = way(), way()
    a = one.begin_run(run("a"))
    later = twin.begin_run(run("z", host="a", after=(4, 1)))
    assert later.number == 5
    with pytest.raises(Conflict) as caught:
        one.hand_in(batch(a, 1, 5), again=False)
    assert caught.value.code == "HY-5123"
    assert twin.waiting(9) == []


def test_what_is_vouched_for_is_kept(way: Callable[[], SharedLog]) -> None:
    one = way()
    one.begin_run(run("a"))
    assert one.registered(["a1", "none"]) == [Registered("a1", "a", 1, "")]
    one.vouch("a1", "signed")
    assert one.registered(["a1"]) == [Registered("a1", "a", 1, "signed")]


def test_one_host_makes_the_log_longer_at_a_time(way: Callable[[], SharedLog]) -> None:
    one, two = way(), way()
    one.begin_run(run("a"))
    two.begin_run(run("b"))
    head = one.lead(10, 4)
    assert head is not None
    assert (head.size, two.lead(99, 0)) == (10, None)
    assert one.lead(99, 99) == head  # it stays
    one.retire()
    ends = time.monotonic() + 10
    while (taken := two.lead(99, 0)) is None:  # the server learns a moment later that one is gone
        assert time.monotonic() < ends
        time.sleep(0.02)
    assert (taken.size, taken.epoch) == (10, head.epoch + 1)


def test_who_was_overtaken_neither_adds_nor_signs(way: Callable[[], SharedLog]) -> None:
    """The lock alone would not do: here the first one still believes in it."""
    one, two = way(), way()
    one.begin_run(run("a"))
    two.begin_run(run("b"))
    stale = one.lead(0, 0)
    assert stale is not None
    one.retire()
    fresh = two.lead(0, 0)
    assert fresh is not None
    with pytest.raises(Conflict):
        one.extend(stale, chunk(1, "one"), [], [])
    with pytest.raises(Conflict):
        two.extend(Head(1, fresh.epoch), chunk(2, "hole"), [], [])
    longer = two.extend(fresh, chunk(1, "two"), [], [])
    with pytest.raises(Conflict):
        two.extend(fresh, chunk(1, "again"), [], [])
    with pytest.raises(Conflict):
        one.publish("stale", 1)
    with pytest.raises(Conflict):
        two.publish("of more than there is", 2)
    two.publish("note", 1)
    with pytest.raises(Conflict):
        two.publish("of the same size", 1)
    assert longer.size == 1
    assert one.notes(0) == ["note"]
    assert one.notes(1) == []
    assert two.newest_chunk() == chunk(1, "two")


def test_only_what_every_host_has_and_a_checkpoint_covers_is_cleaned(
    way: Callable[[], SharedLog],
) -> None:
    one, two = way(), way()
    one.begin_run(run("a"))
    two.begin_run(run("b"))
    head = one.lead(0, 0)
    assert head is not None
    for first in range(1, 5):
        head = one.extend(head, chunk(first, str(first)), [], [])
    one.publish("two", 2)
    one.publish("three", 3)
    one.report("a", "a", 4, 3)
    two.report("b", "b", 2, 2)
    two.clean()  # not its turn
    assert len(one.chunks(0, 9)) == 4
    one.clean()
    assert [each.first for each in one.chunks(0, 9)] == [3, 4]
    assert one.notes(0) == ["two", "three"]
    two.report("b", "b", 4, 3)
    one.clean()
    assert [each.first for each in one.chunks(0, 9)] == [4]
    assert one.notes(0) == ["three"]


# ── on PostgreSQL alone ─────────────────────────────────────────────────────────────────────────


def execute(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount != 0
    engine.dispose()


@pytest.fixture
def host(tmp_path: Path, url: str) -> Iterator[Callable[[str], Host]]:
    made: list[Host] = []

    def another(name: str) -> Host:
        made.append(Host(tmp_path, name, Rows(), shared=AuditRows(url, KINDS, lambda: 5)))
        return made[-1]

    yield another
    for one in made:
        one.kill()
        one.shared.close()


def test_an_edit_by_hand_before_and_after_the_order_is_found(
    host: Callable[[str], Host], url: str
) -> None:
    a, b = host("a"), host("b")
    a.write("kept")
    a.turn()
    a.write("secret act")
    execute(url, "UPDATE audit_waiting SET lines = overlay(lines placing 'S' from 12)")
    a.turn(seal=True)
    b.turn(seal=True)
    assert a.said() == b.said() == ["kept", "audit:gap"]
    a.write("later")
    a.turn()
    before = b.path.read_bytes()
    execute(
        url,
        "UPDATE audit_chunks SET lines = overlay(lines placing 'x' from 12) "
        "WHERE first_seq = (SELECT max(first_seq) FROM audit_chunks)",
    )
    with pytest.raises(Tampered) as caught:
        b.turn()
    assert caught.value.code == "HY-5120"
    assert b.path.read_bytes() == before


def test_a_killed_session_hands_the_turn_over(
    host: Callable[[str], Host], server: PostgreSQL, url: str
) -> None:
    a, b = host("a"), host("b")
    a.write("a1")
    a.turn()
    b.turn()
    assert a.order.leading
    database = make_url(url).database
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database "
        f"WHERE locktype = 'advisory' AND d.datname = '{database}'"
    )
    b.write("b1")
    until = time.monotonic() + 10  # the server ends it in its own time
    while not b.order.leading:
        assert time.monotonic() < until
        b.turn()
    with pytest.raises(Unavailable):
        a.turn()
    a.turn()
    assert a.path.read_bytes() == b.path.read_bytes()


def test_a_run_waits_for_what_the_one_before_it_is_committing(url: str) -> None:
    """So nothing that a killed writer left on its way can come behind the next one's records."""
    one, two = AuditRows(url, KINDS, lambda: 5), AuditRows(url, KINDS, lambda: 5)
    one.begin_run(run("a"))
    engine = create_engine(url)
    begun: list[object] = []
    with engine.begin() as connection:
        connection.execute(text("SELECT run FROM audit_runs WHERE run = 'a1' FOR SHARE"))
        thread = threading.Thread(target=lambda: begun.append(two.begin_run(run("a", 2, host="a"))))
        thread.start()
        thread.join(0.5)
        assert not begun
    thread.join(5)
    assert begun
    engine.dispose()
    one.close()
    two.close()
