"""Signed requests handed to a gateway's handler, without a socket between."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from hyok.sigv4.sign import UNSIGNED_PAYLOAD, Signer
from hyok.vocabulary import MemorySource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

HOST = "127.0.0.1:9000"
KEYS = 64
"""Keys that are asked for in turn."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One kind of request: of objects of ``size`` bytes; a range of them where ``range_`` says."""

    method: str
    size: int
    range_: int = 0

    @property
    def keys(self) -> int:
        return 2 if self.range_ else KEYS


@dataclass(slots=True)
class Head:
    """What the HTTP engine read."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    peer: str = "127.0.0.1"


class Refused(Exception):
    """An answer that is not the right one."""


@dataclass(frozen=True, slots=True)
class HeldWire:
    """What a pump thread is given: a body to read, and no way to answer piece by piece."""

    source: MemorySource


@dataclass(slots=True)
class HeldExchange:
    """An exchange whose body is at hand; it keeps the answer."""

    head: Head
    body: bytes
    status: int = 0
    answer: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content_length(self) -> int | None:
        return len(self.body) if self.head.method == "PUT" else None

    @property
    def has_body(self) -> bool:
        return bool(self.body)

    async def read_whole(self, limit: int) -> memoryview:
        assert len(self.body) <= limit
        return memoryview(self.body)

    async def respond(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes | memoryview = b""
    ) -> None:
        self.status, self.answer, self.headers = status, bytes(body), dict(headers)

    async def pump(self, work: Callable[[Any], Any]) -> Any:
        return await asyncio.to_thread(work, HeldWire(MemorySource(self.body)))

    def abort(self) -> None:
        raise Refused("the answer broke off")


@dataclass(frozen=True, slots=True)
class Turn:
    """A request and its right answer."""

    exchange: HeldExchange
    status: int
    body: bytes


class Caller:
    """Signs requests as a client does, sends them, and compares what comes back."""

    def __init__(
        self,
        handle: Callable[[Any], Awaitable[None]],
        *,
        bucket: str,
        access_key: str,
        secret: str,
        region: str,
    ) -> None:
        self._handle = handle
        self._bucket = bucket
        self._signer = Signer(access_key, secret, region)

    def turns(self, wanted: Wanted, count: int) -> list[Turn]:
        """Return signed requests, so that signing them is no part of what is measured."""
        return [self._turn(wanted, number) for number in range(count)]

    def _turn(self, wanted: Wanted, number: int) -> Turn:
        method = wanted.method
        key = f"folder/{wanted.size}/{number % wanted.keys:05}"
        whole = (sha256(key.encode()).digest() * (wanted.size // 32 + 1))[: wanted.size]
        path = f"/{self._bucket}/{key}"
        headers, expected, status = {}, whole if method == "GET" else b"", 200
        if wanted.range_:
            start = number * 977_777 % (wanted.size - wanted.range_)
            headers["range"] = f"bytes={start}-{start + wanted.range_ - 1}"
            expected, status = whole[start : start + wanted.range_], 206
        now = datetime.now(UTC)  # noqa: TID251
        added = self._signer.sign(method, HOST, path, [], headers, UNSIGNED_PAYLOAD, now)
        body = whole if method == "PUT" else b""
        lines = {"host": HOST, **headers, **added}
        if method == "PUT":
            lines["content-length"] = str(len(body))
        raw = [(name.encode(), value.encode()) for name, value in lines.items()]
        return Turn(HeldExchange(Head(method, path.encode(), raw), body), status, expected)

    async def prepare(self, wanted: Wanted) -> None:
        """Put the objects that will be asked for."""
        put = Wanted("PUT", wanted.size)
        turns = [self._turn(put, number) for number in range(wanted.keys)]
        await self.send(turns)

    async def send(self, turns: Sequence[Turn], *, at_once: int = 1) -> None:
        """Send requests.

        Raises:
            Refused: an answer is wrong.
        """
        left = iter(turns)

        async def client() -> None:
            for turn in left:
                exchange = turn.exchange
                await self._handle(exchange)
                if exchange.status != turn.status or exchange.answer != turn.body:
                    raise Refused(f"{exchange.status}, {exchange.answer[:200]!r}")

        await asyncio.gather(*(client() for _ in range(at_once)))
