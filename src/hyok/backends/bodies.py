"""Stored bytes on their way out and in: what a pump thread drives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hyok.backends.stored import Stored, StoredPart


class StoreSink(Protocol):
    """Takes exactly the promised length, then `commit`; or stores nothing.  Blocking."""

    def write(self, view: memoryview) -> None: ...

    def commit(self) -> Stored:
        """Make the object exist and return it.

        Until this returns, and after `abort`, a short body or a crash, what was there before is
        still there, whole.

        Raises:
            Conflict: the condition did not hold (reason ``PreconditionFailed``, or
                ``ConditionalRequestConflict`` when lost in a race).
        """
        ...

    def abort(self) -> None:
        """Give up, from any state and any thread; never raises; may be called twice."""
        ...


class PartSink(Protocol):
    """Like `StoreSink`, for one part of an upload."""

    def write(self, view: memoryview) -> None: ...

    def commit(self) -> StoredPart: ...

    def abort(self) -> None: ...


class StoreSource(Protocol):
    """Stored bytes on their way in.  ``stored`` is known before the first byte.  Blocking."""

    stored: Stored

    def read_into(self, buffer: memoryview) -> int:
        """As `hyok.vocabulary.Source`; `Unavailable` when the store's answer is cut short."""
        ...

    def close(self) -> None:
        """Stop reading; give the connection back or break it.  Never raises; idempotent."""
        ...
