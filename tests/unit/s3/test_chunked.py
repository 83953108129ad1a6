"""The framing comes off the same way however the body was cut, and nothing wrong gets through."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyok.errors import HyokError, Malformed, NotAuthenticated
from hyok.s3.chunked import ChunkedDecoder
from hyok.sigv4.canonical import signing_key
from hyok.sigv4.chunks import ChunkSigner, ChunkVerifier

KEY = signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3")
CHAIN = (KEY, "20130524/us-east-1/s3/aws4_request", "20130524T000000Z")
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"


def frame(
    chunks: list[bytes],
    *,
    signed: bool = False,
    trailer: str = "",
    ending: str = "\r\n",
    seed: str = SEED,
) -> bytes:
    signer = ChunkSigner(*CHAIN, seed)
    out = b""
    for data in [*chunks, b""]:
        head = f"{len(data):x}"
        if signed:
            head += f";chunk-signature={signer.sign_chunk(sha256(data).hexdigest())}"
        out += head.encode() + b"\r\n" + data + (b"\r\n" if data else b"")
    if trailer:
        out += trailer.encode() + ending.encode()
        if signed:
            signature = signer.sign_trailer(trailer.encode() + b"\n")
            out += f"x-amz-trailer-signature:{signature}\r\n".encode()
    return out + b"\r\n"


def decode(
    decoder: ChunkedDecoder, body: bytes, *, pieces: list[int] | None = None, room: int = 1 << 20
) -> bytes:
    out = bytearray()
    buffer = bytearray(room)
    sizes = iter(pieces or [])
    rest = memoryview(body)
    while rest:
        size = next(sizes, len(rest))
        piece, rest = rest[:size], rest[size:]
        while piece:
            consumed, produced = decoder.decode(piece, memoryview(buffer))
            out += buffer[:produced]
            piece = piece[consumed:]
            if not consumed:
                assert produced or decoder.done
                if decoder.done:
                    raise AssertionError("bytes after the end")
    decoder.finish()
    return bytes(out)


def signed_decoder(length: int, seed: str = SEED, **options: object) -> ChunkedDecoder:
    return ChunkedDecoder(length, verifier=ChunkVerifier(*CHAIN, seed), **options)  # type: ignore[arg-type]


def test_the_documented_signed_body_decodes() -> None:
    body = (
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
        b"\r\n" + b"a" * 65536 + b"\r\n"
        b"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
        b"\r\n" + b"a" * 1024 + b"\r\n"
        b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
        b"\r\n\r\n"
    )
    assert len(body) == 66824
    assert body == frame([b"a" * 65536, b"a" * 1024], signed=True)
    assert decode(signed_decoder(66560), body, room=1000) == b"a" * 66560


def test_the_documented_signed_trailer_decodes() -> None:
    body = frame(
        [b"a" * 65536, b"a" * 1024],
        signed=True,
        trailer="x-amz-checksum-crc32c:sOO8/Q==",
        seed=TRAILER_SEED,
    )
    assert b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435" in body
    decoder = signed_decoder(66560, TRAILER_SEED, trailer=True, announced="x-amz-checksum-crc32c")
    assert decode(decoder, body) == b"a" * 66560
    assert decoder.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("ending", ["\r\n", "\n\r\n"])
def test_a_trailer_may_end_its_line_either_way(ending: str, *, signed: bool) -> None:
    trailer = "x-amz-checksum-crc32:AAAAAA=="
    body = frame([b"x" * 9], signed=signed, trailer=trailer, ending=ending)
    verifier = ChunkVerifier(*CHAIN, SEED) if signed else None
    decoder = ChunkedDecoder(9, verifier=verifier, trailer=True, announced="x-amz-checksum-crc32")
    assert decode(decoder, body) == b"x" * 9
    assert decoder.trailers == {"x-amz-checksum-crc32": "AAAAAA=="}


def test_a_trailer_that_ends_with_its_line_is_whole_too() -> None:
    body = b"9\r\n" + b"x" * 9 + b"\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\n\r\n"
    decoder = ChunkedDecoder(9, trailer=True, announced="x-amz-checksum-crc32")
    assert decode(decoder, body) == b"x" * 9
    assert decoder.done


@given(
    chunks=st.lists(st.sampled_from([8192, 8193, 20000]), max_size=3),
    last=st.integers(0, 300),
    pieces=st.lists(st.integers(1, 9000), max_size=60),
    room=st.sampled_from([1, 7, 4096, 70000]),
    signed=st.booleans(),
    trailer=st.booleans(),
    ending=st.sampled_from(["\r\n", "\n\r\n"]),
)
@settings(deadline=None)  # a body of 60 KB into a room of one byte takes what it takes
def test_decoding_does_not_depend_on_how_the_body_was_cut(
    chunks: list[int],
    last: int,
    pieces: list[int],
    room: int,
    signed: bool,
    trailer: bool,
    ending: str,
) -> None:
    if room == 1:
        chunks = chunks[:1]
    sizes = [*chunks, last] if last else chunks
    data = [bytes([i + 1]) * size for i, size in enumerate(sizes)]
    body = frame(data, signed=signed, trailer="x-t:v" if trailer else "", ending=ending)

    def decoder() -> ChunkedDecoder:
        return ChunkedDecoder(
            sum(sizes),
            verifier=ChunkVerifier(*CHAIN, SEED) if signed else None,
            trailer=trailer,
            announced="x-t" if trailer else "",
        )

    assert decode(decoder(), body, pieces=pieces, room=room) == b"".join(data)


def test_a_body_can_be_fed_byte_by_byte() -> None:
    body = frame([b"ab"], signed=True, trailer="x-t:v", ending="\n\r\n")
    decoder = signed_decoder(2, trailer=True, announced="x-t")
    assert decode(decoder, body, pieces=[1] * len(body)) == b"ab"


@given(cut=st.integers(0, 200), signed=st.booleans(), trailer=st.booleans())
def test_a_body_that_ends_early_is_never_whole(cut: int, signed: bool, trailer: bool) -> None:
    body = frame([b"x" * 20], signed=signed, trailer="x-t:v" if trailer else "")
    cut = cut % len(body)
    decoder = ChunkedDecoder(
        20,
        verifier=ChunkVerifier(*CHAIN, SEED) if signed else None,
        trailer=trailer,
        announced="x-t" if trailer else "",
    )
    with pytest.raises(Malformed):
        decode(decoder, body[:cut])


@pytest.mark.parametrize(
    ("body", "length", "reason"),
    [
        (b"zz\r\n", 1, "IncompleteBody"),
        (b"5;x=y\r\nhello\r\n0\r\n\r\n", 5, "IncompleteBody"),
        (b"5\r\nhelloXX0\r\n\r\n", 5, "IncompleteBody"),
        (b"5\r\nhello\r\n0\r\n\r\n", 6, "IncompleteBody"),
        (b"5\r\nhello\r\n0\r\n\r\n", 4, "IncompleteBody"),
        (b"-5\r\nhello\r\n0\r\n\r\n", 5, "IncompleteBody"),
        (b"0x5\r\nhello\r\n0\r\n\r\n", 5, "IncompleteBody"),
        (b"00000000000000005\r\nhello\r\n0\r\n\r\n", 5, "IncompleteBody"),
        (b"5\nhello\r\n0\r\n\r\n", 5, "IncompleteBody"),
        (b"5" * 500, 5, "IncompleteBody"),
        (b"5\r\nhello\r\n0\r\nx-a:b\r\n\r\n", 5, "IncompleteBody"),
        (b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 5, "InvalidChunkSizeError"),
    ],
)
def test_bad_framing_is_refused(body: bytes, length: int, reason: str) -> None:
    with pytest.raises(Malformed) as refusal:
        decode(ChunkedDecoder(length), body)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    "trailer",
    [
        b"",
        b"x-other:v\r\n",
        b"x-t:v\r\nx-t:v\r\n",
        b"x-t:v\r\nx-u:v\r\n",
        b"no colon\r\n",
        b"x t:v\r\n",
        b"x-t:v\nx-u:w\r\n",
        b"x-t:" + b"v" * 2000 + b"\r\n",
    ],
)
def test_a_wrong_trailer_is_refused(trailer: bytes) -> None:
    decoder = ChunkedDecoder(1, trailer=True, announced="x-t")
    with pytest.raises(Malformed) as refusal:
        decode(decoder, b"1\r\nx\r\n0\r\n" + trailer + b"\r\n")
    assert refusal.value.reason == "MalformedTrailerError"


@pytest.mark.parametrize("at", [30, 200, 8400, 8500, 8600, 8700])
def test_any_changed_byte_of_a_signed_body_is_refused(at: int) -> None:
    body = bytearray(frame([b"a" * 8192, b"b" * 10], signed=True, trailer="x-t:v"))
    body[at % len(body)] ^= 1
    with pytest.raises(HyokError):
        decode(signed_decoder(8202, trailer=True, announced="x-t"), bytes(body))


def test_a_signed_trailer_without_its_signature_is_refused() -> None:
    body = frame([b"a"], signed=True)[:-2] + b"x-t:v\r\n\r\n"
    with pytest.raises(NotAuthenticated):
        decode(signed_decoder(1, trailer=True, announced="x-t"), body)


def test_what_follows_the_end_is_left_alone() -> None:
    decoder = ChunkedDecoder(1)
    body = b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1"
    consumed, produced = decoder.decode(memoryview(body), memoryview(bytearray(9)))
    assert (body[consumed:], produced) == (b"GET / HTTP/1.1", 1)
