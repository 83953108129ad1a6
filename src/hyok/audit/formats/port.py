"""Format: what a receiver gets for one record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hyok.audit.follow import Entry


class Format(Protocol):
    """Renders records; pure."""

    def render(self, entry: Entry) -> bytes | None:
        """Return the message for a record; None where the receiver is not concerned."""
        ...
