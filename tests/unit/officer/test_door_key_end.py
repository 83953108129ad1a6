"""Officers end a door's key together: in every token, and only when nobody uses it any more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.doors.house import key_store
from tests.unit.officer.test_door_acts import Approved, act_of, asking, wanted

from hyok.custody.door_key import check_may_end
from hyok.custody.freezes import Freezes, Frozen
from hyok.custody.key_states import KeyState
from hyok.custody.quorum import Act
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Tampered
from hyok.officer.door_acts import DestroyDoorKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.doors.house import KeyStore

    from hyok.custody.proposal import Effect

ALL = 0


@pytest.fixture
async def aws(tmp_path: Path) -> AsyncIterator[KeyStore]:
    async with key_store(tmp_path) as made:
        await made.make("kms", version=2)
        yield made


def freezes_of(aws: KeyStore) -> Freezes:
    return Freezes(aws.house.database, lambda: aws.house.now[0])


def end_of(aws: KeyStore) -> DestroyDoorKey:
    return DestroyDoorKey(
        catalog=aws.catalog,
        hsm=aws.hsm,
        freezes=freezes_of(aws),
        custodian=aws.house.custodian,
        classifications=aws.house.custodian.decisions._classifications,
    )


def ending(version: int = ALL, key: str = "kms") -> Effect:
    return {"tenant": "t", "key": key, "version": version}


def by_officer(approval: str = "P1") -> Any:
    return replace(asking(approval), action=str(Act.DESTROY_DOOR_KEY))


async def end(aws: KeyStore, effect: Effect, approval: str = "P1") -> dict[str, object]:
    plan = await end_of(aws).plan(effect)
    done = await end_of(aws).perform(by_officer(approval), Approved(plan.effect))  # type: ignore[arg-type]
    return done.figures


async def test_a_key_ends_in_the_hsm_with_all_its_versions(aws: KeyStore) -> None:
    sealed = (await aws.encrypt()).json
    await aws.catalog.change_state("t", "kms", KeyState.SUSPENDED)
    plan = await end_of(aws).plan(ending())
    assert plan.quorum.approvals == 2
    assert plan.effect["versions"] == ["1", "2"]
    assert plan.effect["encryptions_at_most"] == 4096
    assert await end_of(aws).plan(plan.effect) == plan, "it is looked at again when executed"
    figures = await end(aws, ending())
    assert (figures["key"], figures["versions"]) == ("t/kms", "1, 2")
    assert figures["tokens"]
    assert not [name for name in aws.hsm._doors if name.startswith("hyok-door/t/kms/")]
    key = await aws.catalog.named("t", "kms")
    assert {key.state, *(one.state for one in key.versions)} == {KeyState.DESTROYED}
    assert (await aws.decrypt(sealed)).json["errorName"] == "InvalidStateException"
    assert (await aws.encrypt()).json["errorName"] == "InvalidStateException"
    records = [r for r in aws.house.journal.records if r.action == "door-key:destroy"]
    assert [(r.outcome, r.kek_id) for r in records] == [
        ("pending", ""),
        ("done", "hyok-door/t/kms/1"),
        ("done", "hyok-door/t/kms/2"),
    ]


async def test_an_older_version_ends_alone_and_the_newer_one_serves(aws: KeyStore) -> None:
    sealed = (await aws.encrypt()).json
    assert (await end(aws, ending(1)))["versions"] == "1"
    assert list(aws.hsm._doors) == ["hyok-door/t/kms/2"]
    assert (await aws.decrypt(sealed)).status == 200
    assert (await aws.catalog.named("t", "kms")).state is KeyState.ACTIVE
    old = sealed | {"ciphertextMetadata": "djE="}
    assert (await aws.decrypt(old)).json["errorName"] == "InvalidStateException"


@pytest.mark.parametrize(
    ("effect", "kind", "code"),
    [
        (ending(), Conflict, "HY-2302"),  # it is in use
        (ending(2), Conflict, "HY-2633"),
        (ending(3), NotFound, "HY-2632"),
        (ending(key="geen"), NotFound, "HY-2601"),
        ({"tenant": "t", "key": "kms"}, Malformed, ""),
        ({"tenant": "t", "key": "kms", "versions": ["x"]}, Malformed, "HY-2600"),
        ({"tenant": "t", "key": "kms", "versions": []}, Malformed, "HY-2600"),
    ],
)
async def test_what_may_not_end_is_not_proposed(
    aws: KeyStore, effect: Effect, kind: type[HyokError], code: str
) -> None:
    with pytest.raises(kind) as said:
        await end_of(aws).plan(effect)
    assert said.value.code == code
    assert len(aws.hsm._doors) == 2


@pytest.mark.parametrize(("what", "name"), [(Frozen.KEY, "t/kms"), (Frozen.TENANT, "t")])
async def test_what_is_frozen_is_kept(aws: KeyStore, what: Frozen, name: str) -> None:
    plan = await end_of(aws).plan(ending(1))
    await freezes_of(aws).freeze(what, name, "anna", "incident")
    with pytest.raises(Conflict) as said:
        await end_of(aws).plan(ending(1))
    assert said.value.code == "HY-2631"
    with pytest.raises(Conflict):  # approved before, frozen since
        await end_of(aws).perform(by_officer(), Approved(plan.effect))  # type: ignore[arg-type]
    assert len(aws.hsm._doors) == 2


async def test_without_approval_nothing_ends(aws: KeyStore) -> None:
    with pytest.raises(Refused):
        await end(aws, ending(1), approval="")
    assert len(aws.hsm._doors) == 2
    assert len((await aws.catalog.named("t", "kms")).living) == 2


async def test_carried_on_after_a_crash_it_ends_what_is_left(aws: KeyStore) -> None:
    await aws.catalog.change_state("t", "kms", KeyState.DEACTIVATED)
    plan = await end_of(aws).plan(ending())
    await aws.catalog.end("t", "kms", [1, 2])
    assert len(aws.hsm._doors) == 2
    for _ in range(2):
        await end_of(aws).perform(by_officer(), Approved(plan.effect))  # type: ignore[arg-type]
        assert not aws.hsm._doors


async def test_another_key_of_the_name_is_left_alone(aws: KeyStore) -> None:
    plan = await end_of(aws).plan(ending(1))
    changed = plan.effect | {"check_values": ["00"]}
    with pytest.raises(Conflict):
        await end_of(aws).perform(by_officer(), Approved(changed))  # type: ignore[arg-type]
    aws.hsm._doors["hyok-door/t/kms/1"] = bytes(32)
    with pytest.raises(Tampered):
        await end_of(aws).perform(by_officer(), Approved(plan.effect))  # type: ignore[arg-type]
    assert len(aws.hsm._doors) == 2


async def test_an_hsm_that_still_answers_is_told(
    aws: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def destroy(_spec: object) -> list[str]:
        return ["a"]

    monkeypatch.setattr(aws.hsm, "destroy_kek", destroy)
    with pytest.raises(Tampered) as said:
        await end(aws, ending(1))
    assert said.value.code == "HY-2314"


async def test_the_name_of_a_key_that_ended_is_not_used_again(aws: KeyStore) -> None:
    await aws.catalog.change_state("t", "kms", KeyState.SUSPENDED)
    plan = await act_of(aws).plan({"tenant": "t", "key": "kms", "version": 0})
    await end(aws, ending())
    for effect in (wanted(key="kms"), {"tenant": "t", "key": "kms", "version": 0}):
        with pytest.raises(Conflict) as said:
            await act_of(aws).plan(effect)
        assert said.value.code == "HY-2630"
    with pytest.raises(Conflict):  # proposed before it ended
        await act_of(aws).perform(asking(), Approved(plan.effect))  # type: ignore[arg-type]
    assert not aws.hsm._doors


async def test_a_version_in_use_is_not_ended_whatever_its_place(aws: KeyStore) -> None:
    key = await aws.catalog.named("t", "kms")
    versions = tuple(replace(one, state=KeyState.ACTIVE) for one in key.versions)
    with pytest.raises(Conflict) as said:
        check_may_end(replace(key, versions=versions), [1])
    assert said.value.code == "HY-2302"
