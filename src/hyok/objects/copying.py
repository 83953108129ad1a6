"""CopyObject: the source is opened and sealed again under a new key.

A copy by rewrap would share the DEK, so that destroying one copy's key would not destroy the other
(format.md §9); a new DEK is always right, and a copy between classifications needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends.port import ALWAYS, Condition
from hyok.objects.facts import Proofs
from hyok.s3 import checksums

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.objects.facts import ObjectFacts, PutFacts
    from hyok.objects.reading import Opened
    from hyok.objects.streams import Rooms
    from hyok.objects.vault import ObjectVault, PutResult
    from hyok.vocabulary import Ask, Pump, Source, T


class OpenedBody:
    """A `ProvenBody` over an opened object."""

    def __init__(self, opened: Opened, pump: Pump, rooms: Rooms) -> None:
        self._opened = opened
        self._pump = pump
        self._rooms = rooms

    @property
    def size(self) -> int:
        """The plaintext length."""
        return self._opened.size

    async def whole(self) -> memoryview:
        """Return the verified plaintext."""
        if self._opened.at_hand:
            return memoryview(self._opened.whole())
        return memoryview(await self._pump.run(self._opened.whole))

    async def pump(self, work: Callable[[Source], T]) -> T:
        """Run ``work`` over the verified plaintext in a pump thread."""
        room = self._rooms.take()
        try:
            return await self._pump.run(lambda: work(self._opened.source(room)))
        finally:
            self._rooms.give(room)

    def proofs(self) -> Proofs:
        """Return the checksum that the source carries."""
        if self._opened.facts.checksum_type != "FULL_OBJECT":
            return Proofs()
        for name, text in self._opened.facts.checksums.items():
            algorithm = checksums.parse_algorithm(name)
            return Proofs(b"", int(algorithm), checksums.decode(algorithm, text))
        return Proofs()


async def copy_object(
    vault: ObjectVault,
    *,
    source: Ask,
    target: Ask,
    check: Callable[[ObjectFacts], None],
    facts: Callable[[ObjectFacts], PutFacts],
    condition: Condition = ALWAYS,
) -> tuple[PutResult, ObjectFacts]:
    """Copy one object; return what was written and the source's facts.

    ``check`` judges the source's preconditions; ``facts`` says what the copy carries (COPY or
    REPLACE of metadata and tags).

    Raises:
        NotFound, Refused, Conflict, Tampered, Unavailable: as reading or writing says.
    """
    opened = await vault.open(source, None, check, checksums=True)
    try:
        body = OpenedBody(opened, vault.pump, vault.rooms)
        result = await vault.put(target, body, facts(opened.facts), condition)
    finally:
        await opened.close()
    await vault.custodian.conclude(
        source,
        "done",
        object_id=bytes.fromhex(opened.facts.object_id),
        kek_id=opened.facts.kek_id,
        size_bytes=opened.facts.size,
    )
    return result, opened.facts
