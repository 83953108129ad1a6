"""The Transit door over custody, database and HSM in memory, and a client of Vault before it."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.unit.doors.house import FakeExchange, Head, Meter, key_store

from hyok.custody.door_key import Usage
from hyok.doors.bearers import Bearers
from hyok.doors.transit.door import TransitDoor
from hyok.doors.transit.login import Logins
from hyok.doors.transit.operations import Operations
from hyok.identity.door_tokens import DoorTokens
from hyok.identity.guesses import FailureLimit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.unit.doors.house import KeyStore

    from hyok.identity.access_keys import Credential


class NoSessions:
    """Finds the one session that a test put there."""

    def __init__(self) -> None:
        self.known: dict[str, Credential] = {}

    async def find(self, access_key: str, token: str, now_ms: int) -> Credential:
        from hyok.identity.session_tokens import invalid_token

        if (access_key not in self.known) or token != "sealed":
            raise invalid_token()
        return self.known[access_key]


@dataclass
class Vault:
    """A door, and one client of it."""

    store: KeyStore
    tokens: DoorTokens
    sessions: NoSessions
    door: TransitDoor
    meter: Meter
    token: str

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        root: str = "/v1/transit/",
    ) -> FakeExchange:
        raw = (
            b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        shown = [("host", "x"), *headers]
        if token != "":
            shown.append(("x-vault-token", token or self.token))
        head = Head(method, (root + path).encode(), [(n.encode(), v.encode()) for n, v in shown])
        exchange = VaultExchange(head, raw, len(raw))
        await self.door.handle(exchange)
        assert exchange.status
        return exchange

    async def post(self, path: str, body: Any = None, **more: Any) -> FakeExchange:
        return await self.send("POST", path, body, **more)

    async def encrypt(self, plain: bytes = b"geheim", key: str = "kms", **more: Any) -> str:
        body = {"plaintext": b64encode(plain).decode(), **more}
        answer = await self.post(f"encrypt/{key}", body)
        assert answer.status == 200, answer.answer
        return str(answer.json["data"]["ciphertext"])

    async def decrypt(self, sealed: str, key: str = "kms", **more: Any) -> bytes:
        answer = await self.post(f"decrypt/{key}", {"ciphertext": sealed, **more})
        assert answer.status == 200, answer.answer
        return b64decode(answer.json["data"]["plaintext"])


class VaultExchange(FakeExchange):
    @property
    def json(self) -> Any:
        return json.loads(self.answer)


def errors(exchange: FakeExchange) -> tuple[int, list[str]]:
    return exchange.status, exchange.json["errors"]


@asynccontextmanager
async def vault(folder: Path, identities: Any = None, **more: Any) -> AsyncIterator[Vault]:
    async with key_store(folder) as store:
        house, meter = store.house, Meter()
        tokens = DoorTokens(
            house.database,
            now_ms=lambda: house.now[0],
            monotonic=lambda: store.monotonic[0],
        )
        sessions = NoSessions()
        settings: dict[str, Any] = {
            "deadline_seconds": 10.0,
            "in_flight_max": 8,
            "per_second": 1000.0,
            "mount": "transit",
        }
        settings |= more
        door = TransitDoor(
            operations=Operations(store.custody, settings["mount"]),
            bearers=Bearers(tokens, sessions),
            logins=Logins(identities, house.journal, lambda: house.now[0]),
            failures=FailureLimit(50, lambda: store.monotonic[0]),
            reachable=lambda: house.watch.reachable,
            version="test",
            clock_ms=lambda: house.now[0],
            monotonic=lambda: store.monotonic[0],
            meter=meter,
            **settings,
        )
        issued = await tokens.create("aws-kms", 3600)
        await store.make("macs", Usage.HMAC)
        await store.make("teken", Usage.SIGN)
        await store.make("vreemd", app="ander")
        house.journal.entries.clear()
        yield Vault(store, tokens, sessions, door, meter, issued.token.get_secret_value())
