"""Who made a backup that custodians hold: signed with the audit key, checked before it is opened.

Anyone can seal a database to custodians, whose keys are public.  So the HSM signs the SHA-256 of
the sealed file, as it signs minutes (`hyok.audit.signed`).  Whoever restores brings the public
half: it stands in the minutes of a ceremony, auditors have it, and it lies beside the audit log.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.audit.checkpoint import parse_public_key
from hyok.audit.signed import check_signer, head_of, signer_named_in, wrapped
from hyok.audit.tiles import pinned_keys
from hyok.cli.documents import read_json
from hyok.cli.screen import err
from hyok.database.sealed_copy import BY_CUSTODIANS_SIGNED, read_signature
from hyok.errors import Conflict, Malformed, NotFound, Tampered
from hyok.officer.minutes import FORM as MINUTES_FORM

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.audit.checkpoint import PublicKey
    from hyok.custody.audit_key import AuditKey
    from hyok.database.sealed_copy import BackupHead

FORM = "hyok-backup/1"

AuditKeyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--audit-key", help="Public key (PEM) that signed a backup of custodians; once for each."
    ),
]
MinutesOfOption = Annotated[
    Path | None,
    typer.Option("--minutes", help="Minutes of a ceremony that name that public key."),
]
UnsignedOption = Annotated[
    bool,
    typer.Option("--unsigned", help="Take a backup of custodians though nobody shows who made it."),
]


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose signature is taken.  ``unsigned``: none is asked for, which was said explicitly."""

    keys: Sequence[PublicKey] = ()
    unsigned: bool = False


def signing(
    key: AuditKey, installation: str, clock_ms: Callable[[], int]
) -> Callable[[BackupHead, bytes], Awaitable[bytes]]:
    """Return what signs a backup with the audit key of the HSM.

    It raises Conflict where there is no such key yet (code HY-2472).
    """

    async def sign(head: BackupHead, digest: bytes) -> bytes:
        try:
            await asyncio.to_thread(key.public_key)
        except NotFound as error:
            raise Conflict(
                "There is no audit key to sign the backup with.",
                code="HY-2472",
                effect="Nothing was written.",
                next_step="hyok audit key --create",
            ) from error
        document = _document(head, digest)
        note = head_of(document, installation, clock_ms(), software=key.software)
        signed = wrapped(document, note, await asyncio.to_thread(key.sign, note))
        return json.dumps(signed, ensure_ascii=False).encode()

    return sign


def origin_of(
    log: Path, files: Sequence[Path] | None, minutes: Path | None, *, unsigned: bool
) -> Origin:
    """Return whose signature is taken: of the keys named, else of those beside the audit ``log``.

    Raises:
        Malformed: a file is no public key, or the minutes name none; or both a key and that none is
            asked for are given (code HY-2470).
    """
    named = [parse_public_key(file.read_bytes()) for file in files or []]
    if minutes is not None:
        signer = signer_named_in(read_json(minutes), MINUTES_FORM)
        _tell(f"{minutes} names the key {signer.fingerprint}: compare it with the paper")
        named.append(signer)
    if unsigned and named:
        raise Malformed(
            "a public key is named, and --unsigned says that none is asked for",
            code="HY-2470",
            effect="Nothing was opened.",
        )
    if unsigned:
        return Origin(unsigned=True)
    return Origin(named or pinned_keys(log))


def verify(file: Path, head: BackupHead, origin: Origin) -> str:
    """Return the fingerprint of the key that signed this backup of custodians.

    Empty: nobody's, and that was accepted.

    Raises:
        Conflict: it is not signed, or no public key is known to check it with (code HY-2470).
        Tampered: it is not what one of these keys signed (code HY-2471).
    """
    if origin.unsigned:
        _tell(f"WARNING: nothing shows who made {file.name}. Its officers, apps and keys may be")
        _tell("another's. Look at `hyok officers list` and `hyok apps list` before you start it.")
        return ""
    if head.version != BY_CUSTODIANS_SIGNED:
        raise _unproven(f"{file.name} is not signed: a release before made it, or anybody")
    if not origin.keys:
        raise _unproven("no public key is known here that could show who made it")
    digest, raw = read_signature(file)
    try:
        document, signer = check_signer(json.loads(raw), FORM, origin.keys)
    except (ValueError, RecursionError, Malformed, Tampered) as error:
        raise _another(file) from error
    if document != _document(head, digest):
        raise _another(file)
    return signer.fingerprint


def _tell(text: str) -> None:
    err.print(text, markup=False)


def _unproven(cause: str) -> Conflict:
    return Conflict(
        cause,
        code="HY-2470",
        effect="Nothing was opened.",
        next_step="--audit-key FILE or --minutes FILE; --unsigned takes it as it is",
    )


def _another(file: Path) -> Tampered:
    return Tampered(
        f"{file.name} is not what a known audit key signed.",
        code="HY-2471",
        effect="Nothing was opened.",
        next_step="take another backup; ask who could write to this one, or for the right key",
    )


def _document(head: BackupHead, digest: bytes) -> dict[str, object]:
    return {
        "format": FORM,
        "backup": head.backup_id.hex(),
        "made_ms": head.made_ms,
        "bytes": head.size_bytes,
        "sha256": digest.hex(),
    }
