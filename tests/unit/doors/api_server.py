"""The door for Kubernetes over custody, database and HSM in memory, and an API server before it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.unit.doors.house import Meter, key_store

from hyok.doors.kubernetes.config import KubernetesSettings
from hyok.doors.kubernetes.door import KubernetesDoor
from hyok.doors.kubernetes.faults import Fault
from hyok.doors.kubernetes.messages import MESSAGES
from hyok.doors.kubernetes.wire import Operation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.doors.house import KeyStore

SEED = bytes(range(32))


@dataclass
class ApiServer:
    """A door, and the API server that asks it."""

    store: KeyStore
    door: KubernetesDoor
    meter: Meter
    ill: list[str]

    async def ask(
        self, operation: Operation, members: Any, seconds: float | None = 3.0
    ) -> Any | Fault:
        name = operation.name.title()
        raw = (
            members
            if isinstance(members, bytes)
            else MESSAGES[f"{name}Request"](**members).SerializeToString()
        )
        told = await self.door.answer(operation, raw, seconds)
        return told if isinstance(told, Fault) else MESSAGES[f"{name}Response"].FromString(told)

    async def status(self) -> Any:
        return await self.ask(Operation.STATUS, {})

    async def encrypt(self, plain: bytes = SEED, **more: Any) -> Any:
        return await self.ask(Operation.ENCRYPT, {"plaintext": plain, "uid": "u-1"} | more)

    async def decrypt(self, sealed: Any, **more: Any) -> Any:
        members = {
            "ciphertext": sealed.ciphertext,
            "key_id": sealed.key_id,
            "annotations": dict(sealed.annotations),
            "uid": "u-2",
        }
        return await self.ask(Operation.DECRYPT, members | more)


@asynccontextmanager
async def api_server(folder: Path, **more: Any) -> AsyncIterator[ApiServer]:
    async with key_store(folder) as store:
        house, meter, ill = store.house, Meter(), [""]
        settings = KubernetesSettings.model_validate(
            {
                "enabled": True,
                "app": "aws-kms",
                "key": "kms",
                "classification": "vertrouwelijk",
                "socket": folder / "kms.sock",
            }
            | more
        )
        door = KubernetesDoor(
            settings,
            apps=store.keys,
            custody=store.custody,
            ill=lambda: ill[0],
            reachable=lambda: house.watch.reachable,
            clock_ms=lambda: house.now[0],
            monotonic=lambda: store.monotonic[0],
            meter=meter,
            new_id=lambda: "made-here",
        )
        yield ApiServer(store, door, meter, ill)
