"""What is proven of an object without opening its body: its parts and its checksum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.objects.facts import ObjectFacts
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask


@dataclass(frozen=True, slots=True)
class Examination:
    """An object, and its parts as ``(number, plaintext bytes)``; None where it is not of parts."""

    facts: ObjectFacts
    parts: Sequence[tuple[int, int]] | None


async def examine(vault: ObjectVault, ask: Ask, version_id: str = "") -> Examination:
    """Return what envelope and trailer prove of an object, or of the version that is named.

    Of one that stands in clear nothing is proven; then it is the store's word.

    Raises:
        NotFound, Refused, Tampered, Unavailable: as reading says.
    """
    unsealed = await vault.adoptions.head(ask, lambda _facts: None, version_id)
    if unsealed is not None:
        return Examination(unsealed, None)
    place, stored = await vault.look(ask, version_id)
    examined = await vault.reader.examine(ask, place, stored)
    examined.key.data_key.close()
    await vault.custodian.conclude(
        ask,
        "done",
        object_id=examined.key.envelope.object_id,
        kek_id=examined.key.kek_id,
        size_bytes=0,
    )
    trailer = examined.trailer
    parts = [(entry.part_number, entry.plain_size) for entry in trailer.entries]
    return Examination(examined.facts, parts if trailer.multipart else None)
