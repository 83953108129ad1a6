"""How many stored objects depend on a KEK, in every version, by the word of their envelopes."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.envelope.block import Mode
from hyok.objects.envelopes import envelopes

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.backends.port import ObjectStore
    from hyok.custody.exposure import Exposure
    from hyok.vocabulary import Bucket


@dataclass(frozen=True, slots=True)
class Exposed:
    """Objects of a bucket whose key may have stood under a compromised version.

    ``older``: versions behind the newest of their object, whose place nothing can take.
    """

    newest: int = 0
    older: int = 0

    @property
    def total(self) -> int:
        """Return how many there are."""
        return self.newest + self.older


async def count_under(
    store: ObjectStore,
    bucket: Bucket,
    kek_id: str,
    tell: Callable[[int], None] = lambda _objects: None,
) -> int:
    """Return how many objects and older versions name this KEK, and no keyring record.

    Every envelope of the bucket is looked at.  ``tell`` is called with the objects looked at.

    Raises:
        Unavailable: the store does not answer.
    """
    count = 0
    async with aclosing(envelopes(store, bucket, tell)) as everything:
        async for found in everything:
            envelope = found.envelope
            count += envelope.mode is not Mode.KEYRING and envelope.kek_id == kek_id
    return count


async def count_exposed(
    store: ObjectStore,
    bucket: Bucket,
    exposure: Exposure,
    tell: Callable[[int], None] = lambda _objects: None,
) -> Exposed:
    """Return how many objects and older versions have a key that the KEK in question kept.

    Raises:
        Unavailable: store or database do not answer.
    """
    newest = older = 0
    async with aclosing(envelopes(store, bucket, tell)) as everything:
        async for found in everything:
            if (await exposure.judge(found.envelope)).exposed:
                newest, older = newest + found.latest, older + (not found.latest)
    return Exposed(newest, older)
