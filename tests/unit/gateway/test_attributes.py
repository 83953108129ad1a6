"""GetObjectAttributes tells of the plaintext, and only what the trailer proves."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.custody.test_custodian import House, house
from tests.unit.gateway.sealed_door import PART, Sealed, element, elements, sealed_door

from hyok.s3.checksums import Algorithm, compute, encode

__all__ = ["house"]

ALL = "ETag,Checksum,ObjectParts,StorageClass,ObjectSize"
QUERY = [("attributes", "")]


@pytest.fixture
async def sealed(house: House) -> Sealed:
    return await sealed_door(house)


async def test_an_object_without_parts(sealed: Sealed) -> None:
    put = await sealed.send("PUT een", b"plain")
    told = await sealed.send("GET een", query=QUERY, x_amz_object_attributes=ALL)
    assert told.status == 200, told.body
    assert element(told, "ETag") == put.headers["etag"].strip('"')  # without quotes
    assert element(told, "ObjectSize") == "5"
    assert element(told, "StorageClass") == "STANDARD"
    assert element(told, "ChecksumCRC64NVME") == encode(compute(Algorithm.CRC64NVME, b"plain"))
    assert element(told, "ChecksumType") == "FULL_OBJECT"
    assert b"ObjectParts" not in told.body
    head = await sealed.send("HEAD een")
    assert told.headers["last-modified"] == head.headers["last-modified"]


async def test_the_parts_have_plaintext_sizes_and_come_in_pages(sealed: Sealed) -> None:
    upload = await sealed.begin("twee", x_amz_checksum_algorithm="SHA1")
    bodies = {2: PART, 5: PART + b"x", 9: b"staart"}
    parts = [(n, await sealed.part("twee", upload, n, body)) for n, body in bodies.items()]
    done = await sealed.complete("twee", upload, parts)
    told = await sealed.send("GET twee", query=QUERY, x_amz_object_attributes=ALL)
    assert element(told, "ETag") == element(done, "ETag").strip('"')
    assert element(told, "ObjectSize") == str(2 * len(PART) + 7)
    assert f"{element(told, 'ChecksumSHA1')}-3" == element(done, "ChecksumSHA1")
    assert element(told, "ChecksumType") == "COMPOSITE"
    assert element(told, "PartsCount") == "3"
    assert elements(told, "PartNumber") == ["2", "5", "9"]
    assert elements(told, "Size") == [str(len(PART)), str(len(PART) + 1), "6"]
    page = await sealed.send(
        "GET twee",
        query=QUERY,
        x_amz_object_attributes="ObjectParts",
        x_amz_max_parts="1",
        x_amz_part_number_marker="2",
    )
    assert elements(page, "PartNumber") == ["5"]
    assert element(page, "IsTruncated") == "true"
    assert element(page, "NextPartNumberMarker") == "5"
    assert b"<ETag>" not in page.body


async def test_what_is_not_there_or_was_not_asked_for(sealed: Sealed) -> None:
    missing = await sealed.send("GET geen", query=QUERY, x_amz_object_attributes=ALL)
    assert (missing.status, missing.code) == (404, "NoSuchKey")
    await sealed.send("PUT een", b"plain")
    nothing = await sealed.send("GET een", query=QUERY)
    assert (nothing.status, nothing.code) == (400, "InvalidArgument")


async def test_attributes_of_an_object_whose_trailer_was_changed_are_not_told(
    sealed: Sealed,
) -> None:
    await sealed.send("PUT een", b"plain")
    store: Any = sealed.vaults.store
    stored, body = store.newest("dossiers", "een")
    store.tamper("dossiers", "een", stored, body[:-40] + bytes([body[-40] ^ 1]) + body[-39:])
    told = await sealed.send("GET een", query=QUERY, x_amz_object_attributes=ALL)
    assert (told.status, told.code) == (500, "InternalError")
