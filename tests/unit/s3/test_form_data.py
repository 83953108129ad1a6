"""A browser's form is taken apart the same way however it was cut, and never beyond its bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyok.errors import Malformed
from hyok.s3.form_data import FIELDS_BYTES_MAX, FormDecoder, parse_boundary

BOUNDARY = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"
DELIMITER = b"\r\n--" + BOUNDARY


def part(name: str, value: bytes, *, more: str = "", headers: str = "") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"{more}\r\n{headers}\r\n'
    return b"--" + BOUNDARY + b"\r\n" + head.encode() + value + b"\r\n"


def form(fields: dict[str, bytes], file: bytes | None = b"data", *, after: bytes = b"") -> bytes:
    body = b"".join([part(name, value) for name, value in fields.items()])
    if file is not None:
        body += part("file", file, more='; filename="a b.txt"', headers="Content-Type: x/y\r\n")
    return body + after + b"--" + BOUNDARY + b"--\r\n"


def decode(body: bytes, pieces: list[int], room: int = 4096) -> tuple[FormDecoder, bytes]:
    """Feed the body cut into pieces, the last one with what is left."""
    decoder = FormDecoder(BOUNDARY)
    out = bytearray()
    buffer = memoryview(bytearray(room))
    at = 0
    for size in [*pieces, len(body)]:
        piece = memoryview(body)[at : at + size]
        at += len(piece)
        while True:
            consumed, produced = decoder.decode(piece, buffer)
            out += buffer[:produced]
            piece = piece[consumed:]
            if decoder.done or (not piece and produced < room):
                break
    decoder.finish()
    return decoder, bytes(out)


def test_fields_then_the_file() -> None:
    body = form({"Key": b"u/${filename}", "ACL": b"private", "x-amz-meta-naam": "é\r\nx".encode()})
    decoder, file = decode(body, [])
    assert decoder.fields == {"key": "u/${filename}", "acl": "private", "x-amz-meta-naam": "é\r\nx"}
    assert (file, decoder.filename) == (b"data", "a b.txt")


@given(
    file=st.lists(
        st.sampled_from([b"x", b"\r", b"\n", b"\r\n", b"--", b"\r\n--" + BOUNDARY[:-1], b"\r\n--",
                         b"--" + BOUNDARY, b"\r\n\r\n", b"y" * 500]),
        max_size=30,
    )
    .map(b"".join)
    .filter(lambda file: DELIMITER not in file),
    value=st.sampled_from([b"", b"--" + BOUNDARY, b"\r\n", b"\r\n--"]) | st.binary(max_size=40),
    pieces=st.lists(st.integers(0, 200), max_size=60),
    room=st.sampled_from([1, 2, 7, 64, 4096]),
    after=st.booleans(),
)  # fmt: skip
@settings(deadline=None)
def test_decoding_does_not_depend_on_how_the_form_was_cut(
    file: bytes, value: bytes, pieces: list[int], room: int, after: bool
) -> None:
    body = form(
        {"key": b"k", "note": value.decode("latin-1").encode()},
        file,
        after=part("submit", b"Upload") if after else b"",
    )
    decoder, found = decode(body, pieces, room)
    assert found == file
    assert decoder.fields == {"key": "k", "note": value.decode("latin-1")}


def test_it_stops_at_the_file_until_there_is_room() -> None:
    body = memoryview(form({"key": b"k"}, b"z" * 5000))
    decoder = FormDecoder(BOUNDARY)
    consumed, produced = decoder.decode(body, memoryview(bytearray(0)))
    assert decoder.file_seen
    assert (decoder.fields, produced) == ({"key": "k"}, 0)
    assert consumed < len(body)
    buffer = memoryview(bytearray(8192))
    more, produced = decoder.decode(body[consumed:], buffer)
    assert bytes(buffer[:produced]) == b"z" * 5000
    assert decoder.done
    assert consumed + more <= len(body)


def test_an_empty_file_and_an_empty_field() -> None:
    decoder, file = decode(form({"key": b""}, b""), [])
    assert (decoder.fields, file) == ({"key": ""}, b"")


def test_the_file_may_come_without_a_name_and_fields_with_one() -> None:
    # `requests` gives every field a filename.
    body = (
        part("key", b"k", more='; filename="key"') + part("FILE", b"d") + b"--" + BOUNDARY + b"--"
    )
    decoder, file = decode(body, [])
    assert (decoder.fields, file, decoder.filename) == ({"key": "k"}, b"d", "")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a%22b.txt", 'a"b.txt'),
        ('a\\"b.txt', 'a"b.txt'),
        ("C:\\temp\\a.txt", "C:\\temp\\a.txt"),
        ("é;x=y", "é;x=y"),
    ],
)
def test_names_of_files(written: str, name: str) -> None:
    body = part("file", b"", more=f'; filename="{written}"') + b"--" + BOUNDARY + b"--"
    assert decode(body, [])[0].filename == name


def test_fields_up_to_twenty_kilobytes() -> None:
    frame = len(form({"key": b"", "x": b""}, None)) + 100
    decode(form({"key": b"k", "x": b"y" * (FIELDS_BYTES_MAX - frame - 200)}), [])
    for body in (
        form({"key": b"k", "x": b"y" * FIELDS_BYTES_MAX}),
        form({f"f{i}": b"y" * 1000 for i in range(21)}),
        b"--" + BOUNDARY + b"\r\nA: " + b"y" * FIELDS_BYTES_MAX,
        b"y" * (FIELDS_BYTES_MAX + 1),
    ):
        with pytest.raises(Malformed) as refusal:
            decode(body, [])
        assert refusal.value.reason == "MaxPostPreDataLengthExceededError"


def test_a_file_is_no_field_however_large() -> None:
    file = b"\r\n" * 100_000
    assert decode(form({"key": b"k"}, file), [100_000], 65536)[1] == file


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (form({"key": b"k"}, None), "IncorrectNumberOfFilesInPostRequest"),
        (form({"key": b"k"}, after=part("file", b"x")), "IncorrectNumberOfFilesInPostRequest"),
        (form({"key": b"k"}, after=part("x", b"y" * 30000)), "MalformedPOSTRequest"),
        (form({"key": b"\xff"}), "MalformedPOSTRequest"),
        (part("key", b"a") + form({"KEY": b"b"}), "MalformedPOSTRequest"),
        (form({f"f{i}": b"" for i in range(101)}), "MalformedPOSTRequest"),
        (b"text\r\n" + form({"key": b"k"}), "MalformedPOSTRequest"),
        (form({"key": b"k"}).replace(b"form-data", b"attachment"), "MalformedPOSTRequest"),
        (form({"key": b"k"}).replace(b'name="key"', b'name=""'), "MalformedPOSTRequest"),
        (form({"key": b"k"}).replace(b'"key"', b'"key'), "MalformedPOSTRequest"),
        (b"--" + BOUNDARY + b"x\r\n" + form({"key": b"k"}), "MalformedPOSTRequest"),
        (b"--" + BOUNDARY + b"\r\n\r\nv\r\n--" + BOUNDARY + b"--", "MalformedPOSTRequest"),
        (
            part("key", b"a2V5", headers="Content-Transfer-Encoding: base64\r\n") + form({}),
            "MalformedPOSTRequest",
        ),
        (b"", "IncompleteBody"),
        (form({"key": b"k"})[:-6], "IncompleteBody"),
        (form({"key": b"k"})[:60], "IncompleteBody"),
    ],
)  # fmt: skip
def test_other_forms_are_refused(body: bytes, reason: str) -> None:
    for pieces in ([], [1] * len(body)):
        with pytest.raises(Malformed) as refusal:
            decode(body, pieces)
        assert refusal.value.reason == reason


@given(st.integers(0, 400))
def test_a_form_cut_short_is_never_taken_for_whole(cut: int) -> None:
    body = form({"key": b"k"}, b"data")
    whole = len(body) - 2  # the end of the last line may be missing
    if cut >= whole:
        return
    with pytest.raises(Malformed):
        decode(body[:cut], [])


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data;boundary="a b=c"', b"a b=c"),
        ("multipart/form-data; charset=utf-8; boundary=abc; x=y", b"abc"),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=" + "a" * 71, None),
        ("multipart/mixed; boundary=abc", None),
        ("application/x-www-form-urlencoded", None),
        ("multipart/form-data; boundary=a\u00e9", None),
        (None, None),
    ],
)
def test_boundaries(header: str | None, boundary: bytes | None) -> None:
    if boundary is not None:
        assert parse_boundary(header) == boundary
        return
    with pytest.raises(Malformed) as refusal:
        parse_boundary(header)
    assert refusal.value.reason == "MalformedPOSTRequest"
