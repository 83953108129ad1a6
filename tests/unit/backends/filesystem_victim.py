"""A process that writes to a file store until it is killed, and says what it was told is done.

Arguments: folder, seed, first mark.  A line ``+ task name state`` says what is about to be tried,
``= task`` that it was acknowledged.  A state is ``body-mark,envelope-mark`` or ``-``.
"""

from __future__ import annotations

import asyncio
import os
import random  # noqa: TID251 - a seeded choice of acts, no secret
import sys
from pathlib import Path

from tests.conformance.object_stores import envelope

from hyok.backends.filesystem import FileStore
from hyok.backends.port import StoredFacts

BUCKET = "b"
TASKS = 3
NAMES = 4
SIZES = (1, 5_000, 300_000)


def body(mark: int) -> bytes:
    size = SIZES[mark % len(SIZES)]
    return (mark.to_bytes(8, "big") * (size // 8 + 1))[:size]


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


async def writes(store: FileStore, task: int, seed: int, mark: int) -> None:
    chance = random.Random(seed * TASKS + task)
    known: dict[str, int] = {}
    while True:
        mark += TASKS
        name = f"{task}/{chance.randrange(NAMES)}"
        act = chance.choice(["put", "put", "join", "facts", "facts", "copy", "delete"])
        if act in {"facts", "copy"} and name not in known:
            act = "put"
        if act == "delete":
            known.pop(name, None)
            say(f"+ {task} {name} -")
            await store.delete(BUCKET, name)
        elif act == "facts":
            etag = (await store.head(BUCKET, name)).etag
            say(f"+ {task} {name} {known[name]},{mark}")
            await store.replace_facts(BUCKET, name, StoredFacts(envelope(mark)), etag)
        elif act == "copy":
            source = name
            name = f"{task}/copy"
            known[name] = known[source]
            say(f"+ {task} {name} {known[source]},{mark}")
            await store.copy(BUCKET, source, BUCKET, name, StoredFacts(envelope(mark)), "")
        elif act == "join":
            known[name] = mark
            whole = body(mark)
            facts = StoredFacts(envelope(mark))
            upload = await store.begin_upload(BUCKET, name, facts)
            third = len(whole) // 3
            pieces = [whole[:third], whole[third : 2 * third], whole[2 * third :]]
            parts = [
                await store.put_part_whole(BUCKET, name, upload, number, piece)
                for number, piece in enumerate(pieces, 1)
            ]
            say(f"+ {task} {name} {mark},{mark}")
            await store.complete_upload(BUCKET, name, upload, parts)
        else:
            known[name] = mark
            say(f"+ {task} {name} {mark},{mark}")
            await store.put_whole(BUCKET, name, body(mark), StoredFacts(envelope(mark)))
        say(f"= {task}")


async def main() -> None:
    folder, seed, mark = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    store = FileStore(folder)
    await store.create_bucket(BUCKET)
    await asyncio.gather(*(writes(store, task, seed, mark + task) for task in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main())
