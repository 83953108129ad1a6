"""A restore drill put together: a backup opened beside the running installation, and what it holds.

Nothing of the running installation is written: the restored database is a file of its own, and the
HSM and the stores are read.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from hyok.custody.keks import KekCatalog
from hyok.custody.key_states import KeyState
from hyok.custody.keyring_rows import KeyringRows
from hyok.custody.lone_keys import LoneKeys
from hyok.custody.officers import OfficerRegister
from hyok.custody.secret_box import HsmSecretBox
from hyok.database.engine import Database
from hyok.database.tables import metadata
from hyok.errors import HyokError
from hyok.objects.drilling import Drill, records_of
from hyok.objects.registry import BucketRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from hyok.custody.kek import Kek
    from hyok.objects.drilling import ClassResult
    from hyok.wiring import Core

COUNTED = (
    "apps",
    "access_keys",
    "buckets",
    "keks",
    "keyring",
    "tombstones",
    "officers",
    "proposals",
)


@dataclass(frozen=True, slots=True)
class Drilled:
    """What came of a restored database."""

    rows: Mapping[str, int]
    keys: int
    keys_right: int
    officers: int
    classes: Mapping[str, ClassResult]
    failures: list[str]


async def drill(
    core: Core,
    restored: Path,
    made_ms: int,
    clock_ms: Callable[[], int],
    *,
    per_class: int,
    look_max: int,
    tell: Callable[[int, int], None] = lambda _objects, _bytes: None,
) -> Drilled:
    """Look at a restored database file, and open a sample of objects with what it holds.

    Raises:
        Malformed: the file is of a newer release.
        Unavailable: HSM or a store do not answer.
    """
    with closing(Database(f"sqlite:///{restored}", threads=1)) as database:
        database.migrate()
        keks = KekCatalog(database, clock_ms)
        known = {one.kek_id: one for one in await keks.all()}
        failures: list[str] = []
        keys, right = await _keys(core, known, failures)
        officers = await _officers(core, database, keks, clock_ms, failures)
        work = Drill(
            stores=core.stores,
            mirror=core.mirror,
            keks=known,
            keys=LoneKeys(core.hsm, known, records_of(KeyringRows(database), core.mirror)),
            rooms=core.vault.rooms,
            pump=core.pump,
            made_ms=made_ms,
            below=secrets.randbelow,
        )
        buckets = await BucketRegistry(database, core.classifications, clock_ms).all()
        gone = [bucket for bucket in buckets if bucket.store not in core.stores]
        failures += [
            f"bucket {bucket.bucket_id}: store {bucket.store} is not in the settings"
            for bucket in gone
        ]
        here = [bucket for bucket in buckets if bucket not in gone]
        classes = await work.run(here, per_class, look_max, tell)
        failures += [text for result in classes.values() for text in result.failures]
        return Drilled(await database.read(_counts), keys, right, officers, classes, failures)


def _counts(connection: Connection) -> Mapping[str, int]:
    return {
        name: connection.scalar(select(func.count()).select_from(metadata.tables[name])) or 0
        for name in COUNTED
    }


async def _keys(core: Core, known: Mapping[str, Kek], failures: list[str]) -> tuple[int, int]:
    """Return how many key versions the HSM should hold, and for how many it answers."""
    wanted = [one for one in known.values() if one.state is not KeyState.DESTROYED]
    right = 0
    for one in wanted:
        try:
            await core.hsm.check(one.spec)
            right += 1
        except HyokError as error:
            if error.retryable:
                raise
            failures.append(f"key {one.kek_id}: {error}")
    return len(wanted), right


async def _officers(
    core: Core,
    database: Database,
    keks: KekCatalog,
    clock_ms: Callable[[], int],
    failures: list[str],
) -> int:
    """Return how many officers the restored register proves."""
    box = HsmSecretBox(core.hsm, keks, secrets.token_bytes)
    try:
        return len((await OfficerRegister(database, box, clock_ms).read()).officers)
    except HyokError as error:
        if error.retryable:
            raise
        failures.append(f"the register of officers: {error}")
        return 0
