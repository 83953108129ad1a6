"""Peers: other key services, asked over https, at the addresses of the settings and no other.

A name is resolved by us, and what it resolves to must be an address that the whole internet can
reach, unless the settings say that this service is a private one: nothing that a request says can
make this process talk to what only it can reach.  No redirect is followed, and an answer has
bounds in time and size.

Source: Google "Client-side encryption API", rewrap; OWASP "Server-Side Request Forgery".
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from base64 import b64decode
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from hyok.doors.kacls.faults import PEER
from hyok.doors.kacls.wire import DATA_KEY_BYTES_MAX
from hyok.errors import HyokError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.doors.kacls.config import ServiceSettings

ANSWER_BYTES_MAX = 64 << 10
CERTS_SECONDS_MAX = 3.0


class PublicResolver(AbstractResolver):
    """Resolves names, and lets through no address that is not for everybody."""

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        rows = [
            ResolveResult(
                hostname=host, host=str(where[0]), port=port, family=kind, proto=proto, flags=0
            )
            for kind, _, proto, _, where in found
        ]
        for row in rows:
            check_public(row["host"])
        return rows

    @override
    async def close(self) -> None:
        pass


def check_public(host: str) -> None:
    """Return quietly if an address is one that everybody can reach.

    Raises:
        OSError: it is not.
    """
    found = ip_address(host.partition("%")[0])
    inner = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    for one in (found, inner):
        if one is not None and (not one.is_global or one.is_multicast):
            raise OSError(f"{host} is a private address")
    if found.version == 6 and str(found).startswith("64:ff9b:"):
        raise OSError(f"{host} stands for another address")


async def unwrap_at(service: ServiceSettings, body: Mapping[str, str], seconds_max: float) -> bytes:
    """Return the key that another service unwraps.

    Raises:
        Unavailable: it does not answer, or not with a key (code HY-2688).
    """
    status, raw = await _ask(service, "privilegedunwrap", json.dumps(body).encode(), seconds_max)
    if status != 200:
        raise _failed(service, f"it answers with status {status}")
    try:
        told = json.loads(raw)
        key = b64decode(told["key"], validate=True)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _failed(service, "its answer is not a key") from None
    if not 1 <= len(key) <= DATA_KEY_BYTES_MAX:
        raise _failed(service, "its key is longer than a key may be")
    return key


async def certs_of(service: ServiceSettings) -> bytes:
    """Return the key set that another service publishes.

    Raises:
        Unavailable: it does not answer, or not with 200 (code HY-2688).
    """
    status, raw = await _ask(service, "certs", None, CERTS_SECONDS_MAX)
    if status != 200:
        raise _failed(service, f"it answers with status {status}")
    return raw


async def _ask(
    service: ServiceSettings, method: str, body: bytes | None, seconds_max: float
) -> tuple[int, bytes]:
    url = f"{service.url.removesuffix('/')}/{method}"
    verb = "GET" if body is None else "POST"
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    if body is not None:
        headers["content-type"] = "application/json"
    try:
        _check_host(service)
        async with (
            asyncio.timeout(seconds_max),
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=_context(service),
                    resolver=None if service.private_address else PublicResolver(),
                    use_dns_cache=False,
                ),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.request(verb, url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status, await _all(service, answer)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise _failed(service, type(error).__name__) from error


def _check_host(service: ServiceSettings) -> None:
    """Return quietly unless the settings name a private address without saying so.

    An address that is written out is never resolved.
    """
    host = urlsplit(service.url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return
    if not service.private_address:
        check_public(host)


async def _all(service: ServiceSettings, answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            raise _failed(service, f"it answers with more than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _context(service: ServiceSettings) -> ssl.SSLContext:
    authority = str(service.ca_file) if service.ca_file is not None else None
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _failed(service: ServiceSettings, why: str) -> HyokError:
    return Unavailable(
        f"The key service {service.url} gave no key out: {why}.",
        reason=PEER,
        code="HY-2688",
        effect="Nothing was wrapped anew.",
        next_step="ask whoever runs it; look at [[doors.kacls.services]]",
    )
