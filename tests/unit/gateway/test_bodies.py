"""A body ends only when every proof held: whole or pumped, plain or framed."""

from __future__ import annotations

import base64
from hashlib import md5, sha256

import pytest
from tests.unit.gateway.door import AKID, NOW, SECRET, Answer, Door, FakeHead

from hyok.s3.checksums import Algorithm, compute, encode
from hyok.sigv4.chunks import ChunkSigner
from hyok.sigv4.sign import Signer

SMALL = b"hello"
LARGE = bytes(range(256)) * 6000  # pumped: above the size that is held whole
UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
BODIES = pytest.mark.parametrize("body", [b"", SMALL, LARGE], ids=["empty", "small", "large"])


def crc(body: bytes) -> str:
    return encode(compute(Algorithm.CRC32, body))


def frame(
    body: bytes, *, trailer: str = "", signer: ChunkSigner | None = None, chunk: int = 65536
) -> bytes:
    out = b""
    pieces = [body[at : at + chunk] for at in range(0, len(body), chunk)]
    for piece in [*pieces, b""]:
        line = f"{len(piece):x}"
        if signer:
            line += f";chunk-signature={signer.sign_chunk(sha256(piece).hexdigest())}"
        out += line.encode() + b"\r\n" + piece + (b"\r\n" if piece else b"")
    if trailer:
        out += f"{trailer}\r\n".encode()
        if signer:
            signature = signer.sign_trailer(f"{trailer}\n".encode())
            out += f"x-amz-trailer-signature:{signature}\r\n".encode()
    return out + b"\r\n"


async def put_framed(
    door: Door, body: bytes, *, trailer: str | None = None, told: int | None = None, **change: bytes
) -> Answer:
    text = f"x-amz-checksum-crc32:{crc(body)}" if trailer is None else trailer
    framed = change.get("framed") or frame(body, trailer=text)
    return await door.send(
        "PUT /bucket/k",
        framed,
        payload=UNSIGNED,
        content_encoding="aws-chunked",
        x_amz_trailer="x-amz-checksum-crc32",
        x_amz_decoded_content_length=str(len(body) if told is None else told),
    )


async def put_signed(door: Door, body: bytes, *, spoil: bool = False, trailer: str = "") -> Answer:
    mode = SIGNED + ("-TRAILER" if trailer else "")
    signer = Signer(AKID, SECRET, "us-east-1")
    headers = {
        "content-encoding": "aws-chunked,gzip",
        "x-amz-decoded-content-length": str(len(body)),
    }
    if trailer:
        headers["x-amz-trailer"] = trailer.partition(":")[0]
    added = signer.sign("PUT", "h", "/bucket/k", [], headers, mode, NOW)
    seed = added["authorization"].rpartition("Signature=")[2]
    scope, key = signer.signing_key(NOW)
    framed = frame(body, trailer=trailer, signer=ChunkSigner(key, scope, added["x-amz-date"], seed))
    if spoil:
        framed = framed.replace(body[-3:], b"xyz")
    sent = {**headers, **added, "host": "h"}
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    return await door.exchange(FakeHead("PUT", b"/bucket/k", raw), framed)


@BODIES
async def test_a_plain_body_arrives(body: bytes) -> None:
    door = Door()
    answer = await door.send("PUT /bucket/k", body)
    assert answer.status == 200
    assert door.vault.kept["bucket", "k"].plain == body
    assert answer.headers["x-amz-checksum-crc64nvme"] == encode(compute(Algorithm.CRC64NVME, body))


@BODIES
async def test_a_framed_body_with_a_trailer_arrives(body: bytes) -> None:
    door = Door()
    answer = await put_framed(door, body)
    assert answer.status == 200
    assert door.vault.kept["bucket", "k"].plain == body
    assert "content-encoding" not in door.vault.kept["bucket", "k"].facts.headers
    assert answer.headers["x-amz-checksum-crc32"] == crc(body)


@pytest.mark.parametrize("trailer", [False, True])
@BODIES
async def test_a_signed_framed_body_arrives(body: bytes, *, trailer: bool) -> None:
    door = Door()
    text = f"x-amz-checksum-crc32:{crc(body)}" if trailer else ""
    answer = await put_signed(door, body, trailer=text)
    assert answer.status == 200
    kept = door.vault.kept["bucket", "k"]
    assert kept.plain == body
    assert kept.facts.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
async def test_a_changed_chunk_leaves_no_object(body: bytes) -> None:
    door = Door()
    answer = await put_signed(door, body, spoil=True)
    assert answer.code == "SignatureDoesNotMatch"
    assert not door.vault.kept


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"payload": "0" * 64}, "XAmzContentSHA256Mismatch"),
        ({"x_amz_checksum_crc32": "AAAAAA=="}, "BadDigest"),
        ({"x_amz_checksum_sha256": encode(bytes(32))}, "BadDigest"),
        ({"content_md5": encode(bytes(16))}, "BadDigest"),
        ({"content_md5": "x"}, "InvalidDigest"),
        ({"x_amz_checksum_crc32": "x"}, "InvalidRequest"),
        ({"x_amz_sdk_checksum_algorithm": "CRC32"}, "InvalidRequest"),
    ],
)
async def test_a_body_that_fails_a_proof_leaves_no_object(
    body: bytes, headers: dict[str, str], code: str
) -> None:
    door = Door()
    answer = await door.send("PUT /bucket/k", body, **headers)  # type: ignore[arg-type]
    assert answer.code == code
    assert not door.vault.kept


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
async def test_a_framed_body_that_fails_a_proof_leaves_no_object(body: bytes) -> None:
    door = Door()
    wrong = "x-amz-checksum-crc32:AAAAAA=="
    assert (await put_framed(door, body, trailer=wrong)).code == "BadDigest"
    other = f"x-amz-checksum-crc32c:{crc(body)}"
    assert (await put_framed(door, body, trailer=other)).code == "MalformedTrailerError"
    bad = "x-amz-checksum-crc32:A"
    assert (await put_framed(door, body, trailer=bad)).code == "InvalidRequest"
    for told in (len(body) + 1, len(body) - 1):
        assert (await put_framed(door, body, told=told)).code == "IncompleteBody"
    text = f"x-amz-checksum-crc32:{crc(body)}"
    framed = frame(body, trailer=text)
    for cut in (framed[:-2], framed[: len(framed) // 2], framed + b"more"):
        assert (await put_framed(door, body, framed=cut)).code == "IncompleteBody"
    assert not door.vault.kept


async def test_right_digests_pass() -> None:
    door = Door()
    answer = await door.send(
        "PUT /bucket/k",
        SMALL,
        content_md5=base64.b64encode(md5(SMALL).digest()).decode(),
        x_amz_checksum_sha1=encode(compute(Algorithm.SHA1, SMALL)),
    )
    assert answer.status == 200
    assert door.vault.kept["bucket", "k"].facts.checksums == {
        "SHA1": encode(compute(Algorithm.SHA1, SMALL))
    }


async def test_a_body_of_unknown_length_is_refused() -> None:
    door = Door()
    answer = await door.send("PUT /bucket/k", SMALL, length=None)  # Transfer-Encoding: chunked
    assert (answer.status, answer.code) == (501, "NotImplemented")
    answer = await door.send("PUT /bucket/k", b"", length=None)
    assert (answer.status, answer.code) == (411, "MissingContentLength")
    answer = await door.send("PUT /bucket/k", SMALL, payload=UNSIGNED)
    assert (answer.status, answer.code) == (411, "MissingContentLength")


async def test_a_body_where_none_belongs_is_refused() -> None:
    answer = await Door().send("DELETE /bucket/k", b"x")
    assert answer.code == "UnexpectedContent"


async def test_a_framed_body_may_come_without_a_length_of_the_frame() -> None:
    door = Door()
    framed = frame(SMALL, trailer=f"x-amz-checksum-crc32:{crc(SMALL)}")
    answer = await door.send(
        "PUT /bucket/k",
        framed,
        payload=UNSIGNED,
        length=None,
        x_amz_trailer="x-amz-checksum-crc32",
        x_amz_decoded_content_length=str(len(SMALL)),
    )
    assert answer.status == 200
