"""A backup that custodians hold shows who made it, or is refused until somebody says otherwise."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import pytest
from tests.unit.custody.test_custodian_shares import PASSPHRASE

from hyok.audit.checkpoint import PublicKey
from hyok.audit.signed import head_of, wrapped
from hyok.audit.tiles import pinned_key
from hyok.cli.backup_origin import FORM, Origin, origin_of, signing, verify
from hyok.custody.audit_key import AuditKey, software_key
from hyok.custody.custodian_shares import (
    CustodianBox,
    ShareBox,
    make_custodian,
    named_in,
    open_share,
    read_private,
)
from hyok.database.sealed_copy import (
    BY_CUSTODIANS,
    BY_CUSTODIANS_SIGNED,
    open_copy,
    read_head,
    seal_copy,
)
from hyok.errors import Conflict, HyokError, Malformed, Tampered
from hyok.officer.minutes import FORM as MINUTES

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_764_331_200_000
PLAIN = b"SQLite format 3" * 30_000


class House:
    """An installation's audit key, two custodians, and a backup that they hold."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "audit.jsonl"
        self.key = self.key_of("own")
        self.pems, people = [], []
        for name in ("anna", "bram"):
            pem, made = make_custodian(name, PASSPHRASE)
            self.pems.append(pem)
            people.append(made)
        self.box = CustodianBox(people, 2, secrets.token_bytes)
        self.file = folder / "held.hyok"
        (folder / "plain").write_bytes(PLAIN)

    def key_of(self, name: str) -> AuditKey:
        label = f"hyok-audit/{name}/1"
        pinned = pinned_key(self.log if name == "own" else self.folder / f"{name}.jsonl", label)
        key = software_key(self.folder / f"{name}.json", label, pinned)
        key.create()
        return key

    async def seal(self, key: AuditKey | None, file: Path | None = None) -> Path:
        sign = signing(key, "proef", lambda: NOW_MS) if key is not None else None
        version = BY_CUSTODIANS if key is None else BY_CUSTODIANS_SIGNED
        entropy, file = secrets.token_bytes, file or self.file
        await seal_copy(self.folder / "plain", file, self.box, entropy, NOW_MS, version, sign)
        return file

    def known(self, *files: Path, unsigned: bool = False) -> Origin:
        return origin_of(self.log, files, None, unsigned=unsigned)

    def verify(self, origin: Origin | None = None) -> str:
        return verify(self.file, read_head(self.file)[0], origin or self.known())

    async def opened(self) -> bytes:
        """Return what the custodians' shares open."""
        head, block = read_head(self.file)
        shares = [
            open_share(head.purpose, block, read_private(pem, PASSPHRASE)) for pem in self.pems
        ]
        assert named_in(block)[0] == 2
        to = self.folder / "opened"
        await open_copy(self.file, to, ShareBox(shares))
        return to.read_bytes()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def pem_of(house: House, key: AuditKey, name: str = "named.pem") -> Path:
    file = house.folder / name
    file.write_text(key.public_key().pem())
    return file


async def test_what_the_audit_key_signed_is_taken_and_opens(house: House) -> None:
    await house.seal(house.key)
    assert house.verify() == house.key.public_key().fingerprint
    assert house.verify(house.known(pem_of(house, house.key))) != ""
    assert await house.opened() == PLAIN
    assert not (house.folder / "held.hyok.part").exists()


async def test_a_file_that_somebody_sealed_to_the_custodians_is_refused(house: House) -> None:
    """The custodians' keys are public, and so is the form of an old, unsigned backup."""
    await house.seal(None)
    with pytest.raises(Conflict) as said:
        house.verify()
    assert said.value.code == "HY-2470"
    assert await house.opened() == PLAIN, "nothing but the signature tells it from a real one"
    house.file.unlink()
    await house.seal(house.key_of("thief"))
    with pytest.raises(Tampered) as other:
        house.verify()
    assert other.value.code == "HY-2471"


async def test_a_signature_holds_for_its_file_alone(house: House) -> None:
    await house.seal(house.key)
    other = await house.seal(house.key, house.folder / "other.hyok")
    size = read_head(house.file)[0].size_bytes
    raw = house.file.read_bytes()
    begins = b'{"format": "hyok-signed/1"'
    end, another = raw.rindex(begins), other.read_bytes()
    signature = another[another.rindex(begins) :]
    changed = bytearray(raw)
    changed[size // 2] ^= 1
    for forged in (raw[:end] + signature, bytes(changed), raw[:end], raw[:-3], raw + b" {}"):
        house.file.write_bytes(forged)
        with pytest.raises(HyokError) as said:
            house.verify()
        assert said.value.code in {"HY-2471", "HY-2402"}, len(forged)
    house.file.write_bytes(raw)
    assert house.verify()


async def test_a_signature_over_another_form_of_document_is_none_of_a_backup(house: House) -> None:
    """The key signs minutes and reports too: one that was made to look alike must not do."""
    await house.seal(house.key)
    raw = house.file.read_bytes()
    at = raw.rindex(b'{"format": "hyok-signed/1"')
    document = json.loads(raw[at:])["document"]
    assert document["format"] == FORM
    forged = document | {"format": "hyok-minutes/1"}
    head = head_of(forged, "proef", NOW_MS, software=True)
    signed = wrapped(forged, head, house.key.sign(head))
    house.file.write_bytes(raw[:at] + json.dumps(signed).encode())
    with pytest.raises(Tampered):
        house.verify()


async def test_without_a_public_key_nothing_is_taken_but_what_is_said_explicitly(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """Log, host and database are lost, and nobody brought the key."""
    await house.seal(house.key)
    house.log = house.folder / "nowhere" / "audit.jsonl"
    with pytest.raises(Conflict, match="no public key is known") as said:
        house.verify()
    assert "--unsigned" in said.value.next_step
    assert house.verify(house.known(unsigned=True)) == ""
    assert "nothing shows who made held.hyok" in capsys.readouterr().err
    with pytest.raises(Malformed):
        house.known(pem_of(house, house.key), unsigned=True)


async def test_a_key_that_is_named_stands_alone(house: House) -> None:
    """What lies beside the log is not asked as well: it may be what was changed."""
    await house.seal(house.key)
    with pytest.raises(Tampered):
        house.verify(house.known(pem_of(house, house.key_of("thief"))))


async def test_minutes_name_the_key_and_are_taken_only_as_they_were_signed(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.seal(house.key)
    document = {"format": MINUTES, "act": "key:create"}
    head = head_of(document, "proef", NOW_MS, software=True)
    public = house.key.public_key()
    whole = wrapped(document, head, house.key.sign(head), public)
    file = house.folder / "minutes.json"
    file.write_text(json.dumps(whole))
    assert house.verify(origin_of(house.log, None, file, unsigned=False)) == public.fingerprint
    assert public.fingerprint in capsys.readouterr().err, "to compare with the paper"
    thief: PublicKey = house.key_of("thief").public_key()
    for changed in (whole | {"public_key": thief.pem()}, whole | {"document": document | {"x": 1}}):
        file.write_text(json.dumps(changed))
        with pytest.raises(Tampered):
            origin_of(house.log, None, file, unsigned=False)
    del whole["public_key"]
    file.write_text(json.dumps(whole))
    with pytest.raises(Malformed) as said:
        origin_of(house.log, None, file, unsigned=False)
    assert said.value.code == "HY-2470"


async def test_without_an_audit_key_no_backup_is_made(house: House) -> None:
    label = "hyok-audit/none/1"
    key = software_key(house.folder / "none.json", label, house.folder / "none.pem")
    with pytest.raises(Conflict) as said:
        await house.seal(key)
    assert said.value.code == "HY-2472"
    assert not house.file.exists()
    assert not list(house.folder.glob("*.part"))
