"""What the installation's own key seals moves to its next version, and opens as before."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import LargeBinary, select, update
from tests.unit.custody.test_custodian import house
from tests.unit.custody.test_rotation import rotation_of
from tests.unit.objects.vaults import vaults_over
from tests.unit.officer.desk import Desk, Noted, desk_over
from tests.unit.officer.own_rows import own_rows
from tests.unit.officer.test_acts import Acts, ask_of, case_of
from tests.unit.officer.test_policies import FILES

from hyok.custody.quorum import Act, Officer, Role, Verdict
from hyok.custody.secret_box import sealed_under
from hyok.custody.shadow_book import ShadowBook
from hyok.custody.signing import KeySigner, OidcSigner
from hyok.database.rows import BACKUP_MADE, put_setting
from hyok.database.tables import metadata, officer_register
from hyok.errors import Conflict, NotFound, Tampered
from hyok.identity.access_keys import AccessKeys
from hyok.identity.apps import App
from hyok.policy.bundle import Bundle
from hyok.secret_rows import COLUMNS

if TYPE_CHECKING:
    from tests.unit.custody.test_custodian import House

    from hyok.custody.sealed_rows import SealedRows

__all__ = ["house"]

SUBJECT = "oidc:https://login.example#bram"
NOT_OURS = {
    # Columns of bytes that the installation's own key does not seal, or that are renewed with the
    # proposals whose signatures they carry.
    *("buckets.names_ik_id", "keks.check_value", "keks.check_token", "keks.origin"),
    *("keks.public_key", "keyring.ik_id", "keyring.record", "tombstones.ik_id"),
    *("uploads.object_id", "uploads.envelope", "upload_parts.part_id", "upload_asides.part_id"),
    *("upload_asides.sealed", "leases.holder", "adopted_objects.row_id", "adopted_objects.entry"),
    *("job_failures.item", "officer_authenticators.credential_id", "session_keys.key_id"),
    *("officer_authenticators.public_key", "policy_bundles.document", "policy_shadow.document"),
    *("proposals.sealed", "officer_decisions.proof", "executions.proof", "executions.sealed"),
    "stores.sealed_credentials",  # nothing writes it yet
    # Rows of the audit log on their way into every host's file: signed, and no secret.
    *("audit_waiting.lines", "audit_waiting.signature", "audit_chunks.lines"),
    *("audit_chunks.signature", "audit_runs.public_key"),
    *("door_key_versions.check_value", "door_key_versions.check_token"),  # as those of keks
    "door_key_versions.public_key",  # public
    "door_tokens.secret_sha256",  # a digest of 262 random bits
}


def test_no_column_of_bytes_is_forgotten() -> None:
    """A column that is added has to be told here, or in what is renewed."""
    found = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    ours = {f"{one.table.name}.{one.column.name}" for one in COLUMNS}
    assert not ours & NOT_OURS
    assert found == ours | NOT_OURS


class Office:
    """Rows of every kind, written under the first version."""

    def __init__(self, house: House, acts: Acts, rows: SealedRows, desk: Desk) -> None:
        self.house, self.acts, self.rows, self.desk = house, acts, rows, desk
        self.keys = AccessKeys(house.database, desk.box)
        self.shadows = ShadowBook(house.database, desk.box, lambda: house.now[0])
        self.done = self.open = self.access_key = self.secret = ""

    async def rotate(self) -> str:
        self.house.now[0] += 10_000
        kek, _ = await rotation_of(self.house).next_version("system", "secrets")
        return kek.kek_id

    async def backed_up(self) -> None:
        now = self.house.now[0] + 1
        await self.house.database.run(lambda c: put_setting(c, BACKUP_MADE, str(now), now_ms=now))


@pytest.fixture
async def office(house: House) -> Office:
    vaults = await vaults_over(house, classification="intern")
    house.now[0] += 5_000
    acts = Acts(vaults)
    for bucket in await acts.registry.all():
        await acts.keeper.keep_registration(bucket)
    keys = {person: KeySigner(Ed25519PrivateKey.generate()) for person in ("anna", "chris")}
    desk = desk_over(house.database, house.hsm, keys, house.now, Noted(), development=True)
    for person, identity in (
        ("anna", keys["anna"].identity),
        ("bram", SUBJECT),
        ("chris", "development:chris"),
    ):
        await desk.register.add(
            Officer(person, person, frozenset({Role.SECURITY, Role.OWNER})), frozenset({identity})
        )
    made = Office(house, acts, own_rows(vaults), desk)
    await made.keys.create_app(App("app", "t", 50, frozenset({"read"})))
    issued = await made.keys.create_key("app")
    made.access_key, made.secret = issued.access_key, issued.secret.get_secret_value()
    await made.shadows.put(Bundle(1, FILES), "anna", "proef")
    made.done, made.open = await desk.propose(), await desk.propose(author="anna")
    bram = OidcSigner(SUBJECT, "ab" * 32, desk.box)
    await desk.actions.decide(desk.as_developer("chris"), made.done, Verdict.APPROVE)
    await desk.actions.execute(desk.as_developer("chris"), made.done)
    await desk.actions.decide(bram, made.open, Verdict.REFUSE)
    return made


async def test_all_of_it_is_under_the_new_version_and_proves_what_it_proved(
    office: Office,
) -> None:
    before = await office.rows.count()
    assert set(before) == {"system/secrets/1"}
    kek_id = await office.rotate()
    plan = {"key": "system/secrets/1"}
    with pytest.raises(Conflict) as said:
        await office.acts.destroy_key.plan(plan)
    assert said.value.code == "HY-2311"
    renewed = await office.rows.renew(kek_id)
    assert renewed.failures == []
    assert renewed.values
    assert await office.rows.count() == {kek_id: sum(before.values())}
    assert (await office.rows.renew(kek_id)).values == 0, "nothing is left to do"

    with pytest.raises(Conflict) as said:
        await office.acts.destroy_key.plan(plan)
    assert said.value.code == "HY-2426"
    await office.backed_up()
    planned = await office.acts.destroy_key.plan(plan)
    assert planned.quorum.approvals == 2
    await office.acts.destroy_key.perform(
        ask_of(Act.DESTROY_KEY, planned), case_of(Act.DESTROY_KEY, planned)
    )
    old = await office.house.keks.find("system/secrets/1")
    assert old is not None
    with pytest.raises(NotFound):
        await office.house.hsm.check(old.spec)
    assert set((await office.desk.register.read()).officers) == {"anna", "bram", "chris"}
    done = await office.desk.approvals.get(office.done)
    assert [one.method for one in done.decisions] == ["ed25519", "development"]
    assert done.execution is not None
    assert done.execution.method == "development"
    refused = await office.desk.approvals.get(office.open)
    assert [one.method for one in refused.decisions] == ["ed25519", "oidc"]
    in_shadow = await office.shadows.current()
    assert in_shadow is not None
    assert in_shadow[0].by == "anna"
    office.keys.forget()
    found = await office.keys.find(office.access_key)
    assert found.secret.get_secret_value() == office.secret


async def test_a_row_that_somebody_edited_is_told_and_keeps_the_old_version(
    office: Office,
) -> None:
    kek_id = await office.rotate()
    rows = await office.house.database.read(
        lambda connection: connection.execute(select(officer_register)).one()
    )
    forged = rows.sealed[:-1] + bytes([rows.sealed[-1] ^ 1])
    await office.house.database.run(
        lambda connection: connection.execute(update(officer_register).values(sealed=forged))
    )
    renewed = await office.rows.renew(kek_id)
    assert any("officer_register" in text for text in renewed.failures)
    await office.backed_up()
    with pytest.raises(Conflict) as said:
        await office.acts.destroy_key.plan({"key": "system/secrets/1"})
    assert said.value.code == "HY-2311"


async def test_what_another_process_wrote_meanwhile_stays(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    kek_id = await office.rotate()
    box = office.desk.box
    renew = type(box).renew
    newer = await box.seal("officers 3", b"van een ander")

    async def raced(self: object, purpose: str, sealed: bytes) -> bytes:
        again = await renew(box, purpose, sealed)
        if purpose.startswith("officers"):
            await office.house.database.run(
                lambda c: c.execute(update(officer_register).values(sealed=newer))
            )
        return again

    monkeypatch.setattr(type(box), "renew", raced)
    await office.rows.renew(kek_id)
    row = await office.house.database.read(lambda c: c.execute(select(officer_register)).one())
    assert row.sealed == newer


async def test_a_value_that_is_moved_to_another_row_is_not_renewed(house: House) -> None:
    vaults = await vaults_over(house)
    rows = own_rows(vaults)
    box = rows._box
    sealed = await box.seal("session-key/0011223344556677", secrets.token_bytes(32))
    with pytest.raises(Tampered):
        await box.renew("session-key/ffffffffffffffff", sealed)
    assert sealed_under(await box.renew("session-key/0011223344556677", sealed))
