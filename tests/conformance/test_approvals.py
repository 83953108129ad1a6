"""On SQLite as on PostgreSQL: no edit of a row, no replay and no race gets around four eyes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, select, update
from tests.peers.postgresql import PostgreSQL
from tests.unit.officer.desk import Desk, furnished

from hyok.custody.approvals import CARRY_ON_MS
from hyok.custody.proposal import Decision
from hyok.custody.quorum import Act, Officer, Quorum, Role, Verdict
from hyok.custody.signing import KeySigner
from hyok.database.engine import Database
from hyok.database.tables import (
    executions,
    officer_decisions,
    officer_identities,
    officer_register,
    officers,
    proposals,
)
from hyok.errors import Conflict, HyokError, NotAuthenticated, Refused, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sqlalchemy import Executable

pytestmark = pytest.mark.integration
APPROVE, REFUSE, WITHDRAW = Verdict.APPROVE, Verdict.REFUSE, Verdict.WITHDRAW


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL(durable=False) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    url = f"sqlite:///{tmp_path}/hyok.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("server").new_database()
    database = Database(url)
    database.migrate()
    yield await furnished(database)
    database.close()


async def edit(desk: Desk, *statements: Executable) -> None:
    """Do what somebody with the database's password does."""

    def act(connection: Any) -> None:
        for statement in statements:
            assert connection.execute(statement).rowcount != 0  # -1: not counted

    await desk.database.run(act)


async def row(desk: Desk, table: Any, **where: object) -> dict[str, Any]:
    wanted = select(table)
    for name, value in where.items():
        wanted = wanted.where(table.c[name] == value)
    found = await desk.database.read(lambda connection: connection.execute(wanted).one())
    return dict(found._mapping)


async def approved(desk: Desk, by: tuple[str, ...] = ("bram", "chris"), **effect: str) -> str:
    proposal = await desk.propose(**effect)
    for person in by:
        await desk.actions.decide(desk.sign(person), proposal, APPROVE)
    return proposal


async def refused(desk: Desk, proposal: str, kind: type[HyokError], code: str) -> None:
    """See that it is not executed, and why."""
    with pytest.raises(kind) as said:
        await desk.actions.execute(desk.sign("anna"), proposal)
    assert said.value.code == code
    assert desk.act.done == []
    if kind is Tampered:
        alarms = [r for r in desk.journal.records if r.action == "approval:alarm"]
        assert {alarm.request_id for alarm in alarms} == {proposal}
        assert "alarm" in desk.hooks.names


async def test_what_was_approved_is_done_once_with_exactly_its_bytes(desk: Desk) -> None:
    proposal = await approved(desk)
    shown = await desk.actions.get(proposal)
    executed = await desk.actions.execute(desk.sign("anna"), proposal)
    assert desk.act.done == [shown.proposal.render()]
    assert executed.done.said == "noted"
    assert (await desk.actions.get(proposal)).standing(desk.now[0]).state == "executed"
    with pytest.raises(Conflict, match="executed"):
        await desk.actions.execute(desk.sign("bram"), proposal)
    assert len(desk.act.done) == 1
    assert desk.hooks.names == ["proposed", "approved", "executed"]


async def test_everything_is_on_the_log_before_and_after(desk: Desk) -> None:
    proposal = await approved(desk)
    await desk.actions.execute(desk.sign("anna"), proposal)
    told = [(r.action, r.phase, r.outcome, r.actor) for r in desk.journal.records]
    assert told == [
        (f"approval:{what}", phase, outcome, f"officer:{who}")
        for what, who in [
            *(("propose", "anna"), ("approve", "bram"), ("approve", "chris"), ("execute", "anna"))
        ]
        for phase, outcome in (("intend", "pending"), ("conclude", "done"))
    ]
    assert all(durable for _, durable in desk.journal.entries)
    desk.journal.away = True
    with pytest.raises(Unavailable):
        await desk.propose()
    rows = await desk.database.read(lambda c: c.execute(select(proposals)).all())
    assert len(rows) == 1


@pytest.mark.parametrize("by", [(), ("bram",)])
async def test_too_few_approvals_execute_nothing(desk: Desk, by: tuple[str, ...]) -> None:
    await refused(desk, await approved(desk, by), Refused, "HY-2506")


async def test_an_author_does_not_approve_under_any_name(desk: Desk) -> None:
    proposal = await desk.propose()
    with pytest.raises(Refused, match="of their own"):
        await desk.actions.decide(desk.sign("anna"), proposal, APPROVE)
    with pytest.raises(Refused) as said:  # the other way she may sign in
        await desk.actions.decide(desk.as_developer("anna"), proposal, APPROVE)
    assert said.value.code in ("HY-2503", "HY-2508")
    stranger = KeySigner(Ed25519PrivateKey.generate())
    with pytest.raises(NotAuthenticated):
        await desk.actions.decide(stranger, proposal, APPROVE)


async def test_two_identities_of_one_person_are_one_person(desk: Desk) -> None:
    beside = desk.beside(development=True)
    proposal = (
        await beside.actions.propose(desk.sign("anna"), Act.EXPORT, {"bucket": "b"}, "waarom")
    ).proposal.proposal_id
    await beside.actions.decide(desk.sign("bram"), proposal, APPROVE)
    for signer in (desk.as_developer("bram"), desk.sign("bram")):
        with pytest.raises(Conflict, match="has decided"):
            await beside.actions.decide(signer, proposal, APPROVE)
    for signer in (desk.as_developer("anna"), desk.sign("anna")):
        with pytest.raises(Refused, match="of their own"):
            await beside.actions.decide(signer, proposal, APPROVE)


async def test_a_key_belongs_to_one_person_for_ever(desk: Desk) -> None:
    effect: dict[str, str | int | list[str]] = {
        "person": "pop",
        "name": "Pop van Anna",
        "roles": ["security-officer"],
        "identities": [desk.keys["anna"].identity],
    }
    case = await desk.actions.propose(desk.sign("anna"), Act.ADD_OFFICER, effect, "pop")
    await desk.actions.decide(desk.sign("bram"), case.proposal.proposal_id, APPROVE)
    with pytest.raises(Conflict, match="anna's"):
        await desk.actions.execute(desk.sign("anna"), case.proposal.proposal_id)
    assert "pop" not in (await desk.register.read()).officers


async def test_nobody_joins_or_leaves_by_one_persons_will(desk: Desk) -> None:
    key = KeySigner(Ed25519PrivateKey.generate())
    effect: dict[str, str | int | list[str]] = {
        "person": "gijs",
        "name": "Gijs",
        "roles": ["process-owner"],
        "identities": [key.identity],
    }
    joining = await desk.actions.propose(desk.sign("anna"), Act.ADD_OFFICER, effect, "nieuw")
    number = joining.proposal.proposal_id
    with pytest.raises(Refused):
        await desk.actions.execute(desk.sign("anna"), number)
    await desk.actions.decide(desk.sign("dewi"), number, APPROVE)
    await desk.actions.execute(desk.sign("anna"), number)
    desk.keys["gijs"] = key
    leaving = await desk.actions.propose(
        desk.sign("gijs"), Act.REVOKE_OFFICER, {"person": "bram"}, "weg"
    )
    number = leaving.proposal.proposal_id
    with pytest.raises(Refused, match="own leaving"):
        await desk.actions.decide(desk.sign("bram"), number, REFUSE)
    proposal = await approved(desk)  # with bram's approval
    await desk.actions.decide(desk.sign("chris"), number, APPROVE)
    await desk.actions.execute(desk.sign("gijs"), number)
    with pytest.raises(NotAuthenticated):
        await desk.actions.decide(desk.sign("bram"), proposal, REFUSE)
    await refused(desk, proposal, Refused, "HY-2506")  # bram's no longer counts


async def taken(desk: Desk, person: str, identity: str, author: str, other: str) -> None:
    """Take one thing that somebody signs with away, by two officers."""
    case = await desk.actions.propose(
        desk.sign(author),
        Act.REMOVE_IDENTITY,
        {"person": person, "identity": identity},
        "laptop gestolen",
    )
    number = case.proposal.proposal_id
    with pytest.raises(Refused):
        await desk.actions.execute(desk.sign(author), number)
    await desk.actions.decide(desk.sign(other), number, APPROVE)
    await desk.actions.execute(desk.sign(author), number)


async def test_a_key_that_was_taken_away_signs_nothing_and_what_it_approved_stops_counting(
    desk: Desk,
) -> None:
    stolen, new = desk.sign("bram"), KeySigner(Ed25519PrivateKey.generate())
    done, waiting = await approved(desk), await approved(desk)
    begun = await desk.propose("bram")
    await desk.actions.execute(desk.sign("anna"), done)
    adding = await desk.actions.propose(
        desk.sign("anna"),
        Act.ADD_IDENTITY,
        {"person": "bram", "identity": new.identity},
        "nieuwe laptop",
    )
    await desk.actions.decide(desk.sign("dewi"), adding.proposal.proposal_id, APPROVE)
    await desk.actions.execute(desk.sign("anna"), adding.proposal.proposal_id)
    await taken(desk, "bram", stolen.identity, "anna", "chris")
    with pytest.raises(NotAuthenticated):
        await desk.actions.decide(stolen, begun, WITHDRAW)
    with pytest.raises(Refused, match="1 more"):  # bram's approval with it
        await desk.actions.execute(desk.sign("anna"), waiting)
    await desk.actions.decide(desk.sign("anna"), begun, APPROVE)
    await desk.actions.decide(desk.sign("chris"), begun, APPROVE)
    with pytest.raises(Refused, match="1 more"):  # who proposed it may have been the thief
        await desk.actions.execute(desk.sign("anna"), begun)
    case = await desk.actions.get(done)  # what was done with it stays what it was
    assert str(case.standing(desk.now[0]).state) == "executed"
    await desk.actions.execute(new, begun)  # bram, with a hand that is his
    for add in (
        lambda: desk.register.add_identity("bram", stolen.identity),
        lambda: desk.register.add_identity("anna", stolen.identity),
    ):
        with pytest.raises(Conflict) as said:
            await add()
        assert said.value.code == "HY-2491"
    await edit(desk, update(officer_identities).values(removed_ms=None))
    with pytest.raises(Tampered):
        await desk.actions.decide(stolen, waiting, REFUSE)


async def test_the_row_of_what_was_taken_away_cannot_be_taken_away_or_given_to_another(
    desk: Desk,
) -> None:
    """Else somebody could register the stolen key once more."""
    await taken(desk, "dewi", desk.keys["dewi"].identity, "anna", "bram")
    row = officer_identities.c
    gone = row.removed_ms.is_not(None)
    await edit(desk, update(officer_identities).where(gone).values(person="bram"))
    with pytest.raises(Tampered):
        await desk.register.read()
    await edit(desk, delete(officer_identities).where(gone))
    with pytest.raises(Tampered):
        await desk.register.read()


async def test_a_stolen_key_does_not_stand_in_the_way_of_its_own_removal(desk: Desk) -> None:
    stolen = desk.sign("bram")
    case = await desk.actions.propose(
        desk.sign("anna"),
        Act.REMOVE_IDENTITY,
        {"person": "bram", "identity": stolen.identity},
        "gestolen",
    )
    for verdict in (REFUSE, APPROVE):
        with pytest.raises(Refused) as said:
            await desk.actions.decide(stolen, case.proposal.proposal_id, verdict)
        assert said.value.code == "HY-2492"


async def test_nobody_becomes_the_only_officer_by_taking_the_others_keys_away(desk: Desk) -> None:
    for person in ("bram", "chris", "dewi"):
        await desk.register.add_identity(person, f"oidc:https://idp.example#{person}")
    await taken(desk, "dewi", desk.keys["dewi"].identity, "anna", "bram")
    await taken(desk, "chris", desk.keys["chris"].identity, "anna", "bram")
    with pytest.raises(Conflict) as said:  # he could still sign in, and decide nothing
        await taken(desk, "bram", desk.keys["bram"].identity, "anna", "dewi")
    assert said.value.code == "HY-2510"
    with pytest.raises(Conflict):
        await desk.register.remove_identity("bram", desk.keys["bram"].identity)
    with pytest.raises(Conflict):
        await desk.register.revoke("bram")
    assert desk.keys["bram"].identity in (await desk.register.read()).identities


async def test_an_archivist_or_a_custodian_is_no_second_who_registers_officers(
    desk: Desk,
) -> None:
    key = KeySigner(Ed25519PrivateKey.generate())
    gone = frozenset({Role.ARCHIVIST})
    await desk.register.add(Officer("arie", "Arie", gone), frozenset({key.identity}))
    await desk.register.revoke("chris")
    await desk.register.revoke("dewi")
    with pytest.raises(Conflict):
        await desk.register.revoke("bram")


@pytest.mark.parametrize("person", ["els", "fatma"])
async def test_auditor_and_custodian_decide_nothing_about_data(desk: Desk, person: str) -> None:
    with pytest.raises(Refused) as said:
        await desk.propose(person)
    assert said.value.code == "HY-2502"
    proposal = await approved(desk)
    for verdict in (APPROVE, REFUSE):
        with pytest.raises(Refused):
            await desk.actions.decide(desk.sign(person), proposal, verdict)
    with pytest.raises(Refused):
        await desk.actions.execute(desk.sign(person), proposal)
    assert desk.act.done == []


async def test_refused_withdrawn_and_expired_are_over(desk: Desk) -> None:
    for verdict, person in ((REFUSE, "dewi"), (REFUSE, "bram"), (WITHDRAW, "anna")):
        proposal = await approved(desk)
        await desk.actions.decide(desk.sign(person), proposal, verdict, "toch niet")
        await refused(desk, proposal, Conflict, "HY-2505")
        with pytest.raises(Conflict):
            await desk.actions.decide(desk.sign("dewi"), proposal, APPROVE)
    proposal = await approved(desk)
    desk.now[0] = (await desk.actions.get(proposal)).proposal.expires_ms
    await refused(desk, proposal, Conflict, "HY-2505")


async def test_more_is_asked_where_the_classification_asks_more_by_now(desk: Desk) -> None:
    proposal = await approved(desk)
    desk.act.quorum = Quorum(3)
    await refused(desk, proposal, Refused, "HY-2506")
    await desk.actions.decide(desk.sign("dewi"), proposal, APPROVE)
    await desk.actions.execute(desk.sign("anna"), proposal)
    assert len(desk.act.done) == 1


async def test_what_it_is_about_may_not_have_changed(desk: Desk) -> None:
    proposal = await approved(desk)
    desk.act.changed = "anders"
    await refused(desk, proposal, Conflict, "HY-2505")


# -- what one row can be made to say ------------------------------------------------------------


async def forged(desk: Desk, proposal: str, how: str) -> None:
    """Edit one row of the database."""
    mine = proposals.c.proposal_id == proposal
    said = officer_decisions.c.proposal_id == proposal
    other = await approved(desk, ("bram", "dewi"), prefix="anders/")
    theirs = await row(desk, proposals, proposal_id=other)
    voted = await row(desk, officer_decisions, proposal_id=other, person="dewi")
    case = await desk.actions.get(proposal)
    lower = replace(case.proposal, quorum=Quorum(1)).render()
    own = await row(desk, officer_decisions, proposal_id=proposal, person="bram")
    statements: dict[str, Executable] = {
        "state set to approved": update(proposals).where(mine).values(state="approved"),
        "state set to executing": update(proposals).where(mine).values(state="executing"),
        "the bytes replaced": update(proposals).where(mine).values(sealed=lower),
        "the bytes of another": update(proposals).where(mine).values(sealed=theirs["sealed"]),
        "one bit of the bytes": update(proposals)
        .where(mine)
        .values(sealed=theirs["sealed"][:-1] + bytes([theirs["sealed"][-1] ^ 1])),
        "another author": update(proposals).where(mine).values(author="dewi"),
        "a longer life": update(proposals).where(mine).values(expires_ms=theirs["expires_ms"] + 1),
        "another act": update(proposals).where(mine).values(act="bucket:publish"),
        "an approver renamed": update(officer_decisions)
        .where(said, officer_decisions.c.person == "bram")
        .values(person="chris"),
        "the author made an approver": update(officer_decisions)
        .where(said, officer_decisions.c.sequence == 0)
        .values(verdict="approve"),
        "the time of an approval": update(officer_decisions)
        .where(said, officer_decisions.c.person == "bram")
        .values(at_ms=own["at_ms"] + 1),
        "an approval added": insert(officer_decisions).values(
            **own | {"sequence": 2, "person": "chris"}
        ),
        "an approval of another proposal": insert(officer_decisions).values(
            **voted | {"proposal_id": proposal, "sequence": 2}
        ),
        "an approval again": insert(officer_decisions).values(
            **own | {"sequence": 2, "verdict": "approve", "person": "bram2"}
        ),
        "a way to sign that counts for nothing": insert(officer_decisions).values(
            **own | {"sequence": 2, "person": "chris", "method": "none", "proof": b""}
        ),
        "an execution": insert(executions).values(
            proposal_id=proposal, executor="anna", claimed_ms=1, outcome="running", sealed=b"x"
        ),
    }
    await edit(desk, statements[how])


EDITS = (
    *("state set to approved", "state set to executing", "the bytes replaced"),
    *("the bytes of another", "one bit of the bytes", "another author", "a longer life"),
    *("another act", "an approver renamed", "the author made an approver"),
    *("the time of an approval", "an approval added", "an approval of another proposal"),
    *("an approval again", "a way to sign that counts for nothing", "an execution"),
)


@pytest.mark.parametrize("how", EDITS)
async def test_one_edited_row_executes_nothing_and_raises_the_alarm(desk: Desk, how: str) -> None:
    proposal = await approved(desk, ("bram",))  # one is missing
    await forged(desk, proposal, how)
    await refused(desk, proposal, Tampered, "HY-2507")
    listed = {found.proposal_id: found.state for found in await desk.approvals.list()}
    assert listed[proposal] == "not genuine"


@pytest.mark.parametrize("verdict", [REFUSE, WITHDRAW])
async def test_a_no_cannot_be_taken_back_in_one_row(desk: Desk, verdict: Verdict) -> None:
    person = "dewi" if verdict is REFUSE else "anna"
    mine = proposals.c.proposal_id
    said = officer_decisions.c.proposal_id
    for statement in (
        lambda p: update(proposals).where(mine == p).values(state="open"),
        lambda p: delete(officer_decisions).where(said == p, officer_decisions.c.sequence == 3),
        lambda p: (
            update(officer_decisions)
            .where(said == p, officer_decisions.c.sequence == 3)
            .values(verdict="approve")
        ),
    ):
        proposal = await approved(desk)
        await desk.actions.decide(desk.sign(person), proposal, verdict)
        await edit(desk, statement(proposal))
        await refused(desk, proposal, Tampered, "HY-2507")
        desk.journal.entries.clear()
        desk.hooks.events.clear()


async def test_an_execution_cannot_be_undone_in_one_row(desk: Desk) -> None:
    for statement in (
        lambda p: update(proposals).where(proposals.c.proposal_id == p).values(state="open"),
        lambda p: delete(executions).where(executions.c.proposal_id == p),
        lambda p: (
            update(executions)
            .where(executions.c.proposal_id == p)
            .values(outcome="running", finished_ms=None)
        ),
    ):
        proposal = await approved(desk)
        await desk.actions.execute(desk.sign("anna"), proposal)
        desk.act.done.clear()
        await edit(desk, statement(proposal))
        await refused(desk, proposal, Tampered, "HY-2507")
        desk.journal.entries.clear()


@pytest.mark.parametrize(
    "statement",
    [
        update(officers).where(officers.c.person == "els").values(roles=["security-officer"]),
        update(officers).where(officers.c.person == "bram").values(name="Bram de Ander"),
        insert(officers).values(
            person="pop", name="pop", roles=["security-officer"], state="active", created_ms=1
        ),
        insert(officer_identities).values(identity="ed25519:00", person="bram", created_ms=1),
        update(officer_identities)
        .where(officer_identities.c.identity == "development:els")
        .values(person="bram"),
        delete(officer_identities).where(officer_identities.c.identity == "development:els"),
        delete(officer_register),
        update(officer_register).values(number=1),
        update(officer_register).values(sealed=b"HYS1"),
    ],
    ids=[
        *("a role", "a name", "a puppet", "a key", "somebody else's login", "a login removed"),
        *("no register", "an older number", "another seal"),
    ],
)
async def test_one_edited_row_of_officers_stops_everything(
    desk: Desk, statement: Executable
) -> None:
    proposal = await approved(desk)
    await edit(desk, statement)
    await refused(desk, proposal, Tampered, "HY-2507")
    with pytest.raises(Tampered):
        await desk.register.read()


async def test_an_officer_who_left_is_not_put_back_by_an_old_row(desk: Desk) -> None:
    old = await row(desk, officers, person="bram")
    await desk.register.revoke("bram")
    await edit(desk, update(officers).where(officers.c.person == "bram").values(**old))
    with pytest.raises(Tampered):
        await desk.register.read()


async def test_an_emptied_register_does_not_make_a_new_beginning(desk: Desk) -> None:
    await approved(desk)
    await edit(desk, delete(officer_identities), delete(officers), delete(officer_register))
    with pytest.raises(Tampered):  # the proposals of those officers still stand there
        await desk.register.read()


# -- whose key it is ----------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["the author's own", "another approver's", "nobody's"])
async def test_a_genuine_signature_of_somebody_else_is_not_an_approval(
    desk: Desk, key: str
) -> None:
    proposal = await approved(desk, ("bram",))
    case = await desk.actions.get(proposal)
    stranger = KeySigner(Ed25519PrivateKey.generate())
    signer = {"the author's own": desk.keys["anna"], "another approver's": desk.keys["bram"]}
    made = Decision(
        proposal_id=proposal,
        digest=case.proposal.digest,
        person="chris",
        verdict=APPROVE,
        at_ms=desk.now[0],
        sequence=2,
        method="ed25519",
    )
    values = {
        "proposal_id": proposal,
        "sequence": 2,
        "person": "chris",
        "verdict": "approve",
        "method": "ed25519",
        "at_ms": desk.now[0],
        "reason": "",
        "proof": await signer.get(key, stranger).sign(made.statement()),
    }
    await edit(desk, insert(officer_decisions).values(**values))
    await refused(desk, proposal, Tampered, "HY-2507")


async def test_a_value_of_the_hsm_is_no_approval_of_somebody_without_that_login(
    desk: Desk,
) -> None:
    soft = desk.beside(development=True)
    case = await soft.actions.propose(desk.sign("anna"), Act.EXPORT, {"bucket": "b"}, "waarom")
    proposal = case.proposal.proposal_id
    made = Decision(
        proposal_id=proposal,
        digest=case.proposal.digest,
        person="chris",  # who has a key and no development login
        verdict=APPROVE,
        at_ms=desk.now[0],
        sequence=1,
        method="development",
    )
    proof = await desk.as_developer("chris").sign(made.statement())
    values = {"proposal_id": proposal, "sequence": 1, "person": "chris", "proof": proof}
    more = {"verdict": "approve", "method": "development", "at_ms": desk.now[0], "reason": ""}
    await edit(desk, insert(officer_decisions).values(**values, **more))
    with pytest.raises(Tampered):
        await soft.actions.execute(desk.sign("anna"), proposal)
    assert desk.act.done == []


async def test_a_clock_that_is_behind_spoils_nothing(desk: Desk) -> None:
    proposal = await desk.propose()
    desk.now[0] -= 5_000
    for person in ("bram", "chris"):
        await desk.actions.decide(desk.sign(person), proposal, APPROVE)
    await desk.actions.execute(desk.sign("anna"), proposal)
    assert len(desk.act.done) == 1


# -- races and crashes --------------------------------------------------------------------------


async def test_of_many_who_execute_at_once_one_does(desk: Desk) -> None:
    proposal = await approved(desk)
    desk.act.before = lambda: asyncio.sleep(0.05)
    desks = [desk, *(desk.beside() for _ in range(3))]
    people = ("anna", "bram", "chris", "dewi")
    answers = await asyncio.gather(
        *(
            one.actions.execute(desk.sign(person), proposal)
            for one, person in zip(desks, people, strict=True)
        ),
        return_exceptions=True,
    )
    assert len(desk.act.done) == 1
    assert sum(isinstance(answer, Conflict) for answer in answers) == 3


async def test_a_refusal_in_the_moment_of_the_claim_wins_or_comes_too_late(desk: Desk) -> None:
    proposal = await approved(desk)
    other = desk.beside()
    execution, refusal = await asyncio.gather(
        desk.actions.execute(desk.sign("anna"), proposal),
        other.actions.decide(desk.sign("dewi"), proposal, REFUSE),
        return_exceptions=True,
    )
    assert isinstance(execution, HyokError) is not isinstance(refusal, HyokError)
    assert len(desk.act.done) == (not isinstance(execution, HyokError))


async def test_a_refusal_between_the_look_and_the_claim_stops_it(desk: Desk) -> None:
    proposal = await approved(desk)
    other, seal = desk.beside(), desk.box.seal

    async def after_a_refusal(purpose: str, plain: bytes) -> bytes:
        """Seal the execution only once somebody has refused: all was proven before."""
        await other.actions.decide(desk.sign("dewi"), proposal, REFUSE)
        return await seal(purpose, plain)

    desk.box.seal = after_a_refusal  # type: ignore[method-assign]
    await refused(desk, proposal, Conflict, "HY-3102")
    assert (await other.actions.get(proposal)).standing(desk.now[0]).state == "refused"


@pytest.mark.parametrize("changed", [{"claimed_ms": 1_800_000_009_000}, {"executor": "dewi"}])
async def test_when_an_execution_began_and_by_whom_cannot_be_changed(
    desk: Desk, changed: dict[str, object]
) -> None:
    proposal = await approved(desk)
    desk.act.fail = [Unavailable("the store is away")]
    with pytest.raises(Unavailable):
        await desk.actions.execute(desk.sign("anna"), proposal)
    await edit(desk, update(executions).values(**changed))
    await refused(desk, proposal, Tampered, "HY-2507")


async def test_what_was_broken_off_is_carried_on_and_what_failed_is_over(desk: Desk) -> None:
    proposal = await approved(desk)
    desk.act.fail = [Unavailable("the store is away")]
    with pytest.raises(Unavailable):
        await desk.actions.execute(desk.sign("anna"), proposal)
    assert (await desk.actions.get(proposal)).standing(desk.now[0]).state == "executing"
    with pytest.raises(Conflict):  # begun is begun: nobody refuses it any more
        await desk.actions.decide(desk.sign("dewi"), proposal, REFUSE)
    began = desk.now[0]
    desk.now[0] += CARRY_ON_MS + 1
    with pytest.raises(Conflict, match="too long ago"):
        await desk.actions.execute(desk.sign("bram"), proposal)
    desk.now[0] = began
    await desk.actions.execute(desk.sign("bram"), proposal)
    assert len(desk.act.done) == 1
    proposal = await approved(desk)
    desk.act.done.clear()
    desk.act.fail = [Refused("no")]
    with pytest.raises(Refused):
        await desk.actions.execute(desk.sign("anna"), proposal)
    await refused(desk, proposal, Conflict, "HY-2505")


# -- development --------------------------------------------------------------------------------


async def test_a_development_installation_still_takes_two_persons(desk: Desk) -> None:
    soft = desk.beside(development=True)
    signer = desk.as_developer("anna")
    case = await soft.actions.propose(signer, Act.EXPORT, {"bucket": "b"}, "kijken")
    proposal = case.proposal.proposal_id
    assert (case.proposal.quorum.approvals, case.proposal.quorum.development) == (1, True)
    with pytest.raises(Refused):
        await soft.actions.decide(signer, proposal, APPROVE)
    with pytest.raises(Refused):
        await soft.actions.execute(signer, proposal)
    await soft.actions.decide(desk.as_developer("bram"), proposal, APPROVE)
    # The same rows in an installation that became production meanwhile.
    await refused(desk, proposal, Refused, "HY-2508")
    await soft.actions.execute(signer, proposal)
    assert len(desk.act.done) == 1


async def test_production_takes_no_development_login(desk: Desk) -> None:
    with pytest.raises(Refused) as said:
        await desk.actions.propose(desk.as_developer("anna"), Act.EXPORT, {"bucket": "b"}, "x")
    assert said.value.code == "HY-2508"
    proposal = await desk.propose()
    with pytest.raises(Refused) as said:
        await desk.actions.decide(desk.as_developer("bram"), proposal, APPROVE)
    assert said.value.code == "HY-2508"


async def test_an_act_that_this_version_cannot_do_is_not_even_proposed(desk: Desk) -> None:
    with pytest.raises(Refused) as said:
        await desk.actions.propose(desk.sign("anna"), Act.DESTROY_KEY, {}, "weg ermee")
    assert said.value.code == "HY-2511"


async def test_without_the_hsm_nobody_decides(desk: Desk) -> None:
    proposal = await approved(desk)
    desk.hsm.away = True
    with pytest.raises(Unavailable):
        await desk.actions.execute(desk.sign("anna"), proposal)
    assert desk.act.done == []
