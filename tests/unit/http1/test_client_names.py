"""A handler learns who its client is by certificate, also where a session is taken up again."""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hyok.errors import Unavailable
from hyok.http1 import tls as tls_module
from hyok.http1.limits import Limits
from hyok.http1.pump import PumpPool
from hyok.http1.server import serve
from hyok.http1.tls import SUITES_1_3, TlsSettings, common_name_in, server_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hyok.http1.exchange import Exchange

REQUEST = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("names")
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(made / "ours.pem")
    theirs.cert_pem.write_to_path(made / "theirs.pem")
    leaf = ours.issue_cert("localhost")
    leaf.private_key_pem.write_to_path(made / "door.key")
    (made / "door.pem").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    issued = theirs.issue_cert("san.example", common_name="Pool-NL.example")
    issued.private_key_and_cert_chain_pem.write_to_path(made / "pool.pem")
    theirs.issue_cert("pool-nl.example").private_key_and_cert_chain_pem.write_to_path(
        made / "san-alone.pem"
    )
    return made


@pytest.fixture
def pump() -> Iterator[PumpPool]:
    made = PumpPool(1)
    yield made
    made.close()


def settings_of(folder: Path, **more: bool) -> TlsSettings:
    files = (folder / "door.pem", folder / "door.key", folder / "theirs.pem")
    return TlsSettings(*files, **more)  # type: ignore[arg-type]  # flags alone


def ask(
    context: ssl.SSLContext, port: int, session: ssl.SSLSession | None = None
) -> tuple[bytes, ssl.SSLSession | None, bool]:
    """Return the answer's body, the session and whether it was one of before."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as door,
    ):
        door.sendall(REQUEST)
        said = b""
        while not said.partition(b"\r\n\r\n")[2]:
            said += door.recv(4096)
        return said.partition(b"\r\n\r\n")[2], door.session, bool(door.session_reused)


@pytest.mark.parametrize("modern", [True, False])
async def test_the_name_is_told_and_told_again_when_a_session_is_resumed(
    folder: Path, pump: PumpPool, *, modern: bool
) -> None:
    async def handler(exchange: Exchange) -> None:
        body = f"{exchange.head.client_name}|{bool(exchange.head.peer_certificate)}"
        await exchange.respond(200, [], body.encode())

    server = await serve(handler, pump=pump, tls=settings_of(folder, only_1_3=modern))
    context = ssl.create_default_context(cafile=str(folder / "ours.pem"))
    context.load_cert_chain(folder / "pool.pem")
    said, session, reused = await asyncio.to_thread(ask, context, server.port)
    assert (said, reused) == (b"pool-nl.example|True", False)
    said, _, reused = await asyncio.to_thread(ask, context, server.port, session)
    assert (said, reused) == (b"pool-nl.example|True", True)
    other = ssl.create_default_context(cafile=str(folder / "ours.pem"))
    other.load_cert_chain(folder / "san-alone.pem")
    said, _, _ = await asyncio.to_thread(ask, other, server.port)
    assert said == b"|True", "a name beside the subject is not the common name"
    await server.close()


def certificate(names: Sequence[str]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    now = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - as the builder wants it
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["Pool.Example"], "pool.example"),
        ([], ""),
        (["pool.example", "other.example"], ""),
        (["\u212aelvin.example"], ""),  # which is `k` in lower case
    ],
)
def test_a_certificate_has_one_common_name_or_none(names: Sequence[str], found: str) -> None:
    assert common_name_in(certificate(names)) == found


async def test_what_the_engine_refuses_itself_is_told_in_the_doors_words(pump: PumpPool) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [])

    def refusal(status: int, word: str) -> tuple[str, bytes]:
        return "application/json", json.dumps([status, word]).encode()

    for limits, raw, wanted in (
        (Limits(), b"GET / HTTP/1.1\r\n\r\n", [400, "InvalidRequest"]),
        (Limits(head_bytes_max=64), b"GET /" + b"x" * 200, [400, "RequestHeaderTooLarge"]),
        (Limits(requests_in_flight_max=0), REQUEST, [503, "SlowDown"]),
    ):
        server = await serve(handler, pump=pump, limits=limits, refusal=refusal)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(raw)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert b"content-type: application/json" in head
        assert json.loads(body) == wanted
        writer.close()
        await server.close()


def test_a_door_that_cannot_choose_its_suites_does_not_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = server_context(settings_of(folder, only_1_3=True))
    left = [one["name"] for one in context.get_ciphers() if one["protocol"] == "TLSv1.3"]
    assert left == list(SUITES_1_3)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3

    class Without:
        """A build whose library shows nothing."""

    monkeypatch.setattr(tls_module.ctypes, "CDLL", lambda _: Without())
    with pytest.raises(Unavailable) as said:
        server_context(settings_of(folder, only_1_3=True))
    assert said.value.code == "HY-2658"
    server_context(settings_of(folder))  # others open
