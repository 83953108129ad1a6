"""PumpPool: the bounded pool of threads in which large bodies move."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.vocabulary import T


class PumpPool:
    """Runs blocking work; what finds no free thread waits in order."""

    def __init__(self, threads: int = 64, name: str = "hyok-pump") -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns.  A cancelled caller does not stop the work."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Wait for running work and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
