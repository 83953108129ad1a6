"""A file store killed at any instruction keeps what it acknowledged, and each object whole."""

from __future__ import annotations

import os
import random  # noqa: TID251 - a printed seed of killing times, no secret
import secrets
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.conformance.object_stores import envelope
from tests.unit.backends import filesystem_version_victim as version_victim
from tests.unit.backends.filesystem_victim import BUCKET, NAMES, TASKS, body

from hyok.backends.filesystem import FileStore
from hyok.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 200 if os.environ.get("HYOK_LONG") else 15
SECONDS_MAX = 0.4
MARKS_A_ROUND = 1_000_000


async def state_of(store: FileStore, name: str, marks: set[str]) -> str:
    """Return which of the states ``marks`` the object is in, every byte compared."""
    try:
        stored, read = await store.read_whole(BUCKET, name)
    except NotFound:
        return "-"
    assert stored.facts is not None
    for state in marks - {"-"}:
        of_body, of_envelope = map(int, state.split(","))
        if read == body(of_body) and stored.facts.envelope == envelope(of_envelope):
            return state
    return "something else"


def heard(lines: list[bytes], states: dict[str, str]) -> dict[str, set[str]]:
    """Return what may stand under each name: the last acknowledged, or what was under way."""
    trying: dict[bytes, tuple[str, str]] = {}
    states = dict(states)
    for line in lines:
        kind, task, *rest = line.split(b" ")
        if kind == b"+":
            trying[task] = (rest[0].decode(), rest[1].decode())
        else:
            name, state = trying.pop(task)
            states[name] = state
    allowed = {name: {state} for name, state in states.items()}
    for name, state in trying.values():
        allowed.setdefault(name, {"-"}).add(state)
    return allowed


def killed(
    folder: Path,
    seed: int,
    mark: int,
    wait_seconds: float,
    module: str = "tests.unit.backends.filesystem_victim",
) -> list[bytes]:
    """Run a writer, kill it some time after its first word, and return the whole lines it said."""
    command = [sys.executable, "-m", module, str(folder), str(seed), str(mark)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        first = victim.stdout.readline()
        assert first, "the writer did not start"
        time.sleep(wait_seconds)
        victim.kill()
        said = first + victim.stdout.read()
    return said.split(b"\n")[:-1]


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    seed = int(os.environ.get("HYOK_SEED", "0")) or secrets.randbits(32)
    print(f"HYOK_SEED={seed}")
    chance = random.Random(seed)
    folder = tmp_path / "store"
    states: dict[str, str] = {}
    acknowledged = 0
    for number in range(ROUNDS):
        lines = killed(
            folder, seed + number, 1 + number * MARKS_A_ROUND, chance.uniform(0, SECONDS_MAX)
        )
        acknowledged += sum(line.startswith(b"=") for line in lines)
        allowed = heard(lines, states)
        store = FileStore(folder)
        states = {}
        for name, marks in allowed.items():
            states[name] = await state_of(store, name, marks)
            assert states[name] in marks, (seed, number, name, marks)
        await check_nothing_is_left(store, folder)
        await store.close()
        states = {name: state for name, state in states.items() if state != "-"}
    assert acknowledged > ROUNDS
    assert len(states) <= TASKS * (NAMES + 1)


async def check_nothing_is_left(store: FileStore, folder: Path) -> None:
    """After a sweep every data file is an object or a part of an open upload."""
    for upload in await store.list_uploads(BUCKET):
        await store.list_parts(BUCKET, upload.name, upload.upload_id)
        await store.abort_upload(BUCKET, upload.name, upload.upload_id)
    await store.sweep()
    files = [path for path in (folder / "data").rglob("*") if path.is_file()]
    objects = (await store.list(BUCKET)).objects
    assert len(files) == len(objects)
    assert await store.sweep() == 0


# ── versions ─────────────────────────────────────────────────────────────────────────────────


async def check_versions(
    store: FileStore,
    folder: Path,
    standing: dict[tuple[str, str], tuple[int, int]],
    ended: set[tuple[str, str]],
) -> None:
    """Every version that stands is whole, and what a listing shows is the newest of its name."""
    bucket = version_victim.BUCKET
    found = (await store.list_versions(bucket, limit=100_000)).versions
    told = {(v.name, v.version_id): v for v in found}
    assert ended.isdisjoint(told)
    for (name, version_id), (of_body, of_envelope) in standing.items():
        assert (name, version_id) in told
        stored, read = await store.read_whole(bucket, name, version_id=version_id)
        assert read == body(of_body)
        assert stored.facts is not None
        assert stored.facts.envelope == envelope(of_envelope)
        assert await store.tags(bucket, name, version_id) == {"mark": str(of_body)}
    latest = [v for v in found if v.latest]
    assert len(latest) == len({v.name for v in found})
    shown = [entry.name for entry in (await store.list(bucket)).objects]
    assert shown == [v.name for v in latest if not v.marker]
    for v in latest:
        if not v.marker:
            assert (await store.head(bucket, v.name)).version_id == v.version_id
    await store.sweep()
    files = [path for path in (folder / "data").rglob("*") if path.is_file()]
    assert len(files) == sum(not v.marker for v in found)


async def test_versions_that_were_acknowledged_survive_a_kill(tmp_path: Path) -> None:
    seed = int(os.environ.get("HYOK_SEED", "0")) or secrets.randbits(32)
    print(f"HYOK_SEED={seed}")
    chance = random.Random(seed)
    folder = tmp_path / "store"
    standing: dict[tuple[str, str], tuple[int, int]] = {}
    ended: set[tuple[str, str]] = set()
    made = 0
    for number in range(ROUNDS // 2):
        lines = killed(
            folder,
            seed + number,
            1 + number * MARKS_A_ROUND,
            chance.uniform(0, SECONDS_MAX),
            version_victim.__name__,
        )
        for line in lines:
            kind, act, name, version_id, *marks = line.decode().split(" ")
            key = (name, version_id)
            if act == "put":
                standing[key] = (int(marks[0]), int(marks[1]))
                made += 1
            elif kind == "+":  # from here on it may be there or not
                del standing[key]
            else:
                ended.add(key)
        store = FileStore(folder)
        await check_versions(store, folder, standing, ended)
        await store.close()
    assert made > ROUNDS
    assert ended
