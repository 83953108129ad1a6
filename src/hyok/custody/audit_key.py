"""AuditKey: the key of the HSM that signs checkpoints of the audit log; it serves nothing else.

It fills the port that `audit` states.  No decision is asked for a checkpoint and none is recorded:
the log would grow by what it says of itself.

Source: docs/audit-log.md, section 4; docs/format.md, section 13.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hyok.audit.checkpoint import PublicKey, sign_line
from hyok.errors import Tampered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hyok.audit.checkpoint import NoteSignature
    from hyok.vocabulary import TreeHead


def key_name(installation: str, version: int) -> str:
    """Return the name of an installation's signing key in the token."""
    return f"hyok-audit/{installation}/{version}"


class _Signer(Protocol):
    software: bool

    def create(self) -> bytes: ...

    def public_key(self) -> bytes: ...

    def sign(self, head: TreeHead) -> bytes: ...


class AuditKey:
    """One signing key.  Blocking; methods raise what the HSM's signer raises.

    ``pinned`` is a file with the public key as it was when it was first seen: another key under
    this name is not used.
    """

    def __init__(self, signer: _Signer, pinned: Path) -> None:
        self._signer, self._pinned = signer, pinned
        self.software = signer.software

    def create(self) -> PublicKey:
        """Make the key in the HSM."""
        key = PublicKey(self._signer.create())
        self._pin(key)
        return key

    def public_key(self) -> PublicKey:
        """Return the key's public half, from the HSM.

        Raises:
            Tampered: it is not the one that was there at first (code HY-2106).
        """
        key = PublicKey(self._signer.public_key())
        self._pin(key)
        return key

    def _pin(self, key: PublicKey) -> None:
        if not self._pinned.exists():
            self._pinned.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = self._pinned.with_name(self._pinned.name + ".new")
            beside.write_text(key.pem())
            beside.replace(self._pinned)
        elif self._pinned.read_text() != key.pem():
            raise Tampered(
                f"another key than {self._pinned} signs for the audit log",
                code="HY-2106",
                effect="It was not used.",
                next_step="restore the right token; a new key has a new audit.key_version",
            )

    def sign(self, head: TreeHead) -> NoteSignature:
        """Return the signature line over the checkpoint with this head.

        Raises:
            Tampered: what the HSM answered is not its key's signature.
        """
        key = self.public_key()
        signature = self._signer.sign(head)
        key.verify(signature, head.text().encode())
        return sign_line(head.origin, key, signature)


def hsm_key(sockets: Sequence[str], name: str, pinned: Path) -> AuditKey:
    """Return the key of this name behind the agents at these sockets."""
    from hyok.hsm.signer import TokenSigner  # noqa: PLC0415 - the audit writer starts without it

    return AuditKey(TokenSigner(sockets, name), pinned)


def software_key(file: Path, name: str, pinned: Path) -> AuditKey:
    """Return the key of this name in a file; for development."""
    from hyok.hsm.software_signer import SoftwareSigner  # noqa: PLC0415 - as above

    return AuditKey(SoftwareSigner(file, name), pinned)
