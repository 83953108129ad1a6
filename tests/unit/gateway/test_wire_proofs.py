"""Nothing is left to the store's care: each proof of a body, through real sockets, http and https.

One thing is wrong in each request; all else is as a client would send it.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5, sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.unit.gateway.door import AKID, SECRET
from tests.unit.gateway.test_bodies import crc, frame
from tests.unit.gateway.test_engine import Client, served

from hyok.sigv4.chunks import ChunkSigner
from hyok.sigv4.sign import Signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.gateway.door import Door

__all__ = ["served"]

SMALL, LARGE = b"hello", bytes(range(256)) * 6000
HOST = "localhost"
PLAIN = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
MODES = {"signed": PLAIN, "signed trailer": f"{PLAIN}-TRAILER"}
UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
TRAILER = "x-amz-checksum-crc32"


@dataclass
class Sent:
    """One PUT, ready to be spoiled."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    late: dict[str, str] = field(default_factory=dict)  # added after the signature
    wire: bytes = b""


def connect(url: str, verify: str | bool) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    assert parts.port
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=str(verify))
        return http.client.HTTPSConnection(HOST, parts.port, timeout=20, context=context)
    return http.client.HTTPConnection(HOST, parts.port, timeout=20)


def put(client: Client, sent: Sent, mode: str, spoil: Callable[[bytes], bytes]) -> tuple[int, str]:
    """Sign and send; return status and code."""
    url, verify = client.s3.meta.endpoint_url, client.verify
    host = urlsplit(url).netloc
    now = datetime.fromtimestamp(time.time(), UTC)
    signer = Signer(AKID, SECRET, "us-east-1")
    headers = dict(sent.headers)
    payload = headers.pop("payload", "")
    if mode in MODES or mode == "unsigned trailer":
        headers.setdefault("x-amz-decoded-content-length", str(len(sent.body)))
        headers["content-encoding"] = "aws-chunked"
        if mode != "signed":
            headers["x-amz-trailer"] = TRAILER
        payload = MODES.get(mode, UNSIGNED)
    payload = payload or sha256(sent.body).hexdigest()
    headers |= signer.sign("PUT", host, "/bucket/k", [], headers, payload, now)
    wire = sent.body
    if mode != "plain":
        chunks = None
        if mode in MODES:
            scope, key = signer.signing_key(now)
            seed = headers["authorization"].rpartition("Signature=")[2]
            chunks = ChunkSigner(key, scope, headers["x-amz-date"], seed)
        trailer = "" if mode == "signed" else f"{TRAILER}:{crc(sent.body)}"
        wire = frame(sent.body, trailer=trailer, signer=chunks)
    connection = connect(url, verify)
    try:
        connection.request("PUT", "/bucket/k", spoil(wire), {**headers, **sent.late})
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, text.partition("<Code>")[2].partition("</Code>")[0]
    finally:
        connection.close()


def as_it_is(wire: bytes) -> bytes:
    return wire


def flip_data(wire: bytes) -> bytes:
    at = wire.index(b"\r\n") + 3
    return wire[:at] + bytes([wire[at] ^ 1]) + wire[at + 1 :]


def flip_after(mark: bytes) -> Callable[[bytes], bytes]:
    def spoil(wire: bytes) -> bytes:
        at = wire.rindex(mark) + len(mark)
        return wire[:at] + (b"0" if wire[at : at + 1] != b"0" else b"1") + wire[at + 1 :]

    return spoil


def without_the_end(wire: bytes) -> bytes:
    """The last chunk, which is empty, never comes; everything that was promised did."""
    return wire[: wire.rindex(b"\r\n0") + 2]


def other_crc(wire: bytes) -> bytes:
    at = wire.rindex(f"{TRAILER}:".encode()) + len(TRAILER) + 1
    return wire[:at] + b"AAAAAA==" + wire[at + 8 :]


def without_trailer(wire: bytes) -> bytes:
    at = wire.rindex(TRAILER.encode())
    return wire[:at] + b"\r\n"


CASES = {
    "payload hash": ("plain", {"payload": sha256(b"x").hexdigest()}, {}, as_it_is,
                     (400, "XAmzContentSHA256Mismatch")),
    "content md5": ("plain", {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, {}, as_it_is,
                    (400, "BadDigest")),
    "checksum": ("plain", {TRAILER: "AAAAAA=="}, {}, as_it_is, (400, "BadDigest")),
    "unsigned header": ("plain", {}, {"x-amz-meta-late": "1"}, as_it_is, (403, "AccessDenied")),
    "unsigned tagging": ("plain", {}, {"x-amz-tagging": "classification=openbaar"}, as_it_is,
                         (403, "AccessDenied")),
    "bytes of a chunk": ("signed", {}, {}, flip_data, (403, "SignatureDoesNotMatch")),
    "chunk signature": ("signed", {}, {}, flip_after(b"0;chunk-signature="),
                        (403, "SignatureDoesNotMatch")),
    "last chunk": ("signed", {}, {}, without_the_end, (400, "IncompleteBody")),
    "decoded length": ("signed", {"x-amz-decoded-content-length": "4"}, {}, as_it_is,
                       (400, "IncompleteBody")),
    "trailer signature": ("signed trailer", {}, {}, flip_after(b"x-amz-trailer-signature:"),
                          (403, "SignatureDoesNotMatch")),
    "trailer under its signature": ("signed trailer", {}, {}, other_crc,
                                    (403, "SignatureDoesNotMatch")),
    "trailing checksum": ("unsigned trailer", {}, {}, other_crc, (400, "BadDigest")),
    "bytes before a trailer": ("unsigned trailer", {}, {}, flip_data, (400, "BadDigest")),
    "trailer that was announced": ("unsigned trailer", {}, {}, without_trailer,
                                   (400, "MalformedTrailerError")),
    "length before a trailer": ("unsigned trailer", {"x-amz-decoded-content-length": "9999999"},
                                {}, as_it_is, (400, "IncompleteBody")),
}  # fmt: skip


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("case", CASES)
async def test_one_wrong_proof_and_there_is_no_object(
    served: tuple[Door, Client],
    body: bytes,
    case: str,
) -> None:
    door, client = served
    mode, headers, late, spoil, expected = CASES[case]
    sent = Sent(body, dict(headers), dict(late))
    assert await asyncio.to_thread(put, client, sent, mode, spoil) == expected
    assert not door.vault.kept


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("mode", ["plain", "signed", "signed trailer", "unsigned trailer"])
async def test_with_nothing_wrong_there_is_one(
    served: tuple[Door, Client],
    body: bytes,
    mode: str,
) -> None:
    """Or else the cases above would show nothing."""
    door, client = served
    sent = Sent(body, {} if mode != "plain" else {TRAILER: crc(body)})
    assert (await asyncio.to_thread(put, client, sent, mode, as_it_is))[0] == 200
    kept = door.vault.kept["bucket", "k"]
    assert md5(kept.plain).digest() == md5(body).digest()
    assert "content-encoding" not in kept.facts.headers


async def test_a_refusal_comes_before_100_continue(
    served: tuple[Door, Client],
) -> None:
    """The client keeps its body; it would have sent all of it for nothing."""
    door, client = served
    url = urlsplit(client.s3.meta.endpoint_url)
    signer = Signer(AKID, "another secret", "us-east-1")
    headers = {"content-length": str(len(LARGE)), "expect": "100-continue"}
    signed = signer.sign(
        "PUT",
        url.netloc,
        "/bucket/k",
        [],
        {},
        "UNSIGNED-PAYLOAD",
        datetime.fromtimestamp(time.time(), UTC),
    )
    lines = {"host": url.netloc, **headers, **signed}
    head = "PUT /bucket/k HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines.items())

    def talk() -> bytes:
        connection = connect(client.s3.meta.endpoint_url, client.verify)
        connection.connect()
        talking: socket.socket = connection.sock
        try:
            talking.sendall(head.encode() + b"\r\n")
            return talking.recv(1 << 16)
        finally:
            connection.close()

    assert (await asyncio.to_thread(talk)).startswith(b"HTTP/1.1 403 ")
    assert not door.vault.kept
