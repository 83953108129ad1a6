"""A case that is destroyed: keys, then objects, and nothing of it opens any more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, insert, select, update
from tests.unit.custody.test_custodian import CLASSES, House, house
from tests.unit.objects.vaults import Vaults, vaults_over
from tests.unit.officer.test_acts import ask_of, case_of

from hyok.backends.port import Lock
from hyok.cli import shred
from hyok.custody.port import KEYRING_FOLDER, TOMBSTONES_FOLDER
from hyok.custody.quorum import Act, Role
from hyok.custody.shredding import KeyShredder
from hyok.database.tables import keyring, proposals, tombstones
from hyok.errors import Conflict, Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.objects.erasing import erase
from hyok.objects.registry import BucketRegistry
from hyok.officer.shred_acts import HEEDED_SECONDS, ShredCase
from hyok.officer.statement import FORM, REASON, digest
from hyok.officer.statement_page import render_page
from hyok.officer.statement_rows import StatementBook

if TYPE_CHECKING:
    from hyok.custody.proposal import Effect

__all__ = ["house"]

CASE, OTHER = "2026-0001", "2026-0002"


class Shredding:
    """The act over one worker's objects, in two buckets."""

    def __init__(self, vaults: Vaults) -> None:
        house = vaults.house
        self.vaults, self.house = vaults, house
        self.waited: list[float] = []
        self.book = StatementBook(house.database)
        self.shredder = KeyShredder(house.database, house.mirror, lambda: house.now[0])
        self.registry = BucketRegistry(house.database, CLASSES, lambda: house.now[0])
        self.act = ShredCase(
            shredder=self.shredder,
            custodian=house.custodian,
            registry=self.registry,
            stores={"local": vaults.store},
            classifications=CLASSES,
            book=self.book,
            journal=house.journal,
            installation="proef",
            backups_kept_days=35,
            progress=lambda _objects, _bytes: None,
            clock_ms=lambda: house.now[0],
            wait=self._wait,
        )

    async def _wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.house.now[0] += int(1000 * seconds)

    async def put(self, key: str, case: str, bucket: str = "zaken") -> None:
        await self.vaults.put(self.vaults.ask(key, bucket_id=bucket, case=case), key.encode())

    async def read(self, key: str, bucket: str = "zaken") -> bytes:
        return await self.vaults.get(self.vaults.ask(key, bucket_id=bucket))

    def effect(self, **more: str) -> Effect:
        return {"tenant": "t", "case": CASE, "selection": "B1.2", **more}

    async def perform(self) -> Any:
        plan = await self.act.plan(self.effect())
        return await self.act.perform(ask_of(Act.SHRED, plan), case_of(Act.SHRED, plan))


@pytest.fixture
async def shredding(house: House) -> Shredding:
    vaults = await vaults_over(house, classification="intern")
    await vaults.make_bucket("zaken", "vertrouwelijk")
    await vaults.make_bucket("dossier", "zeer_vertrouwelijk")
    made = Shredding(vaults)
    for key in ("a", "b", "c"):
        await made.put(key, CASE)
    await made.put("streng", CASE, "dossier")
    await made.put("ander", OTHER)
    await made.put("los", "")
    house.now[0] += 5_000  # the registry looks again
    row = insert(proposals).values(
        proposal_id="P1",
        act="scope:shred",
        author="anna",
        state="executing",
        sealed=b"",
        created_ms=1,
        expires_ms=2,
    )
    await house.database.run(lambda connection: connection.execute(row))
    return made


async def test_nothing_of_the_case_is_left_and_everything_else_reads_on(
    shredding: Shredding,
) -> None:
    vaults = shredding.vaults
    copies = {
        entry.name: await vaults.store.read_whole("zaken", entry.name)
        for entry in (await vaults.store.list("zaken")).objects
        if not entry.name.startswith(".hyok/")
    }
    done = await shredding.perform()
    assert (done.figures["keys"], done.figures["versions"]) == (2, 4)
    assert shredding.waited == [HEEDED_SECONDS]
    for key in ("a", "b", "c"):
        with pytest.raises(NotFound):
            await shredding.read(key)
    assert await shredding.read("ander") == b"ander"
    assert await shredding.read("los") == b"los"
    left = [
        entry.name
        for entry in (await vaults.store.list("zaken")).objects
        if not entry.name.startswith(".hyok/")
    ]
    assert len(left) == 2

    # From a copy of the bucket that somebody puts back.
    for name, (stored, body) in copies.items():
        if name not in left:
            await vaults.store.put_whole("zaken", name, body, stored.facts)
    for key in ("a", "b", "c"):
        with pytest.raises(NotFound) as said:
            await shredding.read(key)
        assert said.value.code == "HY-2304"


async def test_a_database_from_before_has_the_keys_again_and_they_are_refused(
    shredding: Shredding,
) -> None:
    house, vaults = shredding.house, shredding.vaults
    copies = {
        entry.name: await vaults.store.read_whole("zaken", entry.name)
        for entry in (await vaults.store.list("zaken")).objects
    }
    before = await house.database.read(lambda connection: connection.execute(select(keyring)).all())
    await shredding.perform()

    def restore(connection: Any) -> None:
        connection.execute(delete(tombstones))
        for row in before:
            connection.execute(
                update(keyring)
                .where(keyring.c.ik_id == row.ik_id)
                .values(record=row.record, destroyed_ms=None, current=row.current)
            )

    await house.database.run(restore)
    for name, (stored, body) in copies.items():
        if not name.startswith(".hyok/"):
            await vaults.store.put_whole("zaken", name, body, stored.facts)
    house.keyring._buried.clear()  # a process that starts
    house.keyring.forget()
    house.now[0] += 5_000
    for key in ("a", "b", "c"):
        with pytest.raises(NotFound) as said:
            await shredding.read(key)
        assert said.value.code == "HY-2304"
    assert await shredding.read("ander") == b"ander"
    # Nor is anything new written under them.
    await shredding.put("nieuw", CASE)
    assert await shredding.read("nieuw") == b"nieuw"


async def test_the_statement_says_what_was_done_and_its_digest_is_on_the_log(
    shredding: Shredding,
) -> None:
    done = await shredding.perform()
    kept = await shredding.book.get("P1")
    document = kept.document
    assert document["format"] == FORM
    assert document["remaining"] == 0
    assert [part["versions"] for part in document["parts"]] == [1, 3]
    assert len(document["keys"]) == 2
    assert {one["answer"] for one in document["attempts"]} == {"HY-2304"}
    assert document["horizon_ms"] > shredding.house.now[0] + 34 * 86_400_000
    assert CASE not in json.dumps(document), "no number in clear"
    reasons = [reason for r in shredding.house.journal.records for reason in r.reasons]
    assert REASON + digest(document) in reasons
    assert done.figures["sha256"] == digest(document)
    page = render_page(document, str, "hyok-audit/proef, 12 records")
    for word in ('lang="nl"', 'lang="en"', "<caption>", 'scope="col"', "hyok-audit/proef"):
        assert word in page


async def test_what_is_stated_cannot_carry_markup(shredding: Shredding) -> None:
    await shredding.perform()
    document = dict((await shredding.book.get("P1")).document)
    document["reason"] = "<script>alert(1)</script>"
    assert "<script>" not in render_page(document, str, "")


async def test_the_plan_names_case_keys_and_objects_and_the_archivist_approves(
    shredding: Shredding,
) -> None:
    plan = await shredding.act.plan(shredding.effect())
    assert plan.classification == "zeer_vertrouwelijk"
    assert Role.ARCHIVIST in plan.quorum.among
    assert plan.quorum.approvals >= 2
    assert plan.effect["keys"] == 2
    assert plan.effect["case"] == CASE
    assert str(plan.effect["scope"]).startswith("subject:")
    with pytest.raises(Malformed):
        await shredding.act.plan({"tenant": "t", "case": CASE})
    with pytest.raises(NotFound) as said:
        await shredding.act.plan(shredding.effect(case="nooit"))
    assert said.value.code == "HY-2320"


async def test_an_object_under_a_hold_stops_it_before_anything_is_destroyed(
    shredding: Shredding, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await shredding.act.plan(shredding.effect())
    store = shredding.vaults.store
    head = store.head

    async def held(bucket: str, name: str, version_id: str = "") -> Any:
        found = await head(bucket, name, version_id)
        return replace(found, facts=replace(found.facts, lock=Lock(hold=True)))

    monkeypatch.setattr(store, "head", held)
    with pytest.raises(Conflict) as said:
        await shredding.act.plan(shredding.effect())
    assert said.value.code == "HY-2321"
    with pytest.raises(Conflict):  # laid between the approval and the execution
        await shredding.act.perform(ask_of(Act.SHRED, plan), case_of(Act.SHRED, plan))
    monkeypatch.undo()
    assert await shredding.read("a") == b"a"


@pytest.mark.parametrize("at", ["tombstones", "keys", "objects", "statement"])
async def test_one_that_was_killed_is_carried_on_to_the_same_end(
    shredding: Shredding, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    plan = await shredding.act.plan(shredding.effect())
    ask, case = ask_of(Act.SHRED, plan), case_of(Act.SHRED, plan)
    store, mirror = shredding.vaults.store, shredding.house.mirror

    async def die(*_: Any, **__: Any) -> None:
        raise Unavailable("killed here")

    with monkeypatch.context() as patch:
        if at == "tombstones":
            patch.setattr(mirror, "write", die)
        elif at == "keys":
            patch.setattr(shredding.act, "_wait", die)
        elif at == "objects":
            real, count = store.delete, [0]

            async def delete_two(*names: Any, **more: Any) -> Any:
                count[0] += 1
                if count[0] > 2:
                    await die()
                return await real(*names, **more)

            patch.setattr(store, "delete", delete_two)
        else:
            patch.setattr(shredding.act, "_record", die)
        with pytest.raises(Unavailable):
            await shredding.act.perform(ask, case)
    again = await shredding.act.plan(plan.effect)  # as carrying on looks again
    assert again.quorum == plan.quorum
    done = await shredding.act.perform(ask, case)
    assert (done.figures["keys"], done.figures["versions"]) == (2, 4)
    document = (await shredding.book.get("P1")).document
    assert sum(part["versions"] for part in document["parts"]) == 4
    assert document["remaining"] == 0
    reasons = [reason for r in shredding.house.journal.records for reason in r.reasons]
    assert REASON + digest(document) in reasons


async def test_what_is_written_meanwhile_is_told_and_destroyed_when_it_is_carried_on(
    shredding: Shredding, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await shredding.act.plan(shredding.effect())
    ask, case = ask_of(Act.SHRED, plan), case_of(Act.SHRED, plan)

    async def wait_and_write(seconds: float) -> None:
        shredding.house.now[0] += int(1000 * seconds)
        await shredding.put("te laat", CASE)

    with monkeypatch.context() as patch:
        patch.setattr(shredding.act, "_wait", wait_and_write)
        patch.setattr("hyok.officer.shred_acts.erase", _erase_nothing_late)
        with pytest.raises(Unavailable) as said:
            await shredding.act.perform(ask, case)
    assert said.value.code == "HY-2323"
    with pytest.raises(NotFound):
        await shredding.book.get("P1")
    assert await shredding.read("te laat") == b"te laat"
    with monkeypatch.context() as patch:  # killed once more, after it was counted
        patch.setattr(shredding.act, "_wait", _die)
        with pytest.raises(Unavailable):
            await shredding.act.perform(ask, case)
    done = await shredding.act.perform(ask, case)
    assert (done.figures["keys"], done.figures["versions"]) == (3, 5), "each is counted once"
    with pytest.raises(NotFound):
        await shredding.read("te laat")


async def _die(*_: Any, **__: Any) -> None:
    raise Unavailable("killed here")


async def _erase_nothing_late(*words: Any) -> Any:
    """Erase what the destroyed keys kept, as if the late object came behind the walk."""
    store, bucket, scope, now_ms, tell = words
    late = list((await store.list(bucket.backend_name)).objects)
    newest = max((entry.modified_ms, entry.name) for entry in late)[1] if late else ""
    delete = store.delete

    async def keep_the_newest(bucket_name: str, name: str, *more: Any) -> Any:
        if name != newest:
            return await delete(bucket_name, name, *more)
        return None

    store.delete = keep_the_newest
    try:
        return await erase(store, bucket, scope, now_ms, tell)
    finally:
        store.delete = delete


async def test_a_lock_that_is_laid_at_the_last_moment_ends_nothing_for_good(
    shredding: Shredding, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await shredding.act.plan(shredding.effect())
    ask, case = ask_of(Act.SHRED, plan), case_of(Act.SHRED, plan)

    async def locked(*_: Any, **__: Any) -> None:
        raise Refused("a legal hold", reason="AccessDenied")

    with monkeypatch.context() as patch:
        patch.setattr(shredding.vaults.store, "delete", locked)
        with pytest.raises(Unavailable) as said:
            await shredding.act.perform(ask, case)
    assert said.value.code == "HY-2321"
    done = await shredding.act.perform(ask, case)
    assert done.figures["versions"] == 4


async def test_a_refusal_for_another_reason_is_not_told_as_destruction(
    shredding: Shredding,
) -> None:
    await shredding.perform()
    document = dict((await shredding.book.get("P1")).document)
    assert "this does not show the destruction" not in render_page(document, str, "")
    attempts = [dict(one, answer="HY-2305") for one in document["attempts"]]  # type: ignore[attr-defined]
    page = render_page(document | {"attempts": attempts}, str, "")
    assert "HY-2305: refused for another reason; this does not show the destruction" in page
    assert "refused, the key was destroyed" not in page


def test_only_the_record_of_a_statement_proves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stated = {"format": FORM, "reason": "x"}
    document = {"format": "hyok-destruction/1", "statement": stated, "proof": {}}
    record = {"action": "shred:statement", "reasons": [REASON + digest(stated)]}

    def proven(found: dict[str, object]) -> None:
        rows = [{"index": 0, "record": json.dumps(found)}]
        monkeypatch.setattr(shred, "check", lambda _proof, _keys: rows)
        monkeypatch.setattr(shred, "parse_public_key", lambda _raw: None)

    proven(record)
    assert shred.statement_of(document, b"") == stated
    for other in (record | {"action": "apps:create"}, record | {"reasons": [REASON + "00"]}):
        proven(other)
        with pytest.raises(Tampered):
            shred.statement_of(document, b"")


async def test_records_leave_every_bucket_and_tombstones_stay(shredding: Shredding) -> None:
    """Of a class that is mirrored; the act is for cases, the keys below are any scope's."""
    vaults, house = shredding.vaults, shredding.house
    await vaults.put(vaults.ask("intern"), b"intern")
    buckets = await shredding.registry.all()
    scope = "bucket:dossiers"
    (key,) = await shredding.shredder.living("t", scope)
    assert ("dossiers", KEYRING_FOLDER + key.ik_id) in house.mirror.held
    gone = await shredding.shredder.destroy("t", scope, "P9", 1, buckets)
    assert gone == await shredding.shredder.destroy("t", scope, "P9", 1, buckets)
    assert ("dossiers", KEYRING_FOLDER + key.ik_id) not in house.mirror.held
    for bucket in buckets:
        assert (bucket.bucket_id, TOMBSTONES_FOLDER + key.ik_id) in house.mirror.held
    house.now[0] += 5_000
    with pytest.raises(NotFound) as said:
        await vaults.get(vaults.ask("intern"))
    assert said.value.code == "HY-2304"
