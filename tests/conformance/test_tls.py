"""What each door offers over TLS, asked by OpenSSL: the NCSC's list and nothing else.

Source: NCSC ICT-beveiligingsrichtlijnen voor Transport Layer Security 2025-05.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import socket
import ssl
import subprocess
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from tests.peers.ports import free_port

from hyok.http1.pump import PumpPool
from hyok.http1.server import serve
from hyok.http1.tls import TlsSettings
from hyok.officer.config import OfficerApiSettings
from hyok.officer_door import build_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from hyok.http1.exchange import Exchange

pytestmark = pytest.mark.integration
OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
SUITES_1_3 = {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"}
NOT_CHACHA = ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256")
NOT_1_3 = ("TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256")
SUITES_1_2 = {
    f"ECDHE-{{}}-{name}" for name in ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305")
}
ALLOW_CLIENT_RENEGOTIATION = 1 << 8
SECONDS_MAX = 20
HANGS_SECONDS = 1


@dataclass(frozen=True)
class Files:
    """Of a server with a certificate of one kind, and of a client."""

    kind: str  # as OpenSSL's suites name it
    ca: Path
    certificate: Path
    key: Path
    client: Path


@pytest.fixture(params=["ECDSA", "RSA"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    authority = trustme.CA(key_type=trustme.KeyType[request.param])
    leaf = authority.issue_cert("localhost", key_type=trustme.KeyType[request.param])
    made = Files(
        request.param, *(tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem", "me.pem"))
    )
    authority.cert_pem.write_to_path(made.ca)
    made.certificate.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(made.key)
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(made.client)
    return made


@contextlib.asynccontextmanager
async def http1_door(
    files: Files, client_ca: Path | None, *, only_1_3: bool = False
) -> AsyncIterator[int]:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [], b"yes")

    pump = PumpPool(1)
    tls = TlsSettings(files.certificate, files.key, client_ca, only_1_3=only_1_3)
    server = await serve(handler, pump=pump, tls=tls)
    try:
        yield server.port
    finally:
        await server.close()
        pump.close()


def s3_door(files: Files) -> AbstractAsyncContextManager[int]:
    return http1_door(files, None)


def xks_door(files: Files) -> AbstractAsyncContextManager[int]:
    return http1_door(files, files.ca)


def ekm_door(files: Files) -> AbstractAsyncContextManager[int]:
    return http1_door(files, files.ca, only_1_3=True)


@contextlib.asynccontextmanager
async def officer_api(files: Files) -> AsyncIterator[int]:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"yes"})

    port = free_port()
    api = OfficerApiSettings(
        enabled=True,
        port=port,
        public_url=f"https://localhost:{port}",
        tls_certificate=files.certificate,
        tls_key=files.key,
    )
    server = build_server(app, api)  # type: ignore[arg-type]  # an application of ASGI like ours
    serving = asyncio.create_task(server.serve())
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        await asyncio.sleep(0.02)
    try:
        yield port
    finally:
        server.stop()  # type: ignore[no-untyped-call]
        await serving


@contextlib.asynccontextmanager
async def careless(files: Files) -> AsyncIterator[int]:
    """Serve as nobody should: so that what is asked below is seen to find it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.options &= ~ssl.OP_NO_RENEGOTIATION
    context.options |= ALLOW_CLIENT_RENEGOTIATION

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, EOFError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def chosen(port: int, files: Files, version: ssl.TLSVersion, ciphers: str) -> str:
    """Return the suite that a server takes of these; empty: it takes none."""
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.client)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX) as plain,
        contextlib.suppress(ssl.SSLError, ConnectionError),
        context.wrap_socket(plain, server_hostname="localhost") as door,
    ):
        assert door.compression() is None
        taken = door.cipher()
        return taken[0] if taken else ""
    return ""


def suites_1_2(port: int, files: Files) -> set[str]:
    """Return every suite of TLS 1.2 that a server takes, by asking without those it took."""
    found: set[str] = set()
    while taken := chosen(
        port, files, ssl.TLSVersion.TLSv1_2, "ALL:eNULL" + "".join(f":!{one}" for one in found)
    ):
        assert taken not in found
        found.add(taken)
    return found


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def s_client(port: int, files: Files, *more: str) -> str:
    """Return what OpenSSL's client says of one request."""
    asked = subprocess.run(
        [*_client(port, files), "-ign_eof", *more],
        input=REQUEST,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS_MAX,
        check=False,
    )
    return asked.stdout.decode(errors="replace")


def renegotiates(port: int, files: Files) -> bool:
    """Say whether a client that asks for it is handed new keys, and then answered."""
    with subprocess.Popen(
        [*_client(port, files), "-tls1_2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    ) as asked:
        assert asked.stdin is not None
        assert asked.stdout is not None
        assert _until(asked.stdout.fileno(), b"Verify return code", SECONDS_MAX)
        asked.stdin.write(b"R\n")
        assert _until(asked.stdout.fileno(), b"RENEGOTIATING", SECONDS_MAX)
        with contextlib.suppress(BrokenPipeError):
            asked.stdin.write(REQUEST)
        done = _until(asked.stdout.fileno(), b" 200 OK", HANGS_SECONDS)
        asked.kill()
    return done


def _client(port: int, files: Files) -> list[str]:
    program = shutil.which("openssl")
    assert program is not None
    return [
        *(program, "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost"),
        *("-CAfile", str(files.ca), "-cert", str(files.client), "-key", str(files.client)),
    ]


def _until(descriptor: int, word: bytes, seconds: float) -> bool:
    """Read until a word came; False: it did not, in this time or until the end."""
    deadline, said = time.monotonic() + seconds, b""
    while word not in said:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        more = os.read(descriptor, 65_536) if ready else b""
        if not more:
            return False
        said += more
    return True


def ask(port: int, files: Files) -> dict[str, object]:
    """Return what a server offers."""
    takes = {
        suite
        for suite in (*SUITES_1_3, *NOT_1_3)
        if f"New, TLSv1.3, Cipher is {suite}"
        in s_client(port, files, "-tls1_3", "-ciphersuites", suite)
    }
    return {
        "old versions": {one for one in OLD if chosen(port, files, one, "ALL")},
        "1.2": suites_1_2(port, files),
        "1.3": takes,
        "renegotiates": renegotiates(port, files),
    }


DOORS = (s3_door, xks_door, officer_api)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
async def test_a_door_offers_tls_1_2_and_1_3_of_the_ncscs_list_and_nothing_else(
    door: Callable[[Files], AbstractAsyncContextManager[int]], files: Files
) -> None:
    async with door(files) as port:
        offered = await asyncio.to_thread(ask, port, files)
    assert offered == {
        "old versions": set(),
        "1.2": {name.format(files.kind) for name in SUITES_1_2},
        "1.3": SUITES_1_3,
        "renegotiates": False,
    }


async def test_the_door_for_azure_offers_tls_1_3_with_two_suites_and_nothing_else(
    files: Files,
) -> None:
    """Also where a client would rather have the third, which comes between the two."""
    chacha, wanted = "TLS_CHACHA20_POLY1305_SHA256", NOT_CHACHA[1]
    async with ekm_door(files) as port:

        def look() -> dict[str, object]:
            said = s_client(port, files, "-tls1_3", "-ciphersuites", f"{chacha}:{wanted}")
            takes = {
                suite
                for suite in (*SUITES_1_3, *NOT_1_3)
                if f"New, TLSv1.3, Cipher is {suite}"
                in s_client(port, files, "-tls1_3", "-ciphersuites", suite)
            }
            return {
                "old versions": {one for one in OLD if chosen(port, files, one, "ALL")},
                "1.2": suites_1_2(port, files),
                "1.3": takes,
                "asked for the third": f"Cipher is {wanted}" in said and " 200 OK" in said,
            }

        offered = await asyncio.to_thread(look)
    assert offered == {
        "old versions": set(),
        "1.2": set(),
        "1.3": set(NOT_CHACHA),
        "asked for the third": True,
    }


@pytest.mark.parametrize("door", [s3_door, xks_door, ekm_door], ids=lambda door: door.__name__)
async def test_a_client_that_comes_back_resumes_its_session(
    door: Callable[[Files], AbstractAsyncContextManager[int]], files: Files, tmp_path: Path
) -> None:
    """Without the key exchange and the certificates, which are most of what a connection costs."""
    versions = ["-tls1_3"] if door is ekm_door else ["-tls1_2", "-tls1_3"]
    async with door(files) as port:

        def twice(version: str) -> tuple[str, str]:
            kept = str(tmp_path / version)
            first = s_client(port, files, version, "-sess_out", kept)
            return first, s_client(port, files, version, "-sess_in", kept)

        for version in versions:
            first, second = await asyncio.to_thread(twice, version)
            assert "New, TLSv1" in first
            assert "Reused, TLSv1" in second
            assert " 200 OK" in first
            assert " 200 OK" in second


async def test_a_door_that_offers_more_is_seen(files: Files) -> None:
    async with careless(files) as port:
        offered = await asyncio.to_thread(ask, port, files)
    assert offered["old versions"] == set(OLD)
    found = offered["1.2"]
    assert isinstance(found, set)
    assert any("CBC" in name or name.endswith("-SHA") for name in found)
    assert offered["renegotiates"]


async def test_the_door_for_keys_lets_nobody_in_without_a_certificate(files: Files) -> None:
    async with xks_door(files) as port:
        said = await asyncio.to_thread(s_client, port, files, "-tls1_2")
        assert " 200 OK" in said
        files.client.write_bytes(own_certificate())
        said = await asyncio.to_thread(s_client, port, files, "-tls1_2")
    assert " 200 OK" not in said


def own_certificate() -> bytes:
    """Return a certificate of an authority that nobody trusts, with its key."""
    return bytes(trustme.CA().issue_cert("client").private_key_and_cert_chain_pem.bytes())
