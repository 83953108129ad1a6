"""A reader and a writer of whole objects, in a few plain lines: bytes in, bytes out.

They follow docs/format.md step by step over the package's own functions, and show how the pieces
belong together.  Everything is held in memory; nothing here is fast.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import settings
from tests.unit.envelope.vectors import SUITES

from hyok.envelope import block, trailer
from hyok.envelope.keys import DataKey, object_context
from hyok.envelope.layout import HEADER_BYTES, HYOK1_TEST, Layout, Suite
from hyok.envelope.metadata import Metadata, open_metadata, seal_metadata
from hyok.envelope.parts import PartOpener, PartSealer, check_header, part_header, part_id
from hyok.errors import HyokError, Tampered

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TENANT, BUCKET, KEY = "t1", "personnel", "2026/payroll.csv"
CONTEXT = object_context(TENANT, BUCKET, KEY)
SCOPE = f"bucket:{BUCKET}"
KEK_ID = "t1/confidential/1"
SECRET = sha256(b"secret").digest()
TOKEN = sha256(b"token").digest()

EXAMPLES = settings(deadline=None, max_examples=2_000 if os.environ.get("HYOK_LONG") else 60)
"""For properties: no time limit on a busy machine; ``HYOK_LONG=1`` looks much longer."""

REFUSALS: tuple[type[HyokError], ...] = (block.Malformed, Tampered)


class Bytes:
    """A fixed stream of bytes in place of the operating system's generator."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._count = 0

    def __call__(self, count: int) -> bytes:
        self._count += 1
        out = b""
        while len(out) < count:
            out += sha256(f"{self._seed} {self._count} {len(out)}".encode()).digest()
        return out[:count]


@dataclass(frozen=True)
class Whole:
    """One object as a store holds it."""

    envelope: bytes
    body: bytes


def plaintext(size: int, tag: str = "plain") -> bytes:
    """Return ``size`` bytes by the rule of the vector files."""
    blocks = -(-size // 32)
    raw = b"".join(sha256(tag.encode() + i.to_bytes(4, "big")).digest() for i in range(blocks))
    return raw[:size]


def seal_part(
    data_key: DataKey,
    suite: Suite,
    number: int,
    header: bytes,
    plain: bytes,
    cuts: Sequence[int] = (),
) -> bytes:
    """Return a sealed part; the plaintext arrives in pieces that end at ``cuts``."""
    sealer = PartSealer(data_key, suite, number, header)
    out = bytearray(header)
    room = memoryview(bytearray(suite.segment_bytes))
    held = bytearray()
    index = 0
    edges = [0, *sorted(min(cut, len(plain)) for cut in cuts), len(plain)]
    for start, stop in pairwise(edges):
        held += plain[start:stop]
        while len(held) > (full := sealer.segment_plain_bytes(index)):
            count = sealer.seal_into(memoryview(bytes(held[:full])), room, last=False)
            out += room[:count]
            del held[:full]
            index += 1
    count = sealer.seal_into(memoryview(bytes(held)), room, last=True)
    return bytes(out + room[:count])


def seal(
    parts: Iterable[tuple[int, bytes]] | bytes,
    *,
    suite: Suite = HYOK1_TEST,
    seed: str = "object",
    attempt: str = "first",
    metadata: bytes = b"",
    bind: bool = True,
    context: bytes = CONTEXT,
    checksum: tuple[int, int, bytes] = (0, 0, b""),
    secret: bytes = SECRET,
) -> Whole:
    """Return a sealed object of one plaintext, or of numbered parts.

    ``seed`` decides over every random byte; ``attempt`` over the headers of the parts alone.
    """
    multipart = not isinstance(parts, bytes)
    numbered = [(1, parts)] if isinstance(parts, bytes) else list(parts)
    draw = Bytes(seed)
    data_key = DataKey(draw(32))
    object_id = draw(16)
    draw_header = Bytes(f"{seed}, {attempt} attempt")
    headers = [part_header(draw_header(32), draw_header(7)) for _ in numbered]
    size = sum(len(plain) for _, plain in numbered)
    metadata_block = seal_metadata(metadata, data_key, draw(16), object_id) if metadata else b""
    envelope = block.seal_envelope(
        data_key=data_key,
        secret=secret,
        context=context,
        suite=suite,
        multipart=multipart,
        profile=block.Profile.HMAC_SHA256,
        mode=block.Mode.EMBEDDED,
        object_id=object_id,
        plain_size=None if multipart else size,
        wrap_salt=draw(32),
        kek_id=KEK_ID,
        scope=SCOPE,
        token=TOKEN,
        metadata_block=metadata_block,
        part_header=b"" if multipart else headers[0],
    )
    body = b"".join(
        seal_part(data_key, suite, number, header, plain)
        for (number, plain), header in zip(numbered, headers, strict=True)
    )
    manifest = trailer.Trailer(
        suite_id=suite.id,
        multipart=multipart,
        entries=tuple(
            trailer.Entry(number, len(plain), part_id(header) if bind else bytes(16))
            for (number, plain), header in zip(numbered, headers, strict=True)
        ),
        plain_size=size,
        object_id=object_id,
        md5=bytes(16),
        checksum_algorithm=checksum[0],
        checksum_type=checksum[1],
        checksum=checksum[2],
        created_ms=1_795_500_000_000,
    )
    return Whole(envelope, body + trailer.seal_trailer(manifest, data_key, draw(16)))


@dataclass(frozen=True)
class Opened:
    """An object whose envelope and trailer have been proven."""

    envelope: block.Envelope
    data_key: DataKey
    trailer: trailer.Trailer
    metadata: Metadata
    suite: Suite


def open_head(
    whole: Whole, secret: bytes = SECRET, context: bytes = CONTEXT, bucket_id: str = BUCKET
) -> Opened:
    """Check envelope, lengths and trailer."""
    envelope = block.parse(whole.envelope, suites=SUITES)
    block.check_scope(envelope.scope, bucket_id)
    data_key = block.open_envelope(envelope, secret, context)
    suite = SUITES[envelope.suite_id]
    plain_size = Layout(suite).object_plain_size(len(whole.body))
    if envelope.plain_size not in (None, plain_size):
        raise Tampered("the stored length is not the envelope's")
    size = len(whole.body)
    footer = trailer.parse_footer(whole.body[-16:], size, suite)
    manifest = trailer.open_trailer(
        whole.body[size - footer.trailer_size :],
        data_key,
        sealed_size=size,
        object_id=envelope.object_id,
        multipart=envelope.multipart,
        suite=suite,
        part_header=envelope.part_header or None,
    )
    metadata = open_metadata(envelope.metadata_block, data_key, envelope.object_id)
    return Opened(envelope, data_key, manifest, metadata, suite)


def read(
    whole: Whole,
    start: int = 0,
    stop: int | None = None,
    *,
    secret: bytes = SECRET,
    context: bytes = CONTEXT,
    bucket_id: str = BUCKET,
) -> bytes:
    """Return plaintext ``[start, stop)``; without a stop the whole object, every part checked."""
    head = open_head(whole, secret, context, bucket_id)
    full = stop is None
    stop = head.trailer.plain_size if stop is None else stop
    layout = Layout(head.suite)
    out = b""
    plain_at = sealed_at = 0
    for entry in head.trailer.entries:
        sealed_size = layout.part_sealed_size(entry.plain_size)
        part = whole.body[sealed_at : sealed_at + sealed_size]
        first = min(max(start - plain_at, 0), entry.plain_size)
        last = min(max(stop - plain_at, 0), entry.plain_size)
        if full or first < last:
            out += _open_part(head, entry, part, first, last)
        plain_at += entry.plain_size
        sealed_at += sealed_size
    return out


def _open_part(head: Opened, entry: trailer.Entry, part: bytes, start: int, stop: int) -> bytes:
    header = part[:HEADER_BYTES]
    if head.envelope.part_header not in (b"", header):
        raise Tampered("the object's header is not the envelope's")
    check_header(header)
    if entry.bound and part_id(header) != entry.part_id:
        raise Tampered("another attempt of the part was put back")
    opener = PartOpener(head.data_key, head.suite, entry.part_number, header, entry.plain_size)
    plan = Layout(head.suite).plan_part(entry.plain_size, start, stop)
    room = memoryview(bytearray(head.suite.segment_bytes))
    out = b""
    for index in range(plan.first_segment, plan.last_segment + 1):
        sealed_start, sealed_stop = opener.sealed_span(index)
        count = opener.open_into(index, memoryview(part)[sealed_start:sealed_stop], room)
        out += room[:count]
    return out[plan.skip : plan.skip + plan.take]
