"""The officers' door: one way in for each officer, every answer by the rules, every act once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.unit.officer.door import registered

from hyok.custody.break_glass import Grant
from hyok.identity.passkeys import Site
from hyok.officer.door import build_door

if TYPE_CHECKING:
    from tests.unit.officer.door import Door

LISTS = ("officers", "identities", "proposals", "break-glass-grants", "buckets", "apps", "keys")


def is_problem(answer: httpx.Response, status: int, code: str = "") -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == status
    assert said["title"]
    assert said["detail"]
    if code:
        assert said["code"] == code, said


async def test_a_token_of_the_provider_leads_to_its_person(door: Door) -> None:
    answer = await door.ask("anna", "GET", "/v1/me")
    assert answer.status_code == 200
    said = answer.json()
    assert (said["person"], said["method"]) == ("anna", "oidc")
    assert said["roles"] == ["process-owner", "security-officer"]


@pytest.mark.parametrize("name", [*LISTS, "classifications"])
async def test_every_officer_reads_every_list_in_pages(door: Door, name: str) -> None:
    answer = await door.ask("els", "GET", f"/v1/{name}?pageSize=1")
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert len(said["items"]) == min(1, said["total"])
    if said["total"] > 1:
        assert 'page=2&pageSize=1>; rel="next"' in answer.headers["link"]
    is_problem(await door.ask("", "GET", f"/v1/{name}"), 401, "HY-2517")


async def test_every_answer_has_the_headers_that_the_rules_want(door: Door) -> None:
    for method, path in [
        *(("GET", "/v1/me"), ("GET", "/v1/openapi.json"), ("GET", "/v1/none")),
        *(("POST", "/v1/me"), ("PUT", "/v1/proposals"), ("POST", "/v1/proposals")),
    ]:
        answer = await door.ask("anna", method, path)
        assert answer.headers["api-version"] == "1.0.0", path
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "strict-transport-security" not in answer.headers  # localhost is not only ours


async def test_browsers_come_back_by_https_to_a_host_of_its_own(door: Door) -> None:
    site = Site("hyok.example", "https://hyok.example")
    app = build_door(replace(door.services, site=site), body_bytes_max=1_024)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=site.origin) as client:
        answer = await client.get("/v1/sign-in")
    assert answer.headers["strict-transport-security"].startswith("max-age=")


async def test_every_failure_is_a_problem_and_invalid_is_400_with_all_of_it(door: Door) -> None:
    is_problem(await door.ask("anna", "GET", "/v1/none"), 404)
    is_problem(await door.ask("anna", "GET", "/v1/proposals/"), 404)
    wrong = await door.ask("anna", "PUT", "/v1/proposals")
    is_problem(wrong, 405)
    assert "GET" in wrong.headers["allow"]
    is_problem(await door.ask("anna", "GET", "/v1/proposals/0000000000000000"), 404, "HY-2505")
    body = {"act": "no:act", "effect": {}, "extra": 1}
    invalid = await door.ask("anna", "POST", "/v1/proposals", body)
    is_problem(invalid, 400)
    assert {one["location"] for one in invalid.json()["errors"]} == {
        *("body.act", "body.reason", "body.extra")
    }
    async with door.client("anna") as client:
        is_problem(await client.post("/v1/proposals", content=b"{"), 400)
        is_problem(await client.post("/v1/proposals", content=b" " * 200_000), 413)
    unknown = {"act": "key:destroy", "effect": {}, "reason": "r"}
    is_problem(await door.ask("anna", "POST", "/v1/proposals", unknown), 403, "HY-2511")


async def test_the_same_idempotency_key_makes_one_proposal(door: Door) -> None:
    body = {"act": "object:export", "effect": {"bucket": "b"}, "reason": "waarom"}
    key = {"idempotency-key": "0123456789"}
    first = await door.ask("anna", "POST", "/v1/proposals", body, **key)
    again = await door.ask("anna", "POST", "/v1/proposals", body, **key)
    assert first.status_code == again.status_code == 201
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == f"/v1/proposals/{first.json()['id']}"
    other = body | {"reason": "iets anders"}
    is_problem(await door.ask("anna", "POST", "/v1/proposals", other, **key), 409, "HY-2515")
    theirs = await door.ask("bram", "POST", "/v1/proposals", body, **key)
    assert theirs.json()["id"] != first.json()["id"]


async def test_what_is_shown_is_exactly_what_is_approved(door: Door) -> None:
    proposal = await door.propose()
    shown = (await door.ask("els", "GET", f"/v1/proposals/{proposal}")).json()
    case = await door.desk.actions.get(proposal)
    assert shown["canonical"].encode() == case.proposal.render()
    assert shown["sha256"] == case.proposal.digest
    assert shown["state"] == "open"
    assert [d["method"] for d in shown["decisions"]] == ["oidc"]


async def test_to_be_signed_in_is_enough_to_ask_and_to_refuse_but_not_to_approve(
    door: Door,
) -> None:
    proposal = await door.propose()
    path = f"/v1/proposals/{proposal}/decisions"
    is_problem(await door.ask("bram", "POST", path, {"verdict": "approve"}), 403, "HY-2514")
    refused = await door.ask("bram", "POST", path, {"verdict": "refuse", "reason": "nee"})
    assert refused.status_code == 201
    assert refused.json()["state"] == "refused"


async def test_authenticators_approve_and_execute_it(door: Door) -> None:
    bram, chris = await registered(door, "bram"), await registered(door, "chris")
    effect = {"person": "gert", "name": "Gert", "roles": ["archivist"]}
    effect["identities"] = [f"oidc:https://login.gemeente.example#sub-gert"]  # noqa: F541
    body = {"act": "officer:add", "effect": effect, "reason": "nieuwe collega"}
    proposal = (await door.ask("anna", "POST", "/v1/proposals", body)).json()["id"]
    dewi = await registered(door, "dewi")
    assert (await door.decide("dewi", proposal, "approve", dewi)).json()["missing"] == 1
    approved = await door.decide("chris", proposal, "approve", chris)
    assert approved.status_code == 201, approved.text
    assert approved.json()["state"] == "approved"
    path = f"/v1/proposals/{proposal}/executions"
    is_problem(await door.ask("bram", "POST", path, {}), 403, "HY-2514")
    signature = await door.signed("bram", proposal, "execute", bram)
    done = await door.ask("bram", "POST", path, {"signature": signature})
    assert done.status_code == 201, done.text
    assert "gert" in done.json()["said"]
    assert (await door.ask("gert", "GET", "/v1/me")).json()["person"] == "gert"
    # Later, from the rows alone: who approved and who executed, each with an authenticator.
    case = await door.desk.beside().actions.get(proposal)
    assert [d.method for d in case.decisions] == ["oidc", "webauthn", "webauthn"]
    assert case.execution is not None
    assert (case.execution.method, case.execution.executor) == ("webauthn", "bram")


async def test_the_audit_log_is_for_auditors(door: Door) -> None:
    door.records.append({"action": "object:get", "at_ms": 1, "reasons": ["r"], "request_id": "x"})
    path = "/v1/audit-records?requestId=0123456789ABCDEF"
    found = await door.ask("els", "GET", path)
    assert found.json()["items"] == door.records
    looked = [r for r in door.desk.journal.records if r.action == "audit:search"]
    assert [(r.actor, r.reasons) for r in looked] == [
        ("officer:els", ("request:0123456789ABCDEF",))
    ]
    is_problem(await door.ask("chris", "GET", path), 403, "HY-2502")
    is_problem(await door.ask("els", "GET", "/v1/audit-records?requestId=x"), 400)


async def test_a_development_login_is_for_development_alone(door: Door) -> None:
    answer = await door.ask("", "GET", "/v1/me", authorization="Development anna")
    is_problem(answer, 401, "HY-2508")


async def test_the_log_says_where_an_act_came_from(door: Door) -> None:
    proposal = await door.propose()
    made = [r for r in door.desk.journal.records if r.request_id == proposal]
    assert {r.origin for r in made} == {"192.0.2.7"}


async def test_a_client_that_keeps_failing_has_to_wait(door: Door) -> None:
    answers = [await door.ask("", "GET", "/v1/me") for _ in range(62)]
    assert answers[0].status_code == 401
    is_problem(answers[-1], 429)
    assert answers[-1].headers["retry-after"]
    assert len(door.denied()) <= 61


async def test_a_fault_of_ours_is_a_problem_too_and_says_nothing_of_it(door: Door) -> None:
    def broken(_: str) -> list[dict[str, object]]:
        raise RuntimeError("geheim detail")

    object.__setattr__(door.services, "records", broken)
    answer = await door.ask("els", "GET", "/v1/audit-records?requestId=0123456789ABCDEF")
    is_problem(answer, 500)
    assert "geheim" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_grant_is_ended_and_reviewed_by_officers_who_are_signed_in(door: Door) -> None:
    proposal, now = await door.propose("anna"), door.desk.now[0]
    grant = Grant(
        *(proposal, "noodlezer", "gemeente", "geheim", ("zaak-1",), "", "geheim", 50, "INC-7"),
        *("anna", now, now + 1_800_000),
    )
    await door.services.break_glass.book.add(grant)
    path = f"/v1/break-glass-grants/{proposal}"
    shown = (await door.ask("els", "GET", path)).json()
    assert (shown["running"], shown["reviewer"], shown["keys"]) == (True, "", ["zaak-1"])
    finding = {"finding": "terecht"}
    is_problem(await door.ask("els", "POST", f"{path}/endings"), 403, "HY-2502")
    is_problem(await door.ask("bram", "POST", f"{path}/reviews", finding), 409, "HY-2505")
    ended = await door.ask("chris", "POST", f"{path}/endings")
    assert ended.status_code == 201
    assert ended.json()["running"] is False
    is_problem(await door.ask("anna", "POST", f"{path}/reviews", finding), 403, "HY-2503")
    reviewed = await door.ask("bram", "POST", f"{path}/reviews", finding)
    assert (reviewed.json()["reviewer"], reviewed.json()["finding"]) == ("bram", "terecht")
    listed = (await door.ask("els", "GET", "/v1/break-glass-grants")).json()
    assert [one["id"] for one in listed["items"]] == [proposal]
