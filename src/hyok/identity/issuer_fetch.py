"""Fetching an issuer's key set: over TLS, bounded in time and size, following nothing.

Source: OpenID Connect Discovery 1.0, section 4; Kubernetes "Service account issuer discovery".
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from hyok.errors import HyokError, Malformed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from hyok.identity.config import IssuerSettings

DOCUMENT_BYTES_MAX = 256 << 10
BEARER_CHARS_MAX = 16 << 10
DISCOVERY = "/.well-known/openid-configuration"


def source_of(issuer: IssuerSettings, seconds_max: float) -> Callable[[], Awaitable[bytes]]:
    """Return what fetches the key set of an issuer."""
    if issuer.jwks_file is not None:
        path = issuer.jwks_file
        return lambda: asyncio.to_thread(_read_file, path)
    return lambda: fetch_key_set(issuer, seconds_max)


async def fetch_key_set(issuer: IssuerSettings, seconds_max: float) -> bytes:
    """Return the key set that an issuer publishes, within ``seconds_max`` for everything.

    Raises:
        Unavailable: it does not answer, or not with 200.
        Malformed: what it says of itself cannot stand.
    """
    try:
        async with asyncio.timeout(seconds_max), _session(issuer) as session:
            address = issuer.jwks_uri or await _discover(session, issuer)
            return await _get(session, address, issuer)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise Unavailable(f"{issuer.issuer}: {type(error).__name__}: {error}") from error


async def fetch_configuration(issuer: IssuerSettings, seconds_max: float) -> bytes:
    """Return what a provider says of itself, as `fetch_key_set` fetches.

    Raises:
        Unavailable: it does not answer, or not with 200.
    """
    address = issuer.issuer.rstrip("/") + DISCOVERY
    try:
        async with asyncio.timeout(seconds_max), _session(issuer) as session:
            return await _get(session, address, issuer)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise Unavailable(f"{issuer.issuer}: {type(error).__name__}: {error}") from error


async def post_form(
    issuer: IssuerSettings,
    address: str,
    form: Mapping[str, str],
    headers: Mapping[str, str],
    seconds_max: float,
) -> tuple[int, bytes]:
    """Return status and body of what a provider answers to a form.

    Raises:
        Unavailable: it does not answer.
        Malformed: with more than `DOCUMENT_BYTES_MAX`.
    """
    try:
        async with (
            asyncio.timeout(seconds_max),
            _session(issuer) as session,
            session.post(
                address, data=dict(form), headers=dict(headers), allow_redirects=False
            ) as answer,
        ):
            return answer.status, await _all(address, answer)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise Unavailable(f"{issuer.issuer}: {type(error).__name__}: {error}") from error


def _session(issuer: IssuerSettings) -> aiohttp.ClientSession:
    # Uncompressed: a few bytes on the wire must not become many in memory.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=_context(issuer.ca_file), limit=2),
        auto_decompress=False,
        headers={"accept": "application/json", "accept-encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _discover(session: aiohttp.ClientSession, issuer: IssuerSettings) -> str:
    """Return where the issuer says that its keys are."""
    raw = await _get(session, issuer.issuer.rstrip("/") + DISCOVERY, issuer)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise Malformed("The issuer's configuration is not JSON.") from None
    if not isinstance(document, dict) or document.get("issuer") != issuer.issuer:
        raise Malformed("The configuration found there is another issuer's.")
    address = document.get("jwks_uri")
    if not isinstance(address, str) or urlsplit(address).scheme != "https":
        raise Malformed("The issuer's configuration names no https address of its keys.")
    return address


async def _get(session: aiohttp.ClientSession, address: str, issuer: IssuerSettings) -> bytes:
    headers = {}
    if issuer.bearer_token_file is not None and _origin(address) in (
        _origin(issuer.issuer),
        _origin(issuer.jwks_uri),
    ):
        # Never to another origin, whatever the issuer's configuration says.
        bearer = await asyncio.to_thread(_read_bearer, issuer.bearer_token_file)
        headers["authorization"] = f"Bearer {bearer}"
    async with session.get(address, headers=headers, allow_redirects=False) as answer:
        try:
            return await _body(address, answer)
        except HyokError:
            # An orderly end of TLS would wait for a peer that we have no more to do with.
            if answer.connection is not None and answer.connection.transport is not None:
                answer.connection.transport.abort()
            raise


async def _body(address: str, answer: aiohttp.ClientResponse) -> bytes:
    if answer.status != 200 or answer.headers.get("content-encoding", "identity") != "identity":
        raise Unavailable(f"{address} answers with status {answer.status}")
    return await _all(address, answer)


async def _all(address: str, answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > DOCUMENT_BYTES_MAX:
            raise Malformed(f"{address} answers with more than {DOCUMENT_BYTES_MAX} bytes")
    return bytes(body)


def _origin(address: str) -> tuple[str, str, int]:
    parts = urlsplit(address)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or 443


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _read_bearer(path: Path) -> str:
    text = path.read_text(encoding="ascii").strip()
    if not 1 <= len(text) <= BEARER_CHARS_MAX or not text.isprintable():
        raise ValueError(f"{path} holds no bearer token")
    return text


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise Malformed(f"{path} holds more than {DOCUMENT_BYTES_MAX} bytes")
    return raw
