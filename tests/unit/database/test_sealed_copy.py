"""A backup opens under the installation's HSM alone, whole or not at all."""

from __future__ import annotations

import os
import secrets
import sqlite3
from typing import TYPE_CHECKING

import pytest
from tests.fakes.memory_hsm import MemoryHsm

from hyok.custody.kek import from_label
from hyok.custody.lone_keys import LoneKeys, find_keks
from hyok.custody.secret_box import HsmSecretBox
from hyok.database import sealed_copy
from hyok.database.copy import put_back
from hyok.database.sealed_copy import BackupHead, open_copy, seal_copy
from hyok.errors import Conflict, HyokError, Malformed, Tampered, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.vocabulary import Bucket

SEGMENT = 262_144
NOW_MS = 1_764_331_200_000


async def box_of(hsm: MemoryHsm) -> HsmSecretBox:
    async def no_records(_bucket: Bucket, _ik_id: bytes) -> None:
        return None

    return HsmSecretBox(hsm, LoneKeys(hsm, await find_keks(hsm), no_records), secrets.token_bytes)


@pytest.fixture
async def hsm() -> MemoryHsm:
    made = MemoryHsm()
    assert from_label(await made.create_kek("system/secrets/1", 1)) is not None
    return made


@pytest.mark.parametrize("size", [1, 4096, SEGMENT - 57, SEGMENT - 56, SEGMENT - 55, 3 * SEGMENT])
async def test_a_backup_of_any_length_comes_back_and_shows_nothing(
    hsm: MemoryHsm, tmp_path: Path, size: int
) -> None:
    plain, sealed, back = tmp_path / "plain", tmp_path / "sealed", tmp_path / "back"
    content = (b"BSN 123456782 " * (size // 14 + 1))[:size]
    plain.write_bytes(content)
    written = await seal_copy(plain, sealed, await box_of(hsm), secrets.token_bytes, NOW_MS)
    assert written == sealed.stat().st_size
    assert b"123456782" not in sealed.read_bytes()
    assert sealed.stat().st_mode & 0o777 == 0o600
    head = await open_copy(sealed, back, await box_of(hsm))
    assert back.read_bytes() == content
    assert back.stat().st_mode & 0o777 == 0o600
    assert (head.made_ms, head.size_bytes) == (NOW_MS, size)


async def test_every_byte_that_is_changed_is_noticed(hsm: MemoryHsm, tmp_path: Path) -> None:
    plain, sealed, back = tmp_path / "plain", tmp_path / "sealed", tmp_path / "back"
    plain.write_bytes(os.urandom(600))
    box = await box_of(hsm)
    await seal_copy(plain, sealed, box, secrets.token_bytes, NOW_MS)
    good = sealed.read_bytes()
    for at in range(len(good)):
        sealed.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises((Tampered, Malformed)):
            await open_copy(sealed, back, box)
        assert not back.exists()


async def test_cut_lengthened_and_mixed_backups_are_refused(hsm: MemoryHsm, tmp_path: Path) -> None:
    plain, sealed, back = tmp_path / "plain", tmp_path / "sealed", tmp_path / "back"
    box = await box_of(hsm)
    both = []
    for name in ("one", "two"):
        plain.write_bytes(os.urandom(2 * SEGMENT))
        await seal_copy(plain, tmp_path / name, box, secrets.token_bytes, NOW_MS)
        both.append((tmp_path / name).read_bytes())
    one, two = both
    cuts = [0, 1, 38, 39, 100, len(one) - SEGMENT, len(one) - 1]
    spoilt = [one[:cut] for cut in cuts]
    spoilt += [one + b"\0", one + two, one[:-SEGMENT] + two[-SEGMENT:]]
    front = len(one) - sealed_copy.Layout(sealed_copy.HYOK1).part_sealed_size(2 * SEGMENT)
    spoilt += [one[:front] + two[front:]]
    for raw in spoilt:
        sealed.write_bytes(raw)
        with pytest.raises((Tampered, Malformed)):
            await open_copy(sealed, back, box)
        assert not back.exists()


async def test_another_installations_hsm_does_not_open_it(hsm: MemoryHsm, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x" * 5000)
    sealed = tmp_path / "sealed"
    await seal_copy(tmp_path / "plain", sealed, await box_of(hsm), secrets.token_bytes, NOW_MS)
    other = MemoryHsm()
    await other.create_kek("system/secrets/1", 1)
    with pytest.raises(Tampered):
        await open_copy(sealed, tmp_path / "back", await box_of(other))
    with pytest.raises(HyokError):
        await open_copy(sealed, tmp_path / "back", await box_of(MemoryHsm()))
    hsm.away = True
    with pytest.raises(Unavailable):
        await open_copy(sealed, tmp_path / "back", await box_of(hsm))
    assert not (tmp_path / "back").exists()


async def test_without_the_hsm_no_backup_is_written_in_clear(
    hsm: MemoryHsm, tmp_path: Path
) -> None:
    (tmp_path / "plain").write_bytes(b"x" * 5000)
    box = await box_of(hsm)
    hsm.away = True
    with pytest.raises(Unavailable):
        await seal_copy(tmp_path / "plain", tmp_path / "b", box, secrets.token_bytes, NOW_MS)
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


async def test_a_backup_never_takes_the_place_of_another(hsm: MemoryHsm, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"yesterday's")
    box = await box_of(hsm)
    with pytest.raises(Conflict):
        await seal_copy(tmp_path / "plain", tmp_path / "b", box, secrets.token_bytes, NOW_MS)
    assert (tmp_path / "b").read_bytes() == b"yesterday's"


async def test_files_of_another_kind_or_version_are_told_apart(
    hsm: MemoryHsm, tmp_path: Path
) -> None:
    box = await box_of(hsm)
    file = tmp_path / "file"
    for raw, said in (
        (b"", "no backup of hyok"),
        (b"SQLite format 3\0" + bytes(100), "no backup of hyok"),
        (b"HYKB\4" + bytes(100), "version 4"),
    ):
        file.write_bytes(raw)
        with pytest.raises(Malformed, match=said):
            await open_copy(file, tmp_path / "back", box)
    with pytest.raises(Malformed, match="cannot be read"):
        await open_copy(tmp_path / "none", tmp_path / "back", box)


async def test_a_file_of_custodians_does_not_open_under_the_hsm(
    hsm: MemoryHsm, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"HYKB\2" + bytes(100))
    with pytest.raises(Tampered) as said:
        await open_copy(file, tmp_path / "back", await box_of(hsm))
    assert said.value.code == "HY-2402"


async def test_a_length_that_is_too_large_asks_for_no_memory(
    hsm: MemoryHsm, tmp_path: Path
) -> None:
    raw = BackupHead(bytes(16), NOW_MS, 1 << 60).render(b"k" * 100)
    (tmp_path / "file").write_bytes(raw)
    with pytest.raises(Tampered):
        await open_copy(tmp_path / "file", tmp_path / "back", await box_of(hsm))


def test_what_is_no_database_of_ours_takes_nobodys_place(tmp_path: Path) -> None:
    target, fresh = tmp_path / "hyok.db", tmp_path / "hyok.db.restoring"
    target.write_bytes(b"the old one")
    sqlite3.connect(fresh).execute("CREATE TABLE other (x)").connection.close()
    with pytest.raises(Malformed):
        put_back(fresh, target)
    assert target.read_bytes() == b"the old one"
