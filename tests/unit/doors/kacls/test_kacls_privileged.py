"""Privileged calls: nobody opens or wraps without Google's word unless officers said so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update
from tests.unit.doors.kacls.test_kacls_door import check_error
from tests.unit.doors.kacls.world import (
    KEY,
    ME,
    authentication,
    authorization,
    b64,
    service,
)

from hyok.custody.break_glass import PRIVILEGED_CALLS
from hyok.database.tables import break_glass
from hyok.doors.kacls.rules import PRIVILEGED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.doors.house import FakeExchange
    from tests.unit.doors.kacls.world import Service


@pytest.fixture
async def kacls(tmp_path: Path) -> AsyncIterator[Service]:
    async with service(tmp_path, administrators=["Jan@gemeente.example"]) as made:
        yield made


async def unwrapped(kacls: Service, wrapped: str, **more: Any) -> FakeExchange:
    body = {
        "authentication": authentication(),
        "resource_name": "doc-42",
        "wrapped_key": wrapped,
        "reason": "export",
    }
    return await kacls.send("privilegedunwrap", body | more)


async def rewrapped(kacls: Service, **more: Any) -> FakeExchange:
    body = {
        "authentication": authentication(),
        "resource_name": "doc-42",
        "key": b64(KEY),
        "perimeter_id": "",
        "reason": "import",
    }
    return await kacls.send("privilegedwrap", body | more)


def test_officers_know_every_privileged_call() -> None:
    assert {str(one) for one in PRIVILEGED} == set(PRIVILEGED_CALLS["kacls"])


async def test_without_an_approval_it_is_refused_and_on_record(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    for ask in (unwrapped(kacls, wrapped), rewrapped(kacls)):
        before = len(kacls.records())
        check_error(await ask, 403, "approval")
        (record,) = kacls.records(since=before)
        assert (record.outcome, record.error) == ("denied", "Refused:HY-2685")
        assert "door:kacls" in record.reasons
        assert "resource:doc-42" in record.reasons
        assert any(word.startswith("operation:privileged") for word in record.reasons)
        assert any(word.startswith("caller:") for word in record.reasons)


async def test_with_one_it_is_done_and_each_use_names_the_approval(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    await kacls.grant()
    before = len(kacls.records())
    answer = await unwrapped(kacls, wrapped)
    assert (answer.status, answer.json) == (200, {"key": b64(KEY)})
    answer = await rewrapped(kacls)
    assert answer.status == 200
    used = [r for r in kacls.records(since=before) if r.phase == "intend"]
    assert [r.action for r in used] == ["key:decrypt", "key:encrypt"]
    assert all("proposal:G1" in r.reasons for r in used)
    opened = await kacls.unwrap(answer.json["wrapped_key"])
    assert opened.json == {"key": b64(KEY)}, "what was wrapped so is as what a browser wrapped"


@pytest.mark.parametrize(
    "grant",
    [
        {"keys": ("doc-43",)},
        {"keys": ()},
        {"people": ("piet@gemeente.example",)},
        {"operations": ("privilegedwrap",)},
        {"door": "xks"},
        {"door": ""},
        {"door_key": "ander"},
        {"app": "ander"},
        {"tenant": "ander"},
        {"starts_ms": 1 << 45},
        {"ends_ms": 1},
    ],
)
async def test_an_approval_covers_what_it_names_and_no_more(
    kacls: Service, grant: dict[str, Any]
) -> None:
    wrapped = await kacls.wrapped()
    await kacls.grant(**grant)
    check_error(await unwrapped(kacls, wrapped), 403, "approval")


async def test_an_approval_ends_by_the_clock(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    await kacls.grant()
    assert (await unwrapped(kacls, wrapped)).status == 200
    kacls.aws.house.now[0] += 60_000
    check_error(await unwrapped(kacls, wrapped), 403, "approval")


async def test_an_approval_makes_nobody_an_administrator(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    await kacls.grant(people=(ME, "piet@gemeente.example"))
    who = authentication(email="piet@gemeente.example")
    check_error(await unwrapped(kacls, wrapped, authentication=who), 403, "administrator")
    guest = authentication(guest=True)
    check_error(await unwrapped(kacls, wrapped, authentication=guest), 403, "administrator")


async def test_tokens_and_members_of_privileged_calls(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    await kacls.grant()
    for token in (authorization(), authentication(aud="else"), authentication(exp=1), "x"):
        check_error(await unwrapped(kacls, wrapped, authentication=token), 401)
    for change in ({"resource_name": None}, {"resource_name": "n" * 513}, {"wrapped_key": None}):
        check_error(await unwrapped(kacls, wrapped, **change), 400)
    for change in ({"key": b64(bytes(129))}, {"perimeter_id": 1}, {"key": None}):
        check_error(await rewrapped(kacls, **change), 400)


async def test_another_resources_key_does_not_open_under_an_approved_name(
    kacls: Service,
) -> None:
    other = await kacls.wrapped(may=authorization(resource_name="doc-43"))
    await kacls.grant()
    check_error(await unwrapped(kacls, other), 403, "another resource")


async def test_privileged_calls_keep_to_perimeters_that_there_are(tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "administrators": [ME],
        "perimeters": [{"id": "binnen", "networks": ["10.0.0.0/8"]}],
    }
    async with service(tmp_path, **more) as kacls:
        await kacls.grant()
        check_error(await rewrapped(kacls), 403, "perimeter")
        wrapped = (await rewrapped(kacls, perimeter_id="binnen")).json["wrapped_key"]
        assert (await unwrapped(kacls, wrapped)).status == 200


async def test_policy_is_told_the_perimeter_of_a_privileged_call(kacls: Service) -> None:
    await kacls.grant()
    assert (await rewrapped(kacls, perimeter_id="binnen")).status == 200
    used = [r for r in kacls.records() if r.action == "key:encrypt" and r.phase == "intend"]
    assert ["via:/binnen" in r.reasons for r in used] == [True]


async def test_a_forged_approval_covers_nothing(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    await kacls.grant(people=("piet@gemeente.example",))
    await kacls.aws.house.database.run(
        lambda c: c.execute(update(break_glass).values(sealed=b"vervalst"))
    )
    check_error(await unwrapped(kacls, wrapped), 403, "approval")
    assert any(r.action == "break-glass:alarm" for r in kacls.records())
