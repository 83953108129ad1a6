"""Requests that are signed beforehand, as the load generator reads them, and the bodies they carry.

All bodies are slices of one pattern, which begins anew at its end.  Its length is prime to every
power of two, and every key begins elsewhere in it, so that no swapped segment, part or object can
pass for another.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256, shake_256
from typing import TYPE_CHECKING, Literal, TypeAlias

from hyok.s3.algorithms import Algorithm, Checksum
from hyok.sigv4.canonical import render_query
from hyok.sigv4.sign import UNSIGNED_PAYLOAD, UNSIGNED_TRAILER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hyok.sigv4.sign import Signer

Signing: TypeAlias = Literal["unsigned", "sha256", "crc32", "crc32c"]

PATTERN_BYTES = (8 << 20) - 8191
CHUNK_BYTES = 64 << 10
"""Of a body with a trailing checksum: what the common AWS runtime sends."""

ANY, SAME, LENGTH = 0, 1, 2
"""What of an answer's body is compared."""


def make_pattern(seed: int) -> bytes:
    """Return the bytes that all bodies are cut from."""
    return shake_256(b"hyok bench %d" % seed).digest(PATTERN_BYTES)


@dataclass(frozen=True, slots=True)
class Slice:
    """``length`` bytes of the pattern from ``offset``, around its end as often as needed."""

    offset: int
    length: int

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Give offset and length of what is contiguous."""
        at, left = self.offset % PATTERN_BYTES, self.length
        while left:
            here = min(left, PATTERN_BYTES - at)
            yield at, here
            at, left = 0, left - here

    def cut(self, start: int, length: int) -> Slice:
        return Slice((self.offset + start) % PATTERN_BYTES, min(length, self.length - start))

    def of(self, pattern: bytes) -> bytes:
        return b"".join(pattern[at : at + length] for at, length in self.pieces())


EMPTY = Slice(0, 0)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request before it is signed."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    body: Slice = EMPTY
    signing: Signing = "unsigned"
    status: int = 200
    check: int = ANY
    expected: Slice = EMPTY


@cache
def digest_of(pattern: bytes, body: Slice, signing: Signing) -> str:
    """Return the digest of a body, as its header or trailer has it."""
    if signing == "sha256":
        whole = sha256()
        for at, length in body.pieces():
            whole.update(memoryview(pattern)[at : at + length])
        return whole.hexdigest()
    checksum = Checksum(Algorithm[signing.upper()])
    for at, length in body.pieces():
        checksum.update(memoryview(pattern)[at : at + length])
    return b64encode(checksum.digest()).decode()


Part: TypeAlias = "bytes | Slice"


def framed(body: Slice, name: str, digest: str) -> list[Part]:
    """Return a body in chunks with its checksum behind it (aws-chunked)."""
    parts: list[Part] = []
    frame = b""
    for start in range(0, body.length, CHUNK_BYTES):
        piece = body.cut(start, CHUNK_BYTES)
        parts += [frame + b"%x\r\n" % piece.length, piece]
        frame = b"\r\n"
    return [*parts, frame + b"0\r\n" + f"{name}:{digest}\r\n\r\n".encode()]


def signed(ask: Ask, host: str, signer: Signer, pattern: bytes) -> list[Part]:
    """Return the head and the body of a request."""
    headers = dict(ask.headers)
    body: list[Part] = [ask.body] if ask.body.length else []
    payload = UNSIGNED_PAYLOAD
    if ask.signing == "sha256":
        payload = digest_of(pattern, ask.body, "sha256")
    elif ask.signing != "unsigned":
        name = f"x-amz-checksum-{ask.signing}"
        payload = UNSIGNED_TRAILER
        body = framed(ask.body, name, digest_of(pattern, ask.body, ask.signing))
        headers |= {
            "content-encoding": "aws-chunked",
            "x-amz-decoded-content-length": str(ask.body.length),
            "x-amz-trailer": name,
        }
    query = list(ask.query)
    now = datetime.now(UTC)  # noqa: TID251
    added = signer.sign(ask.method, host, ask.path, query, headers, payload, now)
    target = f"{ask.path}?{render_query(query)}" if query else ask.path
    lines = {"host": host, **headers, **added}
    if body or ask.method in {"PUT", "POST"}:
        lines["content-length"] = str(sum(_length(part) for part in body))
    head = f"{ask.method} {target} HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return [head.encode() + b"\r\n", *body]


def _length(part: Part) -> int:
    return len(part) if isinstance(part, bytes) else part.length


def write_requests(path: Path, asks: list[Ask], host: str, signer: Signer, pattern: bytes) -> None:
    """Sign requests and write them for the load generator (`load/load.c` says the form)."""
    with path.open("wb") as file:
        for ask in asks:
            pieces: list[bytes] = []
            for part in signed(ask, host, signer, pattern):
                if isinstance(part, bytes):
                    pieces.append(b"L %d\n" % len(part) + part)
                else:
                    pieces += [b"P %d %d\n" % piece for piece in part.pieces()]
            told = (ask.status, ask.check, ask.expected.offset, ask.expected.length, len(pieces))
            file.write(b"Q %d %d %d %d %d\n" % told + b"".join(pieces))
