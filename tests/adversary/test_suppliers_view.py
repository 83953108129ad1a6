"""What a supplier sees: on its disks, in its names and logs, and on the wire both ways."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import pytest
from botocore.exceptions import ClientError
from tests.adversary.stage import BUCKETS, FRONTS, STORES, Stage, digests, noise, stage_in, upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
PART = 5 << 20
MARKERS = {
    "body": b"BSN-123456782-van-Jansen",
    "name": "dossier van Jansén & Zoon".encode(),
    "metadata": b"geboren: 1 januari 1970 (Jansen)",
    "tag": b"label/Jansen/jeugdzorg",
    "disposition": b"besluit Jansen jeugdhulp",
}
CLEAR_BUCKET = "in-clear"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage_in(tmp_path_factory.mktemp("supplier")) as made:
        yield made


def forms(marker: bytes) -> set[bytes]:
    """Return a marker as it could stand somewhere."""
    found = {marker, marker.hex().encode(), marker.hex().upper().encode()}
    percent = {quote(marker, safe=safe) for safe in ("", "/", "/:()&=+-")} | {quote_plus(marker)}
    found |= {text.encode() for text in percent}
    found |= {re.sub(rb"%..", lambda match: match[0].lower(), text.encode()) for text in percent}
    text = marker.decode()  # as documents carry it
    found |= {escape(text).encode(), json.dumps(text)[1:-1].encode()}
    found.add(text.replace("&", "\\u0026").encode())
    found.add("".join(f"%{byte:02X}" for byte in marker).encode())
    found.add("".join(f"%{byte:02x}" for byte in marker).encode())
    for shift in range(3):  # base64 of it at any offset, without the ends that neighbours change
        found.add(base64.b64encode(b"\0" * shift + marker)[4:-4])
        found.add(base64.urlsafe_b64encode(b"\0" * shift + marker)[4:-4])
    return found


def whole_bodies(size: int) -> dict[str, bytes]:
    """Return a body for each algorithm, each with the marker at its front, middle and end."""
    mark = MARKERS["body"]
    return {
        name: mark + noise(size, at) + mark + noise(size, at + 100) + mark
        for at, name in enumerate((*ALGORITHMS, "MD5"))
    }


def part_bodies() -> list[bytes]:
    return [MARKERS["body"] + noise(PART, 7), noise(3000, 8) + MARKERS["body"]]


def do_everything(client: Any, bucket: str) -> None:
    """Do whatever a client does with personal data."""
    folder = MARKERS["name"].decode()
    facts = {
        "Metadata": {"onderwerp": MARKERS["metadata"].decode()},
        "Tagging": f"soort={quote(MARKERS['tag'], safe='')}",
        "ContentDisposition": f'attachment; filename="{MARKERS["disposition"].decode()}"',
    }
    for name, body in whole_bodies(400_000).items():
        proof = {"ChecksumAlgorithm": name}
        if name == "MD5":
            proof = {"ContentMD5": base64.b64encode(hashlib.md5(body).digest()).decode()}
        key = f"{folder}/{name}"
        client.put_object(Bucket=bucket, Key=key, Body=body, **facts, **proof)
        assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == body
        client.get_object(Bucket=bucket, Key=key, Range="bytes=10-40")["Body"].read()
        client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    upload(client, bucket, f"{folder}/delen", list(enumerate(part_bodies(), 1)))
    body = b"".join(part_bodies())
    assert client.get_object(Bucket=bucket, Key=f"{folder}/delen")["Body"].read() == body
    for name in ("SHA256", "delen"):
        source = {"Bucket": bucket, "Key": f"{folder}/{name}"}
        client.copy_object(Bucket=bucket, Key=f"{folder}/kopie-{name}", CopySource=source)
    client.list_objects_v2(Bucket=bucket, Prefix=folder[:9])
    client.list_objects_v2(Bucket=bucket, Prefix=f"{folder}/", Delimiter="/")
    try:
        client.get_object_tagging(Bucket=bucket, Key=f"{folder}/MD5")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NotImplemented"


def proofs() -> dict[str, set[bytes]]:
    """Return every digest of every plaintext, by what it is."""
    found = {}
    plain = {**whole_bodies(400_000), "part 1": part_bodies()[0], "part 2": part_bodies()[1]}
    plain["parts"] = b"".join(part_bodies())
    for name, body in plain.items():
        for algorithm, kinds in digests(body).items():
            found[f"{algorithm} of {name}"] = kinds
    return found


def needles() -> dict[str, set[bytes]]:
    return {**{name: forms(marker) for name, marker in MARKERS.items()}, **proofs()}


def found_in(haystacks: dict[str, bytes], wanted: dict[str, set[bytes]]) -> set[tuple[str, str]]:
    """Return what was found, and where."""
    return {
        (name, where)
        for name, kinds in wanted.items()
        for where, held in haystacks.items()
        if any(kind in held for kind in kinds)
    }


def disks(*folders: Path) -> dict[str, bytes]:
    """Return every file below the folders, and their names as one more haystack."""
    paths = [path for folder in folders for path in folder.rglob("*")]
    held = {str(path): path.read_bytes() for path in paths if path.is_file()}
    return {**held, "names": "\n".join(path.name for path in paths).encode()}


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("store", STORES)
def test_neither_disk_nor_wire_nor_log_shows_a_marker_or_a_digest(
    stage: Stage, store: str, front: str
) -> None:
    stage.recorder.clear()
    do_everything(stage.client(front), BUCKETS[store])
    seen = {"sent": stage.recorder.sent(), "answered": stage.recorder.answered()}
    if store == "seaweedfs":  # the recorder did stand in between
        assert len(seen["sent"]) > 8 << 20 < len(seen["answered"])
        assert seen["sent"].count(b"PUT /weed-vertrouwelijk/") >= 10
    seen |= disks(
        stage.home / "store", stage.home / "log", stage.home / "audit", stage.weed.directory
    )
    assert found_in(seen, needles()) == set()


def test_the_same_search_finds_all_of_it_where_nothing_is_sealed(stage: Stage) -> None:
    """The control, after the tests above: straight to the store, through the same recorder."""
    stage.recorder.clear()
    direct = stage.direct(stage.recorder.endpoint)
    direct.create_bucket(Bucket=CLEAR_BUCKET)
    try:
        do_everything(direct, CLEAR_BUCKET)
        sent, answered = stage.recorder.sent(), stage.recorder.answered()
        wire = found_in({"sent": sent, "answered": answered}, needles())
        for marker in MARKERS:
            assert (marker, "sent") in wire, marker
        for marker in ("body", "name", "metadata", "disposition"):
            assert (marker, "answered") in wire, marker
        on_disk = {name for name, _ in found_in(disks(stage.weed.directory), needles())}
        assert on_disk >= set(MARKERS)
        for name in ALGORITHMS:
            assert (f"{name.lower()} of {name}", "sent") in wire
        assert ("md5 of MD5", "sent") in wire
        assert ("md5 of MD5", "answered") in wire  # its ETag
        assert ("sha256 of SHA1", "sent") in wire  # signed payloads
        assert ("crc32 of part 1", "sent") in wire
        assert ("md5 of part 1", "answered") in wire
    finally:
        pages = direct.get_paginator("list_objects_v2").paginate(Bucket=CLEAR_BUCKET)
        for entry in [entry for page in pages for entry in page.get("Contents", [])]:
            direct.delete_object(Bucket=CLEAR_BUCKET, Key=entry["Key"])


@pytest.mark.parametrize("name", needles())
def test_the_search_knows_each_form_of_each_needle(name: str) -> None:
    for kind in needles()[name]:
        assert found_in({"x": b"..." + kind + b"..."}, {name: needles()[name]})


def test_the_search_finds_base64_at_any_offset() -> None:
    for marker in MARKERS.values():
        for shift in range(3):
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                held = encode(b"x" * shift + marker + b"yz")
                assert found_in({"x": held}, {"marker": forms(marker)})
