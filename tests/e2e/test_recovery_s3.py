"""Export, open and recover over a real S3 store."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from tests.compat.matrix import content
from tests.e2e import four_eyes, running
from tests.e2e.test_recovery import hyok, lone_open, opened
from tests.peers import seaweedfs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]


BUCKETS = {"weed-open": "openbaar", "weed-dicht": "geheim"}  # clear facts and names, and sealed
HELD = {f"map/{size}": content(size, size) for size in (0, 7, 300_000, (3 << 20) + 1)}


def is_open(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def write(settings: Path) -> None:
    """Write through a gateway that runs for this alone."""
    text = settings.read_text()
    port = int(text.split("[gateway]\nport = ")[1].split("\n")[0])
    gateway = subprocess.Popen(
        [sys.executable, "-m", "hyok", "serve", "gateway", "--config", str(settings)]
    )
    try:
        demo = json.loads((settings.parent / "demo.json").read_text())
        s3 = boto3.client(
            "s3",
            endpoint_url=f"https://127.0.0.1:{port}",
            aws_access_key_id=demo["access_key"],
            aws_secret_access_key=demo["secret"],
            region_name="us-east-1",
            verify=str(settings.parent / "ca.pem"),
        )
        deadline = time.monotonic() + 30
        while not is_open(port):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for bucket in BUCKETS:
            for key, body in HELD.items():
                s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"soort": "brief"})
                assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    finally:
        gateway.terminate()
        assert gateway.wait(40) == 0


def test_objects_on_an_s3_store_come_back_every_way(tmp_path: Path) -> None:
    (tmp_path / "weed").mkdir()
    store = seaweedfs.start(tmp_path / "weed")
    try:
        home = tmp_path / "home"
        running.prepare(home)
        with (home / "hyok.toml").open("a") as file:
            file.write(
                f'\n[[stores]]\nkind = "s3"\nname = "weed"\nendpoint = "{store.endpoint}"\n'
                f'credentials_file = "{store.credentials_file()}"\n'
                'jurisdiction = "NL"\ncontrol = "NL"\n'
            )
        for bucket, name in BUCKETS.items():
            make = ["buckets", "create", bucket, "--tenant", "gemeente", "--classification", name]
            hyok(home, *make, "--store", "weed")
        write(home / "hyok.toml")
        config = home / "hyok.toml"
        exports = [["export", f"s3://{name}", f"{tmp_path}/{name}/export"] for name in BUCKETS]
        four_eyes.together(config, *exports)
        for bucket in BUCKETS:
            folder = tmp_path / bucket
            hyok(home, "open", str(folder / "export"), "--to", str(folder / "plain"))
            assert opened(folder / "plain") == HELD
            rows = (folder / "plain" / "opened.jsonl").read_text().splitlines()
            assert all(json.loads(row)["user_metadata"] == {"soort": "brief"} for row in rows)
            target = str(folder / "copied")
            done = lone_open(home / "hyok.toml", f"weed:{bucket}", "--to", target)
            assert done.returncode == 0, done.stdout + done.stderr
            assert opened(folder / "copied") == HELD
        (home / "hyok.db").unlink()
        report: Any = json.loads(hyok(home, "recover", "--json", ok=(0, 3)))[0]
        told = {found["bucket_id"]: found for found in report["buckets"]}
        for bucket in BUCKETS:
            assert (told[bucket]["readable"], told[bucket]["lost"]) == (len(HELD), [])
        # The officers were lost with the database: they are founded anew, on the log.
        roles = ["--role", "security-officer"]
        for person in ("demo-anna", "demo-bram"):
            hyok(home, "officers", "add", person, "--name", person, *roles)
        again = [["export", f"s3://{name}", f"{tmp_path}/{name}/again"] for name in BUCKETS]
        four_eyes.together(config, *again)
    finally:
        store.stop()
