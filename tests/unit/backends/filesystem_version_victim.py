"""A process that makes and removes versions in a file store until it is killed.

Arguments: folder, seed, first mark.  It says ``= put NAME VERSION MARK`` and ``= gone NAME
VERSION`` of what was acknowledged, and ``+ gone NAME VERSION`` of what it is about to remove.
"""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 - a seeded choice of acts, no secret
import sys
from pathlib import Path

from tests.conformance.object_stores import envelope
from tests.unit.backends.filesystem_victim import body, say

from hyok.backends.filesystem import FileStore
from hyok.backends.port import StoredFacts

BUCKET = "v"
TASKS = 3


def facts(mark: int) -> StoredFacts:
    return StoredFacts(envelope(mark), tags={"mark": str(mark)})


async def acts(store: FileStore, task: int, seed: int, mark: int) -> None:
    chance = random.Random(seed * TASKS + task)
    name = f"name{task}"  # its own, so that it alone knows what is there
    mine: list[tuple[str, int]] = []
    while True:
        mark += TASKS
        act = chance.choice(["put", "put", "facts", "marker", "gone", "gone", "suspend", "enable"])
        if act in {"suspend", "enable"} and task == 0:
            await store.set_versioning(BUCKET, "Suspended" if act == "suspend" else "Enabled")
        elif act == "marker":
            await store.delete(BUCKET, name)
        elif act == "gone" and mine:
            version_id, _ = mine.pop(chance.randrange(len(mine)))
            say(f"+ gone {name} {version_id}")
            await store.delete(BUCKET, name, version_id=version_id)
            say(f"= gone {name} {version_id}")
        else:
            stored = await store.put_whole(BUCKET, name, body(mark), facts(mark))
            if act == "facts" and stored.version_id != "null":
                of_body, mark = mark, mark + TASKS
                stored = await store.replace_facts(
                    BUCKET, name, StoredFacts(envelope(mark)), stored.etag
                )
                if stored.version_id != "null":
                    say(f"= put {name} {stored.version_id} {of_body} {mark}")
                    mine.append((stored.version_id, mark))
            elif stored.version_id != "null":  # the null one is replaced while suspended
                say(f"= put {name} {stored.version_id} {mark} {mark}")
                mine.append((stored.version_id, mark))


async def main() -> None:
    folder, seed, mark = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    store = FileStore(folder)
    await store.create_bucket(BUCKET)
    await store.set_versioning(BUCKET, "Enabled")
    await asyncio.gather(*(acts(store, task, seed, mark + task) for task in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main())
