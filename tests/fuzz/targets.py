"""One small target per parser: bytes in, and nothing but a `HyokError` may come out.

Each also says what must hold when nothing is refused (the same however the bytes were cut, inside
its bounds, the same after a round trip), so that a wrong answer is found and not only a crash.
`PLANTS` has a mistake for each target, as a change of one line of the program; a test shows that
the target finds it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hyok.doors.payloads import jwe, literal_json, pointers
from hyok.errors import HyokError
from hyok.s3 import (
    attributes,
    cors,
    documents,
    form_data,
    form_policy,
    forms,
    lifecycle,
    locks,
    names,
    ownership,
    preconditions,
    ranges,
    sts,
    tagging,
    tags,
    versions,
)
from hyok.s3.chunked import ChunkedDecoder
from hyok.s3.operations import identify
from hyok.s3.request import S3Request
from hyok.sigv4 import canonical
from hyok.sigv4.form import parse_form_credentials, verify_form
from hyok.sigv4.verify import parse_credentials, verify

CORPUS = Path(__file__).with_name("corpus")
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = 1_795_521_600_000
BASES = ("s3.example", "eu.s3.example")

Headers = list[tuple[bytes, bytes]]


def head(data: bytes) -> tuple[str, bytes, Headers, bytes]:
    """Read ``METHOD target`` and header lines up to an empty one, as an engine would hand them."""
    block, _, body = data.partition(b"\n\n")
    first, *lines = block.split(b"\n")
    method, _, target = first.partition(b" ")
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name.strip().lower(), value.strip(b" \t")))
    return method.decode("latin-1"), target, headers, body


def piece_of(byte: int) -> int:
    """Return how long the pieces shall be; seldom one byte, which is slow."""
    return (64, 7, 19, 250, 33, 1, 111, 1000)[byte % 8]


# --- the targets ---------------------------------------------------------------------------------


def sigv4(data: bytes) -> None:
    method, target, headers, _ = head(data)
    path, _, query = target.partition(b"?")
    for encode, raw in ((canonical.encode_path, path), (canonical.encode_query, query)):
        once = encode(raw)
        assert encode(once) == once, "what is canonical stays as it is"
    claim = parse_credentials(method, path, query, headers)
    if claim is not None:
        assert b"host" in claim.signed_names.split(b";")
        verify(claim, SECRET, now_ms=claim.at_ms, regions=("us-east-1",))


class _Believing:
    def verify_chunk(self, data_sha256_hex: str, given: str) -> None:
        assert len(given) == 64

    def verify_trailer(self, trailer: bytes, given: str) -> None:
        assert trailer.endswith(b"\n")


def _decode_chunks(data: bytes, length: int, flags: int, size: int) -> tuple[bytes, object]:
    decoder = ChunkedDecoder(
        length,
        verifier=_Believing() if flags & 1 else None,
        trailer=bool(flags & 2),
        announced="x-amz-checksum-crc32" if flags & 4 else "",
    )
    out, at = bytearray(), 0
    room = memoryview(bytearray(size))
    try:
        while at < len(data) and not decoder.done:
            piece = memoryview(data)[at : at + size]
            consumed, produced = decoder.decode(piece, room)
            out += room[:produced]
            at += consumed
        decoder.finish()
    except HyokError as error:
        return b"", error.reason
    assert len(out) == length
    return bytes(out), dict(decoder.trailers)


def chunked(data: bytes) -> None:
    if len(data) < 4:
        return
    flags, size, length = data[0], piece_of(data[1]), int.from_bytes(data[2:4], "big")
    whole = _decode_chunks(data[4:], length, flags, max(1, len(data)))
    assert _decode_chunks(data[4:], length, flags, size) == whole, "however it was cut"


def byte_ranges(data: bytes) -> None:
    size = int.from_bytes(data[:2], "big")
    texts = data[2:].decode("utf-8", "surrogateescape").split("\n")
    with suppress(HyokError):
        found = ranges.parse_range(texts[0], size)
        if found is not None:
            assert 0 <= found[0] < found[1] <= size
    with suppress(HyokError):
        first, last = ranges.parse_copy_range(texts[0], size)
        assert 0 <= first < last <= size
    names_of = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
    sent = dict(zip(names_of, texts[1:], strict=False))
    with suppress(HyokError):
        preconditions.check(preconditions.parse(sent.get), "e-h", NOW)
    preconditions.parse_write(sent.get)


def _again(
    parse: Callable[[bytes], object], render: Callable[..., bytes]
) -> Callable[[bytes], None]:
    def run(body: bytes) -> None:
        value = parse(body)
        if value is not None:
            assert parse(render(value)) == value, "what we tell can be put back"

    return run


DOCUMENTS: tuple[Callable[[bytes], object], ...] = (
    documents.parse_complete,
    documents.parse_delete,
    documents.parse_create_bucket,
    _again(tagging.parse_tagging, tagging.render_tagging),
    _again(versions.parse_versioning, versions.render_versioning),
    _again(locks.parse_configuration, locks.render_configuration),
    _again(lambda body: locks.parse_retention(body, NOW), locks.render_retention),
    locks.parse_legal_hold,
    _again(cors.parse_cors, cors.render_cors),
    lambda body: ownership.check_acl_document(body, "me"),
    ownership.check_ownership_controls,
    ownership.check_request_payment,
    _again(
        lambda body: lifecycle.parse_lifecycle(body, lambda: "nieuw").rules,
        lifecycle.render_lifecycle,
    ),
)


def xml(data: bytes) -> None:
    if data:
        DOCUMENTS[data[0] % len(DOCUMENTS)](data[1:])


def request(data: bytes) -> None:
    method, target, headers, body = head(data)
    text = data.decode("utf-8", "replace")
    for check in (names.parse_copy_source, names.parse_version_id, tags.parse_tagging_header):
        with suppress(HyokError):
            check(text)
    read = S3Request.of_target(method, target, headers, BASES)
    with suppress(HyokError):
        names.check_bucket_name(read.bucket)
        assert "/" not in read.bucket
    with suppress(HyokError):
        names.check_key(read.key)
        assert 0 < len(read.key.encode()) <= names.KEY_BYTES_MAX
    with suppress(HyokError):
        attributes.parse_asked(read.header)
    with suppress(HyokError):
        locks.parse_headers(read.header, NOW)
    with suppress(HyokError):
        cors.answer_preflight((cors.CorsRule(("*",), ("GET",), ("*",)),), read.header)
    with suppress(HyokError):
        ownership.check_acl_headers(read.header)
    with suppress(HyokError):
        sts.is_ours(read.header("content-type") or "", read.raw_query)
        sts.parse_assume(sts.parse_form(body))
    identify(read)


def _decode_form(
    data: bytes, boundary: bytes, size: int
) -> tuple[bytes, Mapping[str, str] | str, str]:
    decoder = form_data.FormDecoder(boundary)
    out, at = bytearray(), 0
    room = memoryview(bytearray(size))
    try:
        while not decoder.done:
            piece = memoryview(data)[at : at + size]
            consumed, produced = decoder.decode(piece, room)
            out += room[:produced]
            at += consumed
            if not consumed and not produced:
                break
        decoder.finish()
    except HyokError as error:
        return b"", error.reason, ""
    return bytes(out), decoder.fields, decoder.filename


def form(data: bytes) -> None:
    first, _, body = data.partition(b"\n")
    size, body = piece_of((body[:1] or b"\x00")[0]), body[1:]
    boundary = form_data.parse_boundary(first.decode("latin-1"))
    file, fields, filename = _decode_form(body, boundary, max(1, len(body)))
    assert _decode_form(body, boundary, size) == (file, fields, filename), "however it was cut"
    if isinstance(fields, str):
        return
    assert b"\r\n--" + boundary not in file
    claim = parse_form_credentials(fields)
    if claim is not None:
        held = form_policy.parse_policy(claim.policy)
        with suppress(HyokError):
            form_policy.check_fields(held, fields, now_ms=NOW)
        with suppress(HyokError):
            verify_form(claim, SECRET, now_ms=claim.at_ms, regions=("us-east-1",))
    upload = forms.read_upload(forms.expand_fields(fields, filename=filename, bucket="b"))
    made = forms.answer(upload, etag="e-h", address="http://h/b/k")
    assert all(value.isascii() or name != "location" for name, value in made.headers)
    assert not any("\n" in value or "\r" in value for _, value in made.headers)


_WORDS = ("eq", "starts-with", "content-length-range", "$key", "key", "bucket", "b", "k", "", "1")


def _value(data: Iterator[int], depth: int = 0) -> object:
    """Make a JSON value of bytes, so that mutations change the document and not its commas."""
    kind, size = next(data, 0) % 8, next(data, 0)
    if kind < 3 or depth > 4:
        return _WORDS[size % len(_WORDS)]
    if kind == 3:
        return (size - 128, 2**63, 1.5, True, None)[size % 5]
    if kind < 6:
        return [_value(data, depth + 1) for _ in range(size % 4)]
    return {_WORDS[next(data, 0) % len(_WORDS)]: _value(data, depth + 1) for _ in range(size % 3)}


def policy(data: bytes) -> None:
    if data[:1] == b"{":
        text = data
    else:
        rest = iter(data)
        conditions = [_value(rest) for _ in range(next(rest, 0) % 5)]
        document = {"expiration": "2030-01-01T00:00:00Z", "conditions": conditions}
        text = json.dumps(document).encode()
    held = form_policy.parse_policy(base64.b64encode(text).decode())
    assert held.size_min >= 0
    assert all(isinstance(condition.value, str) for condition in held.conditions)
    form_policy.check_fields(held, {"bucket": "b", "key": "k"}, now_ms=NOW)


def literal(data: bytes) -> None:
    value = literal_json.parse(data)
    raw = literal_json.render(value)
    assert literal_json.parse(raw) == value
    assert json.loads(raw, parse_int=str, parse_float=str) == json.loads(
        data, parse_int=str, parse_float=str
    )
    for place in pointers.walk(value):
        (again,) = pointers.find(value, pointers.parse(place.pointer))
        assert (again.value, again.canonical) == (place.value, place.canonical)


def token(data: bytes) -> None:
    text = data.decode("latin-1")
    read = jwe.read(text)
    parts = (read.key.wrapped, read.iv, read.sealed[:-16], read.sealed[-16:])
    assert ".".join((read.head.decode(), *map(jwe.encode, parts))) == text
    assert str(read.kid).count("/") == 2
    assert read.alg in set(jwe.Alg)
    assert bool(read.key.iv) is (read.alg is jwe.Alg.GCM)
    assert jwe.open_content(read, bytes(32)) is None


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "sigv4": sigv4,
    "chunked": chunked,
    "ranges": byte_ranges,
    "xml": xml,
    "request": request,
    "form": form,
    "policy": policy,
    "literal": literal,
    "token": token,
}


def run(name: str, data: bytes) -> None:
    """Run one target; a refusal is an answer, anything else is a bug."""
    with suppress(HyokError):
        TARGETS[name](data)


def corpus(name: str) -> list[bytes]:
    """Return the kept inputs of a target."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


# --- mistakes that must be found -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plant:
    """A mistake: in this file of the program, this line instead of that."""

    file: str
    line: str
    instead: str


PLANTS: Mapping[str, Plant] = {
    "literal": Plant(
        "doors/payloads/pointers.py",
        'escaped = name.replace("~", "~0").replace("/", "~1")',
        'escaped = name.replace("/", "~1")',
    ),
    "token": Plant(
        "doors/payloads/jwe.py",
        "if not _BASE64URL(text) or over == 1 or (over and text[-1] not in _LAST[over]):",
        "if not _BASE64URL(text) or over == 1:",
    ),
    "sigv4": Plant(
        "sigv4/claims.py",
        "if len(pieces) != 5 or pieces[4] != TERMINATOR or not all(pieces):",
        "if pieces[4] != TERMINATOR or not all(pieces):",
    ),
    "chunked": Plant(
        "s3/chunked.py",
        '_PLAIN_HEADER = re.compile(rb"([0-9A-Fa-f]{1,16})").fullmatch',
        '_PLAIN_HEADER = re.compile(rb"(\\w{1,16})").fullmatch',
    ),
    "ranges": Plant(
        "s3/ranges.py",
        "stop = size if self.last is None else min(self.last + 1, size)",
        "stop = size if self.last is None else self.last + 1",
    ),
    "xml": Plant(
        "s3/documents.py",
        "except (expat.ExpatError, ValueError):",
        "except ValueError:",
    ),
    "request": Plant(
        "s3/request.py",
        "(:(?P<port>[0-9]{0,5}))?",
        r"(:(?P<port>\w{0,5}))?",
    ),
    "form": Plant(
        "s3/form_data.py",
        "back = len(delimiter) - 1",
        "back = len(delimiter) - 2",
    ),
    "policy": Plant(
        "s3/form_policy.py",
        "if not isinstance(value, str) or not name:",
        "if not name:",
    ),
}
