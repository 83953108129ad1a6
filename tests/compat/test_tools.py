"""Programs that keep folders in a bucket, run as their pages in `docs/clients` say."""

from __future__ import annotations

import os
import re
import shutil
import time
import urllib.request
from pathlib import Path
from ssl import create_default_context
from typing import TYPE_CHECKING

import pytest
from tests.compat.installation import SEALED, STORES, Matrix
from tests.compat.matrix import content
from tests.compat.pages import BIN, Desk, follow

if TYPE_CHECKING:
    from collections.abc import Callable

    Sit = Callable[[str, str], Desk]

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
every_store = pytest.mark.parametrize("store", STORES)

FILES = {
    "brief.txt": b"Geachte heer, mevrouw,\n",
    "leeg": b"",
    "map met spatie/groot.bin": content((17 << 20) + 3),
    "map met spatie/onder/klein.bin": content(300_000),
}
DEBIAN = f"/usr/bin:{BIN}:{os.environ['PATH']}"
MOUNT_SECONDS_MAX = 20


@pytest.fixture
def sit(matrix: Matrix, tmp_path: Path) -> Sit:
    """Return what sits a person down at a page, with a folder to keep and an empty prefix."""

    def sit(page: str, store: str) -> Desk:
        at_door = matrix.doors["https"].endpoint
        desk = follow(page, tmp_path, matrix.home, at_door, SEALED[store])
        for name, body in FILES.items():
            path = desk.folder / "folder" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        prefix = f"{page.removesuffix('.md')}/"
        s3 = matrix.doors["https"].client()
        held = s3.list_objects_v2(Bucket=desk.bucket, Prefix=prefix).get("Contents", [])
        for found in held:
            s3.delete_object(Bucket=desk.bucket, Key=found["Key"])
        return desk

    return sit


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def keys(matrix: Matrix, desk: Desk, prefix: str) -> dict[str, int]:
    page = matrix.doors["https"].client().list_objects_v2(Bucket=desk.bucket, Prefix=prefix)
    return {found["Key"].removeprefix(prefix): found["Size"] for found in page.get("Contents", [])}


@pytest.mark.parametrize(
    ("version", "store", "path"),
    [
        (1, "files", f"{BIN}:/usr/bin:/bin"),  # which every test of the matrix runs as well
        (2, "files", DEBIAN),
        (2, "seaweedfs", DEBIAN),
    ],
)
def test_aws_sync_transfers_once_and_comes_back(
    sit: Sit, matrix: Matrix, store: str, version: int, path: str
) -> None:
    desk = sit("aws-cli.md", store)
    up, down, checksum, presign = range(4)
    assert re.search(r"^aws-cli/(\d)", desk.shell("aws --version", PATH=path))[1] == str(version)  # type: ignore[index]
    assert desk.run(up, PATH=path).count("upload:") == len(FILES)
    assert desk.run(up, PATH=path) == ""
    assert keys(matrix, desk, "aws-cli/") == {name: len(body) for name, body in FILES.items()}
    assert desk.run(down, PATH=path).count("download:") == len(FILES)
    assert desk.run(down, PATH=path) == ""
    assert tree(desk.folder / "back") == FILES
    # printf 'Geachte heer, mevrouw,\n' | openssl dgst -sha256 -binary | base64
    digest = "7DtVkg4qIaPucRxHXogS0b5S4fogi/3NoY3c4l8cEJk="
    assert f'"ChecksumSHA256": "{digest}"' in desk.run(checksum, PATH=path)
    address = desk.run(presign, PATH=path).strip()
    assert address.startswith("https://")
    trusted = create_default_context(cafile=str(matrix.home / "ca.pem"))
    with urllib.request.urlopen(address, context=trusted) as answer:
        assert answer.read() == FILES["brief.txt"]


@every_store
def test_rclone_copies_syncs_and_checks(sit: Sit, matrix: Matrix, store: str) -> None:
    desk = sit("rclone.md", store)
    copy, sync, check, back = range(4)
    assert desk.run(copy).count("Copied (new)") == len(FILES)
    assert "There was nothing to transfer" in desk.run(copy)
    assert "There was nothing to transfer" in desk.run(sync)
    (desk.folder / "folder" / "leeg").unlink()
    (desk.folder / "folder" / "brief.txt").write_bytes(b"anders")
    said = desk.run(sync)
    assert "brief.txt: Copied (replaced existing)" in said
    assert "leeg: Deleted" in said
    assert said.count("Copied") == 1
    assert desk.run(check).count("0 differences found") == 2
    desk.run(back)
    assert "There was nothing to transfer" in desk.run(back)
    assert tree(desk.folder / "back") == tree(desk.folder / "folder")
    assert set(keys(matrix, desk, "rclone/")) == set(FILES) - {"leeg"}
    # Same length, other content: only reading it again can tell.
    s3 = matrix.doors["https"].client()
    s3.put_object(Bucket=desk.bucket, Key="rclone/brief.txt", Body=b"ANDERS")
    with pytest.raises(AssertionError, match="1 differences found"):
        desk.run(check)


@every_store
def test_s3cmd_syncs_twice_and_the_second_time_nothing(
    sit: Sit, matrix: Matrix, store: str
) -> None:
    desk = sit("s3cmd.md", store)
    up, down, info = range(3)
    assert desk.run(up).count("upload:") >= len(FILES)  # a line for each part
    assert desk.run(up) == ""
    assert keys(matrix, desk, "s3cmd/") == {name: len(body) for name, body in FILES.items()}
    assert desk.run(down).count("download:") == len(FILES)
    assert desk.run(down) == ""
    assert tree(desk.folder / "back") == FILES
    assert "aws:kms" in desk.run(info)


@every_store
def test_restic_backs_up_checks_every_byte_and_restores(
    sit: Sit, matrix: Matrix, store: str
) -> None:
    desk = sit("restic.md", store)
    begin, verify, forget = range(3)
    assert "snapshot" in desk.run(begin)
    assert "no errors were found" in desk.run(verify)
    (restored,) = (desk.folder / "back").rglob("brief.txt")
    assert tree(restored.parent) == FILES
    desk.run(forget)
    shutil.rmtree(desk.folder / "back")
    assert "no errors were found" in desk.run(verify)
    assert sum(keys(matrix, desk, "restic/").values()) > sum(map(len, FILES.values()))


@every_store
def test_duplicity_backs_up_verifies_and_restores(sit: Sit, matrix: Matrix, store: str) -> None:
    desk = sit("duplicity.md", store)
    full, rest = range(2)
    assert "Errors 0" in desk.run(full)
    (desk.folder / "folder" / "later.txt").write_bytes(b"na de eerste keer")
    assert "0 differences found" in desk.run(rest)
    assert tree(desk.folder / "back") == {**FILES, "later.txt": b"na de eerste keer"}
    names = keys(matrix, desk, "duplicity/")
    assert len([name for name in names if "manifest" in name]) == 2


def may_mount() -> bool:
    """Is there a FUSE device that this process can open?"""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        return False
    return shutil.which("s3fs") is not None


@pytest.mark.skipif(not may_mount(), reason="this machine lets nobody mount (/dev/fuse)")
def test_s3fs_fuse_mounts_a_bucket_as_a_folder(sit: Sit, matrix: Matrix) -> None:
    desk = sit("s3fs-fuse.md", "files")
    mount, unmount = range(2)
    here = desk.folder / "mounted"
    try:
        desk.run(mount)
    except AssertionError as refused:
        if "mount failed: Operation not permitted" in str(refused):
            pytest.skip("this machine has /dev/fuse and lets nobody mount")
        raise
    try:
        until = time.monotonic() + MOUNT_SECONDS_MAX
        while not here.is_mount():
            assert time.monotonic() < until, "not mounted"
            time.sleep(0.1)
        (here / "fuse").mkdir()
        for name, body in FILES.items():
            path = here / "fuse" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        (here / "fuse" / "leeg").rename(here / "fuse" / "map met spatie" / "ook leeg")
        (here / "fuse" / "brief.txt").chmod(0o600)
        with (here / "fuse" / "map met spatie" / "groot.bin").open("r+b") as large:
            large.seek(6 << 20)
            large.write(b"midden")
    finally:
        desk.run(unmount)
    expected = dict(FILES)
    expected["map met spatie/ook leeg"] = expected.pop("leeg")
    large_name = "map met spatie/groot.bin"
    body = expected[large_name]
    expected[large_name] = body[: 6 << 20] + b"midden" + body[(6 << 20) + 6 :]
    s3 = matrix.doors["https"].client()
    held = keys(matrix, desk, "fuse/")
    assert {name for name in held if not name.endswith("/") and name} == set(expected)
    for name, wanted in expected.items():
        answer = s3.get_object(Bucket=desk.bucket, Key=f"fuse/{name}")
        assert answer["Body"].read() == wanted, name
    mode = s3.head_object(Bucket=desk.bucket, Key="fuse/brief.txt")["Metadata"]["mode"]
    assert int(mode) & 0o777 == 0o600
