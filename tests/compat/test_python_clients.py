"""Clients in Python as their pages in `docs/clients` use them, and what boto3 sends by itself."""

from __future__ import annotations

import io
import json
import sys
import urllib.request
from pathlib import Path
from ssl import create_default_context
from typing import TYPE_CHECKING, Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from tests.compat.checksums import checksum
from tests.compat.installation import SEALED, STORES, Matrix
from tests.compat.matrix import content
from tests.compat.pages import Desk, follow
from tests.peers.environments import python_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Sit = Callable[[str, str], Desk]

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
every_store = pytest.mark.parametrize("store", STORES)

LOCK = Path(__file__).resolve().parents[2] / "requirements-compat.lock"
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
LARGE, SMALL = content((20 << 20) + 5), content(300_001)

DJANGO = """
import runpy
import django
from django.conf import settings
settings.configure(STORAGES=runpy.run_path("settings.py")["STORAGES"])
django.setup()
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage as storage
one, two = (storage.save("brief.txt", ContentFile(body)) for body in (b"een", b"twee"))
assert one != two and storage.open(two).read() == b"twee", (one, two)
assert sorted(storage.listdir("")[1]) == sorted([one, two])
with storage.open("lang.txt", "w") as file:
    file.write("x" * 6_000_000)
assert storage.size("lang.txt") == 6_000_000 and storage.exists(one)
assert not storage.exists("nergens.txt")
storage.delete("lang.txt")
assert not storage.exists("lang.txt")
print(storage.url(one))
"""


@pytest.fixture
def sit(matrix: Matrix, tmp_path: Path) -> Sit:
    def sit(page: str, store: str) -> Desk:
        at_door = matrix.doors["https"].endpoint
        desk = follow(page, tmp_path, matrix.home, at_door, SEALED[store])
        (desk.folder / "large.bin").write_bytes(LARGE)
        (desk.folder / "small.bin").write_bytes(SMALL)
        return desk

    return sit


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with the clients that want a boto3 of their own."""
    return python_of("clients-python", LOCK)


def fetch(matrix: Matrix, address: str) -> bytes:
    trusted = create_default_context(cafile=str(matrix.home / "ca.pem"))
    with urllib.request.urlopen(address, context=trusted) as answer:
        body: bytes = answer.read()
        return body


@every_store
def test_boto3_does_what_the_page_says(sit: Sit, matrix: Matrix, store: str) -> None:
    desk = sit("boto3.md", store)
    *told, address = desk.shell(f"{sys.executable} upload.py").splitlines()
    assert (desk.folder / "back.bin").read_bytes() == LARGE
    assert told == [f"{algorithm} {checksum(algorithm, SMALL)}" for algorithm in ALGORITHMS]
    assert fetch(matrix, address) == SMALL


@every_store
def test_minios_sdk_does_what_the_page_says(sit: Sit, matrix: Matrix, store: str) -> None:
    desk = sit("minio-python.md", store)
    size, address = desk.shell(f"{sys.executable} upload.py").splitlines()
    assert int(size) == len(LARGE)
    assert (desk.folder / "back.bin").read_bytes() == LARGE == fetch(matrix, address)


@every_store
@pytest.mark.parametrize("algorithm", [None, *ALGORITHMS])
def test_boto3_sends_a_trailer_and_each_part_is_verified(
    matrix: Matrix, store: str, algorithm: str | None
) -> None:
    s3, bucket, key = matrix.doors["https"].client(), SEALED[store], f"boto3/delen-{algorithm}"
    sent: list[Any] = []
    s3.meta.events.register("before-send.s3.UploadPart", lambda request, **_: sent.append(request))
    parts = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=5 << 20)
    extra = {} if algorithm is None else {"ChecksumAlgorithm": algorithm}
    body = LARGE[: 11 << 20]
    s3.upload_fileobj(io.BytesIO(body), bucket, key, Config=parts, ExtraArgs=extra)
    name = algorithm or "CRC32"
    assert len(sent) == 3
    for request in sent:
        trailer = request.headers["x-amz-trailer"]
        mode = request.headers["x-amz-content-sha256"]
        text = trailer.decode() if isinstance(trailer, bytes) else trailer
        assert text == f"x-amz-checksum-{name.lower()}"
        assert b"STREAMING-UNSIGNED-PAYLOAD-TRAILER" in (mode, str(mode).encode())
    told = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    whole = checksum(name, body)
    if told["ChecksumType"] == "FULL_OBJECT":
        assert told[f"Checksum{name}"] == whole
    else:
        assert told[f"Checksum{name}"].endswith("-3")
    back = io.BytesIO()
    s3.download_fileobj(bucket, key, back, Config=parts)
    assert back.getvalue() == body


def test_a_checksum_that_is_wrong_leaves_nothing(matrix: Matrix) -> None:
    s3, bucket = matrix.doors["https"].client(), SEALED["files"]
    for algorithm in ALGORITHMS:
        wrong: dict[str, Any] = {f"Checksum{algorithm}": checksum(algorithm, b"iets anders")}
        with pytest.raises(ClientError) as caught:
            s3.put_object(Bucket=bucket, Key="boto3/fout", Body=b"inhoud", **wrong)
        assert caught.value.response["Error"]["Code"] == "BadDigest"
        assert s3.list_objects_v2(Bucket=bucket, Prefix="boto3/fout")["KeyCount"] == 0


@every_store
def test_a_column_of_parquet_is_read_without_the_rest(
    sit: Sit, matrix: Matrix, python: Path, store: str
) -> None:
    desk = sit("dataframes.md", store)
    log = matrix.home / "log" / "https.jsonl"
    before = log.stat().st_size
    desk.shell(f"{python} columns.py")
    s3 = matrix.doors["https"].client()
    size = s3.head_object(Bucket=desk.bucket, Key="dataframes/zaken.parquet")["ContentLength"]
    with log.open() as lines:
        lines.seek(before)
        done = [json.loads(line) for line in lines]
    reads = [one for one in done if one.get("operation") == "GetObject"]
    assert reads
    assert {one["status"] for one in reads} == {206}
    assert sum(one["bytes_out"] for one in reads) < size / 2, "two readers of one column of three"


@every_store
def test_obstore_does_what_the_page_says(sit: Sit, python: Path, store: str) -> None:
    desk = sit("dataframes.md", store)
    said = desk.shell(f"{python} objects.py")
    assert said == "refused the second time\n['eens', 'renamed.bin']\n"


@every_store
def test_django_storages_needs_settings_only(
    sit: Sit, matrix: Matrix, python: Path, store: str
) -> None:
    desk = sit("django-storages.md", store)
    (desk.folder / "use.py").write_text(DJANGO)
    assert fetch(matrix, desk.shell(f"{python} use.py").strip()) == b"een"
