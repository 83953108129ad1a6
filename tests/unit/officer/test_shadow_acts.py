"""One security officer puts a policy in shadow; what is enforced is exactly what was seen there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update
from tests.unit.officer.test_policies import FILES, NO_READS, Office, looked, office

from hyok.cli.diagnosis.policies import in_shadow
from hyok.cli.policy_shadow import ENFORCED, LIVE, OVERTAKEN, standing_or_why
from hyok.custody.quorum import Act, Verdict
from hyok.custody.shadow_book import DAY_MS, ShadowBook
from hyok.database.tables import policy_shadow
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Tampered
from hyok.officer.shadow_acts import ShadowDesk
from hyok.policy.bundle import Bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.cli.diagnosis.check import Check
    from hyok.custody.shadow_book import Shadow

__all__ = ["office"]


def desk_of(office: Office) -> ShadowDesk:
    async def used() -> frozenset[str]:
        return frozenset(office.used)

    desk = office.desk
    return ShadowDesk(
        register=desk.register,
        policies=office.book,
        shadows=ShadowBook(desk.database, desk.box, lambda: desk.now[0]),
        used=used,
        journal=desk.journal,
        clock_ms=lambda: desk.now[0],
    )


async def begin(
    office: Office, files: Mapping[str, str] = NO_READS, person: str = "anna", reason: str = "proef"
) -> Shadow:
    return await desk_of(office).begin(office.desk.sign(person), files, reason)


async def test_one_officer_begins_it_on_the_record_and_no_answer_changes(office: Office) -> None:
    made = await begin(office)
    assert (made.by, made.version) == ("officer:anna", 1)
    assert made.sha256 == Bundle(1, NO_READS).digest
    told = [r for r in office.desk.journal.records if r.action == "policy:shadow"]
    assert [(r.outcome, r.actor) for r in told] == [
        ("pending", "officer:anna"),
        ("done", "officer:anna"),
    ]
    assert f"bundle-sha256:{made.sha256}" in told[0].reasons
    assert await looked(office, office.here), "the policy in force decides"
    assert await office.book.history() == []


async def test_what_is_enforced_is_what_was_in_shadow_and_takes_another_officer(
    office: Office,
) -> None:
    await begin(office)
    bundle = await desk_of(office).to_enforce()
    assert bundle.files == NO_READS
    actions, sign = office.desk.actions, office.desk.sign
    case = await actions.propose(
        sign("anna"), Act.PUBLISH_POLICY, {"sha256": bundle.digest}, "het bevalt"
    )
    proposal = case.proposal.proposal_id
    with pytest.raises(Refused):
        await actions.execute(sign("anna"), proposal)
    await actions.decide(sign("bram"), proposal, Verdict.APPROVE)
    await actions.execute(sign("anna"), proposal)
    assert not await looked(office, office.here)
    with pytest.raises(Conflict) as said:
        await desk_of(office).to_enforce()
    assert said.value.code == "HY-2405"


async def test_a_shadow_that_another_policy_overtook_is_not_enforced(office: Office) -> None:
    await begin(office)
    await office.publish(FILES)
    with pytest.raises(Conflict) as said:
        await desk_of(office).to_enforce()
    assert said.value.code == "HY-2405"


@pytest.mark.parametrize(
    ("person", "files", "reason", "error"),
    [
        ("dewi", NO_READS, "proef", Refused),
        ("els", NO_READS, "proef", Refused),
        ("anna", NO_READS, "  ", Malformed),
        ("anna", {"schema.cedarschema": ""}, "proef", Malformed),
        (
            "anna",
            NO_READS | {"cases/gateway.yaml": FILES["cases/gateway.yaml"]},
            "proef",
            Malformed,
        ),
    ],
    ids=["privacy officer", "auditor", "no reason", "no policy", "case fails"],
)
async def test_who_may_not_or_what_could_never_be_in_force_begins_nothing(
    office: Office, person: str, files: dict[str, str], reason: str, error: type[HyokError]
) -> None:
    with pytest.raises(error):
        await begin(office, files, person, reason)
    with pytest.raises(NotFound):
        await desk_of(office).to_enforce()


async def test_a_log_that_is_away_keeps_it_from_beginning(office: Office) -> None:
    office.desk.journal.away = True
    with pytest.raises(HyokError):
        await begin(office)
    office.desk.journal.away = False
    with pytest.raises(NotFound):
        await desk_of(office).to_enforce()


async def test_it_is_stopped_by_one_officer_too(office: Office) -> None:
    await begin(office)
    with pytest.raises(Refused):
        await desk_of(office).stop(office.desk.sign("dewi"))
    await desk_of(office).stop(office.desk.sign("bram"))
    with pytest.raises(NotFound):
        await desk_of(office).to_enforce()
    with pytest.raises(NotFound) as said:
        await desk_of(office).stop(office.desk.sign("bram"))
    assert said.value.code == "HY-2404"


async def looked_at(office: Office, days: float = 0.0) -> Check:
    core: Any = SimpleNamespace(
        shadows=ShadowBook(office.desk.database, office.desk.box, lambda: office.desk.now[0]),
        policies=office.book,
    )
    return await in_shadow(core, office.desk.now[0] + int(days * DAY_MS))


async def test_doctor_says_that_a_shadow_was_forgotten_overtaken_or_edited(office: Office) -> None:
    assert (await looked_at(office)).said == "none"
    await begin(office)
    assert (await looked_at(office, 2.9)).word == "ok"
    late = await looked_at(office, 3.1)
    assert (late.word, late.said[-21:]) == ("warn", "days, by officer:anna")
    assert "hyok policy enforce" in late.next_step
    await office.publish(NO_READS)
    assert (await looked_at(office, 3.1)).said == "none: it came in force"
    await begin(office, FILES)
    await office.publish(NO_READS)
    assert "another policy came in force" in (await looked_at(office)).means

    def edit(connection: Any) -> None:
        connection.execute(update(policy_shadow).values(document=Bundle(9, FILES).render()))

    await office.desk.database.run(edit)
    with pytest.raises(Tampered):
        await looked_at(office)


async def test_the_list_says_where_a_shadow_stands_and_goes_on_when_it_is_edited(
    office: Office,
) -> None:
    core: Any = SimpleNamespace(
        shadows=ShadowBook(office.desk.database, office.desk.box, lambda: office.desk.now[0]),
        policies=office.book,
    )
    assert await standing_or_why(core) is None
    made = await begin(office)
    row = await standing_or_why(core)
    assert row is not None
    assert (row["state"], row["sha256"], row["version"]) == (LIVE, made.sha256, 1)
    await office.publish(FILES)
    row = await standing_or_why(core)
    assert row is not None
    assert row["state"] == OVERTAKEN
    await begin(office, NO_READS)
    await office.publish(NO_READS)
    row = await standing_or_why(core)
    assert row is not None
    assert row["state"] == ENFORCED

    def edit(connection: Any) -> None:
        connection.execute(update(policy_shadow).values(sealed=b"HYS1"))

    await office.desk.database.run(edit)
    row = await standing_or_why(core)
    assert row is not None
    assert "damaged" in str(row["state"])
