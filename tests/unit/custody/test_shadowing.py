"""What a policy in shadow would have changed is counted and recorded, and the answers stand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from structlog.testing import capture_logs
from tests.fakes.memory_journal import MemoryJournal
from tests.fakes.policy_in_force import InForce
from tests.unit.custody.test_custodian import (
    CLASSES,
    ENGINE,
    HEADER,
    METADATA,
    House,
    Mirror,
    asking,
    build,
    house,
)

from hyok.custody import shadowing
from hyok.custody.decisions import Decisions
from hyok.custody.secret_box import HsmSecretBox
from hyok.custody.shadow_book import DAY_MS, ShadowBook
from hyok.custody.shadowing import ShadowWatch
from hyok.custody.told import ToldOnce
from hyok.database.rows import bump_epoch
from hyok.database.tables import policy_bundles, policy_in_force, policy_shadow
from hyok.errors import Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.policy.bundle import Bundle
from hyok.policy.decision import Decision, Question, StoreFacts
from hyok.policy.shadow import Candidate, Difference, ShadowNotes, candidate_of
from hyok.wiring import policy_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyok.audit.record import AuditRecord
    from hyok.vocabulary import Ask

__all__ = ["house"]

FILES = policy_files(Path(__file__).resolve().parents[3] / "policies")
RULES = "rules/gateway.cedar"
WRITES = 'permit (principal is App, action == Action::"object:put", resource)'
NO_WRITES = FILES | {
    RULES: FILES[RULES].replace(WRITES, WRITES.replace("App", "Officer"), 1),
    "cases/gateway.yaml": "[]",
}
assert NO_WRITES[RULES] != FILES[RULES]


@dataclass
class Worker:
    """A gateway worker's shadow, over the house of the custodian's tests."""

    house: House
    book: ShadowBook
    notes: ShadowNotes
    watch: ShadowWatch
    version: list[int]

    async def turn(self) -> None:
        self.house.now[0] += 2_000
        await self.watch.turn()

    async def write(self, name: str = "intern", **more: Any) -> None:
        ask = replace(asking(name), **more)
        await self.house.custodian.issue(
            ask, plain_size=1, multipart=False, metadata=METADATA, part_header=HEADER
        )

    @property
    def told(self) -> list[AuditRecord]:
        return [r for r in self.house.journal.records if r.action.startswith("policy:")]

    async def counts(self) -> dict[str, int]:
        found = await self.book.current()
        assert found is not None
        counted = await self.book.counted(found[0].sha256)
        sums: dict[str, int] = {}
        for one in counted:
            verdict = one.difference.verdict
            sums[verdict] = sums.get(verdict, 0) + one.decisions
        return sums


def worker(house: House) -> Worker:
    box = HsmSecretBox(house.hsm, house.keks, bytes)
    book = ShadowBook(house.database, box, lambda: house.now[0])
    notes = ShadowNotes()
    house.custodian._decisions._shadow = notes
    version = [0]
    watch = ShadowWatch(
        database=house.database,
        book=book,
        notes=notes,
        version=lambda: version[0],
        journal=house.journal,
        told=ToldOnce(house.database, house.journal, lambda: house.now[0]),
        opaque=house.custodian.opaque,
        clock_ms=lambda: house.now[0],
    )
    return Worker(house, book, notes, watch, version)


async def begun(house: House, files: dict[str, str] | None = None) -> Worker:
    made = worker(house)
    await made.book.put(Bundle(1, files or NO_WRITES), "officer:anna", "proef")
    await made.turn()
    return made


async def test_what_would_be_denied_is_done_counted_and_recorded_once(house: House) -> None:
    here = await begun(house)
    for _ in range(50):
        await here.write()
    await here.write("vertrouwelijk")
    await here.turn()
    await here.write()
    await here.turn()
    assert await here.counts() == {"would-deny": 52}
    assert [(r.action, r.classification) for r in here.told] == [
        ("policy:would-deny", "intern"),
        ("policy:would-deny", "vertrouwelijk"),
    ]
    record = here.told[0]
    assert (record.actor, record.bucket_id, record.outcome) == ("app", "dossiers", "done")
    assert record.reasons[:2] == ("action:object:put", "no rule permits it")
    assert record.object_id.startswith("name:"), "an opaque id"
    assert not record.decided, "the log of decisions has what was decided, and nothing else"
    assert "sleutel" not in str(record)
    # The next day it is told again.
    house.now[0] += DAY_MS
    await here.write()
    await here.turn()
    assert len(here.told) == 3
    assert dict(here.watch.take_totals()) == {"would-deny": 53}
    assert dict(here.watch.take_totals()) == {}


async def test_two_workers_tell_one_difference_once(house: House, tmp_path: Path) -> None:
    here = await begun(house)
    other = build(tmp_path / "hyok.db", house.hsm, Mirror(), house.now)
    there = worker(other)
    await there.turn()
    for each in (here, there):
        await each.write()
        await each.turn()
    assert len(here.told) + len(there.told) == 1
    assert await here.counts() == {"would-deny": 2}
    other.database.close()


@pytest.mark.parametrize("fault", ["decide", "database", "journal"])
async def test_whatever_fails_about_it_touches_no_answer_and_loses_no_count(
    house: House, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await begun(house)
    if fault == "decide":

        def boom(*_args: object) -> Decision:
            raise MemoryError

        candidate: Any = here.watch._candidate
        monkeypatch.setattr(candidate, "_engine", type("E", (), {"decide": boom})())
    await here.write()
    if fault == "database":
        away = Unavailable("away")

        async def add(*_args: object) -> None:
            raise away

        with monkeypatch.context() as patch:
            patch.setattr(here.book, "add", add)
            with pytest.raises(Unavailable):
                await here.turn()
    if fault == "journal":
        house.journal.away = True
        with pytest.raises(Unavailable):
            await here.turn()
        house.journal.away = False
    await here.turn()
    word = "error" if fault == "decide" else "would-deny"
    assert await here.counts() == {word: 1}
    assert len(here.told) == (0 if fault == "decide" else 1)


async def test_a_refusal_that_it_would_lift_is_still_refused(house: House) -> None:
    name = "classifications/vertrouwelijk.yaml"
    lax = FILES | {name: FILES[name].replace("purpose-required: true", "purpose-required: false")}
    here = await begun(house, lax | {"cases/gateway.yaml": "[]"})
    aimless = replace(asking("vertrouwelijk").principal, purpose="")
    for _ in range(3):
        with pytest.raises(Refused):
            await here.write("vertrouwelijk", principal=aimless)
    await here.turn()
    assert await here.counts() == {"would-allow": 3}
    assert [r.action for r in here.told] == ["policy:would-allow"]


async def test_it_ends_when_it_is_stopped_or_another_version_is_in_force(house: House) -> None:
    here = await begun(house)
    assert here.notes.on
    here.version[0] = 1
    await here.turn()
    assert not here.notes.on
    here.version[0] = 0
    await here.turn()
    assert here.notes.on
    await here.book.stop()
    await here.turn()
    assert not here.notes.on
    assert here.watch.age_ms == 0
    with pytest.raises(NotFound) as said:
        await here.book.stop()
    assert said.value.code == "HY-2404"


async def test_no_shadow_leaves_no_trace(house: House) -> None:
    here = worker(house)
    await here.turn()
    await here.write()
    assert here.notes.take() == ({}, 0)
    await here.turn()
    assert here.told == []


@pytest.mark.parametrize("column", ["document", "sealed"])
async def test_a_row_that_somebody_edits_is_no_shadow_and_an_alarm(
    house: House, column: str
) -> None:
    here = await begun(house, FILES)
    value = Bundle(1, NO_WRITES).render() if column == "document" else b"HYS1" + bytes(64)

    def act(connection: Any) -> None:
        connection.execute(update(policy_shadow).values(**{column: value}))
        bump_epoch(connection, "policy-shadow")

    await house.database.run(act)
    await here.turn()
    assert not here.notes.on
    await here.write()
    await here.turn()
    await here.turn()
    assert [(r.action, r.outcome) for r in here.told] == [("policy:alarm", "failed")]
    with pytest.raises(Tampered):
        await here.book.current()


async def test_nothing_of_it_stands_where_the_policy_in_force_is_looked_for(house: House) -> None:
    await begun(house)
    for table in (policy_in_force, policy_bundles):
        rows = await house.database.read(lambda c, t=table: c.execute(select(t)).all())
        assert rows == []


async def test_a_flood_of_names_makes_no_flood_of_rows(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadowing, "DIFFERENCES_MAX", 3)
    here = await begun(house)
    ask: Ask = asking("intern")
    facts = StoreFacts("NL", "NL", "UC1")
    for number in range(20):
        asked = Question(
            *(ask.principal, "object:put", f"b{number}", "t", "intern", 20, facts),
            *("werk", "municipality"),
        )
        here.notes.note(ask, asked, ENGINE.decide(asked), b"")
    await here.turn()
    assert await here.counts() == {"would-deny": 20}
    assert len(here.told) == 4
    assert sorted(r.bucket_id for r in here.told)[0] == "*"


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


async def test_three_days_without_a_decision_are_told_once_a_day(
    house: House, logged: list[Any]
) -> None:
    here = await begun(house)

    def told() -> int:
        return sum(line["event"] == "policy.shadow_long" for line in logged)

    house.now[0] += 3 * DAY_MS - 10_000
    await here.turn()
    assert told() == 0
    house.now[0] += 20_000
    for _ in range(3):
        await here.turn()
    assert told() == 1
    house.now[0] += DAY_MS
    await here.turn()
    assert told() == 2


async def test_a_new_shadow_begins_to_count_anew(house: House) -> None:
    here = await begun(house)
    await here.write()
    await here.turn()
    old = Bundle(1, NO_WRITES).digest
    assert await here.book.counted(old) != []
    await here.book.put(Bundle(1, FILES), "officer:anna", "anders")
    assert await here.book.counted(old) == []
    await here.turn()
    await here.write()
    await here.turn()
    assert await here.counts() == {"same": 1}


class Nothing:
    """No freezes; nothing to open."""

    async def touching(self, _ask: Ask) -> None:
        return None


async def opaque(_ask: Ask) -> str:
    return "name:0"


def deciding(shadow: ShadowNotes | None) -> Decisions:
    anything: Any = Nothing()
    return Decisions(
        classifications=CLASSES,
        engine=ENGINE,
        store_facts={"local": StoreFacts("NL", "US", "UC1")},
        zone="municipality",
        journal=MemoryJournal(),
        keks=anything,
        opaque=opaque,
        clock_ms=lambda: 1_000,
        seal_subject=anything,
        freezes=anything,
        policy=InForce(),
        shadow=shadow,
    )


async def answers(decisions: Decisions, asks: list[Ask]) -> list[object]:
    found: list[object] = []
    for ask in asks:
        try:
            found.append(await decisions.permit(ask, ask.classification or "", b"", ""))
        except Refused as error:
            found.append(error.explain())
    journal: Any = decisions._journal
    return [*found, journal.records]


ASKS = st.builds(
    lambda name, action, grants, clearance: replace(
        asking(name, action),
        principal=replace(asking(name).principal, grants=frozenset(grants), clearance=clearance),
    ),
    st.sampled_from(CLASSES.names()),
    st.sampled_from(["object:get", "object:put", "object:delete", "bucket:list", "object:fly"]),
    st.sets(st.sampled_from(["read", "write", "delete", "list"])),
    st.sampled_from([10, 20, 30, 100]),
)


@settings(max_examples=50, deadline=None)
@given(
    asks=st.lists(ASKS, max_size=20),
    kind=st.sampled_from(["denies", "allows", "raises", "same"]),
)
def test_no_answer_and_no_record_of_a_decision_depends_on_the_shadow(
    asks: list[Ask], kind: str
) -> None:
    def decide(asked: Question) -> Decision:
        if kind == "raises":
            raise RecursionError
        return ENGINE.decide(asked) if kind == "same" else Decision(kind == "allows", ("x",))

    notes = ShadowNotes()
    notes.on = True
    with_shadow = asyncio.run(answers(deciding(notes), asks))
    assert with_shadow == asyncio.run(answers(deciding(None), asks))
    policy: Any = SimpleNamespace(
        classifications=CLASSES, deciding=lambda _clock: SimpleNamespace(decide=decide)
    )
    candidate = Candidate(policy, lambda: 1_000)
    noted, _ = notes.take()
    for (question, allowed), each in noted.items():
        verdict = candidate.judge(question, allowed=allowed).verdict
        assert each.count > 0
        wanted = {"denies": ("would-deny", "same"), "allows": ("same", "would-allow")}
        by_answer = wanted.get(kind, ("error",) * 2 if kind == "raises" else ("same",) * 2)
        assert verdict == by_answer[0 if allowed else 1]
    assert sum(each.count for each in noted.values()) == len(asks)
    assert asyncio.run(answers(deciding(notes), asks)) == with_shadow


def test_a_candidate_that_cannot_be_loaded_for_any_reason_is_malformed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Panic(BaseException):
        pass

    def boom(_files: object) -> None:
        raise Panic

    monkeypatch.setattr("hyok.policy.shadow.load", boom)
    with pytest.raises(Malformed) as said:
        candidate_of(FILES, lambda: 1)
    assert said.value.code == "HY-1101"


async def test_names_that_no_column_takes_are_cut(house: House) -> None:
    here = worker(house)
    long = Difference("would-deny", "a\0" * 300, "x" * 300, "b" * 300, "c" * 300, "d" * 300)
    assert await here.book.add("0" * 64, {long: 1}) == [long]
    assert await here.book.add("0" * 64, {long: 2}) == []
    [one] = await here.book.counted("0" * 64)
    assert one.decisions == 3
    assert one.difference == Difference(
        "would-deny", "a" * 255, "x" * 64, "b" * 63, "c" * 64, "d" * 255
    )
