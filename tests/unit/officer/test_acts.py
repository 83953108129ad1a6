"""The acts behind approvals do what the proposal says, and nothing without one."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update
from tests.unit.custody.test_custodian import CLASSES, House, bucket, house
from tests.unit.objects.vaults import Vaults, vaults_over
from tests.unit.officer.own_rows import own_rows

from hyok.custody.approval_rows import Execution, Rows
from hyok.custody.break_glass import Grant, GrantBook
from hyok.custody.cases import Case
from hyok.custody.exposure import Exposures
from hyok.custody.key_end import KeyEnder
from hyok.custody.key_states import KeyState
from hyok.custody.keyring_rows import KeyringRows
from hyok.custody.officers import Register
from hyok.custody.port import TOMBSTONES_FOLDER
from hyok.custody.proposal import Effect, Proposal
from hyok.custody.quorum import Act
from hyok.custody.rotation import KeyRotation
from hyok.custody.secret_box import HsmSecretBox
from hyok.database.tables import break_glass, proposals
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused
from hyok.objects.facts import PutFacts
from hyok.objects.mirror import StoreMirror
from hyok.objects.registry import BucketKeeper, BucketRegistry
from hyok.officer.bucket_acts import LowerBucket, PublishBucket
from hyok.officer.key_acts import DestroyKey
from hyok.officer.key_uses import KeyUses
from hyok.officer.object_acts import LowerObject
from hyok.vocabulary import Ask, Principal

if TYPE_CHECKING:
    from hyok.officer.port import Performer, Plan

__all__ = ["house"]


def case_of(act: Act, plan: Plan) -> Case:
    proposal = Proposal(
        *("P1", act, plan.tenant, plan.classification, plan.effect, "waarom", "anna"),
        *(plan.quorum, 1, 2),
    )
    register = Register({}, {}, founded=True, number=1)
    return Case(proposal, (), Execution("anna", 1, "running"), register, Rows((), (), None))


def ask_of(act: Act, plan: Plan, *, approved: bool = True) -> Ask:
    return Ask(
        principal=Principal("officer:anna", plan.tenant, "officer", clearance=100),
        action=str(act),
        bucket=plan.bucket,
        key=plan.key,
        request_id="P1",
        origin="local",
        at_ms=1,
        approval="P1" if approved else "",
    )


async def executed(act: Act, performer: Performer, effect: Effect, **more: Any) -> None:
    plan = await performer.plan(effect)
    await performer.perform(ask_of(act, plan, **more), case_of(act, plan))


class Acts:
    """The acts over one worker's objects."""

    def __init__(self, vaults: Vaults) -> None:
        house = vaults.house
        self.vaults = vaults
        box = HsmSecretBox(house.hsm, house.keks, secrets.token_bytes)
        self.registry = BucketRegistry(house.database, CLASSES, lambda: house.now[0])
        self.keeper = keeper = BucketKeeper(
            registry=self.registry,
            custodian=house.custodian,
            classifications=CLASSES,
            places=vaults.vault.places,
            mirror=StoreMirror({"local": vaults.store}),
            box=box,
        )
        self.publish = PublishBucket(self.registry, keeper, CLASSES)
        self.rotation = KeyRotation(
            database=house.database,
            hsm=house.hsm,
            keks=house.keks,
            mirror=house.mirror,
            entropy=secrets.token_bytes,
            clock_ms=lambda: house.now[0],
        )
        self.destroy_key = DestroyKey(
            keks=house.keks,
            uses=KeyUses(
                rotation=self.rotation,
                exposures=Exposures(house.keks, KeyringRows(house.database)),
                registry=self.registry,
                stores={"local": vaults.store},
                classifications=CLASSES,
                own_rows=own_rows(vaults),
                keks=house.keks,
                progress=lambda _objects, _bytes: None,
            ),
            ender=KeyEnder(house.keks, house.hsm),
            custodian=house.custodian,
            classifications=CLASSES,
        )
        self.lower_bucket = LowerBucket(self.registry, keeper, CLASSES)
        self.lower_object = LowerObject(vaults.vault, self.registry, CLASSES, lambda: house.now[0])


@pytest.fixture
async def acts(house: House) -> Acts:
    return Acts(await vaults_over(house, classification="intern"))


def lowering(to: str = "intern", key: str = "sleutel") -> Effect:
    return {"bucket": "dossiers", "key": key, "to": to}


async def test_a_lowered_object_is_sealed_anew_with_its_labels_and_reads_as_before(
    acts: Acts,
) -> None:
    vaults = acts.vaults
    ask = vaults.ask(classification="zeer_vertrouwelijk")
    facts = PutFacts(
        headers={"content-type": "text/plain"},
        user_metadata={"soort": "brief"},
        tags={"vertrouwelijkheidaanduiding": "confidentieel", "stand": "klaar"},
    )
    # The test's buckets have clear names; its class wants sealed ones at a real door.
    vaults.vault.check_names = lambda _ask: None  # type: ignore[method-assign]
    await vaults.put(ask, b"geheim verslag", facts)
    await executed(Act.LOWER_OBJECT, acts.lower_object, lowering())
    reading = replace(ask, action="object:get", classification=None)
    assert await vaults.get(reading) == b"geheim verslag"
    seen = await vaults.vault.head(reading, tags=True)
    assert seen.classification == "intern"
    assert seen.kek_id.split("/")[1] == "intern"
    assert seen.tags == {"vertrouwelijkheidaanduiding": "intern", "stand": "klaar"}
    assert (seen.headers["content-type"], seen.user_metadata["soort"]) == ("text/plain", "brief")
    low = replace(reading, principal=replace(reading.principal, clearance=20))
    assert await vaults.get(low) == b"geheim verslag"


async def test_the_same_act_without_approval_is_refused_by_policy(acts: Acts) -> None:
    vaults = acts.vaults
    vaults.vault.check_names = lambda _ask: None  # type: ignore[method-assign]
    await vaults.put(vaults.ask(classification="vertrouwelijk"), b"x")
    everything: list[tuple[Act, Performer, Effect]] = [
        (Act.LOWER_OBJECT, acts.lower_object, lowering()),
        (Act.LOWER_BUCKET, acts.lower_bucket, {"bucket": "dossiers", "to": "openbaar"}),
    ]
    for act, performer, effect in everything:
        with pytest.raises(Refused, match="no rule permits"):
            await executed(act, performer, effect, approved=False)
    seen = await vaults.vault.head(vaults.ask(action="object:get"))
    assert seen.classification == "vertrouwelijk"
    assert (await acts.registry.get("dossiers")).classification == "intern"


async def test_another_object_by_now_is_left_alone(acts: Acts) -> None:
    vaults = acts.vaults
    vaults.vault.check_names = lambda _ask: None  # type: ignore[method-assign]
    await vaults.put(vaults.ask(classification="vertrouwelijk"), b"oud")
    plan = await acts.lower_object.plan(lowering())
    await vaults.put(vaults.ask(classification="vertrouwelijk"), b"nieuw")
    with pytest.raises(Conflict, match="Another object"):
        await acts.lower_object.perform(
            ask_of(Act.LOWER_OBJECT, plan), case_of(Act.LOWER_OBJECT, plan)
        )
    seen = await vaults.vault.head(vaults.ask(action="object:get"))
    assert seen.classification == "vertrouwelijk"


async def test_lowering_again_after_a_break_changes_nothing(acts: Acts) -> None:
    vaults = acts.vaults
    vaults.vault.check_names = lambda _ask: None  # type: ignore[method-assign]
    await vaults.put(vaults.ask(classification="vertrouwelijk"), b"x")
    plan = await acts.lower_object.plan(lowering())
    one = ask_of(Act.LOWER_OBJECT, plan), case_of(Act.LOWER_OBJECT, plan)
    await acts.lower_object.perform(*one)
    before = await vaults.vault.head(vaults.ask(action="object:get"))
    await acts.lower_object.plan(plan.effect)
    await acts.lower_object.perform(*one)
    assert await vaults.vault.head(vaults.ask(action="object:get")) == before


@pytest.mark.parametrize(("to", "kind"), [("openbaar", Refused), ("geheim", Malformed)])
async def test_nothing_goes_below_its_bucket_and_raising_is_no_lowering(
    acts: Acts, to: str, kind: type[HyokError]
) -> None:
    await acts.vaults.put(acts.vaults.ask(), b"x")
    with pytest.raises(kind):
        await acts.lower_object.plan(lowering(to))


async def test_a_lowered_bucket_keeps_what_stands_there_and_takes_less(acts: Acts) -> None:
    vaults = acts.vaults
    await vaults.put(vaults.ask("oud"), b"oud")
    plan = await acts.lower_bucket.plan({"bucket": "dossiers", "to": "openbaar"})
    assert plan.effect == {"bucket": "dossiers", "from": "intern", "to": "openbaar"}
    assert plan.quorum.approvals == CLASSES.get("intern").approvals.lower
    await acts.lower_bucket.perform(ask_of(Act.LOWER_BUCKET, plan), case_of(Act.LOWER_BUCKET, plan))
    assert (await acts.lower_bucket.plan(plan.effect)).effect == plan.effect
    now = await acts.registry.get("dossiers")
    assert now.classification == "openbaar"
    assert "intern" in now.allowed
    vaults.buckets["dossiers"] = now
    assert await vaults.get(vaults.ask("oud")) == b"oud"
    assert (await vaults.vault.head(vaults.ask("oud", "object:get"))).classification == "intern"


async def test_a_bucket_is_opened_only_where_its_class_lets_it(acts: Acts) -> None:
    with pytest.raises(Refused) as said:
        await acts.publish.plan({"bucket": "dossiers"})
    assert said.value.code == "HY-3205"
    await acts.vaults.make_bucket("open", "openbaar")
    acts.vaults.house.now[0] += 5_000  # the registry looks again
    with pytest.raises(Refused, match="no rule permits"):
        await executed(Act.PUBLISH, acts.publish, {"bucket": "open"}, approved=False)
    await executed(Act.PUBLISH, acts.publish, {"bucket": "open"})
    bucket = await acts.registry.get("open")
    assert bucket.public
    alone = replace(acts.vaults.ask("", "bucket:withdraw"), bucket=bucket)
    with pytest.raises(Refused, match="no rule permits"):
        await acts.keeper.set_public(alone, public=False)
    alone = replace(alone, principal=replace(alone.principal, kind="officer"))
    await acts.keeper.set_public(alone, public=False)
    assert not (await acts.registry.get("open")).public


async def rotated(acts: Acts, classification: str) -> None:
    kek, _ = await acts.rotation.next_version("t", classification)
    done = await acts.rotation.move(kek, await acts.registry.all())
    assert done.whole


async def test_a_key_version_is_destroyed_only_when_it_keeps_nothing(acts: Acts) -> None:
    vaults = acts.vaults
    for name in ("intern", "nog een"):
        await vaults.put(vaults.ask(name), name.encode())
    key: Effect = {"key": "t/intern/1"}
    with pytest.raises(Conflict) as said:  # active
        await acts.destroy_key.plan(key)
    assert said.value.code == "HY-2302"
    await vaults.house.keks.create(vaults.house.hsm, "t", "intern", 1, 1)
    with pytest.raises(Conflict) as said:
        await acts.destroy_key.plan(key)
    assert said.value.code == "HY-2311"
    await rotated(acts, "intern")
    with pytest.raises(Refused, match="no rule permits"):
        await executed(Act.DESTROY_KEY, acts.destroy_key, key, approved=False)
    plan = await acts.destroy_key.plan(key)
    assert plan.quorum.approvals == CLASSES.get("intern").approvals.destroy_key
    await executed(Act.DESTROY_KEY, acts.destroy_key, key)
    kek = await vaults.house.keks.find("t/intern/1")
    assert kek is not None
    assert kek.state is KeyState.DESTROYED
    with pytest.raises(NotFound):
        await vaults.house.hsm.check(kek.spec)
    vaults.house.now[0] += 5_000
    for name in ("intern", "nog een"):
        assert await vaults.get(vaults.ask(name)) == name.encode()
    await executed(Act.DESTROY_KEY, acts.destroy_key, key)  # carried on: nothing is left to do


async def test_records_that_stand_in_the_database_alone_keep_their_key(acts: Acts) -> None:
    vaults = acts.vaults
    await vaults.make_bucket("zaken", "vertrouwelijk")
    await vaults.put(vaults.ask("stuk", bucket_id="zaken"), b"stuk")
    await vaults.house.keks.create(vaults.house.hsm, "t", "vertrouwelijk", 1, 1)
    with pytest.raises(Conflict, match="2 keyring records") as said:
        await acts.destroy_key.plan({"key": "t/vertrouwelijk/1"})
    assert said.value.code == "HY-2311"


async def test_a_record_that_was_destroyed_once_is_carried_on_by_no_rotation(acts: Acts) -> None:
    """A database from before has it again; the tombstone in the bucket says that it must not."""
    vaults = acts.vaults
    for name in ("leeft", "dood"):
        await vaults.make_bucket(name, "intern")
        await vaults.put(vaults.ask("stuk", bucket_id=name), b"stuk")
    vaults.house.now[0] += 5_000  # the registry looks again
    rows = await KeyringRows(vaults.house.database).under("t/intern/1")
    (dead,) = [row.ik_id for row in rows if row.scope == "bucket:dood"]
    mirror = vaults.house.mirror
    mirror.held["dood", TOMBSTONES_FOLDER + dead.hex()] = b"{}"
    buckets = await acts.registry.all()
    kek, _ = await acts.rotation.next_version("t", "intern", buckets=buckets)
    done = await acts.rotation.move(kek, buckets)
    assert (done.buried, done.whole) == (1, True)
    assert done.records == len(rows) - 1
    left = await KeyringRows(vaults.house.database).under("t/intern/1")
    assert [row.ik_id for row in left] == [dead]
    # It is no rotation that was broken off, nor in the way of the key's end, with which it goes.
    again, is_new = await acts.rotation.next_version("t", "intern", buckets=buckets)
    assert (again.version, is_new) == (3, True)
    plan = await acts.destroy_key.plan({"key": "t/intern/1"})
    assert plan.effect["buried_records"] == 1
    await executed(Act.DESTROY_KEY, acts.destroy_key, {"key": "t/intern/1"})
    assert await KeyringRows(vaults.house.database).kept(dead) is None
    vaults.house.now[0] += 5_000
    assert await vaults.get(vaults.ask("stuk", bucket_id="leeft")) == b"stuk"


async def test_a_copy_in_a_bucket_that_was_not_renewed_keeps_its_key(acts: Acts) -> None:
    vaults = acts.vaults
    await vaults.put(vaults.ask("intern", classification="intern"), b"intern")
    kek, _ = await acts.rotation.next_version("t", "intern")
    await acts.rotation.move(kek, [])  # killed before it came to the buckets
    with pytest.raises(Conflict) as said:
        await acts.destroy_key.plan({"key": "t/intern/1"})
    assert said.value.code == "HY-2311"
    await rotated(acts, "intern")
    assert (await acts.destroy_key.plan({"key": "t/intern/1"})).tenant == "t"


async def test_an_object_that_keeps_its_key_alone_keeps_its_kek(acts: Acts) -> None:
    vaults = acts.vaults
    await vaults.make_bucket("kluis", "geheim")
    await vaults.put(vaults.ask("stuk", bucket_id="kluis"), b"geheim")
    vaults.house.now[0] += 5_000  # the registry looks again
    await rotated(acts, "geheim")
    with pytest.raises(Conflict, match="1 objects of bucket kluis") as said:
        await acts.destroy_key.plan({"key": "t/geheim/1"})
    assert said.value.code == "HY-2311"
    ask = vaults.ask("stuk", "object:delete", bucket_id="kluis")
    may = replace(ask.principal, grants=frozenset({"delete"}), clearance=100)
    await vaults.vault.delete(replace(ask, principal=may))
    await executed(Act.DESTROY_KEY, acts.destroy_key, {"key": "t/geheim/1"})


async def test_a_key_that_is_nowhere_is_not_found(acts: Acts) -> None:
    with pytest.raises(NotFound):
        await acts.destroy_key.plan({"key": "t/nergens/1"})


# -- break-glass at the gateway ----------------------------------------------------------------


def granted(house: House, **changed: Any) -> Grant:
    made = Grant(
        grant_id="G1",
        app="app",
        tenant="t",
        bucket="dossiers",
        keys=("sleutel",),
        prefix="",
        classification="geheim",
        level=50,
        ticket="T-1",
        author="anna",
        starts_ms=house.now[0],
        ends_ms=house.now[0] + 60_000,
    )
    return replace(made, **changed)


async def book_with(house: House, grant: Grant) -> GrantBook:
    box = HsmSecretBox(house.hsm, house.keks, secrets.token_bytes)
    book = GrantBook(house.database, box, house.journal, lambda: house.now[0])
    values = {"act": "break-glass:grant", "author": "anna", "state": "executed", "sealed": b"x"}

    def act(connection: Any) -> None:
        connection.execute(
            proposals.insert().values(
                proposal_id=grant.grant_id, created_ms=1, expires_ms=2, **values
            )
        )

    await house.database.run(act)
    await book.add(grant)
    return book


def reading(**changed: Any) -> Ask:
    principal = Principal("app", "t", clearance=0, purpose="nood", grants=frozenset())
    ask = Ask(principal, "object:get", bucket(), "sleutel", "R1", "127.0.0.1", 1)
    return replace(ask, **changed)


@pytest.mark.parametrize(
    ("grant", "ask", "level", "covered"),
    [
        ({}, {}, 50, True),
        ({}, {"key": "ander"}, 50, False),
        ({}, {"key": "sleutel2"}, 50, False),
        ({"keys": (), "prefix": "sleu"}, {}, 50, True),
        ({"keys": (), "prefix": ""}, {}, 50, False),
        ({"level": 40}, {}, 50, False),
        ({"app": "ander"}, {}, 50, False),
        ({"door": "kacls"}, {}, 50, False),
        ({"tenant": "ander"}, {}, 50, False),
        ({"bucket": "ander"}, {}, 50, False),
        ({"starts_ms": 1_000_000_001}, {}, 50, False),
        ({"ends_ms": 1_000_000_000}, {}, 50, False),
        ({"ends_ms": 1_000_000_001}, {}, 50, True),
    ],
)
async def test_a_grant_covers_what_it_names_and_no_more(
    house: House, grant: dict[str, Any], ask: dict[str, Any], level: int, covered: bool
) -> None:
    book = await book_with(house, granted(house, **grant))
    assert bool(await book.covering(reading(**ask), level)) is covered


async def test_a_grant_ends_by_the_clock_alone_and_is_told_once(house: House) -> None:
    book = await book_with(house, granted(house))
    assert await book.covering(reading(), 50) == "G1"
    assert await book.end_past() == []
    house.now[0] += 60_000
    assert await book.covering(reading(), 50) == ""
    assert [grant.grant_id for grant in await book.end_past()] == ["G1"]
    assert await book.end_past() == []


async def test_a_grant_that_was_ended_early_is_not_put_back_by_its_columns(house: House) -> None:
    book = await book_with(house, granted(house))
    await book.end_early("G1")
    edit = update(break_glass).values(ends_ms=house.now[0] + 99_000, ended_ms=None)
    await house.database.run(lambda connection: connection.execute(edit))
    other = GrantBook(
        house.database,
        HsmSecretBox(house.hsm, house.keks, secrets.token_bytes),
        house.journal,
        lambda: house.now[0],
    )
    assert await other.covering(reading(), 50) == ""


async def test_a_forged_or_moved_grant_opens_nothing_and_raises_one_alarm(house: House) -> None:
    book = await book_with(house, granted(house))
    rows = await house.database.read(lambda c: c.execute(break_glass.select()).all())
    await book_with(house, granted(house, grant_id="G2", app="ander"))
    edit = update(break_glass).where(break_glass.c.grant_id == "G2").values(sealed=rows[0].sealed)
    await house.database.run(lambda connection: connection.execute(edit))
    await house.database.run(
        lambda c: c.execute(
            update(break_glass)
            .where(break_glass.c.grant_id == "G1")
            .values(sealed=rows[0].sealed[:-1] + b"x")
        )
    )
    fresh = GrantBook(
        house.database,
        HsmSecretBox(house.hsm, house.keks, secrets.token_bytes),
        house.journal,
        lambda: house.now[0],
    )
    for _ in range(3):
        assert await fresh.covering(reading(), 50) == ""
    alarms = [r.request_id for r in house.journal.records if r.action == "break-glass:alarm"]
    assert sorted(alarms) == ["G1", "G2"]
    del book


async def test_only_reading_asks_for_a_grant(house: House, tmp_path: Any) -> None:
    del tmp_path
    asked: list[str] = []

    class Every:
        async def covering(self, ask: Ask, level: int) -> str:
            del level
            asked.append(ask.action)
            return "G1"

    decisions = house.custodian._decisions
    decisions._grants = Every()
    for action in ("object:put", "object:delete", "bucket:list", "object:lock"):
        with pytest.raises(Refused):
            await decisions.permit(reading(action=action), "geheim", b"", "")
    assert asked == []
    allowed = await decisions.permit(reading(), "geheim", b"", "")
    assert "grant:G1" in allowed.reasons
    officer = replace(reading(), principal=replace(reading().principal, kind="officer"))
    with pytest.raises(Refused):
        await decisions.permit(officer, "geheim", b"", "")
    assert asked == ["object:get"]
