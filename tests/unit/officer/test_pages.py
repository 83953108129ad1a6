"""The officers' pages: signing in at the provider, and what a form can and cannot do."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.unit.officer.door import CLIENT, ISSUER, ORIGIN, opened

from hyok.database.engine import Database
from hyok.officer.api.who import COOKIE
from hyok.officer.pages.sign_in import ATTEMPT_COOKIE
from hyok.officer.pages.words import _WORDS, STATES

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from tests.unit.officer.door import Door

HTML = {"accept": "text/html"}


async def begun(door: Door, client: httpx.AsyncClient) -> dict[str, str]:
    """Begin to sign in; return what the provider is asked."""
    sent = await client.get("/sign-in/begin")
    assert sent.status_code == 303
    address = urlsplit(sent.headers["location"])
    assert f"{address.scheme}://{address.netloc}" == ISSUER
    return {name: values[0] for name, values in parse_qs(address.query).items()}


async def answered(
    door: Door, client: httpx.AsyncClient, person: str, **changes: object
) -> httpx.Response:
    asked = await begun(door, client)
    door.provider.answers["code-1"] = door.provider.token(
        person, **{"nonce": asked["nonce"], **changes}
    )
    back = {"code": "code-1", "state": asked["state"], "iss": ISSUER}
    return await client.get("/sign-in/callback", params=back, headers=HTML)


async def test_who_signs_in_at_the_provider_sees_the_open_proposals(door: Door) -> None:
    proposal = await door.propose()
    async with door.client() as client:
        page = await client.get("/", headers=HTML)
        assert "/sign-in/begin" in page.text
        assert proposal not in page.text
        asked = await begun(door, client)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert (asked["client_id"], asked["redirect_uri"]) == (CLIENT, f"{ORIGIN}/sign-in/callback")
        page = await answered(door, client, "bram")
        assert page.status_code == 200
        cookie = next(c for c in page.headers.get_list("set-cookie") if c.startswith(COOKIE))
        for word in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
            assert word in cookie
        assert "Domain" not in cookie
        assert door.provider.forms[-1]["code_verifier"]
        page = await client.get("/", headers=HTML)
        assert f'href="/proposals/{proposal}"' in page.text
        shown = await client.get(f"/proposals/{proposal}", headers=HTML)
        case = await door.desk.actions.get(proposal)
        found = re.search(r'<pre id="canonical"[^>]*>(.*?)</pre>', shown.text, re.S)
        assert found is not None
        assert html.unescape(found[1]).encode() == case.proposal.render()
        assert "<script>" not in shown.text
        assert not re.search(r"\son[a-z]+=|style=", shown.text)
    signed_in = [r for r in door.desk.journal.records if r.action == "officer:sign-in"]
    assert [r.actor for r in signed_in] == ["officer:bram"]


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": [CLIENT, "another-client"]},  # without azp it may be for the other
        {"azp": "another-client"},
        {"exp": 1_700_000_000},
        {"iss": "https://login.elders.example"},
        {"sub": "nobody"},
    ],
)
async def test_a_token_that_does_not_answer_this_sign_in_signs_nobody_in(
    door: Door, changes: dict[str, object]
) -> None:
    async with door.client() as client:
        page = await answered(door, client, "bram", **changes)
        assert page.status_code == 401, page.text
        assert COOKIE not in client.cookies
        assert "/sign-in/begin" in (await client.get("/", headers=HTML)).text
    assert door.denied()


async def test_an_answer_is_taken_once_from_the_browser_that_was_sent(door: Door) -> None:
    async with door.client() as client, door.client() as other:
        asked = await begun(door, client)
        attempt = client.cookies[ATTEMPT_COOKIE]
        door.provider.answers["c"] = door.provider.token("bram", nonce=asked["nonce"])
        back = {"code": "c", "state": asked["state"]}
        for params, cookies in [
            (back, {}),  # another browser: somebody else's sign-in is not put on it
            ({**back, "state": "another"}, {ATTEMPT_COOKIE: attempt}),
        ]:
            other.cookies.clear()
            other.cookies.update(cookies)
            page = await other.get("/sign-in/callback", params=params, headers=HTML)
            assert page.status_code == 401
        # The attempt was used up by the wrong answer.
        page = await client.get("/sign-in/callback", params=back, headers=HTML)
        assert page.status_code == 401
        page = await answered(door, client, "bram")
        assert page.status_code == 200
        page = await client.get(
            "/sign-in/callback", params={"code": "code-1", "state": "x"}, headers=HTML
        )
        assert page.status_code == 401


async def test_a_form_refuses_and_withdraws_and_approves_nothing(door: Door) -> None:
    proposal = await door.propose()
    path = f"/proposals/{proposal}"
    async with door.client() as client:
        await answered(door, client, "bram")
        page = await client.get(path, headers=HTML)
        found = re.search(r'name="csrf" content="([0-9a-f]{64})"', page.text)
        assert found is not None
        assert 'value="approve" data-sign disabled' in page.text
        form = {"csrf": found[1], "verdict": "approve", "reason": ""}
        answer = await client.post(f"{path}/decisions", data=form, headers=HTML)
        assert answer.status_code == 403
        assert "HY-2514" in answer.text
        form = {"csrf": "0" * 64, "verdict": "refuse", "reason": ""}
        assert (await client.post(f"{path}/decisions", data=form)).status_code == 403
        form["csrf"] = found[1]
        answer = await client.post(f"{path}/decisions", data=form)
        assert answer.status_code == 303
        assert (await door.desk.actions.get(proposal)).standing(door.desk.now[0]).state == "refused"
        assert (await client.post("/sign-out", data={"csrf": "x"})).status_code == 403
        assert (await client.post("/sign-out", data={"csrf": found[1]})).status_code == 303
        assert "/sign-in/begin" in (await client.get("/", headers=HTML)).text


async def test_every_page_is_there_in_both_languages(door: Door) -> None:
    assert all(all(pair) for pair in (*_WORDS.values(), *STATES.values()))
    async with door.client() as client:
        await answered(door, client, "bram")
        for path in ("/", f"/proposals/{await door.propose()}", "/authenticators", "/none"):
            dutch = await client.get(f"{path}?lang=nl", headers=HTML)
            english = await client.get(f"{path}?lang=en", headers=HTML)
            assert '<html lang="nl">' in dutch.text
            assert '<html lang="en">' in english.text
            assert dutch.headers["content-security-policy"]


async def test_values_of_others_are_text_on_a_page(door: Door) -> None:
    proposal = await door.propose("anna", note="<script>alert(1)</script>")
    async with door.client() as client:
        await answered(door, client, "bram")
        page = await client.get(f"/proposals/{proposal}", headers=HTML)
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert" in page.text


async def test_the_development_login_is_for_development_alone(door: Door, tmp_path: Path) -> None:
    async with door.client() as client:
        answer = await client.post("/sign-in/development", data={"person": "anna"})
        assert answer.status_code == 401
    database = Database(f"sqlite:///{tmp_path}/dev.db")
    database.migrate()
    dev = await opened(database, development=True)
    async with dev.client() as client:
        answer = await client.post("/sign-in/development", data={"person": "anna"})
        assert answer.status_code == 200
        page = await client.get("/?lang=en", headers=HTML)
        assert "DEVELOPMENT" in page.text
    database.close()
