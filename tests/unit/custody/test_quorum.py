"""Whatever the order of events: nothing is executed without enough other persons behind it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from hyok.custody.proposal import Decision, Proposal, parse_proposal
from hyok.custody.quorum import (
    ACTS,
    HELD_ALONE,
    TRANSITIONS,
    Act,
    Officer,
    Quorum,
    Role,
    Standing,
    State,
    Verdict,
    check_decision,
    check_executor,
    check_propose,
    check_quorum,
    check_roles,
    check_transition,
    judge,
    stricter,
)
from hyok.errors import Conflict, HyokError, Malformed, Refused, Tampered

PEOPLE = ("anna", "bram", "chris", "dewi", "els", "fatma")
RUNS = 10_000 if os.environ.get("HYOK_LONG") else 1_000


def officer(person: str, *roles: Role, active: bool = True) -> Officer:
    return Officer(person, person.title(), frozenset(roles or {Role.SECURITY}), active)


def proposal(**changed: object) -> Proposal:
    made = Proposal(
        proposal_id="P1",
        act=Act.EXPORT,
        tenant="gemeente",
        classification="vertrouwelijk",
        effect={"bucket": "dossiers", "prefix": "2026/"},
        reason="overdracht",
        author="anna",
        quorum=Quorum(2),
        created_ms=1_000,
        expires_ms=9_000,
    )
    return replace(made, **changed)  # type: ignore[arg-type]  # fields by name


KEY, LOGIN = "ed25519", "oidc"


def said(
    of: Proposal,
    sequence: int,
    person: str,
    verdict: Verdict,
    at_ms: int = 2_000,
    method: str = KEY,
) -> Decision:
    return Decision(of.proposal_id, of.digest, person, verdict, at_ms, sequence, method)


def history(of: Proposal, *others: tuple[str, Verdict]) -> list[Decision]:
    first = said(of, 0, of.author, Verdict.PROPOSE)
    return [first, *(said(of, n, who, what) for n, (who, what) in enumerate(others, 1))]


EVERYBODY = {person: officer(person) for person in PEOPLE}
YES, NO, BACK = Verdict.APPROVE, Verdict.REFUSE, Verdict.WITHDRAW


@pytest.mark.parametrize("approvals", [0, -1, 10])
def test_a_quorum_of_nobody_or_of_nobody_knows_how_many_is_refused(approvals: int) -> None:
    with pytest.raises(Malformed, match="cannot stand"):
        check_quorum(Quorum(approvals))
    made = proposal(quorum=Quorum(approvals))
    with pytest.raises(Malformed):
        judge(made, history(made, ("bram", YES), ("chris", YES)), EVERYBODY, 3_000)


def test_a_role_named_twice_or_more_roles_than_approvals_is_refused() -> None:
    with pytest.raises(Malformed, match="twice"):
        check_quorum(Quorum(2, (Role.OWNER, Role.OWNER)))
    with pytest.raises(Malformed, match="person of its own"):
        check_quorum(Quorum(1, (Role.OWNER, Role.SECURITY)))


@pytest.mark.parametrize(
    ("others", "state", "missing"),
    [
        ([], State.OPEN, 2),
        ([("bram", YES)], State.OPEN, 1),
        ([("bram", YES), ("chris", YES)], State.APPROVED, 0),
        ([("bram", YES), ("chris", YES), ("dewi", NO)], State.REFUSED, 0),
        ([("bram", YES), ("chris", YES), ("bram", NO)], State.REFUSED, 0),
        ([("bram", YES), ("chris", YES), ("anna", BACK)], State.WITHDRAWN, 0),
        # Rows that no check lets through still count for nothing.
        ([("bram", YES), ("bram", YES)], State.OPEN, 1),
        ([("anna", YES), ("bram", YES)], State.OPEN, 1),
    ],
)
def test_persons_are_counted_once_and_never_the_author(
    others: list[tuple[str, Verdict]], state: State, missing: int
) -> None:
    standing = judge(proposal(), history(proposal(), *others), EVERYBODY, 3_000)
    assert (standing.state, standing.missing) == (state, missing)


def test_each_role_of_a_quorum_takes_a_person_of_its_own() -> None:
    made = proposal(quorum=Quorum(2, (Role.OWNER, Role.SECURITY)))
    decided = history(made, ("bram", YES), ("chris", YES))
    both = officer("bram", Role.OWNER, Role.SECURITY)

    def state(chris: Role) -> Standing:
        known = EVERYBODY | {"bram": both, "chris": officer("chris", chris)}
        return judge(made, decided, known, 3_000)

    assert state(Role.PRIVACY).state is State.OPEN
    assert state(Role.OWNER).state is State.APPROVED
    assert state(Role.SECURITY).state is State.APPROVED


def test_an_officer_who_left_or_lost_the_role_counts_no_more() -> None:
    decided = history(proposal(), ("bram", YES), ("chris", YES))
    for changed in (officer("chris", active=False), officer("chris", Role.ARCHIVIST)):
        known = EVERYBODY | {"chris": changed}
        assert judge(proposal(), decided, known, 3_000).state is State.OPEN
    without = {person: found for person, found in EVERYBODY.items() if person != "chris"}
    assert judge(proposal(), decided, without, 3_000).state is State.OPEN


def test_it_expires_at_its_moment_even_when_approved() -> None:
    decided = history(proposal(), ("bram", YES), ("chris", YES))
    assert judge(proposal(), decided, EVERYBODY, 8_999).state is State.APPROVED
    assert judge(proposal(), decided, EVERYBODY, 9_000).state is State.EXPIRED


def test_what_the_classification_demands_today_holds_where_it_is_more() -> None:
    decided = history(proposal(), ("bram", YES), ("chris", YES))
    more = Quorum(3)
    assert judge(proposal(), decided, EVERYBODY, 3_000, more).missing == 1
    less = Quorum(1)
    assert judge(proposal(), decided, EVERYBODY, 3_000, less).state is State.APPROVED
    assert not stricter(Quorum(1, (), development=True), Quorum(2)).development


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d[1:],  # the author's own act is missing
        lambda d: [d[0], d[2]],  # one in between was removed
        lambda d: [d[0], d[2], d[1]],  # they changed places
        lambda d: [d[0], replace(d[1], digest="0" * 64), d[2]],  # of other bytes
        lambda d: [d[0], replace(d[1], proposal_id="P2"), d[2]],  # of another proposal
        lambda d: [replace(d[0], person="bram"), *d[1:]],  # somebody else's act
        lambda d: [*d[:2], replace(d[2], at_ms=9_000)],  # said too late
        lambda d: [*d[:2], replace(d[2], at_ms=999)],  # said before it was proposed
        lambda d: [*d, replace(d[0], sequence=3)],  # proposed twice
    ],
)
def test_decisions_that_do_not_belong_together_are_tampered(spoil: object) -> None:
    decided = history(proposal(), ("bram", YES), ("chris", YES))
    with pytest.raises(Tampered):
        judge(proposal(), spoil(decided), EVERYBODY, 3_000)  # type: ignore[operator]


@pytest.mark.parametrize("role", sorted(HELD_ALONE))
def test_who_keeps_keys_or_audits_holds_no_other_role(role: Role) -> None:
    check_roles(frozenset({role}))
    with pytest.raises(Malformed, match="goes with no other"):
        check_roles(frozenset({role, Role.SECURITY}))


_ENDS = (Act.DESTROY_KEY, Act.DESTROY_DOOR_KEY)


def test_an_auditor_does_nothing_and_a_custodian_nothing_with_data() -> None:
    for act, allowed in ACTS.items():
        assert Role.AUDITOR not in allowed.propose | allowed.approve
        custodians = Role.CUSTODIAN in allowed.propose | allowed.approve
        own = (Act.ADD_IDENTITY, Act.REMOVE_IDENTITY)
        assert custodians is (act in (*_ENDS, *own))
        assert Role.CUSTODIAN not in allowed.approve or act in _ENDS
        with pytest.raises(Refused):
            check_propose(act, officer("anna", Role.AUDITOR))
        with pytest.raises(Refused):
            check_executor(proposal(act=act), officer("anna", Role.AUDITOR), "ed25519")


def test_an_ended_proposal_never_begins_again() -> None:
    ended = [s for s, to in TRANSITIONS.items() if not to]
    assert set(ended) == {
        *(State.REFUSED, State.WITHDRAWN, State.EXPIRED, State.EXECUTED, State.FAILED)
    }
    for state in State:
        for to in set(State) - TRANSITIONS[state]:
            with pytest.raises(Conflict):
                check_transition(state, to)
    assert [s for s, to in TRANSITIONS.items() if State.EXECUTING in to] == [State.APPROVED]


@given(
    effect=st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers(), max_size=4),
    reason=st.text(max_size=20),
    approvals=st.integers(1, 9),
)
def test_a_proposal_comes_back_from_its_bytes_and_from_no_others(
    effect: dict[str, object], reason: str, approvals: int
) -> None:
    made = proposal(effect=effect, reason=reason, quorum=Quorum(approvals, (Role.OWNER,)))
    raw = made.render()
    assert parse_proposal(raw) == made
    for other in (raw + b" ", raw[:-1], b" " + raw, raw.replace(b'"approvals":', b'"approvals": ')):
        with pytest.raises(Tampered):
            parse_proposal(other)


@pytest.mark.parametrize("act", list(Act))
def test_a_login_alone_approves_executes_and_counts_only_where_it_makes_safer(act: Act) -> None:
    roles = ACTS[act].propose & ACTS[act].approve or ACTS[act].approve
    people = {person: officer(person, *roles) for person in PEOPLE}
    made = proposal(act=act, quorum=Quorum(1))
    opened = history(made)
    enough = act is Act.REVOKE_OFFICER
    standing = judge(made, opened, people, 3_000)
    for check in (
        lambda: check_decision(made, opened, standing, people["bram"], YES, LOGIN),
        lambda: check_executor(made, people["bram"], LOGIN),
    ):
        if enough:
            check()
        else:
            with pytest.raises(Refused) as refused:
                check()
            assert refused.value.code == "HY-2514"
    check_decision(made, opened, standing, people["bram"], NO, LOGIN)
    # In the count too, whatever let the decision in.
    forced = [*opened, said(made, 1, "bram", YES, method=LOGIN)]
    assert judge(made, forced, people, 3_000).missing == (0 if enough else 1)
    asked = [said(made, 0, "anna", Verdict.PROPOSE, method=LOGIN), said(made, 1, "bram", YES)]
    assert judge(made, asked, people, 3_000).missing == (0 if enough else 1)
    assert judge(made, asked, people, 3_000, by_author=True).missing == 0


class Interleavings(RuleBasedStateMachine):
    """People, in any order, against what they are let do; judged by what they really did."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000
        self.officers: dict[str, Officer] = {}
        self.decisions: list[Decision] = []
        self.execution: list[int] = []
        # What really happened, kept apart from the code's own account.
        self.approved_by: set[str] = set()
        self.stopped = False

    @initialize(
        roles=st.lists(
            st.sampled_from(
                [
                    {Role.SECURITY, Role.OWNER},
                    {Role.SECURITY},
                    {Role.OWNER, Role.ARCHIVIST},
                    {Role.PRIVACY},
                    {Role.CUSTODIAN},
                    {Role.AUDITOR},
                ]
            ),
            min_size=len(PEOPLE),
            max_size=len(PEOPLE),
        ),
        act=st.sampled_from(sorted(Act)),
        approvals=st.integers(1, 3),
        among=st.sets(st.sampled_from([Role.SECURITY, Role.OWNER]), max_size=2),
        by=st.sampled_from([KEY, KEY, LOGIN]),
    )
    def begin(
        self, roles: list[set[Role]], act: Act, approvals: int, among: set[Role], by: str
    ) -> None:
        for person, held in zip(PEOPLE, roles, strict=True):
            self.officers[person] = officer(person, *held)
        quorum = Quorum(max(approvals, len(among)), tuple(sorted(among)))
        author = next((p for p, o in self.officers.items() if o.roles & ACTS[act].propose), None)
        if author is None:
            author = "anna"
            self.officers[author] = officer(author, *ACTS[act].propose)
        self.proposal = proposal(act=act, quorum=quorum, author=author)
        self.decisions.append(said(self.proposal, 0, author, Verdict.PROPOSE, self.now, by))

    def standing(self, executor: str = "") -> Standing:
        by_author = executor == self.proposal.author
        return judge(self.proposal, self.decisions, self.officers, self.now, by_author=by_author)

    def decide(self, person: str, verdict: Verdict, method: str = KEY) -> None:
        try:
            check_decision(
                self.proposal,
                self.decisions,
                self.standing(),
                self.officers[person],
                verdict,
                method,
            )
        except HyokError:
            return
        if self.execution:
            return  # the rows of a proposal in execution take no more decisions
        number = len(self.decisions)
        self.decisions.append(said(self.proposal, number, person, verdict, self.now, method))
        if verdict is YES:
            if method == KEY or not ACTS[self.proposal.act].own_hand:
                self.approved_by.add(person)
        else:
            self.stopped = True

    @rule(
        people=st.lists(st.sampled_from(PEOPLE), min_size=2, max_size=6),
        by=st.sampled_from([KEY, KEY, KEY, LOGIN]),
    )
    def approve(self, people: list[str], by: str) -> None:
        for person in people:
            self.decide(person, YES, by)

    @rule(person=st.sampled_from(PEOPLE), what=st.sampled_from([NO, BACK, "leave", "leave"]))
    def disturb(self, person: str, what: Verdict | str) -> None:
        if isinstance(what, Verdict):
            self.decide(person, what)
        else:
            self.officers[person] = replace(self.officers[person], active=False)

    @rule(ms=st.integers(1, 2_500))
    def wait(self, ms: int) -> None:
        self.now += ms

    @rule(person=st.sampled_from(PEOPLE))
    def execute(self, person: str) -> None:
        """Claim it as `hyok.custody.approvals` does: one row, and only when it is approved."""
        try:
            check_executor(self.proposal, self.officers[person], KEY)
            state = self.standing(person).state
            check_transition(State.EXECUTING if self.execution else state, State.EXECUTING)
        except HyokError:
            return
        self.execution.append(self.now)
        self.check_execution(person)

    @rule()
    def execute_by_anybody(self) -> None:
        for person in PEOPLE:
            self.execute(person)

    def check_execution(self, executor: str) -> None:
        rule = ACTS[self.proposal.act]
        behind = [
            self.officers[person]
            for person in self.approved_by - {self.proposal.author}
            if self.officers[person].active and self.officers[person].roles & rule.approve
        ]
        quorum = self.proposal.quorum
        assert len(behind) >= quorum.approvals
        hands = {found.person for found in behind}
        if self.decisions[0].method == KEY or executor == self.proposal.author:
            hands.add(self.proposal.author)
        if rule.own_hand:  # as many persons as ever, whoever runs the identity provider
            assert len(hands) >= quorum.approvals + 1
        for wanted in quorum.among:
            assert any(wanted in found.roles for found in behind)
        if len(quorum.among) == 2:
            one, two = quorum.among
            assert any(
                one in x.roles and two in y.roles and x.person != y.person
                for x in behind
                for y in behind
            )
        assert not self.stopped
        assert self.now < self.proposal.expires_ms

    @invariant()
    def is_executed_once_at_most(self) -> None:
        assert len(self.execution) <= 1

    def teardown(self) -> None:
        SEEN["runs"] += 1
        SEEN["executed"] += len(self.execution)
        SEEN["stopped"] += self.stopped
        SEEN["left"] += not all(found.active for found in self.officers.values())


SEEN: Counter[str] = Counter()


def test_no_interleaving_executes_without_the_quorum() -> None:
    SEEN.clear()
    run_state_machine_as_test(
        Interleavings,
        settings=settings(max_examples=RUNS, stateful_step_count=12, deadline=None),
    )
    print(dict(SEEN))
    # The test would show nothing if executions were never reached, or never in the way.
    assert SEEN["runs"] >= RUNS
    assert min(SEEN["executed"], SEEN["stopped"], SEEN["left"]) >= RUNS // 50
