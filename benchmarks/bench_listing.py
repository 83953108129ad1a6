"""How long a page of a listing takes in the file store, beside many objects and their versions.

    python benchmarks/bench_listing.py [--objects 100000] [--versions 0] [--json FILE]

Rows are written straight into the catalogue, without data files: a listing opens none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hyok.backends.catalogue import Catalogue, ObjectRow, bucket_id, store_row
from hyok.backends.filesystem import FileStore

if TYPE_CHECKING:
    import sqlite3

PAGE = 1_000
ROUNDS = 30
FOLDERS = 5_000


def fill(folder: Path, objects: int, versions: int) -> None:
    """Give one bucket ``objects`` names in folders, and each as many older ``versions``."""
    catalogue = Catalogue(folder / "catalogue.sqlite3")

    def act(db: sqlite3.Connection) -> None:
        bucket = bucket_id(db, "bench")
        for number in range(objects):
            name = f"{number % FOLDERS:05d}/{'x' * 80}/{number:08d}"
            file = f"{number:032x}"
            row = ObjectRow(bucket, name, file, True, 1, file, 1, born=versions + 1)  # noqa: FBT003 - in order
            store_row(db, row)
            for born in range(1, versions + 1):
                old = (bucket, name.encode(), f"{file}{born}", 1, 1, file, 1, f"{born:032x}", born)
                db.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", old)

    catalogue.write(act)
    catalogue.close()


async def measure(folder: Path, objects: int, versions: int) -> dict[str, float]:
    store = FileStore(folder)
    await store.create_bucket("bench")
    await asyncio.to_thread(fill, folder, objects, versions)
    middle = f"{FOLDERS // 2:05d}/"
    cases = {
        "first page": {},
        "page in the middle": {"after": middle},
        "1000 folders": {"delimiter": "/"},
        "1000 folders from the middle": {"delimiter": "/", "after": middle},
        "one folder": {"prefix": middle},
    }
    found: dict[str, float] = {}
    for case, arguments in cases.items():
        for kind, call in (("", store.list), ("versions: ", store.list_versions)):
            times = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await call("bench", limit=PAGE, **arguments)  # type: ignore[operator]
                times.append((time.perf_counter() - began) * 1000)
            label = kind + case
            found[label] = round(statistics.median(times), 2)
            print(f"{label:40} {found[label]:8.2f} ms median, {max(times):8.2f} ms worst")
    await store.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--versions", type=int, default=0, help="older ones of each object")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder) / "store", asked.objects, asked.versions))
    if asked.json:
        asked.json.write_text(
            json.dumps(
                {"objects": asked.objects, "versions": asked.versions, "median_ms": found}, indent=1
            )
        )


if __name__ == "__main__":
    main()
