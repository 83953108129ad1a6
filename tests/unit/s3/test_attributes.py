"""GetObjectAttributes: what is asked, and what botocore reads from the answer."""

from __future__ import annotations

import pytest
from tests.unit.s3.wire import as_botocore_reads

from hyok.errors import Malformed
from hyok.s3.algorithms import Algorithm
from hyok.s3.attributes import Asked, Attribute, Attributes, PartAttributes, parse_asked, render

ALL = frozenset(Attribute)


def asked(**headers: str) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse_asked(named.get)


def test_what_is_asked_for() -> None:
    everything = asked(x_amz_object_attributes="ETag,Checksum, ObjectParts,StorageClass,ObjectSize")
    assert everything == Asked(ALL, 1000, 0)
    page = asked(
        x_amz_object_attributes="ObjectParts",
        x_amz_max_parts="5000",
        x_amz_part_number_marker="7",
    )
    assert page == Asked(frozenset({Attribute.OBJECT_PARTS}), 1000, 7)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x_amz_object_attributes": ""},
        {"x_amz_object_attributes": " , "},
        {"x_amz_object_attributes": "ETag,Nothing"},
        {"x_amz_object_attributes": "etag"},
        {"x_amz_object_attributes": "ETag", "x_amz_max_parts": "-1"},
        {"x_amz_object_attributes": "ETag", "x_amz_max_parts": "x"},
        {"x_amz_object_attributes": "ETag", "x_amz_part_number_marker": "2147483648"},
        {"x_amz_object_attributes": "ETag", "x_amz_part_number_marker": "٣"},
    ],
)
def test_what_cannot_be_asked(headers: dict[str, str]) -> None:
    with pytest.raises(Malformed) as refusal:
        asked(**headers)
    assert refusal.value.reason == "InvalidArgument"


PARTS = [
    PartAttributes(1, 5 << 20, {Algorithm.SHA256: "a="}),
    PartAttributes(4, 5 << 20, {Algorithm.SHA256: "b="}),
    PartAttributes(9, 3, {Algorithm.SHA256: "c="}),
]


def test_an_answer_has_what_was_asked_for() -> None:
    held = Attributes("e-3", 10485763, {Algorithm.SHA256: "d=-3"}, "COMPOSITE", "STANDARD", PARTS)
    read = as_botocore_reads("GetObjectAttributes", render(held, Asked(ALL)))
    assert read["ETag"] == "e-3"  # the only place without quotes
    assert read["Checksum"] == {"ChecksumSHA256": "d=-3", "ChecksumType": "COMPOSITE"}
    assert (read["StorageClass"], read["ObjectSize"]) == ("STANDARD", 10485763)
    parts = read["ObjectParts"]
    assert (parts["TotalPartsCount"], parts["IsTruncated"]) == (3, False)
    assert parts["Parts"][2] == {"PartNumber": 9, "Size": 3, "ChecksumSHA256": "c="}
    only = as_botocore_reads(
        "GetObjectAttributes", render(held, Asked(frozenset({Attribute.OBJECT_SIZE})))
    )
    assert only == {"ObjectSize": 10485763}


def test_parts_come_in_pages() -> None:
    held = Attributes("e", 1, parts=PARTS)
    first = as_botocore_reads("GetObjectAttributes", render(held, Asked(ALL, 2)))["ObjectParts"]
    assert [part["PartNumber"] for part in first["Parts"]] == [1, 4]
    assert (first["IsTruncated"], first["NextPartNumberMarker"]) == (True, 4)
    assert (first["MaxParts"], first["TotalPartsCount"]) == (2, 3)
    rest = as_botocore_reads("GetObjectAttributes", render(held, Asked(ALL, 2, 4)))["ObjectParts"]
    assert [part["PartNumber"] for part in rest["Parts"]] == [9]
    assert (rest["IsTruncated"], rest["PartNumberMarker"]) == (False, 4)
    after = as_botocore_reads("GetObjectAttributes", render(held, Asked(ALL, 2, 9)))["ObjectParts"]
    assert "Parts" not in after


def test_an_object_without_parts_or_checksum_tells_none() -> None:
    read = as_botocore_reads("GetObjectAttributes", render(Attributes("e-h", 0), Asked(ALL)))
    assert read == {"ETag": "e-h", "StorageClass": "STANDARD", "ObjectSize": 0}
