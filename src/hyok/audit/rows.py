"""The rows of a log that several hosts write: who vouches for what, byte by byte.  Pure.

A *run* is one start of a host's writer.  It signs each *batch* that it hands in with an Ed25519 key
of its own, which lives in its memory alone; the log's key in the HSM signs a document that names
that key.  The sequencer signs each *chunk*, records in their order, with the key of its run.  So
whoever may write to the database can add, change or leave out nothing that is not found.

Source: docs/audit-log.md, section 12.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hyok.audit.signed import canonical, check, head_of, wrapped
from hyok.errors import HyokError, Tampered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from hyok.audit.checkpoint import PublicKey
    from hyok.audit.port import CheckpointSigner

RUN_FORM = "hyok-audit-run/1"
BATCH_FORM, CHUNK_FORM = "hyok-audit-batch/1", "hyok-audit-chunk/1"

Spot = tuple[int, int]
"""Which batch of a host: the number of the run and that of the batch in it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One start of a writer.

    ``after`` is the last batch of this host that was committed before, as the host itself
    remembers: nothing up to there may be missing.
    """

    run: str
    host: str
    name: str
    number: int
    public_key: bytes
    after: Spot = (0, 0)

    def document(self) -> dict[str, object]:
        """Return what the log's key signs."""
        return {
            "format": RUN_FORM,
            "run": self.run,
            "host": self.host,
            "name": self.name,
            "number": self.number,
            "key": self.public_key.hex(),
            "after": list(self.after),
        }


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that a writer handed in together: lines without numbers."""

    run: str
    number: int
    at_ms: int
    lines: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records in their order.  ``previous``: SHA-256 of the line before, hex; empty: none is.

    ``state``: the last batch of each host that is in the log now, as JSON.
    """

    first: int
    records: int
    lines: bytes
    previous: str
    state: str
    run: str
    signature: bytes

    @property
    def last(self) -> int:
        """The number of its last record."""
        return self.first + self.records - 1


def vouch(run: Run, signer: CheckpointSigner, installation: str, now_ms: int) -> str:
    """Return the document of a run, signed by the log's key.

    Raises:
        Unavailable, NotFound: the key cannot be reached, or was not made.
    """
    document = run.document()
    head = head_of(document, installation, now_ms, software=signer.software)
    return json.dumps(wrapped(document, head, signer.sign(head)))


def vouched(text: str, keys: Sequence[PublicKey]) -> Run:
    """Return the run of a document that one of ``keys`` signed.

    Raises:
        Tampered: none of them did, or it is no such document.
    """
    try:
        return run_of(check(json.loads(text), RUN_FORM, keys))
    except (HyokError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Tampered("no key of the log vouches for a writer's run", code="HY-5120") from error


def run_of(document: Mapping[str, object]) -> Run:
    """Return the run of a document as `Run.document` returns it.

    Raises:
        KeyError, ValueError, TypeError: it is none.
    """
    run, host, name = (str(document[each]) for each in ("run", "host", "name"))
    key = bytes.fromhex(str(document["key"]))
    after = document["after"]
    if not isinstance(after, list):
        raise TypeError("a batch is no list")
    last = (int(after[0]), int(after[1]))
    return Run(run, host, name, int(str(document["number"])), key, last)


def sign_batch(
    key: Ed25519PrivateKey, run: str, number: int, at_ms: int, lines: Sequence[bytes]
) -> Batch:
    """Return a batch as it is handed in."""
    raw = b"".join(lines)
    return Batch(run, number, at_ms, raw, key.sign(_batch_text(run, number, at_ms, raw)))


def check_batch(batch: Batch, run: Run) -> None:
    """Return quietly if the run signed this batch.

    Raises:
        Tampered: it did not (code HY-5120).
    """
    text = _batch_text(run.run, batch.number, batch.at_ms, batch.lines)
    _check(run, batch.signature, text, "a batch of records is not what its writer handed in")


def sign_chunk(
    key: Ed25519PrivateKey,
    run: str,
    first: int,
    lines: Sequence[bytes],
    previous: str,
    state: Mapping[str, Spot],
) -> Chunk:
    """Return records in their order, as the sequencer adds them."""
    raw, text = b"".join(lines), json.dumps(state, sort_keys=True, separators=(",", ":"))
    bare = Chunk(first, len(lines), raw, previous, text, run, b"")
    return Chunk(first, len(lines), raw, previous, text, run, key.sign(_chunk_text(bare)))


def check_chunk(chunk: Chunk, run: Run) -> list[bytes]:
    """Return the lines of a chunk, each with its line feed, if the run signed it.

    Raises:
        Tampered: it did not (code HY-5120).
    """
    said = f"the records from {chunk.first} on are not those that were put in order"
    _check(run, chunk.signature, _chunk_text(chunk), said)
    lines = chunk.lines.splitlines(keepends=True)
    if len(lines) != chunk.records:
        raise _tampered(said)
    return lines


def state_of(chunk: Chunk | None) -> dict[str, Spot]:
    """Return the last batch of each host that is in the log up to a chunk that was checked."""
    kept = json.loads(chunk.state) if chunk is not None else {}
    return {host: (int(number), int(batch)) for host, (number, batch) in kept.items()}


def line_hash(line: bytes) -> str:
    """Return what names a line in the chunk behind it."""
    return sha256(line.rstrip(b"\n")).hexdigest()


def _batch_text(run: str, number: int, at_ms: int, lines: bytes) -> bytes:
    told = {"format": BATCH_FORM, "run": run, "number": number, "at_ms": at_ms}
    return canonical(told | {"lines": sha256(lines).hexdigest()})


def _chunk_text(chunk: Chunk) -> bytes:
    return canonical(
        {
            "format": CHUNK_FORM,
            "first": chunk.first,
            "records": chunk.records,
            "lines": sha256(chunk.lines).hexdigest(),
            "previous": chunk.previous,
            "state": chunk.state,
            "run": chunk.run,
        }
    )


def _check(run: Run, signature: bytes, text: bytes, said: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(run.public_key).verify(signature, text)
    except (InvalidSignature, ValueError) as error:
        raise _tampered(said) from error


def _tampered(said: str) -> Tampered:
    return Tampered(
        said,
        code="HY-5120",
        effect="Records are kept; none is put in order behind them.",
        next_step="docs/operate.md, 'The rows of the audit log were changed'",
    )
