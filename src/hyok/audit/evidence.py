"""Proofs as documents: that records stand in the log that a checkpoint signed.

A document is JSON: the checkpoint, and for each record its line, its index from 0 and the hashes
that lead from it to the root.  It says nothing of other records.

Source: docs/audit-log.md, section 7.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from hyok.audit.checkpoint import parse_checkpoint
from hyok.audit.proofs import inclusion_path, verify_inclusion
from hyok.audit.segments import segments_of, seq_of, whole_lines
from hyok.audit.tiles import TreeFolder, folder_of
from hyok.audit.tree import leaf_hash, node_from_tiles
from hyok.errors import Malformed, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from hyok.audit.checkpoint import Checkpoint, PublicKey

FORM = "hyok-audit-proof/1"


def latest(log: Path) -> Checkpoint:
    """Return the newest checkpoint of a log.

    Raises:
        NotFound: none was made yet.
    """
    note = TreeFolder(folder_of(log)).newest()
    if note is None:
        raise NotFound(
            f"there is no checkpoint of {log} yet",
            code="HY-5108",
            next_step="hyok doctor says what is missing",
        )
    return parse_checkpoint(note)


def prove(
    log: Path, numbers: Collection[int], tell: Callable[[int], None] = lambda _: None
) -> dict[str, object]:
    """Return the document that proves the records with these sequence numbers.

    Raises:
        NotFound: a record is not there, or no checkpoint covers it yet.
        Tampered: tiles or lines are not those that were signed.
    """
    checkpoint = latest(log)
    head = checkpoint.head
    uncovered = [number for number in numbers if not 0 < number <= head.size]
    if uncovered:
        raise NotFound(
            f"no checkpoint covers record {uncovered[0]} yet; the newest has {head.size} records",
            code="HY-5108",
        )
    node = node_from_tiles(TreeFolder(folder_of(log)).read_tile, head.size)
    rows = []
    for number, line in _lines_of(log, frozenset(numbers), tell).items():
        path = inclusion_path(number - 1, head.size, node)
        verify_inclusion(leaf_hash(line), number - 1, head.size, path, head.root)
        rows.append(
            {
                "index": number - 1,
                "record": line.decode(),
                "path": [base64.b64encode(each).decode() for each in path],
            }
        )
    return {"format": FORM, "checkpoint": checkpoint.note(), "records": rows}


def _lines_of(log: Path, numbers: frozenset[int], tell: Callable[[int], None]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    read = 0
    segments = segments_of(log)
    for segment, following in zip(segments, [*segments[1:], None], strict=True):
        if following is not None and not any(
            segment.first <= number < following.first for number in numbers
        ):
            continue
        for line in whole_lines(segment):
            read += len(line) + 1
            if seq_of(line) in numbers:
                found[seq_of(line)] = line
                tell(read)
                if len(found) == len(numbers):
                    return dict(sorted(found.items()))
    raise NotFound(f"record {min(numbers - found.keys())} is not in the log", code="HY-5103")


def check(document: object, keys: Sequence[PublicKey]) -> Sequence[Mapping[str, object]]:
    """Return the records that a document proves: index and line.

    Raises:
        Malformed: it is no such document.
        Tampered: its checkpoint is not signed by one of ``keys``, or a record is not in it.
    """
    if not isinstance(document, dict) or document.get("format") != FORM:
        raise Malformed(f"the document is not of the form {FORM}")
    note, rows = document.get("checkpoint"), document.get("records")
    if not isinstance(note, str) or not isinstance(rows, list) or not rows:
        raise Malformed("the document has no checkpoint, or no records")
    checkpoint = parse_checkpoint(note)
    checkpoint.verify(keys)
    head = checkpoint.head
    proven: list[Mapping[str, object]] = []
    for row in rows:
        index, line, path = _row(row)
        verify_inclusion(leaf_hash(line.encode()), index, head.size, path, head.root)
        proven.append({"index": index, "record": line})
    return proven


def _row(row: object) -> tuple[int, str, list[bytes]]:
    if isinstance(row, dict):
        index, line, path = row.get("index"), row.get("record"), row.get("path")
        if isinstance(index, int) and isinstance(line, str) and isinstance(path, list):
            try:
                return index, line, [base64.b64decode(each, validate=True) for each in path]
            except (ValueError, TypeError) as error:
                raise Malformed("a hash of the document is no base64") from error
    raise Malformed("a record of the document has no index, line or path")
