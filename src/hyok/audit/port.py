"""Journal: where every use of a key and every decision is recorded; and who signs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hyok.audit.checkpoint import NoteSignature
    from hyok.audit.record import AuditRecord
    from hyok.vocabulary import TreeHead


class Journal(Protocol):
    """One installation, one log, one writer; many workers send to it."""

    async def record(self, record: AuditRecord, *, durable: bool) -> None:
        """Hand over one record; with ``durable`` return only when it is on disk.

        Without ``durable`` a crash may lose at most one second of records.

        Raises:
            Unavailable: the writer did not confirm in time; the act must not be answered.
        """
        ...

    async def close(self) -> None: ...


class CheckpointSigner(Protocol):
    """A key that signs checkpoints.  Blocking; asked by one thread.

    ``software``: no HSM guards it, and every checkpoint has to say so.
    """

    software: bool

    def sign(self, head: TreeHead) -> NoteSignature:
        """Return the signature over the checkpoint with this head.

        Raises:
            Unavailable: the key cannot be reached now.
            NotFound: there is no key.
            Tampered: it is another key than before.
        """
        ...
