"""One door to keys: decide, record, use, record; the HSM is asked nothing without a reason."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.fakes.memory_hsm import MemoryHsm
from tests.fakes.memory_journal import MemoryJournal
from tests.fakes.policy_in_force import InForce

from hyok.custody.custodian import TENANT_CLASSIFICATION, KeyCustodian
from hyok.custody.failing_tokens import FailingTokens
from hyok.custody.freezes import Freezes
from hyok.custody.keks import KekCatalog
from hyok.custody.key_states import ALLOWED_USES, TRANSITIONS, KeyState, Use, check_use
from hyok.custody.keyring import Keyring
from hyok.custody.secret_box import CLASSIFICATION, TENANT, HsmSecretBox
from hyok.custody.watch import HsmWatch
from hyok.database.engine import Database
from hyok.envelope.block import parse, render
from hyok.envelope.metadata import Metadata
from hyok.envelope.parts import part_header
from hyok.errors import HyokError, NotFound, Refused, Tampered, Unavailable
from hyok.policy.cedar import CedarEngine
from hyok.policy.classifications import Classifications
from hyok.policy.decision import StoreFacts
from hyok.vocabulary import Ask, Bucket, ClassificationName, Principal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

POLICIES = Path(__file__).resolve().parents[3] / "policies"
CLASSES = Classifications.load(
    {path.stem: path.read_text() for path in (POLICIES / "classifications").glob("*.yaml")}
)
ENGINE = CedarEngine(
    (POLICIES / "rules" / "gateway.cedar").read_text(),
    (POLICIES / "schema.cedarschema").read_text(),
    CLASSES,
)
METADATA = Metadata(ck={}, protected=frozenset({"ck"}))
HEADER = part_header(bytes(32), bytes(7))


class Mirror:
    """A mirror in memory."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], bytes] = {}

    async def write(self, bucket: Bucket, name: str, raw: bytes) -> None:
        self.held[bucket.bucket_id, name] = raw

    async def read(self, bucket: Bucket, name: str) -> bytes | None:
        return self.held.get((bucket.bucket_id, name))

    async def list(self, bucket: Bucket, prefix: str) -> Sequence[str]:
        return [n for b, n in self.held if b == bucket.bucket_id and n.startswith(prefix)]

    async def remove(self, bucket: Bucket, name: str) -> None:
        self.held.pop((bucket.bucket_id, name), None)


@dataclass
class House:
    """One process's custody, over a database that may be shared."""

    database: Database
    hsm: MemoryHsm
    journal: MemoryJournal
    mirror: Mirror
    keks: KekCatalog
    keyring: Keyring
    watch: HsmWatch
    custodian: KeyCustodian
    now: list[int]
    database_path: Path


def build(path: Path, hsm: MemoryHsm, mirror: Mirror, now: list[int]) -> House:
    database = Database(f"sqlite:///{path}")
    database.migrate()
    keks = KekCatalog(database, lambda: now[0])
    tokens = FailingTokens(hsm, lambda: now[0])
    keyring = Keyring(
        database=database,
        hsm=hsm,
        tokens=tokens,
        keks=keks,
        mirror=mirror,
        entropy=secrets.token_bytes,
        clock_ms=lambda: now[0],
    )
    watch = HsmWatch(hsm, keks)
    journal = MemoryJournal()
    custodian = KeyCustodian(
        classifications=CLASSES,
        engine=ENGINE,
        store_facts={"local": StoreFacts("NL", "NL", "UC1")},
        zone="municipality",
        journal=journal,
        hsm=hsm,
        tokens=tokens,
        watch=watch,
        keks=keks,
        keyring=keyring,
        entropy=secrets.token_bytes,
        clock_ms=lambda: now[0],
        freezes=Freezes(database, lambda: now[0]),
        policy=InForce(),
    )
    return House(database, hsm, journal, mirror, keks, keyring, watch, custodian, now, path)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = build(tmp_path / "hyok.db", MemoryHsm(), Mirror(), [1_000_000_000])
    for tenant, name in [(TENANT, CLASSIFICATION), ("t", TENANT_CLASSIFICATION)] + [
        (tenant, name) for tenant in ("t", "ander") for name in CLASSES.names()
    ]:
        await made.keks.create(made.hsm, tenant, name, 1, made.now[0])
    yield made
    made.database.close()


def bucket(name: str = "dossiers", tenant: str = "t", default: str = "openbaar") -> Bucket:
    classification = ClassificationName(default)
    return Bucket(
        name, tenant, "local", name, classification, "clear", allowed=CLASSES.at_least(default)
    )


def asking(classification: str | None, action: str = "object:put", **more: str) -> Ask:
    principal = Principal(
        "app", "t", clearance=50, purpose="werk", grants=frozenset({"read", "write"})
    )
    name = None if classification is None else ClassificationName(classification)
    made = Ask(principal, action, bucket(), "sleutel", "R1", "127.0.0.1", 1, name)
    return replace(made, scope_label=more.get("case", ""))


READ = asking(None, "object:get")


async def issue(house: House, ask: Ask) -> bytes:
    issued = await house.custodian.issue(
        ask, plain_size=3, multipart=False, metadata=METADATA, part_header=HEADER
    )
    return issued.envelope


@pytest.mark.parametrize(
    "name", ["openbaar", "intern", "vertrouwelijk", "zeer_vertrouwelijk", "geheim", "onbekend"]
)
async def test_what_was_issued_is_recovered_under_its_own_classification(
    house: House, name: str
) -> None:
    issued = await house.custodian.issue(
        asking(name), plain_size=3, multipart=False, metadata=METADATA, part_header=HEADER
    )
    found = await house.custodian.recover(READ, issued.envelope)
    assert found.data_key == issued.data_key
    assert found.classification == name


async def test_the_log_knows_before_the_key_is_used_and_where_it_must_be_durable(
    house: House,
) -> None:
    house.journal.away = True
    before = len(house.hsm.asked)
    with pytest.raises(Unavailable):
        await issue(house, asking("vertrouwelijk"))
    assert len(house.hsm.asked) == before
    house.journal.away = False
    await issue(house, asking("vertrouwelijk"))
    await issue(house, asking("intern"))
    assert [(r.phase, r.classification, durable) for r, durable in house.journal.entries] == [
        ("intend", "vertrouwelijk", True),
        ("intend", "intern", False),
    ]


async def test_a_refusal_uses_no_key_and_is_recorded(house: House) -> None:
    envelope = await issue(house, asking("geheim"))
    before = len(house.hsm.asked)
    low = replace(READ, principal=replace(READ.principal, clearance=20))
    with pytest.raises(Refused):
        await house.custodian.recover(low, envelope)
    assert len(house.hsm.asked) == before
    assert house.journal.records[-1].outcome == "denied"
    assert house.journal.records[-1].reasons == ("app-clearance",)


async def test_many_who_ask_for_one_cold_key_cost_one_call(house: House) -> None:
    envelope = await issue(house, asking("vertrouwelijk"))
    house.keyring.forget()
    before = len(house.hsm.asked)
    await asyncio.gather(*(house.custodian.recover(READ, envelope) for _ in range(1000)))
    assert len(house.hsm.asked) == before + 1


async def test_secret_objects_ask_the_hsm_every_time(house: House) -> None:
    envelope = await issue(house, asking("geheim"))
    before = len(house.hsm.asked)
    for _ in range(3):
        await house.custodian.recover(READ, envelope)
    assert len(house.hsm.asked) == before + 3


async def test_a_key_is_forgotten_after_its_time(house: House) -> None:
    envelope = await issue(house, asking("vertrouwelijk"))
    await house.custodian.recover(READ, envelope)
    before = len(house.hsm.asked)
    house.now[0] += 299_000
    await house.custodian.recover(READ, envelope)
    assert len(house.hsm.asked) == before
    house.now[0] += 2_000
    await house.custodian.recover(READ, envelope)
    assert len(house.hsm.asked) == before + 1


async def test_two_processes_agree_on_the_key_of_a_scope(house: House, tmp_path: Path) -> None:
    other = build(tmp_path / "hyok.db", house.hsm, house.mirror, house.now)
    envelopes = await asyncio.gather(
        *(issue(one, asking("intern")) for one in (house, other) for _ in range(5))
    )
    assert len({parse(envelope).token for envelope in envelopes}) == 1
    other.database.close()


async def test_a_new_key_writes_after_its_time_and_the_old_one_reads_on(house: House) -> None:
    first = await issue(house, asking("intern"))
    house.now[0] += 3_600_001
    second = await issue(house, asking("intern"))
    assert parse(first).token != parse(second).token
    await house.custodian.recover(READ, first)


async def test_records_are_mirrored_before_use_unless_they_can_be_shredded(house: House) -> None:
    plain = parse(await issue(house, asking("intern")))
    shreddable = parse(await issue(house, asking("vertrouwelijk")))
    held = {name for _, name in house.mirror.held}
    assert f"keyring/{plain.token.hex()}" in held
    assert f"keyring/{shreddable.token.hex()}" not in held


async def test_a_case_has_a_key_of_its_own_and_its_number_stands_nowhere(house: House) -> None:
    one = parse(await issue(house, asking("vertrouwelijk", case="Z-2026-0001")))
    same = parse(await issue(house, asking("vertrouwelijk", case="Z-2026-0001")))
    other = parse(await issue(house, asking("vertrouwelijk", case="Z-2026-0002")))
    assert one.token == same.token != other.token
    assert one.scope.startswith("subject:")
    assert "2026" not in one.scope


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"kek_id": "ander/intern/1"}, Refused),
        ({"kek_id": "t/intern/9"}, Refused),
        ({"scope": "bucket:anders"}, HyokError),
        ({"scope": "names:dossiers"}, HyokError),
        ({"kek_id": "t/geheim/1"}, Refused),
        ({"kek_id": "system/secrets/1"}, Refused),
    ],
)
async def test_what_the_store_says_is_checked_before_the_hsm_is_asked(
    house: House, change: dict[str, str], kind: type[HyokError]
) -> None:
    genuine = parse(await issue(house, asking("intern")))
    house.keyring.forget()
    before = len(house.hsm.asked)
    with pytest.raises(kind):
        await house.custodian.recover(READ, render(genuine._replace(**change)))
    assert len(house.hsm.asked) == before


async def test_a_class_below_the_bucket_is_not_read_there(house: House) -> None:
    envelope = await issue(house, asking("openbaar"))
    raised = replace(READ, bucket=bucket(default="vertrouwelijk"))
    with pytest.raises(Refused):
        await house.custodian.recover(raised, envelope)


async def test_an_envelope_of_another_object_does_not_open(house: House) -> None:
    envelope = await issue(house, asking("intern"))
    with pytest.raises(Tampered):
        await house.custodian.recover(replace(READ, key="ander"), envelope)


async def test_a_suspended_key_bites_though_its_secret_is_remembered(house: House) -> None:
    envelope = await issue(house, asking("intern"))
    await house.custodian.recover(READ, envelope)
    await house.keks.change_state("t/intern/1", KeyState.SUSPENDED)
    with pytest.raises(Refused):
        await house.custodian.recover(READ, envelope)
    with pytest.raises(Unavailable):
        await issue(house, asking("intern"))


async def test_without_the_hsm_nothing_is_written_or_read_and_it_recovers(house: House) -> None:
    envelope = await issue(house, asking("vertrouwelijk"))
    house.hsm.away = True
    assert not await house.watch.look()
    for name in ("intern", "vertrouwelijk", "geheim"):
        with pytest.raises(Unavailable):
            await issue(house, asking(name))
    with pytest.raises(Unavailable):
        await house.custodian.recover(READ, envelope)
    house.hsm.away = False
    assert await house.watch.look()
    await house.custodian.recover(READ, envelope)


async def test_a_destroyed_record_does_not_come_back_from_the_mirror(house: House) -> None:
    envelope = await issue(house, asking("intern"))
    token = parse(envelope).token
    house.keyring.forget()

    def destroy(connection) -> None:  # type: ignore[no-untyped-def]
        from sqlalchemy import update

        from hyok.database.tables import keyring

        connection.execute(
            update(keyring)
            .where(keyring.c.ik_id == token)
            .values(record=None, destroyed_ms=1, current=False)
        )

    await house.database.run(destroy)
    with pytest.raises(NotFound):
        await house.custodian.recover(READ, envelope)


async def test_a_sealed_row_opens_for_its_purpose_alone(house: House) -> None:
    box = HsmSecretBox(house.hsm, house.keks, secrets.token_bytes)
    sealed = await box.seal("access-key:A", b"geheim")
    assert b"geheim" not in sealed
    assert await box.open("access-key:A", sealed) == b"geheim"
    with pytest.raises(Tampered):
        await box.open("access-key:B", sealed)
    for at in range(len(sealed)):
        flipped = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(HyokError):
            await box.open("access-key:A", flipped)


@pytest.mark.parametrize("state", list(KeyState))
def test_only_an_active_key_wraps_and_a_destroyed_one_does_nothing(state: KeyState) -> None:
    for use in Use:
        allowed = use in ALLOWED_USES[state]
        assert allowed or state is not KeyState.ACTIVE
        if allowed:
            check_use(state, use)
            assert use is not Use.WRAP or state is KeyState.ACTIVE
        else:
            with pytest.raises(Refused):
                check_use(state, use)
    assert Use.CONTINUE not in ALLOWED_USES[KeyState.COMPROMISED]
    assert KeyState.ACTIVE not in TRANSITIONS[KeyState.COMPROMISED]
    assert not TRANSITIONS[KeyState.DESTROYED]
