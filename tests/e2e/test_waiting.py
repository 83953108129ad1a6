"""Copies and joined parts that take longer than a client's patience: SDKs get them all the same."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e import operated
from tests.fakes.hsm_tokens import HAS_SOFTHSM

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here"),
]
BODY = os.urandom(48 << 20)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("waiting")
    made = operated.copied(folder, gateway="patience_seconds = 0.001\n")
    client = made.serve().client()
    client.put_object(Bucket="intern", Key="bron", Body=BODY)
    yield client
    made.close()


def began_early(answer: Any) -> bool:
    return "transfer-encoding" in answer["ResponseMetadata"]["HTTPHeaders"]


def test_a_long_copy(client: Any) -> None:
    source = {"Bucket": "intern", "Key": "bron"}
    copied = client.copy_object(Bucket="vertrouwelijk", Key="doel", CopySource=source)
    assert began_early(copied)
    got = client.get_object(Bucket="vertrouwelijk", Key="doel")
    assert got["ETag"] == copied["CopyObjectResult"]["ETag"]
    assert got["Body"].read() == BODY


def test_parts_that_are_copied_and_joined(client: Any) -> None:
    here = {"Bucket": "geheim", "Key": "doel"}
    here["UploadId"] = client.create_multipart_upload(**here)["UploadId"]
    part = client.upload_part_copy(
        **here, PartNumber=1, CopySource={"Bucket": "intern", "Key": "bron"}
    )
    assert began_early(part)
    parts = [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]
    done = client.complete_multipart_upload(**here, MultipartUpload={"Parts": parts})
    assert began_early(done)
    got = client.get_object(Bucket="geheim", Key="doel")
    assert got["ETag"] == done["ETag"]
    assert got["Body"].read() == BODY
