"""A real write, read and delete in a store, so that `hyok doctor` need not guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends.port import StoredFacts
from hyok.errors import Tampered

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.backends.port import ObjectStore

PROBE_BYTES = 64


async def probe_store(
    store: ObjectStore, backend_name: str, entropy: Callable[[int], bytes]
) -> None:
    """Write a few random bytes under the bucket's hidden prefix, read them back, remove them.

    Raises:
        Tampered: other bytes came back.
        Unavailable: the store did not answer, or refuses us.
    """
    name = f".hyok/probe/{entropy(8).hex()}"
    body = entropy(PROBE_BYTES)
    await store.put_whole(backend_name, name, body, StoredFacts())
    try:
        _, back = await store.read_whole(backend_name, name)
    finally:
        await store.delete(backend_name, name)
    if back != body:
        raise Tampered("the store gave back other bytes than it was given", code="HY-4005")
