"""A policy is in force when officers executed exactly its bytes, and in no other way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, update
from tests.unit.officer.desk import Desk, furnished

from hyok.custody.bundles import PolicyBook, PolicyKeeper
from hyok.custody.quorum import Act, Verdict
from hyok.database.engine import Database
from hyok.database.rows import bump_epoch
from hyok.database.tables import policy_bundles, policy_in_force
from hyok.errors import Conflict, HyokError, Malformed, Refused, Tampered
from hyok.officer.policy_acts import PublishPolicy
from hyok.policy.bundle import Bundle, load
from hyok.policy.decision import CachedEngine, Question, StoreFacts
from hyok.policy.matrix import World
from hyok.vocabulary import Bucket, ClassificationName, Principal
from hyok.wiring import policy_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FILES = policy_files(Path(__file__).resolve().parents[3] / "policies")
RULES = "rules/gateway.cedar"
READS = 'permit (principal is App, action in [Action::"object:get", '
NO_READS = FILES | {
    RULES: FILES[RULES].replace(READS, "permit (principal is App, action in [", 1),
    # Its own cases must follow.
    "cases/gateway.yaml": "[]",
}
APP = Principal("lezer", "gemeente", clearance=100, purpose="werk", grants=frozenset({"read"}))
BUCKET = Bucket("intern", "gemeente", "local", "intern", ClassificationName("intern"), "clear")
MAY_READ = Question(
    *(APP, "object:get", "intern", "gemeente", "intern", 20),
    *(StoreFacts("NL", "NL", "UC1"), "werk", "municipality"),
)


class Process:
    """One gateway's policy, on the desk's database."""

    def __init__(self, desk: Desk) -> None:
        folder = load(FILES)
        self.classifications = folder.classifications
        self.engine = CachedEngine(folder.engine, clock_ms=lambda: desk.now[0], ttl_ms=30_000)
        self.keeper = PolicyKeeper(
            database=desk.database,
            book=PolicyBook(desk.database, lambda: desk.now[0]),
            approvals=desk.approvals,
            classifications=self.classifications,
            engine=self.engine,
            folder_digest=Bundle(0, FILES).digest,
            journal=desk.journal,
            clock_ms=lambda: desk.now[0],
        )

    @property
    def reads(self) -> bool:
        return self.engine.decide(MAY_READ).allowed


class Office:
    """Officers who publish policies."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.book = PolicyBook(desk.database, lambda: desk.now[0])
        self.used = {"intern"}
        self.here = Process(desk)

        async def world() -> World:
            stores = {"local": StoreFacts("NL", "NL", "UC1")}
            return World([APP], [BUCKET], stores, "municipality", desk.now[0])

        async def used() -> frozenset[str]:
            return frozenset(self.used)

        performers: Any = desk.actions._performers
        performers[Act.PUBLISH_POLICY] = PublishPolicy(
            book=self.book,
            keeper=self.here.keeper,
            directory=FILES,
            world=world,
            used=used,
            clock_ms=lambda: desk.now[0],
        )

    async def propose(self, files: dict[str, str], version: int = 0) -> str:
        bundle = Bundle(version or await self.book.next_version(), files)
        await self.book.keep(bundle)
        case = await self.desk.actions.propose(
            self.desk.sign("anna"), Act.PUBLISH_POLICY, {"sha256": bundle.digest}, "nieuw beleid"
        )
        return case.proposal.proposal_id

    async def publish(self, files: dict[str, str]) -> str:
        proposal = await self.propose(files)
        await self.desk.actions.decide(self.desk.sign("bram"), proposal, Verdict.APPROVE)
        await self.desk.actions.execute(self.desk.sign("anna"), proposal)
        return proposal


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    database = Database(f"sqlite:///{tmp_path / 'hyok.db'}")
    database.migrate()
    yield Office(await furnished(database))
    database.close()


async def looked(office: Office, process: Process) -> bool:
    office.desk.now[0] += 2_000
    await process.keeper.look()
    return process.reads


async def test_what_officers_executed_is_in_force_everywhere_within_two_seconds(
    office: Office,
) -> None:
    other = Process(office.desk)
    assert await looked(office, other)
    proposal = await office.propose(NO_READS)
    assert await looked(office, other), "a proposal changes nothing"
    await office.desk.actions.decide(office.desk.sign("bram"), proposal, Verdict.APPROVE)
    assert await looked(office, other), "nor does an approval"
    await office.desk.actions.execute(office.desk.sign("anna"), proposal)
    assert not await looked(office, other)
    assert (other.keeper.version, office.here.keeper.version) == (1, 1)
    assert not office.here.reads
    # Back: the older files under a new version.
    await office.publish(FILES)
    assert await looked(office, other)
    assert other.keeper.version == 2


async def test_the_proposal_says_what_is_given_and_taken(office: Office) -> None:
    case = await office.desk.approvals.get(await office.propose(NO_READS))
    effect = case.proposal.effect
    assert (effect["gained"], effect["lost"]) == (0, 6)  # every class but the refused one
    assert "lezer object:get intern intern" in effect["losses"]  # type: ignore[operator]
    assert effect["classes-changed"] == []


async def test_one_officer_alone_puts_nothing_in_force(office: Office) -> None:
    proposal = await office.propose(NO_READS)
    with pytest.raises(Refused):
        await office.desk.actions.decide(office.desk.sign("anna"), proposal, Verdict.APPROVE)
    with pytest.raises(Refused):
        await office.desk.actions.decide(office.desk.sign("dewi"), proposal, Verdict.APPROVE)
    with pytest.raises(Refused):
        await office.desk.actions.execute(office.desk.sign("anna"), proposal)


@pytest.mark.parametrize("attack", ["document", "another", "version", "unexecuted", "act"])
async def test_rows_that_somebody_writes_are_an_alarm_and_the_last_good_policy_goes_on(
    office: Office, attack: str
) -> None:
    executed = await office.publish(FILES)
    other = Process(office.desk)
    assert await looked(office, other)
    worse = Bundle(2, NO_READS)
    await office.book.keep(worse)
    waiting = await office.propose(NO_READS)
    exported = await office.desk.propose()
    row: dict[str, Any] = {"version": 2, "sha256": worse.digest, "since_ms": 1}
    row["proposal_id"] = {"unexecuted": waiting, "act": exported}.get(attack, executed)

    def act(connection: Any) -> None:
        if attack == "document":
            connection.execute(
                update(policy_bundles)
                .where(policy_bundles.c.version == 1)
                .values(document=worse.render())
            )
            connection.execute(update(policy_in_force).values(version=2))
        elif attack == "version":
            connection.execute(update(policy_in_force).values(version=9))
        else:
            connection.execute(insert(policy_in_force).values(**row))
        bump_epoch(connection, "policy")

    await office.desk.database.run(act)
    assert await looked(office, other)
    assert other.keeper.version == 1
    assert "HY-2507" in other.keeper.problem
    assert await looked(office, other)
    alarms = [r for r in office.desk.journal.records if r.action == "policy:alarm"]
    assert [alarm.error for alarm in alarms] == ["Tampered:HY-2507"], "told once, and for good"
    fresh = Process(office.desk)
    with pytest.raises(Tampered):
        await looked(office, fresh)
    with pytest.raises(HyokError):
        await fresh.keeper.check_taken()


async def test_an_hsm_that_is_away_keeps_a_new_process_from_deciding_by_the_folder(
    office: Office,
) -> None:
    await office.publish(NO_READS)
    fresh = Process(office.desk)
    office.desk.hsm.away = True
    office.desk.now[0] += 2_000
    with pytest.raises(HyokError):
        await fresh.keeper.check_taken()
    office.desk.hsm.away = False
    await fresh.keeper.check_taken()
    assert not fresh.reads


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (NO_READS | {"cases/gateway.yaml": FILES["cases/gateway.yaml"]}, "HY-1103"),
        (
            {n: t for n, t in FILES.items() if "zeer_vertrouwelijk" not in n}
            | {"cases/gateway.yaml": "[]"},
            "HY-1104",
        ),
    ],
    ids=["cases", "class in use"],
)
async def test_a_policy_that_would_break_something_is_not_proposed(
    office: Office, files: dict[str, str], code: str
) -> None:
    office.used.add("zeer_vertrouwelijk")
    with pytest.raises(Malformed) as said:
        await office.propose(files)
    assert said.value.code == code


async def test_a_version_is_given_once(office: Office) -> None:
    first = await office.propose(NO_READS)
    await office.publish(FILES)
    await office.desk.actions.decide(office.desk.sign("bram"), first, Verdict.APPROVE)
    with pytest.raises(Conflict) as said:
        await office.desk.actions.execute(office.desk.sign("anna"), first)
    assert said.value.code == "HY-2331"
