"""The whole round trip through the door on modules of two code bases, with each KEK profile.

SoftHSM carries profiles 1 to 3, NSS softokn all four.  The gateway is a real process, everything
was made with the CLI, and a second process reads back what the first one wrote.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from tests.compat.matrix import content
from tests.e2e import operated
from tests.e2e.operated import CLASSES
from tests.fakes.hsm_tokens import HAS_NSS, HAS_SOFTHSM

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]

CASES = [
    pytest.param(
        "softhsm",
        (1, 2, 3),
        marks=pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here"),
    ),
    pytest.param(
        "nss", (1, 2, 3, 4), marks=pytest.mark.skipif(not HAS_NSS, reason="no NSS tools here")
    ),
]


def fill(s3: Any, bucket: str) -> dict[str, bytes]:
    """Write by every road there is; return what must read back."""
    held = {f"maat/{size}": content(size, size) for size in (0, 1, 262_105, (1 << 20) + 1)}
    for key, body in held.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"zaak": "Z-1"})
    held["delen"] = content((10 << 20) + 3, 7)
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    s3.upload_fileobj(io.BytesIO(held["delen"]), bucket, "delen", Config=parts)
    for copy, original in (("kopie", "maat/262105"), ("kopie van delen", "delen")):
        s3.copy_object(Bucket=bucket, Key=copy, CopySource={"Bucket": bucket, "Key": original})
        held[copy] = held[original]
    s3.put_object(Bucket=bucket, Key="weg", Body=b"weg")
    s3.delete_object(Bucket=bucket, Key="weg")
    return held


def read_back(s3: Any, bucket: str, held: dict[str, bytes]) -> None:
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert {found["Key"]: found["Size"] for found in listed} == {
        key: len(body) for key, body in held.items()
    }
    for key, body in held.items():
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(body)
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    assert s3.head_object(Bucket=bucket, Key="kopie")["Metadata"] == {"zaak": "Z-1"}
    for first, last in ((0, 0), (262_100, 262_200), (5 << 20, (5 << 20) + 70_000)):
        got = s3.get_object(Bucket=bucket, Key="delen", Range=f"bytes={first}-{last}")
        assert got["Body"].read() == held["delen"][first : last + 1]
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="weg")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize(("family", "profiles"), CASES)
def test_every_class_goes_round_under_every_profile_and_a_new_process_reads_it(
    family: str, profiles: tuple[int, ...], tmp_path: Path
) -> None:
    """A tenant for each profile, with an app whose secret is sealed under that profile too."""
    made = installed(tmp_path, family, profiles)
    try:
        gateway = made.serve()
        held: dict[tuple[int, str], dict[str, bytes]] = {}
        apps = {}
        for profile in profiles:
            made.furnish(profile, f"t{profile}", f"p{profile}-")
            apps[profile] = (made.home / "demo.json").read_text()
            for name in CLASSES:
                held[profile, name] = fill(gateway.client(), f"p{profile}-{name}")
                read_back(gateway.client(), f"p{profile}-{name}", held[profile, name])
        assert gateway.stop() == 0
        on_disk = b"".join(path.read_bytes() for path in files_of(tmp_path / "home" / "store"))
        assert content(262_105, 262_105)[:64] not in on_disk
        again = made.serve()
        for (profile, name), written in held.items():
            (made.home / "demo.json").write_text(apps[profile])
            read_back(again.client(), f"p{profile}-{name}", written)
        told = json.loads(made.cli(["keys", "list", "--json"])[0])
        for profile in profiles:
            mine = [row for row in told if row["kek_id"].startswith(f"t{profile}/")]
            assert {row["profile"] for row in mine} == {profile}
            # Of profile 4 only the public half stands in our configuration.
            assert all(bool(row["public_key"]) == (profile == 4) for row in mine)
    finally:
        made.close()


def installed(folder: Path, family: str, profiles: tuple[int, ...]) -> operated.Operated:
    """Return an installation with a new token; profile 4 has to be named, the others need not."""
    hsm = operated.init_token(folder / "token", "--profile", family)
    named = list(profiles) if 4 in profiles else []
    return operated.install(folder / "home", {**hsm, "profiles": named})


def files_of(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


@pytest.mark.skipif(not HAS_NSS, reason="no NSS tools here")
def test_profile_4_is_refused_until_it_is_named(tmp_path: Path) -> None:
    made = installed(tmp_path, "nss", ())
    command = [*("keys", "create", "--tenant", "system", "--classification", "secrets")]
    command += ["--profile", "4"]
    try:
        with pytest.raises(AssertionError, match=r"not switched on(.|\n)*hsm\.profiles"):
            made.cli(command)
        made.config.write_text(
            made.config.read_text().replace("\nprofiles = []", "\nprofiles = [1, 4]")
        )
        assert "key system/secrets/1 made" in made.cli(command)[0]
    finally:
        made.close()
