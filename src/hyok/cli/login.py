"""`hyok login` and `hyok logout`: an officer signs in at the identity provider, in a browser.

The provider sends the browser back to a port of loopback that listens for this one answer.

Source: RFC 8252 (OAuth 2.0 for native apps), sections 7.3 and 8.
"""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl, urlsplit

import typer

from hyok.cli.logins import StoredLogin, forget, store
from hyok.cli.remote import AddressOption, CaOption, ask
from hyok.cli.screen import mark, say
from hyok.errors import Malformed, Unavailable
from hyok.officer.config import OidcSettings
from hyok.sign_in import build_sign_in
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.identity.oidc import OidcSignIn, Tokens
    from hyok.identity.tokens import WebIdentity

ANSWER_SECONDS_MAX = 300.0
HEAD_BYTES_MAX = 16_384
CALLBACK = "/callback"
PAGE = (
    "<!doctype html><html lang='nl'><meta charset='utf-8'><title>hyok</title>"
    "<p>U kunt dit venster sluiten en terug naar de opdrachtregel.</p>"
    "<p lang='en'>You can close this window and go back to the command line.</p></html>"
)


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.command()(login)
    root.command()(logout)


def login(
    api: AddressOption,
    ca_file: CaOption = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address; open no browser.")
    ] = False,
) -> None:
    """Sign in at the identity provider of an officer API, and keep the login for this user."""
    how = ask(api, "GET", "/v1/sign-in", ca_file=ca_file)
    if not how["issuer"]:
        raise Malformed(f"{api} names no identity provider", next_step="[officers.oidc] there")
    settings = OidcSettings(
        issuer=how["issuer"],
        client_id=how["clientId"],
        scopes=tuple(how["scopes"]),
        ca_file=ca_file,
    )
    sign_in = build_sign_in(settings, clock_ms)
    assert sign_in is not None
    found, tokens = asyncio.run(_sign_in(sign_in, no_browser=no_browser))
    kept = stored(api, settings, found, tokens, ca_file)
    store(kept)
    me = ask(api, "GET", "/v1/me", token=kept.id_token, ca_file=ca_file)
    mark("ok", f"signed in at {api} as {me['person']} ({', '.join(me['roles'])})")


def logout(api: AddressOption) -> None:
    """Forget the login on this machine."""
    forget(api)
    mark("ok", f"signed out of {api} here")


def stored(
    api: str,
    settings: OidcSettings,
    found: WebIdentity,
    tokens: Tokens,
    ca_file: Path | None,
) -> StoredLogin:
    """Return what is kept of a sign-in."""
    return StoredLogin(
        api=api,
        issuer=settings.issuer,
        client_id=settings.client_id,
        scopes=settings.scopes,
        id_token=tokens.id_token,
        refresh_token=tokens.refresh_token,
        expires_s=found.expires_s,
        ca_file=str(ca_file.absolute()) if ca_file is not None else "",
    )


async def _sign_in(sign_in: OidcSignIn, *, no_browser: bool) -> tuple[WebIdentity, Tokens]:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Mapping[str, str]] = loop.create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
            parts = urlsplit(target)
            ours = method == "GET" and parts.path == CALLBACK
            if ours and not answer.done():
                answer.set_result(dict(parse_qsl(parts.query, max_num_fields=32)))
            status = "200 OK" if ours else "404 Not Found"
            body = PAGE.encode() if ours else b""
            headers = (
                f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n"
                "Content-Security-Policy: default-src 'none'\r\nReferrer-Policy: no-referrer\r\n"
                f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n"
            )
            writer.write(headers.encode() + body)
            await writer.drain()
        except (ValueError, OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # whoever knocks and says nothing that is understood
        finally:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
    async with server:
        port = server.sockets[0].getsockname()[1]
        address, attempt = await sign_in.begin(f"http://127.0.0.1:{port}{CALLBACK}")
        say(f"Sign in at:  {address}")
        if not no_browser:
            await asyncio.to_thread(webbrowser.open, address)
        try:
            said = await asyncio.wait_for(answer, ANSWER_SECONDS_MAX)
        except TimeoutError as error:
            raise Unavailable(
                f"nobody signed in within {ANSWER_SECONDS_MAX:.0f} s", next_step="hyok login"
            ) from error
    return await sign_in.finish(attempt, said)
