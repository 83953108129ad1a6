"""Officers make a door's key together: for an app of the same tenant, whose only grant it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.doors.house import key_store

from hyok.custody.door_key import WRAPPERS, Usage
from hyok.custody.key_states import KeyState
from hyok.custody.proposal import Proposal
from hyok.custody.quorum import Act, Quorum
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused
from hyok.hsm.port import DOOR_RSA_SIGN
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


async def test_a_pair_is_made_for_decrypting_alone(aws: KeyStore) -> None:
    plan = await act_of(aws).plan(wanted(kind="rsa-2048"))
    assert plan.effect == wanted(kind="rsa-2048", usage=["decrypt"])
    await make(aws, wanted(kind="rsa-2048"))
    await make(aws, {"tenant": "t", "key": "nieuw", "version": NEXT})
    made = await aws.catalog.named("t", "nieuw")
    assert made.kind == "rsa-2048"
    assert [bool(one.spec.public_key) for one in made.versions] == [True, True]
    assert made.versions[0].key_id != made.versions[1].key_id
    with pytest.raises(Conflict):  # the name is that of a pair now
        await act_of(aws).plan(wanted())


@pytest.mark.parametrize("kind", ["aes-256", "rsa-2048"])
async def test_a_key_that_wraps_has_one_version_for_good(aws: KeyStore, kind: str) -> None:
    asked = wanted(usage=["wrap"], **({} if kind == "aes-256" else {"kind": kind}))
    assert (await act_of(aws).plan(asked)).effect == asked
    await make(aws, asked)
    made = await aws.catalog.named("t", "nieuw")
    assert (made.kind, made.sort in WRAPPERS, made.usage) == (kind, True, {Usage.WRAP})
    for version in (NEXT, 2):
        with pytest.raises(Conflict) as said:
            await act_of(aws).plan({"tenant": "t", "key": "nieuw", "version": version})
        assert said.value.code == "HY-2646"


async def test_a_pair_that_signs_opens_nothing(aws: KeyStore) -> None:
    effect = wanted(kind="rsa-2048", usage=["sign"])
    assert (await act_of(aws).plan(effect)).effect == effect
    await make(aws, effect)
    made = await aws.catalog.named("t", "nieuw")
    assert {str(word) for word in made.usage} == {"sign"}
    assert made.newest.spec.profile == DOOR_RSA_SIGN
    await aws.hsm.check(made.newest.spec)
    for usage in (["sign", "decrypt"], ["encrypt"], ["hmac"]):
        with pytest.raises(Malformed):
            await act_of(aws).plan(wanted(key="ander", kind="rsa-2048", usage=usage))


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
        ({"kind": "rsa-1024"}, Malformed, "HY-2600"),
        ({"kind": "rsa-2048", "usage": ["encrypt"]}, Malformed, "HY-2600"),
        ({"kind": "rsa-2048", "key": "kms"}, Conflict, "HY-2609"),
        ({"usage": ["unwrap"]}, Malformed, "HY-2600"),
        ({"usage": ["sign", "encrypt"]}, Malformed, "HY-2600"),
        ({"usage": ["hmac", "decrypt"]}, Malformed, "HY-2600"),
        ({"usage": ["hmac", "sign"]}, Malformed, "HY-2600"),
        ({"usage": ["wrap", "encrypt"]}, Malformed, "HY-2600"),
        ({"kind": "rsa-2048", "usage": ["wrap", "decrypt"]}, Malformed, "HY-2600"),
        ({"kind": "rsa-2048", "usage": ["hmac"]}, Malformed, "HY-2600"),
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
