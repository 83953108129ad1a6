"""CopyObject: by the store where a copy may share the data key, else opened and sealed again.

A new data key is always right, and a copy between classifications or shred scopes needs it
(format.md §9); `store_copy` knows when the store may copy the sealed bytes itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends.port import ALWAYS, Condition
from hyok.objects.facts import Proofs
from hyok.objects.store_copy import copy_in_store
from hyok.s3 import checksums
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.objects.facts import ObjectFacts, PutFacts
    from hyok.objects.opened import Opened
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
    size: int,
    check: Callable[[ObjectFacts], None],
    facts: Callable[[ObjectFacts], PutFacts],
    condition: Condition = ALWAYS,
    version_id: str = "",
) -> tuple[PutResult, ObjectFacts]:
    """Copy one object; return what was written and the source's facts.

    ``size`` is the source's, as it was looked at; ``check`` judges its preconditions; ``facts``
    says what the copy carries (COPY or REPLACE of metadata and tags); ``version_id`` names a
    version of the source.

    Raises:
        NotFound, Refused, Conflict, Tampered, Unavailable: as reading or writing says.
    """
    if size > WHOLE_BODY_BYTES_MAX:
        copied = await copy_in_store(
            vault,
            source=source,
            target=target,
            check=check,
            facts=facts,
            condition=condition,
            version_id=version_id,
        )
        if copied is not None:
            return copied
    opened = await vault.open(source, None, check, checksums=True, version_id=version_id, tags=True)
    try:
        body = OpenedBody(opened, vault.pump, vault.rooms)
        result = await vault.put(target, body, facts(opened.facts), condition)
    finally:
        await opened.close()
    await vault.custodian.conclude(
        source,
        opened.facts.outcome,
        object_id=bytes.fromhex(opened.facts.object_id),
        kek_id=opened.facts.kek_id,
        size_bytes=opened.facts.size,
    )
    return result, opened.facts
