"""The SDKs for JavaScript on Node, as docs/clients/javascript.md uses them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.compat.checksums import checksum
from tests.compat.installation import SEALED, STORES, Matrix
from tests.compat.matrix import content
from tests.compat.pages import Desk, follow
from tests.peers.environments import node_modules

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
every_store = pytest.mark.parametrize("store", STORES)

PACKAGES = Path(__file__).with_name("js")
LARGE = content((12 << 20) + 7)

LABELLED = """
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
const endpoint = "https://127.0.0.1:8443";
const s3 = new S3Client({ endpoint, region: "us-east-1", forcePathStyle: true });
const wanted = {
  Bucket: process.env.BUCKET,
  Key: "js/labelled.txt",
  Metadata: { soort: "brief" },
  Tagging: process.env.LABEL,
};
const address = await getSignedUrl(s3, new PutObjectCommand(wanted), { expiresIn: 300 });
const answer = await fetch(address, { method: "PUT", body: "inhoud" });
console.log(JSON.stringify({ address, status: answer.status, body: await answer.text() }));
"""


def desk_of(matrix: Matrix, folder: Path, bucket: str) -> Desk:
    at_door = matrix.doors["https"].endpoint
    desk = follow("javascript.md", folder, matrix.home, at_door, bucket)
    (folder / "node_modules").symlink_to(node_modules("clients-js", PACKAGES))
    (folder / "large.bin").write_bytes(LARGE)
    return desk


def lines(said: str) -> Mapping[str, str]:
    """Return what the programs print, by the first word of a line."""
    return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)


@every_store
def test_both_sdks_do_what_the_page_says(matrix: Matrix, tmp_path: Path, store: str) -> None:
    desk = desk_of(matrix, tmp_path, SEALED[store])
    aws, minio = desk.run(0, NODE_NO_WARNINGS="1").split("stat ")
    said = lines(aws)
    assert said["range"] == LARGE[5_242_870:5_242_890].hex()
    for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        assert f"{algorithm} {checksum(algorithm, b'inhoud')}\n{algorithm} inhoud\n" in aws
    assert (said["put"], said["get"]) == ("200", "via an address")
    assert minio.startswith(f"{len(LARGE)} brief\n")
    said = lines(minio)
    assert said["copied"] == "true"
    assert (said["put"], said["get"]) == ("200", "via an address")
    assert f"list minio-js/copy.bin {len(LARGE)}\nlist minio-js/large.bin {len(LARGE)}\n" in minio
    assert (tmp_path / "minio.bin").read_bytes() == LARGE
    s3 = matrix.doors["https"].client()
    for key in ("js/large.bin", "minio-js/large.bin", "minio-js/copy.bin"):
        assert s3.get_object(Bucket=desk.bucket, Key=key)["Body"].read() == LARGE, key


def test_a_label_in_a_presigned_address_raises_the_classification(
    matrix: Matrix, tmp_path: Path
) -> None:
    bucket = SEALED["files"]
    desk = desk_of(matrix, tmp_path, bucket)
    (tmp_path / "labelled.mjs").write_text(desk.text(LABELLED))

    def put(label: str) -> dict[str, str | int]:
        more = {"NODE_EXTRA_CA_CERTS": str(matrix.home / "ca.pem"), "NODE_NO_WARNINGS": "1"}
        told = desk.shell("node labelled.mjs", BUCKET=bucket, LABEL=label, **more)
        return dict(json.loads(told))

    told = put("classification=geheim")
    assert told["status"] == 200, told
    assert "x-amz-tagging=" in str(told["address"])  # the presigner put it there
    held = matrix.doors["https"].client().head_object(Bucket=bucket, Key="js/labelled.txt")
    assert held["SSEKMSKeyId"].startswith("gemeente/geheim/")
    assert held["Metadata"] == {"soort": "brief"}
    told = put("classification=nergens")
    assert told["status"] == 400, told
    assert "The label" in str(told["body"])


def test_the_lock_file_pins_by_hash_and_names_no_registry() -> None:
    packages = json.loads((PACKAGES / "package-lock.json").read_text())["packages"]
    del packages[""]
    assert packages
    assert all(pinned["integrity"].startswith("sha512-") for pinned in packages.values())
    assert not any("resolved" in pinned for pinned in packages.values())


def test_node_is_there() -> None:
    done = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    assert int(done.stdout.strip("v\n").split(".")[0]) >= 20
