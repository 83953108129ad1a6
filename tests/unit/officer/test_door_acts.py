"""Officers make a door's key together: for an app of the same tenant, whose only grant it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.doors.house import key_store

from hyok.custody.key_states import KeyState
from hyok.custody.proposal import Proposal
from hyok.custody.quorum import Act, Quorum
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused
from hyok.identity.apps import App
from hyok.officer.door_acts import NEXT, CreateDoorKey
from hyok.vocabulary import Ask, Principal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.doors.house import KeyStore

    from hyok.custody.proposal import Effect


@pytest.fixture
async def aws(tmp_path: Path) -> AsyncIterator[KeyStore]:
    async with key_store(tmp_path) as made:
        yield made


def act_of(aws: KeyStore) -> CreateDoorKey:
    return CreateDoorKey(
        catalog=aws.catalog,
        hsm=aws.hsm,
        apps=aws.keys,
        custodian=aws.house.custodian,
        classifications=aws.house.custodian.decisions._classifications,
    )


def wanted(**more: Any) -> Effect:
    effect: Effect = {
        "tenant": "t",
        "key": "nieuw",
        "version": 1,
        "classification": "vertrouwelijk",
        "apps": ["aws-kms"],
    }
    return effect | more


class Approved:
    """As much of a case as an act looks at."""

    def __init__(self, effect: Effect) -> None:
        self.proposal = Proposal(
            "P1",
            Act.CREATE_DOOR_KEY,
            "t",
            "vertrouwelijk",
            effect,
            "start",
            "anna",
            Quorum(1),
            1,
            2,
        )


def asking(approval: str = "P1") -> Ask:
    officer = Principal("officer:anna", "t", "officer", clearance=100)
    return Ask(officer, str(Act.CREATE_DOOR_KEY), None, "", "P1", "local", 1, approval=approval)


async def make(aws: KeyStore, effect: Effect) -> dict[str, object]:
    act = act_of(aws)
    plan = await act.plan(effect)
    return (await act.perform(asking(), Approved(plan.effect))).figures  # type: ignore[arg-type]


async def test_a_key_is_made_as_it_was_approved(aws: KeyStore) -> None:
    plan = await act_of(aws).plan(wanted(usage=["encrypt"]))
    assert plan.classification == "vertrouwelijk"
    assert plan.quorum.approvals == 2
    assert plan.effect == wanted(usage=["encrypt"])
    figures = await make(aws, wanted())
    assert figures["token_name"] == "hyok-door/t/nieuw/1"
    made = await aws.catalog.named("t", "nieuw")
    assert (made.state, made.apps, len(made.usage)) == (KeyState.ACTIVE, {"aws-kms"}, 2)
    assert (await aws.encrypt(key="nieuw")).status == 200
    records = [r for r in aws.house.journal.records if r.action == "door-key:create"]
    assert [r.outcome for r in records] == ["pending", "done"]


async def test_the_next_version_is_spelled_out_in_the_proposal(aws: KeyStore) -> None:
    effect: Effect = {"tenant": "t", "key": "kms", "version": NEXT}
    plan = await act_of(aws).plan(effect)
    assert plan.effect["version"] == 2
    assert plan.effect["apps"] == ["aws-kms"]
    assert (await make(aws, effect))["version"] == 2
    states = [one.state for one in (await aws.catalog.named("t", "kms")).versions]
    assert states == [KeyState.DEACTIVATED, KeyState.ACTIVE]


async def test_carried_on_after_a_crash_it_makes_nothing_twice(aws: KeyStore) -> None:
    await make(aws, wanted())
    value = aws.key_value("nieuw")
    await make(aws, wanted())
    assert aws.key_value("nieuw") == value
    assert len((await aws.catalog.named("t", "nieuw")).versions) == 1


async def test_a_number_that_a_crash_spent_is_passed_over(aws: KeyStore) -> None:
    await aws.hsm.create_door_key("hyok-door/t/nieuw/1")
    assert (await make(aws, wanted()))["version"] == 2
    assert (await aws.encrypt(key="nieuw")).status == 200


async def test_without_approval_nothing_is_made(aws: KeyStore) -> None:
    act = act_of(aws)
    plan = await act.plan(wanted())
    with pytest.raises(Refused):
        await act.perform(asking(approval=""), Approved(plan.effect))  # type: ignore[arg-type]
    assert await aws.catalog.find("t", "nieuw") is None


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"key": "met_streep"}, Malformed, "HY-2600"),
        ({"key": "x" * 65}, Malformed, "HY-2600"),
        ({"apps": []}, Malformed, "HY-2600"),
        ({"apps": ["zaken"]}, Malformed, "HY-2600"),
        ({"usage": ["sign"]}, Malformed, "HY-2600"),
        ({"apps": ["onbekend"]}, NotFound, "HY-2611"),
        ({"tenant": "buur"}, NotFound, "HY-2611"),
        ({"classification": "gerubriceerd"}, Refused, "HY-2610"),
        ({"version": NEXT}, NotFound, "HY-2601"),
        ({"key": "kms", "usage": ["encrypt"]}, Conflict, "HY-2609"),
        ({"key": "kms", "apps": ["ander"]}, Conflict, "HY-2609"),
    ],
)
async def test_what_cannot_stand_is_not_proposed(
    aws: KeyStore, change: dict[str, Any], kind: type[HyokError], code: str
) -> None:
    await aws.keys.create_app(App("zaken", "t", 50, frozenset({"read", "use-keys"})))
    with pytest.raises(kind) as said:
        await act_of(aws).plan(wanted(**change))
    assert said.value.code == code
