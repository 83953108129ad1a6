"""A gateway of each kind over two stores in hostile hands, for the tests beside this file."""

from __future__ import annotations

import base64
import hashlib
import os
import sqlite3
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from random import Random  # noqa: TID251 - repeatable by its seed
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tests.e2e import running
from tests.peers import seaweedfs
from tests.peers.liar import Liar
from tests.peers.recorder import Recorder

from hyok.envelope.sealed_file import FILE_BLOCK_BYTES, parse_block, render_block

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FRONTS = ("http", "https")
STORES = ("files", "seaweedfs")
BUCKETS = {"files": "vertrouwelijk", "seaweedfs": "weed-vertrouwelijk"}
LIED_TO = "weed-gelogen"  # its store answers through the liar
LONG = bool(os.environ.get("HYOK_LONG"))


@dataclass
class Held:
    """One stored object, as whoever holds the store has it."""

    envelope: str  # the text of x-amz-meta-hyok
    body: bytes


@dataclass
class Stage:
    """Both doors; behind them a folder, and SeaweedFS through a recorder and through a liar."""

    home: Path
    weed: seaweedfs.SeaweedFS
    recorder: Recorder
    liar: Liar
    doors: dict[str, running.Gateway]

    def client(self, front: str) -> Any:
        """Return a client that checks no checksum: what it gets is what the gateway let through."""
        return self.doors[front].client(response_checksum_validation="when_required")

    def direct(self, endpoint: str = "") -> Any:
        """Return a client of SeaweedFS itself."""
        return boto3.client(
            "s3",
            endpoint_url=endpoint or self.weed.endpoint,
            aws_access_key_id=self.weed.access_key,
            aws_secret_access_key=self.weed.secret,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 0}),
        )

    def shelf(self, store: str) -> FileShelf | WeedShelf:
        return FileShelf(self.home / "store") if store == "files" else WeedShelf(self.direct())


@contextmanager
def stage_in(folder: Path) -> Iterator[Stage]:
    """Start everything, and stop it again."""
    with ExitStack() as over:
        (folder / "weed").mkdir()
        weed = seaweedfs.start(folder / "weed")
        over.callback(weed.stop)
        recorder, liar = Recorder(weed.endpoint), Liar(weed.endpoint)
        over.callback(recorder.close)
        over.callback(liar.close)
        home = folder / "home"
        running.prepare(home)
        access = weed.credentials_file()
        stores = running.s3_store("weed", recorder.endpoint, access)
        # A lie is told again to whoever asks again: once is enough to see that.
        stores += running.s3_store("liar", liar.endpoint, access, more="attempts_max = 2\n")
        configs = {
            front: running.configure(home, front, stores, https=front == "https")
            for front in FRONTS
        }
        running.make_bucket(configs["http"], BUCKETS["seaweedfs"], "vertrouwelijk", "weed")
        running.make_bucket(configs["http"], LIED_TO, "vertrouwelijk", "liar")
        doors = {}
        for front, config in configs.items():
            doors[front] = running.serve(config)
            over.callback(_stop, doors[front])
        yield Stage(home, weed, recorder, liar, doors)


def _stop(gateway: running.Gateway) -> None:
    assert gateway.stop() == 0


class WeedShelf:
    """Objects of SeaweedFS, through its own door."""

    def __init__(self, direct: Any) -> None:
        self._direct = direct
        self._bucket = BUCKETS["seaweedfs"]

    def names(self) -> set[str]:
        pages = self._direct.get_paginator("list_objects_v2").paginate(Bucket=self._bucket)
        found = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
        return {name for name in found if not name.startswith(".hyok/")}

    def read(self, name: str) -> Held:
        answer = self._direct.get_object(Bucket=self._bucket, Key=name)
        return Held(answer["Metadata"]["hyok"], answer["Body"].read())

    def write(self, name: str, held: Held) -> None:
        """Put back; the store's listing and length follow."""
        metadata = {"hyok": held.envelope} if held.envelope else {}
        self._direct.put_object(Bucket=self._bucket, Key=name, Body=held.body, Metadata=metadata)


class FileShelf:
    """Objects of the embedded store: its data files, and its catalogue, which tells lengths."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _rows(self, statement: str, *values: object) -> list[Any]:
        path = self._root / "catalogue.sqlite3"
        with closing(sqlite3.connect(path, timeout=30)) as catalogue, catalogue:
            return catalogue.execute(statement, values).fetchall()

    def names(self) -> set[str]:
        """Return the data files of the bucket's objects."""
        rows = self._rows(
            "SELECT file, objects.name FROM objects JOIN buckets ON bucket = id "
            "WHERE buckets.name = ?",
            BUCKETS["files"],
        )
        return {file for file, name in rows if not bytes(name).startswith(b".hyok/")}

    def path(self, name: str) -> Path:
        found = [path for path in (self._root / "data").rglob("*") if path.name == name]
        assert len(found) == 1, (name, found)
        return found[0]

    def read(self, name: str) -> Held:
        raw = self.path(name).read_bytes()
        envelope = parse_block(raw[:FILE_BLOCK_BYTES])
        return Held(_text(envelope), raw[FILE_BLOCK_BYTES:])

    def write(self, name: str, held: Held) -> None:
        """Put back, and make the catalogue agree with the length."""
        block = render_block(_bytes(held.envelope)) if held.envelope else bytes(FILE_BLOCK_BYTES)
        self.path(name).write_bytes(block + held.body)
        self._rows("UPDATE objects SET size = ? WHERE file = ?", len(held.body), name)

    def write_raw(self, name: str, raw: bytes) -> None:
        """Put back bytes as they are; the catalogue goes on saying what it said."""
        self.path(name).write_bytes(raw)

    def claim_size(self, name: str, size: int) -> None:
        """Make the catalogue tell a length that is not the file's."""
        self._rows("UPDATE objects SET size = ? WHERE file = ?", size, name)


def _text(envelope: bytes) -> str:
    return base64.urlsafe_b64encode(envelope).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@lru_cache(maxsize=32)
def noise(size: int, mark: int = 0) -> bytes:
    """Return bytes, the same for one mark; no part of them comes twice."""
    return Random(f"{mark}/{size}").randbytes(size)


def upload(client: Any, bucket: str, key: str, bodies: list[tuple[int, bytes]]) -> None:
    """Upload parts in the order given; a number that comes twice is a part sent again."""
    made = client.create_multipart_upload(Bucket=bucket, Key=key)
    here = {"Bucket": bucket, "Key": key, "UploadId": made["UploadId"]}
    parts = {
        number: client.upload_part(**here, PartNumber=number, Body=body)["ETag"]
        for number, body in bodies
    }
    listed = [{"PartNumber": number, "ETag": parts[number]} for number in sorted(parts)]
    client.complete_multipart_upload(**here, MultipartUpload={"Parts": listed})


def reading(client: Any, bucket: str, key: str, wanted: str = "") -> tuple[bytes, bool]:
    """Return what a client gets, and whether the transfer ended well."""
    more = {"Range": f"bytes={wanted}"} if wanted else {}
    got = bytearray()
    try:
        answer = client.get_object(Bucket=bucket, Key=key, **more)
        for piece in answer["Body"].iter_chunks(16 << 10):
            got += piece
    except (ClientError, BotoCoreError, OSError):
        return bytes(got), False
    return bytes(got), True


def seed() -> int:
    """Return the seed of this run, and print it for the next one."""
    value = int(os.environ.get("HYOK_SEED") or int.from_bytes(os.urandom(4), "big"))
    print(f"HYOK_SEED={value}")
    return value


def digests(body: bytes) -> dict[str, set[bytes]]:
    """Return, by algorithm, each form of a digest; raw only where that is long enough."""
    from awscrt import checksums

    raws = {name: hashlib.new(name, body).digest() for name in ("md5", "sha1", "sha256", "sha512")}
    raws["crc32"] = checksums.crc32(body).to_bytes(4, "big")
    raws["crc32c"] = checksums.crc32c(body).to_bytes(4, "big")
    raws["crc64nvme"] = checksums.crc64nvme(body).to_bytes(8, "big")
    found = {}
    for name, raw in raws.items():
        forms = {raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw)}
        forms |= {base64.urlsafe_b64encode(raw), base64.b64encode(raw.hex().encode())}
        found[name] = forms | ({raw, raw[::-1]} if len(raw) >= 8 else set())
    return found
