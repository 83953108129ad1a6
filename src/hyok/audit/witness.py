"""Witnesses: another party co-signs a log's checkpoints, and only while that log just grows.

A witness keeps, for each log, the last head that it signed.  It signs a newer one only with a proof
that the newer tree begins with the older one, so that a log cannot show it two histories.

Source: docs/audit-log.md, section 10; C2SP tlog-witness (the idea; ours is files, not HTTP).
"""

from __future__ import annotations

import base64
import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.audit.checkpoint import Checkpoint, parse_checkpoint
from hyok.audit.evidence import latest
from hyok.audit.proofs import consistency_path, verify_consistency
from hyok.audit.signed import ORIGIN as DOCUMENT_ORIGIN
from hyok.audit.tiles import TreeFolder, folder_of
from hyok.audit.tree import node_from_tiles
from hyok.errors import Conflict, Malformed, Refused, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hyok.audit.checkpoint import NoteSignature, PublicKey
    from hyok.vocabulary import TreeHead

FORM = "hyok-audit-growth/1"


def prove_growth(log: Path, old: int) -> dict[str, object]:
    """Return the document that shows the newest checkpoint to be the log of ``old`` records, grown.

    ``old`` 0: there is nothing to show; for a witness that sees the log for the first time.

    Raises:
        NotFound: no checkpoint was made yet.
        Malformed: the newest checkpoint has fewer records.
        Tampered: the tiles are missing or not whole.
    """
    checkpoint = latest(log)
    size = checkpoint.head.size
    node = node_from_tiles(TreeFolder(folder_of(log)).read_tile, size)
    path = consistency_path(old, size, node) if old else []
    return {
        "format": FORM,
        "old": old,
        "checkpoint": checkpoint.note(),
        "path": [base64.b64encode(each).decode() for each in path],
    }


class Witness:
    """What one witness has signed, in the folder ``path``; one process at a time.

    ``sign`` makes the witness' own signature line over a head.
    """

    def __init__(self, path: Path, sign: Callable[[TreeHead], NoteSignature]) -> None:
        self._path, self._sign = path, sign

    def cosign(self, document: object, keys: Sequence[PublicKey]) -> Checkpoint:
        """Return the checkpoint of a growth document with the witness' signature added.

        Raises:
            Malformed: it is no such document.
            Conflict: the proof begins elsewhere than at what was signed last; the error says where.
            Refused: it is no log's, but could be taken for a document that we signed.
            Tampered: the checkpoint is not the log's own, or the log did not just grow: alert.
        """
        checkpoint, old, path = _parse(document)
        checkpoint.verify(keys)
        head = checkpoint.head
        if head.origin.startswith(DOCUMENT_ORIGIN):
            # Its root hash may be any document's, and our signature would be one of our own HSM.
            raise Refused(
                f"the origin {head.origin} is one of signed documents, not of a log",
                effect="Nothing was signed.",
            )
        place = self._path / f"{sha256(head.origin.encode()).hexdigest()[:32]}.json"
        size, root = _last(place, head.origin)
        if old != size:
            raise Conflict(
                f"the proof begins at {old} records; the last head signed here has {size}",
                effect="Nothing was signed.",
                next_step=f"ask for: hyok audit prove-growth {size}",
            )
        if size:
            if head.size < size:
                raise Tampered(f"the log had {size} records and now has {head.size}")
            verify_consistency(size, head.size, root, head.root, path)
        # On disk before the signature leaves: a witness that crashed must not sign a fork later.
        _keep(place, head)
        made = self._sign(head)
        others = tuple(
            line
            for line in checkpoint.signatures
            if (line.name, line.key_id) != (made.name, made.key_id)
        )
        return Checkpoint(head, (*others, made))


def _parse(document: object) -> tuple[Checkpoint, int, list[bytes]]:
    if not isinstance(document, dict) or document.get("format") != FORM:
        raise Malformed(f"the document is not of the form {FORM}")
    note, old, path = (document.get(name) for name in ("checkpoint", "old", "path"))
    if not isinstance(note, str) or not isinstance(old, int) or not isinstance(path, list):
        raise Malformed("the document has no checkpoint, old size or path")
    try:
        hashes = [base64.b64decode(each, validate=True) for each in path]
    except (ValueError, TypeError) as error:
        raise Malformed("a hash of the document is no base64") from error
    return parse_checkpoint(note), old, hashes


def _last(place: Path, origin: str) -> tuple[int, bytes]:
    try:
        kept = json.loads(place.read_text())
        if kept["origin"] != origin:
            raise Tampered(f"{place} is of another log")
        return int(kept["size"]), bytes.fromhex(kept["root"])
    except FileNotFoundError:
        return 0, b""
    except (ValueError, KeyError, TypeError) as error:
        raise Tampered(f"{place} is not readable; without it nothing may be signed") from error


def _keep(place: Path, head: TreeHead) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = place.with_name(place.name + ".new")
    text = json.dumps({"origin": head.origin, "size": head.size, "root": head.root.hex()})
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(place)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
