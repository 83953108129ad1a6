"""Sink: where an export's messages go, and what it means that they arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Sink(Protocol):
    """Takes messages in batches.  Blocking; one thread."""

    def send(self, messages: Sequence[bytes]) -> None:
        """Return once the receiver has all of ``messages``; some may arrive twice, none is lost.

        Raises:
            Unavailable: it is not known that it has them; send them again.
        """
        ...

    def close(self) -> None:
        """Let go of the receiver."""
        ...
