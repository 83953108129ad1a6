"""What a client says of its parts at completion must be what was uploaded."""

from __future__ import annotations

import pytest

from hyok.errors import Malformed
from hyok.objects.completion import check_parts
from hyok.objects.uploads import UploadPart
from hyok.s3.checksums import Algorithm, encode

VALUE = b"\x01\x02\x03\x04"


def part(number: int, algorithm: int = Algorithm.CRC32, checksum: bytes = VALUE) -> UploadPart:
    return UploadPart(
        number=number,
        store_etag="e" * 32,
        part_id=bytes(16),
        plain_size=5 << 20,
        checksum_algorithm=algorithm,
        checksum=checksum,
        aside_name="",
        at_ms=0,
    )


def test_checksums_that_were_uploaded_pass_and_none_need_be_said() -> None:
    check_parts([part(1), part(2)], {1: {Algorithm.CRC32: encode(VALUE)}})
    check_parts([part(1)], {})


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (part(1), {Algorithm.CRC32: encode(b"\x01\x02\x03\x05")}),
        (part(1), {Algorithm.CRC32C: encode(VALUE)}),
        (part(1), {Algorithm.CRC32: ""}),
        (part(1, 0, b""), {Algorithm.CRC32: encode(VALUE)}),
        (part(1, 0, b""), {Algorithm.CRC32: ""}),
    ],
)
def test_another_checksum_than_was_uploaded_is_refused(
    held: UploadPart, said: dict[Algorithm, str]
) -> None:
    with pytest.raises(Malformed) as caught:
        check_parts([held], {1: said})
    assert caught.value.reason == "InvalidPart"
