"""Documents signed with the audit log's key: what they say, and the check of it.  Pure.

The signature is a signed note like a checkpoint's, under an origin of its own, whose root hash is
the SHA-256 of the document's canonical bytes.  So it needs no further way to use the key in the
HSM, and can never be taken for a checkpoint of the log.

Source: C2SP signed-note; docs/audit-log.md.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.audit.checkpoint import (
    SOFTWARE,
    TIME,
    Checkpoint,
    parse_checkpoint,
    parse_public_key,
)
from hyok.errors import Malformed, Tampered
from hyok.vocabulary import TreeHead

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.audit.checkpoint import NoteSignature, PublicKey

FORM = "hyok-signed/1"
ORIGIN = "hyok-document/"
"""Before the installation's name in a note's origin; no audit log may have such a one."""


def canonical(document: Mapping[str, object]) -> bytes:
    """Return the bytes whose SHA-256 is signed."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def digest(document: Mapping[str, object]) -> str:
    """Return the SHA-256 of a document's canonical bytes, hex."""
    return sha256(canonical(document)).hexdigest()


def head_of(
    document: Mapping[str, object], installation: str, now_ms: int, *, software: bool
) -> TreeHead:
    """Return what is signed for a document."""
    root = sha256(canonical(document)).digest()
    extensions = (f"{TIME}{now_ms}", *([SOFTWARE] if software else []))
    return TreeHead(ORIGIN + installation, 1, root, extensions)


def wrapped(
    document: Mapping[str, object],
    head: TreeHead | None,
    signature: NoteSignature | None,
    key: PublicKey | None = None,
) -> dict[str, object]:
    """Return the file's content; without a signature it says so.

    ``key``: named in it, for whoever trusts the file for another reason, such as where it was kept.
    """
    note = None
    if head is not None and signature is not None:
        note = Checkpoint(head, (signature,)).note()
    made: dict[str, object] = {"format": FORM, "document": document}
    made |= {"sha256": digest(document), "note": note}
    if key is not None:
        made["public_key"] = key.pem()
    return made


def document_of(file: object, form: str) -> Mapping[str, object]:
    """Return the document of a file, nothing of it proven.

    Raises:
        Malformed: it is none of this form (code HY-2427).
    """
    document = file.get("document") if isinstance(file, dict) else None
    named = isinstance(file, dict) and file.get("format") == FORM
    if not named or not isinstance(document, dict) or document.get("format") != form:
        raise Malformed(f"the file is no document of the form {form}", code="HY-2427")
    return document


def check(file: object, form: str, keys: Sequence[PublicKey]) -> Mapping[str, object]:
    """Return the document of a file that one of these keys signed.

    Raises:
        Malformed, Tampered: as `check_signer` says.
    """
    return check_signer(file, form, keys)[0]


def signer_named_in(file: object, form: str) -> PublicKey:
    """Return the key that a file names as its signer's, and which did sign it.

    It proves nothing of the file: whoever made it chose the key.

    Raises:
        Malformed: it names none, as those of older releases (code HY-2470); or as `check_signer`.
        Tampered: as `check_signer` says.
    """
    pem = file.get("public_key") if isinstance(file, dict) else None
    if not isinstance(pem, str):
        raise Malformed(
            "the document names no public key",
            code="HY-2470",
            next_step="--audit-key FILE, of `hyok audit key` or from who audits the log",
        )
    key = parse_public_key(pem.encode())
    check_signer(file, form, [key])
    return key


def check_signer(
    file: object, form: str, keys: Sequence[PublicKey]
) -> tuple[Mapping[str, object], PublicKey]:
    """Return the document of a file, and which of these keys signed it.

    Raises:
        Malformed: it is none of this form, or nobody signed it yet (code HY-2427).
        Tampered: what was signed is something else (code HY-2428).
    """
    document = document_of(file, form)
    assert isinstance(file, dict)
    note = file.get("note")
    if not isinstance(note, str):
        raise Malformed(
            "nobody signed the document yet",
            code="HY-2427",
            next_step="hyok keys minutes sign FILE, where the installation's HSM is",
        )
    signed = parse_checkpoint(note)
    wanted = canonical(document)
    text = signed.head.text().encode()
    if not signed.head.origin.startswith(ORIGIN) or signed.head.root != sha256(wanted).digest():
        raise _other()
    for signature in signed.signatures:
        for key in keys:
            if key.key_id == signature.key_id:
                try:
                    key.verify(signature.signature, text)
                except Tampered as error:
                    raise _other() from error
                return document, key
    raise _other()


def _other() -> Tampered:
    return Tampered(
        "the signature is not this key's over this document",
        code="HY-2428",
        effect="Nothing in it is proven.",
        next_step="ask for the file as it was made, and for the right public key",
    )
