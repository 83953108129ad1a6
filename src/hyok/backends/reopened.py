"""ReopenedSource: a body that is asked for once more when it fails before its first byte."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from hyok.errors import HyokError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hyok.backends.port import StoreSource


class ReopenedSource:
    """A stored body that is asked for once more when it fails before its first byte.

    The second answer must be of the same version as the first, whose facts the caller has seen.
    """

    def __init__(
        self,
        source: StoreSource,
        open_it: Callable[[str], Awaitable[StoreSource]],
        seconds_max: float,
    ) -> None:
        self.stored = source.stored
        self._source = source
        self._open_it = open_it
        self._seconds_max = seconds_max
        self._loop = asyncio.get_running_loop()
        self._begun = False
        self._closed = False

    def read_into(self, buffer: memoryview) -> int:
        begun, self._begun = self._begun, True
        try:
            return self._source.read_into(buffer)
        except Unavailable as error:
            if begun or self._closed or error.lasting or _on_a_loop():
                raise
            self._source.close()
            self._reopen(error)
        return self._source.read_into(buffer)

    def _reopen(self, error: Unavailable) -> None:
        waiting = asyncio.run_coroutine_threadsafe(self._again(), self._loop)
        try:
            source = waiting.result(self._seconds_max)
        except (HyokError, TimeoutError):
            waiting.cancel()
            raise error from None
        if source.stored.etag != self.stored.etag or source.stored.size != self.stored.size:
            source.close()
            raise error
        self._source = source
        if self._closed:
            source.close()

    async def _again(self) -> StoreSource:
        return await self._open_it(self.stored.etag)

    def close(self) -> None:
        self._closed = True
        with suppress(HyokError):
            self._source.close()


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
