"""Leaving and recovering with KEKs of profiles 2 to 4, on NSS: the operator's file of keys.

Such keys cannot be told from the HSM alone, so `hyok keys list --json` is kept beside its backup.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.compat.matrix import content
from tests.e2e import four_eyes, operated
from tests.fakes.hsm_tokens import HAS_NSS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_NSS, reason="no NSS tools here"),
]
PROFILES = (2, 3, 4)
SHREDDABLE = "vertrouwelijk"


def opened(folder: Path) -> dict[str, bytes]:
    rows = [json.loads(line) for line in (folder / "opened.jsonl").read_text().splitlines()]
    return {row["key"]: (folder / row["file"]).read_bytes() for row in rows}


def read_and_write(s3: Any, profile: int, held: dict[str, dict[str, bytes]]) -> None:
    for name in operated.CLASSES:
        bucket = f"p{profile}-{name}"
        for key, body in held[bucket].items():
            if name != SHREDDABLE:
                assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
        s3.put_object(Bucket=bucket, Key="nieuw", Body=b"nieuw")
        assert s3.get_object(Bucket=bucket, Key="nieuw")["Body"].read() == b"nieuw"


def test_open_and_recover_need_the_file_of_keys_and_the_hsm_and_nothing_else(
    tmp_path: Path,
) -> None:
    hsm = operated.init_token(tmp_path / "token", "--profile", "nss")
    made = operated.install(tmp_path / "home", {**hsm, "profiles": list(PROFILES)})
    try:
        gateway = made.serve()
        held: dict[str, dict[str, bytes]] = {}
        for profile in PROFILES:
            made.furnish(profile, f"t{profile}", f"p{profile}-")
            s3 = gateway.client()
            for name in operated.CLASSES:
                bucket = f"p{profile}-{name}"
                held[bucket] = {"een": b"een", "map/twee": content(300_000, profile)}
                for key, body in held[bucket].items():
                    s3.put_object(Bucket=bucket, Key=key, Body=body)
        keys = tmp_path / "keys.json"
        shown, *_ = made.cli(["keys", "list", "--json"])
        exports = [["export", f"s3://{name}", f"{tmp_path}/out/{name}"] for name in held]
        four_eyes.together(made.config, *exports, who=four_eyes.found(made.config))
        keys.write_text(shown)
        named = ("--keys", str(keys))
        assert gateway.stop() == 0

        # ── open: from here on no gateway runs
        folder = tmp_path / "out" / "p4-geheim"
        with pytest.raises(AssertionError):
            made.cli(["open", str(folder), "--to", str(tmp_path / "without")])
        made.cli(
            *(
                ["open", f"{tmp_path}/out/{bucket}", *named, "--to", f"{tmp_path}/plain/{bucket}"]
                for bucket in held
            )
        )
        for bucket, written in held.items():
            assert opened(tmp_path / "plain" / bucket) == written

        # ── recover: the database is gone
        for path in made.home.glob("hyok.db*"):
            path.unlink()
        with pytest.raises(AssertionError, match="HY-2103"):
            made.alone("recover", "--json")
        # Its exit code says that something is lost: what is shreddable.
        report = json.loads(made.alone("recover", "--json", *named, ok=3))[0]
        told = {found["bucket_id"]: found for found in report["buckets"]}
        for bucket, written in held.items():
            lost = {key for key, _ in told[bucket]["lost"]}
            assert lost == (set(written) if bucket.endswith(SHREDDABLE) else set())
        again = made.serve()
        apps = made.cli(*(operated.app_command(f"t{profile}") for profile in PROFILES))
        for profile, app in zip(PROFILES, apps, strict=False):
            made.act_as(app)
            read_and_write(again.client(), profile, held)
    finally:
        made.close()
