"""An upload in parts outlives the processes that serve it: three lives of one installation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.e2e import running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]

PART = os.urandom(5 << 20)
TAIL = b"kort"
BUCKETS = ("openbaar", "vertrouwelijk", "geheim")
"""Clear names; sealed names; sealed names and a data key that only the HSM opens."""


def test_an_upload_begun_in_one_process_goes_on_in_another_and_ends_in_a_third(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    uploads: dict[str, str] = {}
    first = running.fresh(home)
    try:
        s3 = first.client()
        for bucket in BUCKETS:
            begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC32")
            uploads[bucket] = begun["UploadId"]
            s3.upload_part(
                Bucket=bucket, Key="k", UploadId=begun["UploadId"], PartNumber=2, Body=TAIL
            )
    finally:
        assert first.stop() == 0

    second = running.start(home)
    try:
        s3 = second.client()
        for bucket, upload in uploads.items():
            s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=PART)
            s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=2, Body=TAIL * 2)
    finally:
        assert second.stop() == 0

    third = running.start(home)
    try:
        s3 = third.client()
        for bucket, upload in uploads.items():
            place = {"Bucket": bucket, "Key": "k", "UploadId": upload}
            told = s3.list_parts(**place)["Parts"]
            assert [part["Size"] for part in told] == [len(PART), 2 * len(TAIL)]
            parts = [
                {name: part[name] for name in ("PartNumber", "ETag", "ChecksumCRC32")}
                for part in told
            ]
            done = s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
            got = s3.get_object(Bucket=bucket, Key="k")
            assert got["Body"].read() == PART + TAIL * 2
            assert got["ETag"] == done["ETag"]
    finally:
        assert third.stop() == 0
