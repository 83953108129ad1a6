"""Officers let somebody make privileged calls of a door: who, what, of what, for how long."""

from __future__ import annotations

import secrets
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.doors.house import NOW_MS, key_store

from hyok.custody.break_glass import GrantBook, PrivilegedCall
from hyok.custody.proposal import Proposal
from hyok.custody.quorum import Act, Quorum, Role
from hyok.custody.secret_box import HsmSecretBox
from hyok.database.tables import proposals
from hyok.errors import HyokError, Malformed, NotFound, Refused
from hyok.officer.door_break_glass import GrantDoorCalls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.doors.house import KeyStore

    from hyok.custody.proposal import Effect


@pytest.fixture
async def aws(tmp_path: Path) -> AsyncIterator[KeyStore]:
    async with key_store(tmp_path) as made:
        yield made


def act_of(aws: KeyStore) -> GrantDoorCalls:
    box = HsmSecretBox(aws.hsm, aws.house.keks, secrets.token_bytes)
    book = GrantBook(aws.house.database, box, aws.house.journal, lambda: aws.house.now[0])
    classes = aws.house.custodian.decisions._classifications
    return GrantDoorCalls(book, aws.catalog, aws.keys, classes)


def wanted(**more: Any) -> Effect:
    effect: Effect = {
        "door": "kacls",
        "tenant": "t",
        "key": "kms",
        "app": "aws-kms",
        "operations": ["privilegedunwrap"],
        "people": ["Jan@gemeente.example"],
        "resources": ["doc-43", "doc-42", "doc-42"],
        "minutes": 30,
        "ticket": "INC-7",
    }
    return effect | more


async def test_it_is_spelled_out_and_takes_whom_the_class_demands(aws: KeyStore) -> None:
    plan = await act_of(aws).plan(wanted())
    limits = aws.house.custodian.decisions._classifications.get("vertrouwelijk").break_glass
    assert limits is not None
    assert plan.quorum == Quorum(limits.approvals, tuple(map(Role, limits.among)))
    assert plan.quorum.approvals >= 1
    assert plan.effect == {
        **wanted(),
        "classification": "vertrouwelijk",
        "people": ["jan@gemeente.example"],
        "resources": ["doc-42", "doc-43"],
        "reach": "named",
    }


@pytest.mark.parametrize(
    ("more", "kind", "code"),
    [
        ({"door": "xks"}, Malformed, "HY-2689"),
        ({"operations": []}, Malformed, "HY-2689"),
        ({"operations": ["unwrap"]}, Malformed, "HY-2689"),
        ({"people": []}, Malformed, "HY-2689"),
        ({"people": ["jan"]}, Malformed, "HY-2689"),
        ({"people": ["@gemeente.example"]}, Malformed, "HY-2689"),
        ({"people": [f"p{n}@x.example" for n in range(21)]}, Malformed, "HY-2689"),
        ({"resources": []}, Malformed, "HY-2689"),
        ({"resources": [""]}, Malformed, "HY-2689"),
        ({"resources": ["a\nb"]}, Malformed, "HY-2689"),
        ({"resources": [f"doc-{n}" for n in range(101)]}, Malformed, "HY-2689"),
        # Every resource, for a person; or every one, and some.
        ({"resources": [], "reach": "every"}, Malformed, "HY-2689"),
        ({"people": ["https://oud.example/v1"], "reach": "every"}, Malformed, "HY-2689"),
        ({"minutes": 0}, Refused, "HY-2513"),
        ({"minutes": 100_000}, Refused, "HY-2513"),
        ({"key": "nergens"}, NotFound, "HY-2601"),
        ({"app": "ander"}, NotFound, "HY-2611"),
        ({"ticket": ""}, Malformed, ""),
    ],
)
async def test_what_cannot_stand(
    aws: KeyStore, more: dict[str, Any], kind: type[HyokError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        await act_of(aws).plan(wanted(**more))
    assert caught.value.code == code


async def test_it_runs_from_the_claim_for_as_long_as_was_approved(aws: KeyStore) -> None:
    act = act_of(aws)
    effect = wanted(people=["https://oud.example/v1/"], resources=[], reach="every")
    plan = await act.plan(effect)
    proposal = Proposal(
        *("P1", Act.BREAK_GLASS_DOOR, "t", "vertrouwelijk", plan.effect, "start", "anna"),
        *(Quorum(1), 1, 2),
    )

    def there(connection: Any) -> None:
        values = {"act": "x", "author": "anna", "state": "executed", "sealed": b"x"}
        connection.execute(
            proposals.insert().values(proposal_id="P1", created_ms=1, expires_ms=2, **values)
        )

    await aws.house.database.run(there)
    case: Any = SimpleNamespace(proposal=proposal, execution=SimpleNamespace(claimed_ms=NOW_MS))
    await act.perform(None, case)  # type: ignore[arg-type]
    await act.perform(None, case)  # type: ignore[arg-type]
    call = PrivilegedCall(
        app="aws-kms",
        tenant="t",
        door="kacls",
        key="kms",
        operation="privilegedunwrap",
        person="https://oud.example/v1",
        resource="wat dan ook",
    )
    assert await act._book.covering_call(call) == "P1"
    (granted,) = await act._book.all()
    assert granted.grant.ends_ms == NOW_MS + 30 * 60_000
    assert granted.grant.ticket == "INC-7"
    aws.house.now[0] += 30 * 60_000
    assert await act._book.covering_call(call) == ""
