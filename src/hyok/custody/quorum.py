"""Four eyes: who may propose, approve and execute an act, and when enough have approved.

Persons count, not tokens, sessions or keys: an author never approves, and nobody decides twice.
This module knows no database, no HSM and no clock; whoever calls it has verified every decision.

Source: docs/officers.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations
from typing import TYPE_CHECKING

from hyok.errors import Conflict, Malformed, Refused, Tampered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.custody.proposal import Decision, Proposal

APPROVALS_MAX = 9
DAY_MS = 86_400_000


class Role(StrEnum):
    """What an officer answers for."""

    SECURITY = "security-officer"
    OWNER = "process-owner"
    PRIVACY = "privacy-officer"
    ARCHIVIST = "archivist"
    CUSTODIAN = "custodian"  # keeps keys, never sees data
    AUDITOR = "auditor"  # reads, never acts


HELD_ALONE = frozenset({Role.CUSTODIAN, Role.AUDITOR})
"""Roles that go with no other: a custodian decides about no data, an auditor about nothing."""


class Act(StrEnum):
    """What takes more than one person."""

    ADD_OFFICER = "officer:add"
    REVOKE_OFFICER = "officer:revoke"
    ADD_IDENTITY = "officer:add-identity"
    REMOVE_IDENTITY = "officer:remove-identity"
    PUBLISH = "bucket:publish"
    LOWER_BUCKET = "bucket:lower"
    LOWER_OBJECT = "object:lower"
    EXPORT = "object:export"
    DESTROY_KEY = "key:destroy"
    SHRED = "scope:shred"
    PUBLISH_POLICY = "policy:publish"
    BREAK_GLASS = "break-glass:grant"
    BREAK_GLASS_DOOR = "break-glass:door"
    CREATE_DOOR_KEY = "door-key:create"
    DESTROY_DOOR_KEY = "door-key:destroy"


_DATA = frozenset({Role.SECURITY, Role.OWNER, Role.PRIVACY})
_KEYS = frozenset({Role.SECURITY, Role.OWNER, Role.ARCHIVIST, Role.CUSTODIAN})


@dataclass(frozen=True, slots=True)
class ActRule:
    """Whose act it is, and how long a proposal of it stands, in milliseconds.

    ``own_hand``: to approve or execute it takes something that only the person has.
    """

    propose: frozenset[Role]
    approve: frozenset[Role]
    life_ms: int = 7 * DAY_MS
    own_hand: bool = True


WORD_OF_ANOTHER = frozenset({"oidc"})
"""Methods that show what an identity provider says of somebody, and nothing of their own: enough
to ask, to refuse and to make things safer.  Else who runs that provider would be every officer."""


ACTS: Mapping[Act, ActRule] = {
    Act.ADD_OFFICER: ActRule(frozenset({Role.SECURITY}), _DATA),
    Act.REVOKE_OFFICER: ActRule(_DATA, _DATA, own_hand=False),
    Act.ADD_IDENTITY: ActRule(frozenset(Role) - {Role.AUDITOR}, _DATA),  # of their own, mostly
    Act.REMOVE_IDENTITY: ActRule(frozenset(Role) - {Role.AUDITOR}, _DATA),
    Act.PUBLISH: ActRule(_DATA, _DATA),
    Act.LOWER_BUCKET: ActRule(_DATA, _DATA),
    Act.LOWER_OBJECT: ActRule(_DATA, _DATA),
    Act.EXPORT: ActRule(_DATA, _DATA),
    Act.DESTROY_KEY: ActRule(_KEYS, _KEYS),
    Act.PUBLISH_POLICY: ActRule(frozenset({Role.SECURITY}), frozenset({Role.SECURITY})),
    Act.SHRED: ActRule(_DATA | {Role.ARCHIVIST}, _DATA | {Role.ARCHIVIST}),
    Act.BREAK_GLASS: ActRule(_DATA, _DATA, DAY_MS),
    Act.BREAK_GLASS_DOOR: ActRule(_DATA, _DATA, DAY_MS),
    Act.CREATE_DOOR_KEY: ActRule(_DATA, _DATA),
    Act.DESTROY_DOOR_KEY: ActRule(_KEYS, _KEYS),
}


@dataclass(frozen=True, slots=True)
class Quorum:
    """How many persons beside the author approve; ``among``: one of each of these roles.

    ``development``: of an installation with demo officers; production executes none of these.
    """

    approvals: int
    among: tuple[Role, ...] = ()
    development: bool = False


@dataclass(frozen=True, slots=True)
class Officer:
    """One person, as the register knows them."""

    person: str
    name: str
    roles: frozenset[Role]
    active: bool = True


class Verdict(StrEnum):
    """What somebody says of a proposal."""

    PROPOSE = "propose"
    APPROVE = "approve"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"


class State(StrEnum):
    """The life of a proposal."""

    OPEN = "open"
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    EXECUTING = "executing"
    EXECUTED = "executed"
    FAILED = "failed"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.OPEN: frozenset({State.APPROVED, State.REFUSED, State.WITHDRAWN, State.EXPIRED}),
    # Until it is executed, one who looks again can still stop it.
    State.APPROVED: frozenset({State.EXECUTING, State.REFUSED, State.WITHDRAWN, State.EXPIRED}),
    State.EXECUTING: frozenset({State.EXECUTED, State.FAILED}),
    State.REFUSED: frozenset(),
    State.WITHDRAWN: frozenset(),
    State.EXPIRED: frozenset(),
    State.EXECUTED: frozenset(),
    State.FAILED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a proposal stands: its state, whose approvals count, and how many are missing."""

    state: State
    approvers: tuple[str, ...]
    missing: int


def check_transition(state: State, to: State) -> None:
    """Return quietly if a proposal in ``state`` may become ``to``.

    Raises:
        Conflict: it may not (code HY-2505).
    """
    if to not in TRANSITIONS[state]:
        raise Conflict(
            f"The proposal is {state}, so it cannot become {to}.",
            code="HY-2505",
            effect="Nothing was changed.",
            next_step="hyok approvals list",
        )


def check_quorum(quorum: Quorum) -> None:
    """Return quietly if ``quorum`` is one that several persons can reach.

    Raises:
        Malformed: it is zero, negative or too large, or names a role twice (code HY-2510).
    """
    if not 1 <= quorum.approvals <= APPROVALS_MAX:
        raise _no_quorum(f"a quorum of {quorum.approvals} approvals cannot stand")
    if len(set(quorum.among)) != len(quorum.among):
        raise _no_quorum("a quorum names one role twice")
    if len(quorum.among) > quorum.approvals:
        raise _no_quorum(
            f"{quorum.approvals} approvals cannot come from {len(quorum.among)} roles, "
            "each by a person of its own"
        )


def stricter(one: Quorum, other: Quorum) -> Quorum:
    """Return what satisfies both, of one installation and one act."""
    among = one.among + tuple(role for role in other.among if role not in one.among)
    approvals = max(one.approvals, other.approvals, len(among))
    return Quorum(approvals, among, one.development and other.development)


def check_roles(roles: frozenset[Role]) -> None:
    """Return quietly if one person may hold these together.

    Raises:
        Malformed: there is none, or one that goes with no other (code HY-2510).
    """
    alone = sorted(roles & HELD_ALONE)
    if not roles:
        raise _no_quorum("an officer has at least one role")
    if alone and len(roles) > 1:
        raise _no_quorum(f"the role {alone[0]} goes with no other")


def check_propose(act: Act, officer: Officer) -> None:
    """Return quietly if ``officer`` may propose ``act``.

    Raises:
        Refused: the role does not allow it (code HY-2502).
    """
    _check_role(officer, ACTS[act].propose, f"propose {act}")


def check_decision(
    proposal: Proposal,
    decisions: Sequence[Decision],
    standing: Standing,
    officer: Officer,
    verdict: Verdict,
    method: str,
) -> None:
    """Return quietly if ``officer`` may say ``verdict`` of the proposal now, by ``method``.

    Raises:
        Refused: the role does not allow it, it is the author's own, or it takes the officer's own
            hand (HY-2502, HY-2503, HY-2514).
        Conflict: it is no longer open, or the person has decided (HY-2504, HY-2505).
    """
    if verdict is Verdict.WITHDRAW:
        if officer.person != proposal.author:
            raise Refused("Only its author withdraws a proposal; refuse it.", code="HY-2503")
        check_transition(standing.state, State.WITHDRAWN)
        return
    assert verdict is not Verdict.PROPOSE
    _check_role(officer, ACTS[proposal.act].approve, f"decide about {proposal.act}")
    if officer.person == proposal.author:
        raise Refused(
            "An author does not decide about a proposal of their own.",
            code="HY-2503",
            effect="Nothing was changed.",
            next_step="ask another officer, or hyok approvals withdraw",
        )
    said = [found for found in decisions if found.person == officer.person]
    changes_mind = verdict is Verdict.REFUSE and all(d.verdict is Verdict.APPROVE for d in said)
    if said and not changes_mind:
        raise Conflict(
            f"{officer.person} has decided about this proposal.",
            code="HY-2504",
            effect="Nothing was changed.",
        )
    if verdict is Verdict.REFUSE:
        check_transition(standing.state, State.REFUSED)
        return
    check_method(proposal.act, method)
    if standing.state not in (State.OPEN, State.APPROVED):
        check_transition(standing.state, State.APPROVED)


def check_executor(proposal: Proposal, officer: Officer, method: str) -> None:
    """Return quietly if ``officer`` may set off what was approved, by ``method``.

    Raises:
        Refused: the role does not allow it, or it takes their own hand (HY-2502, HY-2514).
    """
    rule = ACTS[proposal.act]
    _check_role(officer, rule.propose | rule.approve, f"execute {proposal.act}")
    check_method(proposal.act, method)


def check_method(act: Act, method: str) -> None:
    """Return quietly if ``method`` is enough to approve or execute ``act``.

    Raises:
        Refused: it takes something that only the person has (code HY-2514).
    """
    if ACTS[act].own_hand and method in WORD_OF_ANOTHER:
        raise Refused(
            f"{act} takes more than being signed in.",
            code="HY-2514",
            effect="Nothing was changed.",
            next_step="use your authenticator on the officers' page, or your key with --key",
        )


def judge(
    proposal: Proposal,
    decisions: Sequence[Decision],
    officers: Mapping[str, Officer],
    now_ms: int,
    needed: Quorum | None = None,
    *,
    by_author: bool = False,
    void: frozenset[int] = frozenset(),
) -> Standing:
    """Return where a proposal stands that nobody has begun to execute.

    ``decisions`` are verified and in the order of their sequence.  Only officers who are active
    count, with the roles that they have now.  ``needed`` is what the classification demands today:
    the stricter of the two holds.  An author who was only signed in is no person yet: one approval
    more is missing, unless the author executes it by their own hand (``by_author``).

    ``void``: what was signed with a key or login that was taken away since; it approves nothing,
    but a refusal stays one.

    Raises:
        Tampered: a decision is missing, moved or of another proposal (code HY-2507).
        Malformed: the quorum cannot stand (code HY-2510).
    """
    quorum = proposal.quorum if needed is None else stricter(proposal.quorum, needed)
    check_quorum(quorum)
    _check_sequence(proposal, decisions)
    stopped = [
        State.REFUSED if found.verdict is Verdict.REFUSE else State.WITHDRAWN
        for found in decisions
        if found.verdict in (Verdict.REFUSE, Verdict.WITHDRAW)
    ]
    approvers = {
        found.person: officers[found.person].roles
        for found in decisions
        if found.verdict is Verdict.APPROVE
        and found.sequence not in void
        and not (ACTS[proposal.act].own_hand and found.method in WORD_OF_ANOTHER)
        and _counts(proposal, officers.get(found.person))
    }
    own_hand = ACTS[proposal.act].own_hand
    word_alone = own_hand and decisions[0].method in WORD_OF_ANOTHER
    absent = (word_alone or decisions[0].sequence in void) and not by_author
    missing = _missing(quorum, approvers, quorum.approvals + absent)
    state = State.OPEN if missing else State.APPROVED
    if stopped:
        state = stopped[0]
    elif now_ms >= proposal.expires_ms:
        state = State.EXPIRED
    return Standing(state, tuple(approvers), missing)


def _check_sequence(proposal: Proposal, decisions: Sequence[Decision]) -> None:
    whole = [found.sequence for found in decisions] == list(range(len(decisions)))
    ours = all(
        (found.proposal_id, found.digest) == (proposal.proposal_id, proposal.digest)
        and proposal.created_ms <= found.at_ms < proposal.expires_ms
        for found in decisions
    )
    begun = bool(decisions) and (decisions[0].verdict, decisions[0].person) == (
        Verdict.PROPOSE,
        proposal.author,
    )
    again = any(found.verdict is Verdict.PROPOSE for found in decisions[1:])
    if not (whole and ours and begun) or again:
        raise Tampered(
            "The decisions about a proposal do not belong together.",
            code="HY-2507",
            effect="Nothing was done.",
            next_step="look who can write to the database; propose the act anew",
        )


def _counts(proposal: Proposal, officer: Officer | None) -> bool:
    return (
        officer is not None
        and officer.active
        and officer.person != proposal.author
        and bool(officer.roles & ACTS[proposal.act].approve)
    )


def _missing(quorum: Quorum, approvers: Mapping[str, frozenset[Role]], wanted: int) -> int:
    """Return how many approvals are missing; each role of ``among`` takes a person of its own."""
    best = 0
    seats = len(quorum.among)
    held = list(approvers.values())
    for chosen in permutations(held, min(seats, len(held))):
        filled = sum(
            role in roles for role, roles in zip(quorum.among, (*chosen, *_NOBODY), strict=False)
        )
        best = max(best, filled)
    return max(wanted - len(approvers), seats - best)


_NOBODY: tuple[frozenset[Role], ...] = (frozenset(),) * APPROVALS_MAX


def _check_role(officer: Officer, allowed: frozenset[Role], what: str) -> None:
    if not officer.active or not officer.roles & allowed:
        raise Refused(
            f"{officer.person} may not {what}: it takes one of {', '.join(sorted(allowed))}.",
            code="HY-2502",
            effect="Nothing was changed.",
            next_step="hyok officers list",
        )


def _no_quorum(cause: str) -> Malformed:
    return Malformed(cause, code="HY-2510", effect="Nothing was changed.")
