"""The payloads door over custody, database and HSM in memory, and an app before it."""

from __future__ import annotations

import asyncio
import json
import secrets
from base64 import b64decode, b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.unit.custody.test_custodian import CLASSES, bucket
from tests.unit.doors.house import FakeExchange, Head, Meter, key_store
from tests.unit.doors.vault import NoSessions

from hyok.custody.door_key import Usage
from hyok.doors.bearers import Bearers
from hyok.doors.payloads.description import render_description
from hyok.doors.payloads.door import PayloadDoor
from hyok.doors.payloads.files import Files
from hyok.doors.payloads.operations import Operations
from hyok.http1.pump import PumpPool
from hyok.identity.door_tokens import DoorTokens
from hyok.identity.guesses import FailureLimit
from hyok.objects.registry import BucketRegistry
from hyok.objects.sealed_files import SealedFiles
from hyok.objects.streams import Rooms
from hyok.vocabulary import MemorySource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tests.unit.doors.house import KeyStore

CONTEXT = {"app": "zaaksysteem", "type": "persoon", "id": "123"}


class Taken:
    """A sink that keeps what it is given."""

    def __init__(self, exchange: Streamed) -> None:
        self._exchange = exchange

    def write(self, view: memoryview) -> None:
        self._exchange.answer += bytes(view)


class Line:
    """The connection in the hands of a pump thread, all of it in memory."""

    def __init__(self, exchange: Streamed) -> None:
        self._exchange = exchange
        self.source = MemorySource(exchange.body[exchange.at :])

    def start(self, status: int, headers: Sequence[tuple[str, str]], content_length: int) -> Taken:
        assert not self._exchange.status
        self._exchange.status, self._exchange.answered = status, dict(headers)
        self._exchange.promised = content_length
        return Taken(self._exchange)

    def finish(self) -> None:
        assert len(self._exchange.answer) == self._exchange.promised


@dataclass
class Streamed(FakeExchange):
    """An exchange whose bodies may be streamed."""

    at: int = 0  # how much of the body was read on the loop
    promised: int = 0
    cut: bool = False

    async def read_some(self, most: int) -> memoryview:
        some = self.body[self.at : self.at + min(most, 1000)]
        self.at += len(some)
        return memoryview(some)

    async def pump(self, work: Callable[[Line], Any]) -> Any:
        return await asyncio.to_thread(work, Line(self))

    def abort(self) -> None:
        self.cut = True


@dataclass
class Payloads:
    """A door, and one app before it."""

    store: KeyStore
    tokens: DoorTokens
    door: PayloadDoor
    meter: Meter
    token: str
    of_files: str  # the token of an app with a bucket

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        kind: str = "application/json",
        peer: str = "192.0.2.7",
        length: bool = True,
    ) -> Streamed:
        raw = (
            b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        shown = [("host", "x"), *headers]
        if kind:
            shown.append(("content-type", kind))
        if token != "":
            shown.append(("authorization", f"Bearer {token or self.token}"))
        head = Head(
            method, ("/v1/" + path).encode(), [(n.encode(), v.encode()) for n, v in shown], peer
        )
        exchange = Streamed(head, raw, len(raw) if length else None)
        await self.door.handle(exchange)
        assert exchange.status
        assert exchange.answered["api-version"] == "1.0.0"
        return exchange

    async def post(self, path: str, body: Any = None, **more: Any) -> Streamed:
        return await self.send("POST", path, body, **more)

    async def done(self, path: str, body: Any) -> Any:
        answer = await self.post(path, body)
        assert answer.status == 200, answer.answer
        assert answer.answered["content-type"] == "application/json"
        return answer.json

    async def encrypt(self, plain: bytes = b"geheim", key: str = "kms", **more: Any) -> str:
        body = {"key": key, "plaintext": b64encode(plain).decode(), **more}
        return str((await self.done("encrypt", body))["token"])

    async def decrypt(self, token: str, **more: Any) -> bytes:
        return b64decode((await self.done("decrypt", {"token": token, **more}))["plaintext"])

    async def encrypt_json(self, document: Any, *fields: Any, **more: Any) -> Any:
        body = {"key": "kms", "document": document, "fields": list(fields), **more}
        return (await self.done("encrypt-json", body))["document"]

    async def decrypt_json(self, document: Any, **more: Any) -> Any:
        return (await self.done("decrypt-json", {"document": document, **more}))["document"]


def problem(exchange: FakeExchange) -> tuple[int, str]:
    """Return status and word of a refusal, which is a problem and nothing else."""
    assert exchange.answered["content-type"] == "application/problem+json"
    told = exchange.json
    assert told["status"] == exchange.status
    assert told["title"]
    assert told["detail"]
    assert told["type"] == "about:blank"
    assert told["instance"].startswith("urn:uuid:")
    return exchange.status, told["code"]


@asynccontextmanager
async def payloads(folder: Path, **more: Any) -> AsyncIterator[Payloads]:
    async with key_store(folder) as store:
        house, meter = store.house, Meter()
        tokens = DoorTokens(
            house.database,
            now_ms=lambda: house.now[0],
            monotonic=lambda: store.monotonic[0],
        )
        settings: dict[str, Any] = {
            "deadline_seconds": 10.0,
            "in_flight_max": 8,
            "per_second": 1_000_000.0,
            "document_bytes_max": 8 << 20,
            "files_in_flight_max": 8,
        }
        chosen: dict[str, Any] = {
            "values_max": 10_000,
            "bytes_max": more.get("document_bytes_max", 8 << 20),
            "equality_index": True,
            "bsn_tokens": {"t/bsn": False, "t/bsn-elf": True},
        }
        chosen |= {name: more.pop(name) for name in tuple(more) if name in chosen}
        pump = PumpPool(2)
        registry = BucketRegistry(house.database, CLASSES, lambda: house.now[0])
        for name in ("brieven", "scans"):
            await registry.add(bucket(name, "t", "vertrouwelijk"))
        door = PayloadDoor(
            operations=Operations(
                store.custody, beside=pump, entropy=secrets.token_bytes, **chosen
            ),
            files=Files(
                SealedFiles(
                    custodian=house.custodian,
                    classifications=CLASSES,
                    rooms=Rooms(),
                    entropy=secrets.token_bytes,
                ),
                buckets=registry,
                classifications=CLASSES,
                clock_ms=lambda: house.now[0],
            ),
            bearers=Bearers(tokens, NoSessions()),
            failures=FailureLimit(50, lambda: store.monotonic[0]),
            reachable=lambda: house.watch.reachable,
            openapi=render_description(),
            clock_ms=lambda: house.now[0],
            monotonic=lambda: store.monotonic[0],
            meter=meter,
            **(settings | more),
        )
        issued = await tokens.create("aws-kms", 3600)
        app = await store.keys.serving_app("aws-kms")
        assert app is not None
        mine = frozenset({"brieven"})
        await store.keys.create_app(replace(app, app_id="bestanden", buckets=mine))
        of_files = (await tokens.create("bestanden", 3600)).token.get_secret_value()
        await store.make("zoek", Usage.HMAC)
        await store.make("bsn", Usage.BSN)
        await store.make("bsn-elf", Usage.BSN)
        await store.make("vreemd", app="ander")
        house.journal.entries.clear()
        yield Payloads(store, tokens, door, meter, issued.token.get_secret_value(), of_files)
        pump.close()
