"""A door with real sealing behind it: keys and store in memory, one process, no socket."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.unit.gateway.door import Answer, Door
from tests.unit.objects.vaults import Vaults, vaults_over

from hyok.objects.listing import Listings
from hyok.objects.registry import BucketRegistry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.custody.test_custodian import House

    from hyok.backends.port import ObjectStore

BUCKET = "dossiers"
PART = b"p" * (5 << 20)
"""The shortest part that may be followed by another."""


@dataclass
class Sealed:
    """A gateway and what stands behind it; every answer is the door's own."""

    door: Door
    vaults: Vaults

    async def send(self, line: str, body: bytes = b"", **more: Any) -> Answer:
        """Send ``GET key``: a key of the bucket, or ``/bucket/key``."""
        method, _, name = line.partition(" ")
        path = name if name.startswith("/") else f"/{BUCKET}/{name}"
        return await self.door.send(f"{method} {path}", body, **more)

    async def begin(self, key: str, **headers: str) -> str:
        answer = await self.send(f"POST {key}", query=[("uploads", "")], **headers)
        assert answer.status == 200, answer.body
        return element(answer, "UploadId")

    async def part(self, key: str, upload: str, number: int, body: bytes, **more: str) -> str:
        answer = await self.send(f"PUT {key}", body, query=at(upload, number), **more)
        assert answer.status == 200, answer.body
        return answer.headers["etag"].strip('"')

    async def complete(
        self, key: str, upload: str, parts: Sequence[tuple[int, str]], **more: str
    ) -> Answer:
        return await self.send(f"POST {key}", listed(parts), query=at(upload), **more)


def at(upload: str, number: int | None = None) -> list[tuple[str, str]]:
    query = [("uploadId", upload)]
    return query if number is None else [("partNumber", str(number)), *query]


def listed(parts: Sequence[tuple[int, str]]) -> bytes:
    rows = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in parts
    )
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()


def element(answer: Answer, name: str) -> str:
    return (elements(answer, name) or [""])[0]


def elements(answer: Answer, name: str) -> list[str]:
    found = re.findall(f"<{name}>([^<]*)</{name}>", answer.body.decode())
    return [text.replace("&quot;", '"') for text in found]


async def sealed_door(
    house: House,
    store: ObjectStore | None = None,
    *,
    classification: str = "openbaar",
    **principal: Any,
) -> Sealed:
    """Return a gateway of its own over a database and a store that may be shared."""
    vaults = await vaults_over(house, store, classification=classification, name=BUCKET)
    rights = frozenset({"read", "write", "list", "delete"})
    usual = {"id": "app", "tenant": "t", "clearance": 50, "purpose": "werk", "grants": rights}
    door = Door(**{**usual, **principal})
    door.registry.buckets = vaults.buckets
    places = vaults.vault.places
    door.gateway._services = replace(
        door.gateway._services,
        vault=vaults.vault,
        multipart=vaults.multipart,
        listings=Listings(places, house.custodian, secrets.token_bytes, vaults.inventories),
        buckets=BucketRegistry(house.database, vaults.vault.classifications, lambda: house.now[0]),
    )
    return Sealed(door, vaults)
