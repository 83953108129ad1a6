"""UploadSecrets: what opens the data key of an upload in progress, where each object has its own.

In mode direct every use of a key is a call to the HSM.  An upload of ten thousand parts would need
as many, so the secret of an open upload may stay in the memory of the worker that serves it until
the upload ends, at most an hour.  It is the secret of that one object's token: it
opens that envelope and nothing else, and the envelope's mac is checked at every use all the same.
Reading the finished object never comes here: every GET asks the HSM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.custody.secrets_cache import ByteSecrets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable

    from hyok.envelope.block import Envelope
    from hyok.vocabulary import Ask

HELD_MS_MAX = 3_600_000
UPLOADS_MAX = 4_096
"""Uploads held at once in one worker; beyond it the oldest ask the HSM again."""


@dataclass(frozen=True, slots=True)
class _Place:
    tenant: str
    bucket_id: str
    key: str
    upload_id: str
    mac: bytes


class UploadSecrets:
    """One in each process.  Nothing of it is shared with another."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._held = ByteSecrets(clock_ms, UPLOADS_MAX)

    async def get(
        self, ask: Ask, upload_id: str, found: Envelope, fetch: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """Return the secret of an upload's envelope, asked of the HSM at most once an hour."""
        return await self._held.copy_of(_place(ask, upload_id, found), HELD_MS_MAX, fetch)

    def put(self, ask: Ask, upload_id: str, found: Envelope, secret: bytes) -> None:
        """Hold the secret of an upload that is just being made."""
        self._held.put(_place(ask, upload_id, found), bytearray(secret), HELD_MS_MAX)

    def held(self) -> Collection[str]:
        """Return the ids of the uploads whose secrets are held."""
        return {place.upload_id for place in self._held.names() if isinstance(place, _Place)}

    def end(self, upload_id: str) -> None:
        """Forget an upload that was completed or aborted."""

        def mine(place: Hashable) -> bool:
            return isinstance(place, _Place) and place.upload_id == upload_id

        self._held.clear(mine)

    def sweep(self) -> None:
        """Drop what is past its hour."""
        self._held.sweep()


def _place(ask: Ask, upload_id: str, found: Envelope) -> _Place:
    ref = ask.ref
    return _Place(ref.tenant, ref.bucket_id, ref.key, upload_id, found.mac)
