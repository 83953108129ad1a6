"""Epochs: one look at every epoch, for all who remember what stands under one.

A request needs rows of eight kinds.  Looked at one by one, a request that finds them old waits
eight times for a thread, or eight times for a database that does not answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from sqlalchemy import select

from hyok.database.tables import epochs
from hyok.errors import HyokError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection


class Rememberer(Protocol):
    """Who remembers what stands under an epoch."""

    def begin(self) -> Any | None:
        """Return what to be handed at the end of the look that begins; None: it is not for us."""
        ...

    def load(self, connection: Connection, numbers: dict[str, int]) -> Any:
        """Return what is new; in a thread of the database, in a transaction that cannot write.

        Raises:
            HyokError: what is there cannot be used.
        """
        ...

    def saw(self, begun: Any, loaded: Any) -> None:
        """Take what `load` returned."""
        ...

    def missed(self, begun: Any, error: HyokError) -> None:
        """Learn that the look, or `load`, ended with ``error``."""
        ...


class Reader(Protocol):
    async def read(self, act: Callable[[Connection], Any]) -> Any: ...


class Epochs:
    """The epochs of one database, for the tasks of one event loop."""

    def __init__(self, database: Reader) -> None:
        self._database = database
        self._known: WeakSet[Any] = WeakSet()
        self._aboard: Sequence[tuple[Rememberer, Any]] = ()
        self._look: asyncio.Task[None] | None = None
        self._begun_at = 0.0

    def join(self, who: Rememberer) -> None:
        """Have ``who`` told of every look."""
        self._known.add(who)

    @property
    def on_its_way(self) -> bool:
        """Whether a look has begun and not ended."""
        return self._look is not None

    def begin(self) -> asyncio.Task[None]:
        """Begin a look, unless one is on its way; nobody need wait for it."""
        if self._look is None:
            found = [(who, who.begin()) for who in self._known]
            self._aboard = [(who, begun) for who, begun in found if begun is not None]
            self._begun_at = asyncio.get_running_loop().time()
            self._look = asyncio.create_task(self._go())
        return self._look

    async def look(self, who: Rememberer, seconds: float | None = None) -> bool:
        """Wait for a look that ``who`` is told of; return whether it has ended.

        ``seconds``: after so long since it began nobody waits any more; None: who asks has nothing
        else to go by, and waits for its end.
        """
        while True:
            look = self.begin()
            mine = any(one is who for one, _ in self._aboard)
            left = None if seconds is None else self._begun_at + seconds - look.get_loop().time()
            # Not awaited itself: who goes away must not take the look from the others.
            if left is None or left > 0:
                await asyncio.wait({look}, timeout=left)
            if not look.done():
                return False
            look.result()
            if mine:
                return True

    async def _go(self) -> None:
        aboard = self._aboard
        try:
            told = await self._database.read(lambda connection: _see(connection, aboard))
        except HyokError as error:
            for who, begun in aboard:
                who.missed(begun, error)
        else:
            for (who, begun), loaded in zip(aboard, told, strict=True):
                if isinstance(loaded, HyokError):
                    who.missed(begun, loaded)
                else:
                    who.saw(begun, loaded)
        finally:
            self._look = None


def _see(connection: Connection, aboard: Sequence[tuple[Rememberer, Any]]) -> list[Any]:
    numbers = {row.name: row.value for row in connection.execute(select(epochs))}
    told: list[Any] = []
    for who, _ in aboard:
        try:
            told.append(who.load(connection, numbers))
        except HyokError as error:  # one kind of rows that cannot be used keeps no other away
            told.append(error)
    return told
