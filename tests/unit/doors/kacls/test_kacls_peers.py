"""Other key services: asked over https, at public addresses, with bounds; nothing is followed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from hyok.doors.kacls import peers
from hyok.doors.kacls.config import ServiceSettings
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BODY = {"authentication": "a.b.c", "wrapped_key": "AA==", "reason": "", "resource_name": "doc-42"}
GOOD = b'{"key":"AAEC"}'


def answer_of(body: bytes, status: str = "200 OK", *more: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *more])
    return head.encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def other(
    tmp_path: Path,
    answer: bytes,
    seconds: float = 0.0,
    name: str = "localhost",
    authority: trustme.CA | None = None,
) -> AsyncIterator[tuple[str, Path, list[bytes]]]:
    """Yield the address of a server over TLS, its authority, and what it is asked."""
    authority = authority or trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, "127.0.0.1").configure_cert(context)
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = [int(line[16:]) for line in head.lower().split(b"\r\n") if b"content-length" in line]
        asked.append(head + await reader.readexactly(size[0] if size else 0))
        await asyncio.sleep(seconds)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    yield f"https://localhost:{port}/v1", tmp_path / "ca.pem", asked
    server.close()


def settings_of(url: str, ca_file: Path | None, **more: Any) -> ServiceSettings:
    told: dict[str, Any] = {"url": url, "ca_file": ca_file, "private_address": True}
    return ServiceSettings.model_validate(told | more)


async def test_a_key_is_had_from_another_service(tmp_path: Path) -> None:
    async with other(tmp_path, answer_of(GOOD)) as (url, ca_file, asked):
        assert await peers.unwrap_at(settings_of(url, ca_file), BODY, 3.0) == b"\0\1\2"
        assert await peers.certs_of(settings_of(url + "/", ca_file)) == GOOD
    assert asked[0].startswith(b"POST /v1/privilegedunwrap HTTP/1.1\r\n")
    assert b'"authentication": "a.b.c"' in asked[0]
    assert asked[1].startswith(b"GET /v1/certs HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        answer_of(b'{"code":403,"message":"no","details":""}', "403 Forbidden"),
        answer_of(b"no json"),
        answer_of(b"[]"),
        answer_of(b'{"key":7}'),
        answer_of(b'{"key":"A"}'),
        answer_of(b'{"key":""}'),
        answer_of(b'{"key":"' + b"A" * 176 + b'"}'),
        answer_of(b" " * (65 << 10)),
        b"no http\r\n\r\n",
        b"",
    ],
)
async def test_whatever_is_no_key_is_told_as_one_failure(tmp_path: Path, answer: bytes) -> None:
    async with other(tmp_path, answer) as (url, ca_file, _):
        with pytest.raises(Unavailable) as caught:
            await peers.unwrap_at(settings_of(url, ca_file), BODY, 3.0)
        assert (caught.value.code, caught.value.reason) == ("HY-2688", "OtherService")


async def test_no_redirect_is_followed(tmp_path: Path) -> None:
    """Also not to a server whose certificate holds, and which would give a key."""
    authority = trustme.CA()
    async with other(tmp_path, answer_of(GOOD), authority=authority) as (there, _, followed):
        moved = answer_of(GOOD, "302 Found", f"location: {there}/privilegedunwrap")
        async with other(tmp_path, moved, authority=authority) as (url, ca_file, asked):
            with pytest.raises(Unavailable, match="302"):
                await peers.unwrap_at(settings_of(url, ca_file), BODY, 3.0)
            assert len(asked) == 1
            assert not followed


async def test_a_service_that_is_slow_is_not_waited_for(tmp_path: Path) -> None:
    async with other(tmp_path, answer_of(GOOD), seconds=2.0) as (url, ca_file, _):
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(Unavailable):
            await peers.unwrap_at(settings_of(url, ca_file), BODY, 0.2)
        assert loop.time() - began < 1.0


async def test_another_certificate_is_not_taken(tmp_path: Path) -> None:
    async with other(tmp_path, answer_of(GOOD), name="else.example") as (url, ca_file, asked):
        for one in (settings_of(url, ca_file), settings_of(url, None)):
            with pytest.raises(Unavailable):
                await peers.unwrap_at(one, BODY, 3.0)
        assert not asked


async def test_a_private_address_is_not_asked_unless_the_settings_say_so(tmp_path: Path) -> None:
    async with other(tmp_path, answer_of(GOOD)) as (url, ca_file, asked):
        for address in (url, url.replace("localhost", "127.0.0.1")):
            with pytest.raises(Unavailable):
                service = settings_of(address, ca_file, private_address=False)
                await peers.unwrap_at(service, BODY, 3.0)
        assert not asked
        assert await peers.unwrap_at(settings_of(url, ca_file), BODY, 3.0)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
    ],
)
def test_addresses_that_not_everybody_reaches(address: str) -> None:
    with pytest.raises(OSError, match=r"private|another address"):
        peers.check_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "142.250.1.1", "2a00:1450:4001::1"])
def test_addresses_that_everybody_reaches(address: str) -> None:
    peers.check_public(address)


async def test_one_private_address_among_public_ones_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def two(*_: object, **__: object) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("1.1.1.1", 443)), (*kind, ("10.0.0.1", 443))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two, raising=False)
    with pytest.raises(OSError, match="private"):
        await peers.PublicResolver().resolve("else.example", 443)


@pytest.mark.parametrize(
    "url",
    ["http://oud.example/v1", "https://", "https://u:p@oud.example/v1", "https://oud.example/v1?x"],
)
def test_an_address_in_the_settings_is_whole_and_over_https(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        ServiceSettings(url=url)
