"""Officers in a real browser: signed in at a real provider, signing with an authenticator."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e import operated
from tests.e2e.four_eyes import propose
from tests.e2e.officers_door import Place, place
from tests.peers.axe import barriers
from tests.peers.chromium import Chromium

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
ANNA, BRAM = ("--as", "demo-anna"), ("--as", "demo-bram")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("officers")) as made:
        yield made


def told(here: Place, *command: str) -> Any:
    [text, *_] = operated.cli(here.config, [[*command, "--json"]])
    return json.loads(text)


def done(here: Place, *commands: Sequence[str]) -> None:
    operated.cli(here.config, commands)


async def sign_in(browser: Chromium, here: Place, login: str) -> None:
    await browser.go(f"{here.origin}/?lang=en")
    await browser.click('a[href="/sign-in/begin"]')
    await browser.fill('input[name="login"]', login)
    await browser.fill('input[name="password"]', "x")
    await browser.click('button[type="submit"]')
    await browser.wait("document.body.innerText.includes('Authorize')")
    await browser.click('button[type="submit"]')
    await browser.wait("document.body.innerText.includes('Open proposals')")


async def keeps_nobody_out(browser: Chromium, here: Place, *paths: str) -> None:
    """See that axe finds nothing grave in these pages, in either language."""
    for path in paths:
        for language in ("nl", "en"):
            sign = "&" if "?" in path else "?"
            await browser.go(f"{here.origin}{path}{sign}lang={language}")
            assert await browser.run("document.documentElement.lang") == language
            assert await barriers(browser) == [], path


async def register(browser: Chromium, here: Place) -> str:
    """Register the authenticator that is plugged in; return the proposal."""
    await browser.go(f"{here.origin}/authenticators")
    await browser.fill("#reason", "new key")
    await browser.click("#register button")
    await browser.wait("location.pathname.startsWith('/proposals/')")
    return str(await browser.run("location.pathname.split('/')[2]"))


async def test_an_officer_sees_the_bytes_and_signs_them_with_an_authenticator(
    here: Place, tmp_path: Any
) -> None:
    async with Chromium(tmp_path) as browser:
        await browser.authenticator()
        await keeps_nobody_out(browser, here, "/", "/sign-in/callback?error=access_denied")
        await sign_in(browser, here, "bram")
        registered = await register(browser, here)
        await keeps_nobody_out(
            browser, here, "/", "/authenticators", f"/proposals/{registered}", "/proposals/none"
        )
        browser.console.clear()  # of answers that are errors
        done(
            here,
            ["approvals", "approve", registered, *ANNA],
            ["approvals", "execute", registered, *BRAM],  # who was only signed in when asking
        )
        [proposal] = propose(here.config, [ANNA], ["buckets", "publish", "openbaar"])
        await browser.go(f"{here.origin}/proposals/{proposal}")
        shown = await browser.run("document.getElementById('canonical').textContent")
        [row] = told(here, "approvals", "show", proposal)
        assert json.loads(shown)["effect"] == row["effect"]
        assert await browser.run("document.getElementById('digest').textContent") == row["sha256"]
        await browser.click('button[value="approve"]')
        await browser.wait("document.body.innerText.includes('(webauthn)')")
        await browser.click('button[value="execute"]')
        await browser.wait("document.body.innerText.includes('This proposal is over')")
        [row] = told(here, "approvals", "show", proposal)
        assert (row["state"], row["missing"]) == ("executed", 0)
        assert [(d["person"], d["method"]) for d in row["decisions"]] == [
            ("demo-anna", "development"),
            ("demo-bram", "webauthn"),
        ]
        [bucket] = [b for b in told(here, "buckets", "list") if b["bucket"] == "openbaar"]
        assert "public" in json.dumps(bucket).lower()
        # Nothing that the policy of the page stopped.
        assert [line for line in browser.console if here.origin in line] == []
        # Small windows and large letters: nothing runs out at the side.
        await browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=320,
            height=640,
            deviceScaleFactor=1,
            mobile=False,
        )
        for path in ("/", f"/proposals/{proposal}", "/authenticators"):
            await browser.go(here.origin + path)
            assert await browser.run("document.documentElement.scrollWidth") <= 320, path


async def test_a_key_whose_person_is_not_verified_or_is_not_registered_signs_nothing(
    here: Place, tmp_path: Any
) -> None:
    async with Chromium(tmp_path) as browser:
        held = await browser.authenticator(verified=False)
        await sign_in(browser, here, "bram")
        await browser.go(f"{here.origin}/authenticators")
        await browser.fill("#reason", "new key")
        await browser.click("#register button")
        await browser.wait("document.querySelector('#status.failed') !== null")
        await browser.call("WebAuthn.removeVirtualAuthenticator", authenticatorId=held)
        await browser.authenticator()
        waiting = await register(browser, here)  # nobody approves it
        [proposal] = propose(
            here.config, [ANNA], ["buckets", "lower", "intern", "--to", "openbaar"]
        )
        await browser.go(f"{here.origin}/proposals/{proposal}")
        await browser.click('button[value="approve"]')
        await browser.wait("document.querySelector('#status.failed') !== null")
        for one in (proposal, waiting):
            [row] = told(here, "approvals", "show", one)
            assert row["state"] == "open"


def test_the_door_closes_on_whoever_is_slow_or_smuggles(here: Place) -> None:
    port = int(here.origin.rsplit(":", 1)[1])
    context = ssl.create_default_context(cafile=str(here.home / "ca.pem"))

    def said(raw: bytes, seconds: float = 20) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=seconds) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as door,
        ):
            door.sendall(raw)
            try:
                return door.recv(65_536)
            except (ConnectionError, ssl.SSLError):
                return b""

    whole = said(b"GET /v1/sign-in HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert whole.startswith(b"HTTP/1.1 200")
    assert b"content-security-policy" in whole
    both = b"POST /v1/proposals HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
    answer = said(both + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n")
    assert answer.count(b"HTTP/1.1") <= 1
    assert b" 200 " not in answer
    began = time.monotonic()
    assert said(b"GET / HTTP/1.1\r\nHost: loc", 40) == b""
    assert time.monotonic() - began < 30
    text = said(b"GET /v1/none HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert re.search(rb"(?i)content-type: application/problem\+json", text)


def test_dev_serves_a_door_and_a_refusal_at_either_is_on_the_log(
    here: Place,
) -> None:
    context = ssl.create_default_context(cafile=str(here.home / "ca.pem"))

    def asked(origin: str, path: str, **headers: str) -> tuple[int, Any]:
        request = urllib.request.Request(origin + path, headers=headers)
        try:
            with urllib.request.urlopen(request, context=context, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    status, said = asked(here.dev_origin, "/v1/sign-in")
    assert (status, said["development"], said["issuer"]) == (200, True, "")
    status, said = asked(here.dev_origin, "/v1/me", authorization="Development demo-anna")
    assert (status, said["person"]) == (200, "demo-anna")
    status, said = asked(here.origin, "/v1/me", authorization="Bearer x.y.z")
    assert (status, said["status"]) == (401, 401)
    # It is on the audit log of the installation, with where it came from.
    text = (here.home / "audit" / "audit.jsonl").read_text()
    denied = [json.loads(line) for line in text.splitlines() if "officer-api:GET /v1/me" in line]
    assert denied[-1]["outcome"] == "denied"
    assert denied[-1]["origin"] == "127.0.0.1"
