"""A restore drill opens what a backup brings back, tells what it does not, and writes nothing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, select
from tests.fakes.memory_hsm import MemoryHsm
from tests.unit.custody.test_custodian import CLASSES, house
from tests.unit.objects.test_store_copy import LARGE
from tests.unit.objects.vaults import Body, Vaults, vaults_over

from hyok import drills
from hyok.cli.diagnosis import services
from hyok.custody.port import TOMBSTONES_FOLDER
from hyok.custody.secret_box import HsmSecretBox
from hyok.database import copy
from hyok.database.rows import DRILL_PASSED, put_setting
from hyok.database.tables import keks, keyring, metadata
from hyok.envelope.block import parse
from hyok.objects.facts import Proofs, PutFacts
from hyok.officer.drill_report import DrillReport, Opened, render_page
from hyok.s3.checksums import Algorithm, Checksum

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.custody.test_custodian import House

    from hyok.backends.port import Stored

__all__ = ["house"]

WRITES = ("put", "put_whole", "delete", "replace_facts", "copy", "set_tags", "set_lock")


class Summed(Body):
    """A body that carries a checksum, as many clients send one."""

    def proofs(self) -> Proofs:
        made = Checksum(Algorithm.CRC64NVME)
        made.update(memoryview(self._plain))
        return Proofs(b"", int(Algorithm.CRC64NVME), made.digest())


class Scene:
    """An installation, a backup of it, and the drill over the backup."""

    def __init__(self, vaults: Vaults, folder: Path) -> None:
        self.vaults, self.house = vaults, vaults.house
        self.backup = folder / "backup.db"
        self.core: Any = SimpleNamespace(
            stores={"local": vaults.store},
            mirror=self.house.mirror,
            hsm=self.house.hsm,
            vault=vaults.vault,
            pump=vaults.vault.pump,
            classifications=CLASSES,
            box=HsmSecretBox(self.house.hsm, self.house.keks, bytes),
        )
        self.made_ms = 0

    async def put(self, key: str, bucket: str, plain: bytes = b"stuk", case: str = "") -> None:
        ask = self.vaults.ask(key, bucket_id=bucket, case=case)
        await self.vaults.vault.put(ask, Summed(plain), PutFacts())

    async def back_up(self) -> None:
        copy.copy_to(self.backup.with_name("hyok.db"), self.backup)
        newest = [
            entry.modified_ms
            for name in self.vaults.buckets
            for entry in (await self.vaults.store.list(name)).objects
        ]
        self.made_ms = max(newest)

    async def drill(self) -> drills.Drilled:
        return await drills.drill(
            self.core,
            self.backup,
            self.made_ms,
            lambda: self.house.now[0],
            per_class=20,
            look_max=1_000,
        )


@pytest.fixture
async def scene(house: House, tmp_path: Path) -> Scene:
    vaults = await vaults_over(house, classification="intern", name="gewoon")
    made = Scene(vaults, tmp_path)
    for bucket in ("openbaar", "vertrouwelijk", "zeer_vertrouwelijk", "geheim"):
        await vaults.make_bucket(bucket, bucket)
    for bucket in vaults.buckets:
        for number in range(3):
            await made.put(f"map/{number}", bucket, case="2026-1" if number else "")
    await made.put("groot", "gewoon", LARGE)
    await made.back_up()
    return made


async def test_a_sample_of_every_class_opens_and_its_checksums_are_compared(scene: Scene) -> None:
    found = await scene.drill()
    assert found.failures == []
    assert {name: one.opened for name, one in found.classes.items()} == {
        "openbaar": 3,
        "intern": 4,
        "vertrouwelijk": 3,
        "zeer_vertrouwelijk": 3,
        "geheim": 3,
    }
    assert sum(one.checksums for one in found.classes.values()) == 16
    assert found.keys == found.keys_right > 5
    assert found.rows["buckets"] == 5


async def test_neither_store_nor_running_database_is_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contents() -> Any:
        return scene.house.database.read_sync(
            lambda c: {t.name: c.execute(select(t)).all() for t in metadata.sorted_tables}
        )

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("a drill wrote")

    before, held = contents(), dict(scene.house.mirror.held)
    for name in WRITES:
        monkeypatch.setattr(scene.vaults.store, name, forbidden)
    for name in ("write", "remove"):
        monkeypatch.setattr(scene.house.mirror, name, forbidden)
    monkeypatch.setattr(scene.house.database, "run", forbidden)
    found = await scene.drill()
    monkeypatch.undo()
    assert found.failures == []
    assert contents() == before
    assert scene.house.mirror.held == held
    assert await scene.vaults.get(scene.vaults.ask("map/0", bucket_id="geheim")) == b"stuk"


async def test_an_object_whose_bytes_were_changed_is_a_failure(scene: Scene) -> None:
    place = await scene.vaults.vault.places.of(scene.vaults.buckets["geheim"], "map/1")
    store: Any = scene.vaults.store
    stored, body = store.newest("geheim", place.name)
    store.tamper("geheim", place.name, stored, bytes([body[0]]) + bytes(len(body) - 1))
    found = await scene.drill()
    assert (found.classes["geheim"].opened, len(found.failures)) == (2, 1)
    assert parse(stored.facts.envelope).object_id.hex() in found.failures[0]
    assert "map/1" not in found.failures[0], "no name of an object"


async def test_a_backup_without_the_keys_is_a_failure_and_newer_objects_are_not(
    scene: Scene,
) -> None:
    scene.house.now[0] += 25 * 3_600_000  # the next keys
    await scene.put("nieuw", "vertrouwelijk", case="2026-9")
    place = await scene.vaults.vault.places.of(scene.vaults.buckets["vertrouwelijk"], "nieuw")
    store: Any = scene.vaults.store
    stored, body = store.newest("vertrouwelijk", place.name)
    newer = replace(stored, modified_ms=scene.made_ms + 60_000)
    store.tamper("vertrouwelijk", place.name, newer, body)
    found = await scene.drill()
    assert found.failures == []
    assert found.classes["vertrouwelijk"].newer == 1

    store.tamper("vertrouwelijk", place.name, replace(stored, modified_ms=1), body)
    found = await scene.drill()
    assert len(found.failures) == 1
    assert "HY-2304" in found.failures[0] or "missing" in found.failures[0]


async def test_what_was_destroyed_since_does_not_open_and_is_counted(scene: Scene) -> None:
    rows = await scene.house.database.read(
        lambda c: c.execute(select(keyring).where(keyring.c.scope.startswith("subject:"))).all()
    )
    for row in rows:
        for name in scene.vaults.buckets:
            scene.house.mirror.held[name, TOMBSTONES_FOLDER + row.ik_id.hex()] = b"{}"
    found = await scene.drill()
    assert found.failures == []
    assert found.classes["vertrouwelijk"].destroyed == 2
    assert found.classes["vertrouwelijk"].opened == 1


async def test_another_hsm_opens_nothing(scene: Scene) -> None:
    other = MemoryHsm()
    names = await scene.house.database.read(lambda c: c.scalars(select(keks.c.kek_id)).all())
    for name in names:
        await other.create_kek(name, 1)
    scene.core.hsm = other
    found = await scene.drill()
    assert found.keys_right == 0
    assert sum(one.opened for one in found.classes.values()) == 0
    assert found.failures


def report(**changed: Any) -> DrillReport:
    opened = Opened("geheim", 3, 3, 3, 12, 3, 0, 0, 0)
    made = DrillReport(
        *("proef", "1", "beheer", "b.hyok", "aa", 1, 2, ("anna",), 1, 2_000, 3_000),
        *({"buckets": 1}, 2, 2, 3, (opened,), ()),
    )
    return replace(made, **changed)


def test_it_is_passed_only_when_all_came_back_and_something_did() -> None:
    assert report().passed
    assert not report(failures=("x",)).passed
    assert not report(keys_right=1).passed
    assert not report(classes=()).passed
    shown = render_page(report(failures=("<b>x</b>",)).document(), str, "")
    assert "Niet geslaagd" in shown
    assert "<b>x" not in shown
    for word in ('lang="nl"', 'lang="en"', "<caption>", 'scope="col"', "anna"):
        assert word in render_page(report().document(), str, "ab")


async def test_doctor_warns_when_none_was_passed_for_a_year(house: House) -> None:
    core: Any = SimpleNamespace(database=house.database)
    day, now = services.DAY_MS, 2_000_000_000_000
    assert (await services._drill(core, now)).word == "warn"
    for days, word in ((1, "ok"), (365, "ok"), (366, "warn")):
        await house.database.run(
            lambda c, at=now - days * day: put_setting(c, DRILL_PASSED, str(at), now_ms=now)
        )
        assert (await services._drill(core, now)).word == word


async def test_a_backup_without_its_keyring_is_told(scene: Scene) -> None:
    from hyok.database.engine import Database

    emptied = Database(f"sqlite:///{scene.backup}", threads=1)
    emptied.run_sync(lambda c: c.execute(delete(keyring)))
    emptied.close()
    found = await scene.drill()
    assert found.classes["geheim"].opened == 0 or found.failures
    assert any("names of bucket" in text or "missing" in text for text in found.failures)


async def test_an_object_that_is_removed_while_the_drill_runs_fails_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = scene.vaults.store.head
    seen: list[str] = []

    async def head(bucket: str, name: str, version_id: str = "") -> Stored:
        seen.append(name)
        if seen.count("groot") == 2:  # the first look chose it
            await scene.vaults.store.delete(bucket, "groot")
        return await look(bucket, name, version_id)

    monkeypatch.setattr(scene.vaults.store, "head", head)
    found = await scene.drill()
    assert found.failures == []
    assert (found.classes["intern"].sampled, found.classes["intern"].opened) == (3, 3)
