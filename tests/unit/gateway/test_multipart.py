"""Uploads in parts through the door."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from tests.unit.gateway.door import Door

from hyok.s3.answers import NAMESPACE
from hyok.s3.checksums import Algorithm, compute, encode
from hyok.s3.names import part_etag_out

ETAG = part_etag_out("e" * 32, bytes([1]) * 16)


def text(body: bytes, path: str) -> str | None:
    full = "/".join(f"{{{NAMESPACE}}}{name}" for name in path.split("/"))
    return ElementTree.fromstring(body).findtext(full)


async def begun(**headers: str) -> tuple[Door, str]:
    door = Door()
    answer = await door.send("POST /bucket/k", query=[("uploads", "")], **headers)  # type: ignore[arg-type]
    assert answer.status == 200
    upload_id = text(answer.body, "UploadId")
    assert upload_id
    return door, upload_id


def at(upload_id: str, number: int | None = None) -> list[tuple[str, str]]:
    query = [("uploadId", upload_id)]
    return query if number is None else [("partNumber", str(number)), *query]


def parts(*rows: tuple[int, str]) -> bytes:
    inner = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in rows
    )
    return f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode()


async def test_an_upload_is_begun_filled_listed_and_completed() -> None:
    door, upload_id = await begun(
        x_amz_checksum_algorithm="CRC32", x_amz_tagging="classification=geheim"
    )
    assert door.multipart.asks[0].classification == "geheim"
    crc = encode(compute(Algorithm.CRC32, b"part"))
    answer = await door.send(
        "PUT /bucket/k", b"part", query=at(upload_id, 1), x_amz_checksum_crc32=crc
    )
    assert answer.headers["etag"] == f'"{ETAG}"'
    assert answer.headers["x-amz-checksum-crc32"] == crc
    assert "x-amz-checksum-type" not in answer.headers
    listed = await door.send("GET /bucket/k", query=at(upload_id))
    assert text(listed.body, "Part/ETag") == f'"{ETAG}"'
    assert text(listed.body, "Part/Size") == "4"
    assert text(listed.body, "Part/ChecksumCRC32") == crc
    done = await door.send(
        "POST /bucket/k",
        parts((1, f'"{ETAG}"')),
        query=at(upload_id),
        x_amz_checksum_crc32="AAAAAA==-2",
        x_amz_checksum_type="COMPOSITE",
        x_amz_mp_object_size="4",
        if_none_match="*",
    )
    assert done.status == 200
    assert text(done.body, "ETag") == '"' + "f" * 32 + '-2"'
    assert text(done.body, "ChecksumCRC32") == "AAAAAA==-2"
    assert done.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "kek-1"
    said = door.multipart.completed
    assert said["wanted"] == [(1, ETAG)]
    assert said["checksum"] == "AAAAAA==-2"
    assert said["checksum_type"] == "COMPOSITE"
    assert said["object_size"] == 4
    assert said["condition"].absent  # type: ignore[attr-defined]


async def test_a_part_without_a_checksum_gets_the_uploads() -> None:
    door, upload_id = await begun(x_amz_checksum_algorithm="SHA256")
    answer = await door.send("PUT /bucket/k", b"part", query=at(upload_id, 1))
    assert answer.headers["x-amz-checksum-sha256"] == encode(compute(Algorithm.SHA256, b"part"))


async def test_a_part_with_another_checksum_is_refused() -> None:
    door, upload_id = await begun(x_amz_checksum_algorithm="SHA256")
    answer = await door.send(
        "PUT /bucket/k",
        b"part",
        query=at(upload_id, 1),
        x_amz_checksum_crc32=encode(compute(Algorithm.CRC32, b"part")),
    )
    assert answer.code == "InvalidRequest"
    assert not answer.body_was_read


@pytest.mark.parametrize("number", ["0", "10001", "x"])
async def test_part_numbers_have_bounds(number: str) -> None:
    door, upload_id = await begun()
    query = [("partNumber", number), ("uploadId", upload_id)]
    assert (await door.send("PUT /bucket/k", b"x", query=query)).code == "InvalidArgument"


@pytest.mark.parametrize(
    ("line", "upload_id"),
    [("PUT /bucket/other", "up0"), ("PUT /second/k", "up0"), ("PUT /bucket/k", "nope"),
     ("PUT /bucket/k", "a b")],
)  # fmt: skip
async def test_an_upload_belongs_to_its_bucket_and_key(line: str, upload_id: str) -> None:
    door, _ = await begun()
    answer = await door.send(line, b"x", query=at(upload_id, 1))
    assert (answer.status, answer.code) == (404, "NoSuchUpload")
    assert not answer.body_was_read


async def test_wrong_lists_of_parts_are_refused() -> None:
    door, upload_id = await begun()
    for body, code in (
        (parts(), "MalformedXML"),
        (parts((2, "a"), (1, "b")), "InvalidPartOrder"),
        (b"<!DOCTYPE a><CompleteMultipartUpload/>", "MalformedXML"),
    ):
        answer = await door.send("POST /bucket/k", body, query=at(upload_id))
        assert answer.code == code
    assert not door.multipart.completed


async def test_abort_and_list_uploads() -> None:
    door, upload_id = await begun()
    await door.send("POST /bucket/folder/a", query=[("uploads", "")])
    listed = await door.send(
        "GET /bucket", query=[("uploads", ""), ("delimiter", "/"), ("encoding-type", "url")]
    )
    assert text(listed.body, "Upload/UploadId") == upload_id
    assert text(listed.body, "CommonPrefixes/Prefix") == "folder/"
    one = await door.send("GET /bucket", query=[("uploads", ""), ("max-uploads", "1")])
    assert text(one.body, "IsTruncated") == "true"
    assert text(one.body, "NextKeyMarker") == "folder/a"
    rest = await door.send("GET /bucket", query=[("uploads", ""), ("key-marker", "folder/a")])
    assert text(rest.body, "Upload/Key") == "k"
    assert (await door.send("DELETE /bucket/k", query=at(upload_id))).status == 204
    assert (await door.send("DELETE /bucket/k", query=at(upload_id))).code == "NoSuchUpload"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x_amz_checksum_algorithm": "CRC64NVME", "x_amz_checksum_type": "COMPOSITE"}, 400),
        ({"x_amz_checksum_type": "COMPOSITE"}, 400),
        ({"x_amz_checksum_algorithm": "ROT13"}, 400),
        ({"x_amz_checksum_algorithm": "CRC32", "x_amz_checksum_type": "FULL_OBJECT"}, 200),
    ],
)
async def test_which_checksums_an_upload_may_ask_for(headers: dict[str, str], status: int) -> None:
    answer = await Door().send("POST /bucket/k", query=[("uploads", "")], **headers)  # type: ignore[arg-type]
    assert answer.status == status
