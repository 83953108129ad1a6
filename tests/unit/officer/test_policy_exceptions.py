"""Exceptions are approved with their bundle, end by the clock everywhere, and are an alarm then."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.unit.officer.test_policies import FILES, MAY_READ, Office, Process, looked, office

from hyok.cli.diagnosis.policies import exceptions as doctor
from hyok.cli.policy_exceptions import ENDED, HOLDS, SOON, state_of
from hyok.custody.exceptions import ExceptionWatch, first_approved
from hyok.custody.quorum import Verdict
from hyok.custody.told import ToldOnce
from hyok.errors import HyokError, Malformed, Unavailable
from hyok.policy.exceptions import DAY_MS

if TYPE_CHECKING:
    from hyok.custody.cases import Case
    from hyok.policy.decision import Question

__all__ = ["office"]

BELOW = MAY_READ._replace(
    classification="vertrouwelijk",
    level=30,
    principal=replace(MAY_READ.principal, clearance=20),
)


def day(office: Office, days: int) -> date:
    return date(1970, 1, 1) + timedelta(days=office.desk.now[0] // DAY_MS + days)


def with_exception(until: date, name: str = "inzage", bucket: str = "intern") -> dict[str, str]:
    exception = {
        "id": name,
        "lifts": {"kind": "rule", "rule": "app-clearance", "app": "lezer", "bucket": bucket},
        "reason": "tot de rol is aangepast",
        "owner": "chris",
        "until": until,
    }
    return FILES | {"exceptions.yaml": yaml.safe_dump([exception])}


def may(process: Process, question: Question = BELOW) -> bool:
    return process.engine.decide(question).allowed


async def effect_of(office: Office, proposal: str) -> dict[str, Any]:
    case: Case = await office.desk.approvals.get(proposal)
    return dict(case.proposal.effect)


async def test_an_exception_holds_from_its_publication_until_its_end(office: Office) -> None:
    other = Process(office.desk)
    until = day(office, 40)
    proposal = await office.propose(with_exception(until))
    effect = await effect_of(office, proposal)
    assert effect["exceptions"] == [
        f"inzage: app-clearance for app lezer in bucket intern, until {until}, owner chris: "
        "tot de rol is aangepast"
    ], "the approvers read what they let pass"
    await looked(office, other)
    assert not may(other)
    await office.desk.actions.decide(office.desk.sign("bram"), proposal, Verdict.APPROVE)
    await office.desk.actions.execute(office.desk.sign("anna"), proposal)
    await looked(office, other)
    assert may(other)
    ends_ms = other.keeper.exceptions[0].ends_ms
    office.desk.now[0] = ends_ms - 1
    assert may(other)
    office.desk.now[0] = ends_ms
    assert not may(other), "by the clock, without anybody looking"
    assert other.reads, "what the rules permit goes on"


async def test_the_end_of_an_exception_takes_no_policy_out_of_force(office: Office) -> None:
    await office.publish(with_exception(day(office, 40)))
    office.desk.now[0] += 50 * DAY_MS
    fresh = Process(office.desk)
    assert await looked(office, fresh), "a process that starts then decides by it"
    assert fresh.keeper.version == 1
    assert not may(fresh)


def watch(office: Office, process: Process) -> ExceptionWatch:
    def clock_ms() -> int:
        return office.desk.now[0]

    told = ToldOnce(office.desk.database, office.desk.journal, clock_ms)
    return ExceptionWatch(process.keeper, told, clock_ms)


async def test_its_end_is_an_alarm_in_the_log_once_whoever_tells_it(office: Office) -> None:
    await office.publish(with_exception(day(office, 40)))
    other = Process(office.desk)
    await looked(office, other)
    watches = [watch(office, office.here), watch(office, other)]

    def told() -> list[Any]:
        return [r for r in office.desk.journal.records if r.action == "policy:exception-ended"]

    for one in watches:
        await one.tell_ended()
    assert told() == []
    office.desk.now[0] += 41 * DAY_MS
    office.desk.journal.away = True
    with pytest.raises(Unavailable):
        await watches[0].tell_ended()
    office.desk.journal.away = False
    for one in [*watches, *watches, watch(office, other)]:
        await one.tell_ended()
    [record] = told()
    assert (record.outcome, record.bucket_id) == ("failed", "intern")
    assert record.reasons[:3] == ("exception:inzage", "lifted:app-clearance", "owner:chris")


@pytest.mark.parametrize(
    ("days", "state", "word"), [(40, HOLDS, "ok"), (20, SOON, "warn"), (0, SOON, "warn")]
)
async def test_doctor_warns_for_thirty_days_and_fails_afterwards(
    office: Office, days: int, state: str, word: str
) -> None:
    await office.publish(with_exception(day(office, days)))
    core: Any = SimpleNamespace(policy=office.here.keeper)
    [exception] = office.here.keeper.exceptions
    assert state_of(exception, office.desk.now[0]) == state
    assert doctor(core, office.desk.now[0]).word == word
    assert doctor(core, exception.ends_ms).word == "FAIL"
    assert "inzage" in doctor(core, exception.ends_ms).said
    assert state_of(exception, exception.ends_ms) == ENDED


@pytest.mark.parametrize(
    ("days", "code"), [(-1, "HY-2408"), (366, ""), (400, "HY-2408")], ids=["ended", "year", "over"]
)
async def test_one_that_has_ended_or_lasts_over_a_year_is_not_proposed(
    office: Office, days: int, code: str
) -> None:
    if not code:
        await office.propose(with_exception(day(office, days - 1)))
        return
    with pytest.raises(Malformed) as said:
        await office.propose(with_exception(day(office, days)))
    assert said.value.code == code


async def test_publishing_again_draws_none_out_beyond_a_year_of_its_first_approval(
    office: Office,
) -> None:
    await office.publish(with_exception(day(office, 300)))
    first = office.desk.now[0]
    office.desk.now[0] += 200 * DAY_MS
    await office.publish(with_exception(day(office, 150)))  # 350 days after the first approval
    with pytest.raises(HyokError) as said:
        await office.publish(with_exception(day(office, 200)))
    assert getattr(said.value, "code", "") == "HY-2408"
    approved = await first_approved(office.book)
    assert approved["inzage"][0] == first
    # What is asked for anew, under an id of its own, is approved anew.
    await office.publish(with_exception(day(office, 200), "inzage-2"))
    with pytest.raises(HyokError) as said:
        await office.publish(with_exception(day(office, 100), "inzage", "anders"))
    assert getattr(said.value, "code", "") == "HY-2409"


async def test_one_that_ends_between_approval_and_execution_is_not_published(
    office: Office,
) -> None:
    proposal = await office.propose(with_exception(day(office, 2)))
    await office.desk.actions.decide(office.desk.sign("bram"), proposal, Verdict.APPROVE)
    office.desk.now[0] += 4 * DAY_MS
    with pytest.raises(Malformed) as said:
        await office.desk.actions.execute(office.desk.sign("anna"), proposal)
    assert said.value.code == "HY-2408"
    assert await office.book.history() == []
