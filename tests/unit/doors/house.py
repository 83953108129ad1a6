"""A key store of AWS KMS over custody, database and HSM in memory; requests signed by botocore."""

from __future__ import annotations

import atexit
import datetime
import json
import secrets
import shutil
import tempfile
from base64 import b64decode, b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.fakes.memory_hsm import MemoryHsm
from tests.unit.custody.test_custodian import (
    CLASSES,
    POLICIES,
    TENANT_CLASSIFICATION,
    Mirror,
    build,
)

from hyok.custody.door_catalog import DoorCatalog
from hyok.custody.door_key import CIPHER, PAIR, PAIRS, Usage
from hyok.custody.door_wraps import DoorWraps
from hyok.custody.secret_box import CLASSIFICATION, TENANT, HsmSecretBox
from hyok.doors.trials import Trials
from hyok.doors.xks.config import XksStoreSettings
from hyok.doors.xks.door import XksDoor
from hyok.doors.xks.health import Health
from hyok.errors import Malformed
from hyok.identity.access_keys import AccessKeys
from hyok.identity.apps import App
from hyok.policy.cedar import CedarEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tests.unit.custody.test_custodian import House

    from hyok.identity.access_keys import IssuedAccessKey

ENGINE = CedarEngine(
    "\n".join(path.read_text() for path in sorted((POLICIES / "rules").glob("*.cedar"))),
    (POLICIES / "schema.cedarschema").read_text(),
    CLASSES,
)
REGION, HOST, PREFIX = "eu-central-1", "xks.example.nl", "/gemeente"
NOW_MS = 1_767_323_045_000  # 2026-01-02T03:04:05Z
CALLER = "arn:aws:sts::123456789012:assumed-role/beheer/anna@gemeente.example"
METADATA = {
    "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
    "kmsOperation": "Encrypt",
    "awsPrincipalArn": CALLER,
    "kmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1234abcd",
    "kmsViaService": "ebs",
    "memberOfTomorrow": {"x": [1]},
}


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


@dataclass
class Head:
    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    peer: str = "192.0.2.7"
    client_name: str = ""


@dataclass
class FakeExchange:
    """One request at a door, and what it was answered."""

    head: Head
    body: bytes
    content_length: int | None = None
    status: int = 0
    answer: bytes = b""
    read: bool = False
    answered: dict[str, str] = field(default_factory=dict)

    async def read_whole(self, limit: int) -> memoryview:
        self.read = True
        if len(self.body) > limit:
            raise Malformed("too long", reason="EntityTooLarge")
        return memoryview(self.body)

    async def respond(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes | memoryview = b""
    ) -> None:
        assert not self.status
        self.status, self.answer, self.answered = status, bytes(body), dict(headers)

    def abort(self) -> None:
        raise AssertionError("an answer is always given")

    @property
    def json(self) -> Any:
        assert b"\n" not in self.answer
        return json.loads(self.answer)


@dataclass
class Meter:
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def door_request(self, door: str, operation: str, error: str, seconds: float) -> None:
        self.seen.append((door, operation, error))


@dataclass
class KeyStore:
    """One key store, and AWS on the other side of it."""

    house: House
    hsm: MemoryHsm
    custody: DoorWraps
    catalog: DoorCatalog
    keys: AccessKeys
    issued: IssuedAccessKey
    door: XksDoor
    meter: Meter
    monotonic: list[float]

    async def ask(
        self, operation: str, body: Mapping[str, Any] | bytes, key: str = "kms", **more: Any
    ) -> FakeExchange:
        path = "/health" if operation == "health" else f"/keys/{key}/{operation}"
        target = more.pop("prefix", PREFIX) + "/kms/xks/v1" + path
        return await self.send(target, body, **more)

    async def send(
        self, target: str, body: Mapping[str, Any] | bytes, method: str = "POST", **signing: Any
    ) -> FakeExchange:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = self.sign(target, raw, method, **signing)
        exchange = FakeExchange(Head(method, target.encode(), headers), raw, len(raw))
        await self.door.handle(exchange)
        return exchange

    def sign(
        self,
        target: str,
        raw: bytes,
        method: str = "POST",
        *,
        access_key: str = "",
        secret: str = "",
        region: str = REGION,
        service: str = "kms-xks-proxy",
        shift_seconds: int = 0,
        change: Mapping[str, str] | None = None,
    ) -> list[tuple[bytes, bytes]]:
        """Return the headers of a request as botocore signs it; ``change`` some afterwards."""
        request = AWSRequest(
            method, f"https://{HOST}{target}", {"content-type": "application/json"}, raw
        )
        credentials = Credentials(
            access_key or self.issued.access_key, secret or self.issued.secret.get_secret_value()
        )
        at = datetime.datetime.fromtimestamp(
            self.house.now[0] / 1000 + shift_seconds, tz=datetime.UTC
        ).replace(tzinfo=None)
        with patch("botocore.auth.get_current_datetime", lambda: at):
            SigV4Auth(credentials, service, region).add_auth(request)
        found = {"host": HOST} | {name.lower(): value for name, value in request.headers.items()}
        found |= change or {}
        return [(name.encode(), value.encode()) for name, value in found.items() if value]

    async def encrypt(self, plain: bytes = b"Hello World!", **more: Any) -> FakeExchange:
        body = {
            "requestMetadata": METADATA,
            "plaintext": b64(plain),
            "encryptionAlgorithm": "AES_GCM",
        }
        key = more.pop("key", "kms")
        return await self.ask("encrypt", body | more, key)

    async def decrypt(self, sealed: Mapping[str, str], **more: Any) -> FakeExchange:
        known = ("ciphertext", "initializationVector", "authenticationTag", "ciphertextMetadata")
        body = {
            "requestMetadata": METADATA | {"kmsOperation": "Decrypt"},
            "encryptionAlgorithm": "AES_GCM",
            **{name: sealed[name] for name in known if name in sealed},
        }
        key = more.pop("key", "kms")
        return await self.ask("decrypt", body | more, key)

    async def make(self, name: str, *usage: Usage, version: int = 1, **more: Any) -> None:
        kind = more.get("kind", "aes-256")
        usual = PAIR.usage if kind in PAIRS else CIPHER
        await self.catalog.make(
            self.hsm,
            more.get("tenant", "t"),
            name,
            version,
            more.get("classification", "vertrouwelijk"),
            [more.get("app", "aws-kms")],
            usage or list(usual),
            kind,
        )

    def key_value(self, name: str, version: int = 1, tenant: str = "t") -> bytes:
        """Return a key as it stands in the software double, for other implementations."""
        return self.hsm._doors[f"hyok-door/{tenant}/{name}/{version}"]


def plain_of(exchange: FakeExchange) -> bytes:
    return b64decode(exchange.json["plaintext"])


_TEMPLATE: dict[str, Any] = {}


async def _template() -> dict[str, Any]:
    """Make database and keys once; each test gets a copy of its own."""
    if not _TEMPLATE:
        folder = Path(tempfile.mkdtemp(prefix="hyok-xks-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        hsm = MemoryHsm()
        house = build(folder / "hyok.db", hsm, Mirror(), [NOW_MS])
        own = (TENANT, CLASSIFICATION)
        for tenant, name in [own, ("t", TENANT_CLASSIFICATION), ("t", "vertrouwelijk")]:
            await house.keks.create(hsm, tenant, name, 1, NOW_MS)
        keys = AccessKeys(house.database, HsmSecretBox(hsm, house.keks, secrets.token_bytes))
        await keys.add_tenant("t")
        made = App("aws-kms", "t", 50, frozenset({"use-keys"}), purpose="versleuteling bij AWS")
        await keys.create_app(made)
        await keys.create_app(replace(made, app_id="ander"))
        issued = await keys.create_key("aws-kms")
        house.database.close()
        _TEMPLATE.update(database=folder / "hyok.db", keks=hsm._keks, issued=issued)
    return _TEMPLATE


@asynccontextmanager
async def key_store(folder: Path, **more: Any) -> AsyncIterator[KeyStore]:
    template = await _template()
    shutil.copy(template["database"], folder / "hyok.db")
    hsm, now = MemoryHsm(), [NOW_MS]
    hsm._keks = dict(template["keks"])
    house = build(folder / "hyok.db", hsm, Mirror(), now)
    house.custodian.decisions._engine = ENGINE
    keys = AccessKeys(house.database, HsmSecretBox(hsm, house.keks, secrets.token_bytes))
    catalog = DoorCatalog(house.database, lambda: now[0])
    custody = DoorWraps(
        hsm=hsm,
        catalog=catalog,
        decisions=house.custodian.decisions,
        opaque_id=house.custodian.opaque_id,
        entropy=secrets.token_bytes,
    )
    meter, monotonic = Meter(), [1000.0]
    stores = [
        XksStoreSettings(prefix=PREFIX, app="aws-kms", regions=(REGION,)),
        XksStoreSettings(prefix="/ander", app="ander", regions=(REGION,)),
    ]
    settings: dict[str, Any] = {"deadline_seconds": 10.0, "in_flight_max": 8, "stores": stores}
    trials = Trials(custody.probe, monotonic=lambda: monotonic[0])
    health = Health(trials, model="softhsm", proxy="hyok test", fleet=1)
    door = XksDoor(
        credentials=keys,
        custody=custody,
        health=health,
        reachable=lambda: house.watch.reachable,
        clock_ms=lambda: now[0],
        monotonic=lambda: monotonic[0],
        meter=meter,
        **(settings | more),
    )
    made = KeyStore(house, hsm, custody, catalog, keys, template["issued"], door, meter, monotonic)
    await made.make("kms")
    house.journal.entries.clear()
    yield made
    house.database.close()
