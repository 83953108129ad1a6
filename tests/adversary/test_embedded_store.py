"""Whoever holds the embedded store's folder reads nothing, and changes nothing unnoticed."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from tests.e2e import running

from hyok.envelope.layout import LAYOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
BUCKET = "vertrouwelijk"
PART = 5 << 20
BLOCK = 4096


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    made = running.fresh(tmp_path_factory.mktemp("adversary") / "home")
    yield made
    assert made.stop() == 0


@pytest.fixture
def client(installation: running.Running) -> Any:
    return installation.client()


def forms(marker: bytes) -> set[bytes]:
    """Return a marker as it could stand somewhere."""
    found = {marker, marker.hex().encode(), marker.hex().upper().encode(), quote(marker).encode()}
    for shift in range(3):  # base64 of it at any offset, without the ends that neighbours change
        found.add(base64.b64encode(b"\0" * shift + marker)[4:-4])
        found.add(base64.urlsafe_b64encode(b"\0" * shift + marker)[4:-4])
    return found


def digests(body: bytes) -> set[bytes]:
    """Return digests of a body, raw, in hex and in base64; long enough not to stand by chance."""
    found: set[bytes] = set()
    for name in ("md5", "sha1", "sha256", "sha512"):
        raw = hashlib.new(name, body).digest()
        found |= {raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")}
    raw = zlib.crc32(body).to_bytes(4, "big")
    return found | {raw.hex().encode(), base64.b64encode(raw)}


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        yield f"name {path}", path.name.encode()
        if path.is_file():
            yield str(path), path.read_bytes()


def seen(folders: list[Path], needles: set[bytes]) -> list[str]:
    return [
        where
        for folder in folders
        for where, held in everything(folder)
        if any(needle in held for needle in needles)
    ]


def test_the_supplier_finds_no_marker_and_no_digest(
    installation: running.Running, client: Any, tmp_path: Path
) -> None:
    body = b"BSN-123456782-inhoud" * 5000
    markers = {
        "name": b"dossier-van-Jansen-naam",
        "metadata": b"metadata-Jansen-geboren",
        "tag": b"label-Jansen-jeugdzorg",
        "disposition": b"bestand-Jansen-besluit",
    }
    client.put_object(
        Bucket=BUCKET,
        Key=markers["name"].decode() + "/stuk.pdf",
        Body=body,
        ContentMD5=base64.b64encode(hashlib.md5(body).digest()).decode(),
        ChecksumAlgorithm="SHA256",
        Metadata={"onderwerp": markers["metadata"].decode()},
        Tagging=f"soort={markers['tag'].decode()}",
        ContentDisposition=f'attachment; filename="{markers["disposition"].decode()}"',
    )
    needles = digests(body)
    for marker in (b"BSN-123456782-inhoud", *markers.values()):
        needles |= forms(marker)
    outside = [installation.home / "store", installation.home / "log", installation.home / "audit"]
    assert seen(outside, needles) == []
    # The same search finds them all where nothing was sealed.
    clear = tmp_path / "clear"
    clear.mkdir()
    for number, needle in enumerate(sorted(needles)):
        (clear / str(number)).write_bytes(b"....." + needle + b".....")
    assert len(seen([clear], needles)) >= len(needles)
    for marker in markers.values():
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / "x").write_bytes(base64.b64encode(b"ab" + marker + b"cd"))
        assert seen([tmp_path / "one"], forms(marker))


class Shelf:
    """The store's folder in hostile hands: the data file of each object, by its write order."""

    def __init__(self, installation: running.Running, client: Any) -> None:
        self.root = installation.home / "store"
        self.client = client

    def files(self) -> set[Path]:
        return {path for path in self.root.rglob("*") if path.is_file() and "data" in path.parts}

    def put(self, key: str, body: bytes) -> Path:
        before = self.files()
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)
        return self._new(before)

    def upload(self, key: str, bodies: list[bytes]) -> Path:
        before = self.files()
        made = self.client.create_multipart_upload(Bucket=BUCKET, Key=key)
        here = {"Bucket": BUCKET, "Key": key, "UploadId": made["UploadId"]}
        parts = []
        for number, body in enumerate(bodies, 1):
            part = self.client.upload_part(**here, PartNumber=number, Body=body)
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
        self.client.complete_multipart_upload(**here, MultipartUpload={"Parts": parts})
        return self._new(before)

    def _new(self, before: set[Path]) -> Path:
        found = [path for path in self.files() - before if path.stat().st_size >= BLOCK]
        assert len(found) == 1, found
        return found[0]

    def read(self, key: str, body: bytes, wanted: str | None = None) -> bool:
        """Read; return whether all came. Not one wrong byte may come, whole or not."""
        more = {"Range": wanted} if wanted else {}
        try:
            answer = self.client.get_object(Bucket=BUCKET, Key=key, **more)
        except ClientError:
            return False
        got = b""
        try:
            for piece in answer["Body"].iter_chunks(65536):
                got += piece
        except (BotoCoreError, OSError):
            assert body.startswith(got) or got in body
            return False
        first = int(wanted.split("=")[1].split("-")[0]) if wanted else 0
        assert got == body[first : first + len(got)]
        return True


@pytest.fixture
def shelf(installation: running.Running, client: Any) -> Shelf:
    return Shelf(installation, client)


def noise(size: int, mark: int) -> bytes:
    return b"".join(hashlib.sha256(f"{mark}:{i}".encode()).digest() for i in range(size // 32 + 1))[
        :size
    ]


@pytest.mark.parametrize("size", [0, 1, 1000, 300_000, 3_000_000])
def test_a_flipped_bit_anywhere_is_noticed(shelf: Shelf, size: int) -> None:
    body = noise(size, size)
    path = shelf.put("bit", body)
    good = path.read_bytes()
    assert shelf.read("bit", body)
    spots = {0, 4, 8, 20, 60, 100, 200, BLOCK - 1, BLOCK, BLOCK + 39, BLOCK + 40, len(good) - 1}
    spots |= {len(good) - 17, len(good) - 100, len(good) // 2, len(good) // 3, BLOCK + size // 2}
    for at in sorted(spots):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        assert not shelf.read("bit", body), at
    path.write_bytes(good)
    assert shelf.read("bit", body)


@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_a_cut_or_extended_object_is_noticed(shelf: Shelf, size: int) -> None:
    body = noise(size, 1)
    path = shelf.put("lengte", body)
    good = path.read_bytes()
    for bad in (good[:-1], good[: len(good) // 2], good[:BLOCK], good[:100], b""):
        path.write_bytes(bad)
        assert not shelf.read("lengte", body)
    for bad in (good + b"\0", good + good):
        # The catalogue knows the length, so what follows is never looked at.
        path.write_bytes(bad)
        shelf.read("lengte", body)
    path.write_bytes(good)
    assert shelf.read("lengte", body)


def test_objects_and_envelopes_do_not_change_places(shelf: Shelf) -> None:
    one, two = noise(200_000, 1), noise(200_000, 2)
    first, second = shelf.put("een", one), shelf.put("twee", two)
    a, b = first.read_bytes(), second.read_bytes()
    for left, right in ((b, a), (b[:BLOCK] + a[BLOCK:], a[:BLOCK] + b[BLOCK:])):
        first.write_bytes(left)
        second.write_bytes(right)
        assert not shelf.read("een", one)
        assert not shelf.read("twee", two)
        assert not shelf.read("een", one, "bytes=10-20")


def test_parts_stay_where_they_are(shelf: Shelf) -> None:
    bodies = [noise(PART, 1), noise(PART, 2), noise(1000, 3)]
    body = b"".join(bodies)
    path = shelf.upload("delen", bodies)
    good = path.read_bytes()
    assert shelf.read("delen", body)
    sealed = LAYOUT.part_sealed_size(PART)
    one = good[BLOCK : BLOCK + sealed]
    two = good[BLOCK + sealed : BLOCK + 2 * sealed]
    swapped = good[:BLOCK] + two + one + good[BLOCK + 2 * sealed :]
    doubled = good[:BLOCK] + one + one + good[BLOCK + 2 * sealed :]
    for bad in (swapped, doubled):
        path.write_bytes(bad)
        assert not shelf.read("delen", body)
        assert not shelf.read("delen", body, f"bytes={PART + 5}-{PART + 50}")
    path.write_bytes(good)
    assert shelf.read("delen", body, f"bytes={PART - 5}-{PART + 50}")


def test_an_older_body_under_a_newer_envelope_is_noticed(shelf: Shelf, tmp_path: Path) -> None:
    old, new = noise(100_000, 7), noise(100_000, 8)
    before = shelf.put("versie", old)
    shutil.copy(before, tmp_path / "old")
    after = shelf.put("versie", new)
    after.write_bytes(after.read_bytes()[:BLOCK] + (tmp_path / "old").read_bytes()[BLOCK:])
    assert not shelf.read("versie", new)
