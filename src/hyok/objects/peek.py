"""Both sides of one object: the store's bytes beside the owner's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from hyok.backends.port import Span
from hyok.s3.ranges import Asked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask


@dataclass(frozen=True, slots=True)
class Peeked:
    """The front of both, and the facts around them."""

    stored_name: str
    stored_size: int
    stored: bytes
    plain_size: int
    plain: bytes
    headers: Mapping[str, str]
    tags: Mapping[str, str]
    classification: str
    kek_id: str

    def as_row(self) -> dict[str, object]:
        """Return it for JSON, bytes in hex."""
        row = asdict(self)
        return row | {"stored": self.stored.hex(), "plain": self.plain.hex()}


async def peek_object(vault: ObjectVault, ask: Ask, count: int) -> Peeked:
    """Return the first ``count`` bytes of both sides.

    Raises:
        NotFound, Refused, Tampered, Unavailable: as opening an object does.
    """
    assert ask.bucket is not None
    place = await vault.places.of(ask.bucket, ask.key)
    stored, front = await place.store.read_whole(place.bucket, place.name, Span(0, count))
    facts = await vault.head(ask, tags=True)
    plain = b""
    if facts.size:
        opened = await vault.open(ask, Asked(0, min(count, facts.size) - 1))
        try:
            plain = bytes(opened.whole())
        finally:
            await opened.close()
        await vault.custodian.conclude(
            ask, "done", object_id=bytes.fromhex(facts.object_id), kek_id=facts.kek_id
        )
    shown = dict(facts.headers) | {f"x-amz-meta-{n}": v for n, v in facts.user_metadata.items()}
    return Peeked(
        place.name,
        stored.size,
        front,
        facts.size,
        plain,
        shown,
        dict(facts.tags),
        facts.classification,
        facts.kek_id,
    )
