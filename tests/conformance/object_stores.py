"""The stores that the suite is run against.  To add one: a maker, and its line in `STORES`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.fakes.memory_store import MemoryStore

from hyok.backends.filesystem import FileStore
from hyok.envelope.block import Envelope, Mode, Profile, render
from hyok.envelope.parts import part_header

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from hyok.backends.port import ObjectStore

    Maker = Callable[[Path], AbstractAsyncContextManager[ObjectStore]]


@asynccontextmanager
async def memory(_folder: Path) -> AsyncIterator[ObjectStore]:
    yield MemoryStore(keeps_metadata=True)


@asynccontextmanager
async def memory_without_metadata(_folder: Path) -> AsyncIterator[ObjectStore]:
    yield MemoryStore(keeps_metadata=False)


@asynccontextmanager
async def files(folder: Path) -> AsyncIterator[ObjectStore]:
    store = FileStore(folder / "store")
    yield store
    await store.close()


STORES: list[Maker] = [memory, memory_without_metadata, files]


def envelope(mark: int = 0, *, multipart: bool = False) -> bytes:
    """Return a well-formed envelope that differs by ``mark``; stores look no deeper."""
    return render(
        Envelope(
            suite_id=1,
            multipart=multipart,
            profile=Profile.HMAC_SHA256,
            mode=Mode.DIRECT,
            object_id=mark.to_bytes(16, "big"),
            plain_size=None if multipart else mark,
            wrap_salt=bytes(32),
            wrapped_dek=bytes(40),
            kek_id="t1/confidential/1",
            scope="",
            token=bytes(32),
            metadata_block=b"",
            part_header=b"" if multipart else part_header(bytes(32), bytes(7)),
            mac=mark.to_bytes(32, "big"),
        )
    )
