"""A copy of a large object: made by the store, against sealed anew, in one run, as a ratio.

``python benchmarks/bench_copy.py [--mebibytes 256] [--rounds 3] [--json FILE]``.  The object vault
with software keys (class intern) over the file store and over a real SeaweedFS, without the S3
door.  A copy within a bucket stays in its shred scope and is made by the store; one into another
bucket leaves it and is sealed anew.  Rounds are interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.fakes.memory_hsm import MemoryHsm  # noqa: E402
from tests.peers import seaweedfs  # noqa: E402
from tests.unit.custody.test_custodian import Mirror, build  # noqa: E402
from tests.unit.objects.test_store_copy import copy, head  # noqa: E402
from tests.unit.objects.vaults import Vaults, vaults_over  # noqa: E402

from hyok.backends.filesystem import FileStore  # noqa: E402
from hyok.backends.s3 import S3Store  # noqa: E402
from hyok.backends.s3_credentials import CredentialChain  # noqa: E402
from hyok.http1.client import Pool  # noqa: E402
from hyok.http1.pump import PumpPool  # noqa: E402

if TYPE_CHECKING:
    from hyok.backends.port import ObjectStore

CLASSIFICATION = "intern"


async def measure(vaults: Vaults, name: str, size: int, rounds: int) -> dict[str, object]:
    """Copy one object within its bucket and out of it, by turns."""
    source = vaults.ask("source")
    await vaults.put(source, secrets.token_bytes(size))
    took: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        for shared, bucket_id in ((True, "dossiers"), (False, "beside")):
            target = vaults.ask("copy", bucket_id=bucket_id)
            begun = time.perf_counter()
            await copy(vaults, source, target)
            took[shared].append(time.perf_counter() - begun)
            told = [(await head(vaults, ask)).object_id for ask in (source, target)]
            assert (told[0] == told[1]) is shared
    by_store, anew = statistics.median(took[True]), statistics.median(took[False])
    return {
        "store": name,
        "bytes": size,
        "seconds_by_store": round(by_store, 3),
        "seconds_sealed_anew": round(anew, 3),
        "ratio": round(anew / by_store, 1),
    }


async def run(size: int, rounds: int) -> list[dict[str, object]]:
    found = []
    async with AsyncExitStack() as over:
        folder = Path(over.enter_context(tempfile.TemporaryDirectory()))
        weed = seaweedfs.start(folder)
        over.callback(weed.stop)
        pump = PumpPool(4)
        over.callback(pump.close)
        stores: dict[str, ObjectStore] = {
            "files": FileStore(folder / "store"),
            "seaweedfs": S3Store(
                pool=Pool(weed.endpoint),
                host=weed.endpoint.removeprefix("http://"),
                credentials=CredentialChain("us-east-1", weed.credentials_file()),
            ),
        }
        for name, store in stores.items():
            house = build(folder / f"{name}.db", MemoryHsm(), Mirror(), [time.time_ns() // 10**6])
            over.callback(house.database.close)
            for classification in ("tenant", CLASSIFICATION):
                await house.keks.create(house.hsm, "t", classification, 1, 1)
            vaults = await vaults_over(house, store, classification=CLASSIFICATION)
            await vaults.make_bucket("beside", CLASSIFICATION)
            vaults.vault.pump = pump
            found.append(await measure(vaults, name, size, rounds))
            await store.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = asyncio.run(run(asked.mebibytes << 20, asked.rounds))
    for row in found:
        print(json.dumps(row))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
