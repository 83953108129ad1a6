"""CopyObject of a large object: made by the store, against sealed anew, in one run, as a ratio.

``python benchmarks/bench_copy.py [--mebibytes 256] [--rounds 3] [--json FILE]``.  One gateway
(class intern, SoftHSM) over the file store and SeaweedFS.  A copy within a bucket stays in its
shred scope and is made by the store; one into another bucket leaves it and is sealed anew.  Both
are the same request of the same client, and rounds are interleaved.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.e2e import running  # noqa: E402
from tests.peers import seaweedfs  # noqa: E402

STORES = {"files": "", "seaweedfs": "weed"}


def seconds_of(client: Any, source: str, target: str, number: int) -> float:
    begun = time.perf_counter()
    client.copy_object(
        Bucket=target, Key=f"copy-{number}", CopySource={"Bucket": source, "Key": "source"}
    )
    taken = time.perf_counter() - begun
    client.delete_object(Bucket=target, Key=f"copy-{number}")
    return taken


def measure(client: Any, store: str, size: int, rounds: int) -> dict[str, object]:
    source, beside = f"{store}-intern", f"{store}-beside"
    client.put_object(Bucket=source, Key="source", Body=secrets.token_bytes(size))
    took: dict[str, list[float]] = {source: [], beside: []}
    for number in range(rounds):
        for target, times in took.items():
            times.append(seconds_of(client, source, target, number))
    by_store, anew = (statistics.median(took[target]) for target in (source, beside))
    return {
        "store": store,
        "bytes": size,
        "by the store, seconds": round(by_store, 3),
        "sealed anew, seconds": round(anew, 3),
        "ratio": round(anew / by_store, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with ExitStack() as over, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "weed").mkdir()
        weed = seaweedfs.start(folder / "weed")
        over.callback(weed.stop)
        home = folder / "home"
        assert running.start(home, "--reset").stop() == 0
        stores = running.s3_store("weed", weed.endpoint, weed.credentials_file())
        config = running.configure(home, "bench", stores, https=False)
        for store, registered in STORES.items():
            for end in ("intern", "beside"):
                running.make_bucket(config, f"{store}-{end}", "intern", registered or "local")
        door = running.serve(config)
        over.callback(door.stop)
        client = door.client()
        size = asked.mebibytes << 20
        found = [measure(client, store, size, asked.rounds) for store in STORES]
    for row in found:
        print(json.dumps(row))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
