"""One installation for the matrix: two stores, and before them a door of http and one of https."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from tests.e2e import running
from tests.peers import seaweedfs
from tests.peers.recorder import Recorder

from hyok.cli.certificates import make_development_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FRONTS = ("http", "https")
STORES = ("files", "seaweedfs")
CLEAR = {"files": "openbaar", "seaweedfs": "weed-openbaar"}
"""A bucket of each store that keeps names, user metadata and tags as they are."""

SEALED = {"files": "vertrouwelijk", "seaweedfs": "weed-vertrouwelijk"}
"""A bucket of each store that seals them."""

DIRECT = {"files": "geheim", "seaweedfs": "weed-geheim"}
"""A bucket of each store where every object asks the HSM."""

WIRED, STRANGE, MISNAMED = "weed-wired", "weed-strange", "weed-misnamed"
"""Buckets of a store whose TLS is right and recorded; of an unknown CA; of another name."""

ODD_HOST = "127.0.0.2"  # in no certificate


@dataclass
class Matrix:
    """Both doors, and the real store behind them.

    The http door reaches SeaweedFS over http, the https door over https.
    """

    home: Path
    weed: seaweedfs.SeaweedFS
    doors: dict[str, running.Gateway]
    wire: Recorder

    def behind(self) -> Any:
        """Return a client of the real store itself."""
        return boto3.client(
            "s3",
            endpoint_url=self.weed.endpoint,
            aws_access_key_id=self.weed.access_key,
            aws_secret_access_key=self.weed.secret,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 0}),
        )


@contextmanager
def matrix_in(folder: Path) -> Iterator[Matrix]:
    """Start everything, and stop it again."""
    with ExitStack() as over:
        for name in ("weed", "other"):
            (folder / name).mkdir()
            make_development_certificates(folder / name)
        certificate, key = (folder / "weed" / f"gateway.{end}" for end in ("pem", "key"))
        weed = seaweedfs.start(folder / "weed", certificate=certificate, key=key)
        over.callback(weed.stop)
        wire = Recorder(weed.https_endpoint)
        over.callback(wire.close)
        misnamed = Recorder(weed.https_endpoint, host=ODD_HOST)
        over.callback(misnamed.close)
        home = folder / "home"
        running.prepare(home)

        # Registered over TLS that is right; served over TLS that is wrong where the name says so.
        ca, other_ca, shown = (folder / "weed" / "ca.pem", folder / "other" / "ca.pem", "")
        access = weed.credentials_file()
        right = running.s3_store("wired", wire.endpoint, access, ca)
        registering = served = right
        for name in ("weed", "strange", "misnamed"):
            registering += running.s3_store(name, weed.https_endpoint, access, ca)
        served += running.s3_store("strange", weed.https_endpoint, access, other_ca)
        served += running.s3_store("misnamed", misnamed.endpoint, access, ca)
        config = running.configure(home, "registering", registering, https=False)
        for bucket, classification, store in (
            (CLEAR["seaweedfs"], "openbaar", "weed"),
            (SEALED["seaweedfs"], "vertrouwelijk", "weed"),
            (DIRECT["seaweedfs"], "geheim", "weed"),
            (WIRED, "openbaar", "wired"),
            (STRANGE, "openbaar", "strange"),
            (MISNAMED, "openbaar", "misnamed"),
        ):
            running.make_bucket(config, bucket, classification, store)
        doors = {}
        for front in FRONTS:
            endpoint = weed.https_endpoint if front == "https" else weed.endpoint
            shown = running.s3_store("weed", endpoint, access, ca if front == "https" else None)
            config = running.configure(home, front, served + shown, https=front == "https")
            doors[front] = running.serve(config)
            over.callback(_stop, doors[front])
        yield Matrix(home, weed, doors, wire)


def _stop(gateway: running.Gateway) -> None:
    assert gateway.stop() == 0
