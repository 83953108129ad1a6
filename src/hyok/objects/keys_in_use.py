"""How many stored objects a KEK keeps by itself, in every version: those of no keyring record."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from hyok.envelope.block import Mode
from hyok.objects.envelopes import envelopes

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.backends.port import ObjectStore
    from hyok.vocabulary import Bucket


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
