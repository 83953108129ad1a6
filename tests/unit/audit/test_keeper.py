"""The tree follows the lines, goes on after any crash, and never signs another history."""

from __future__ import annotations

import gzip
import json
import shutil
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hyok.audit.checkpoint import PublicKey, parse_checkpoint, sign_line
from hyok.audit.file import LogFile, canonical
from hyok.audit.keeper import TreeKeeper
from hyok.audit.segments import segments_of
from hyok.audit.tiles import HISTORY, STATE
from hyok.audit.tree import Tree, leaf_hash
from hyok.errors import Tampered

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.audit.checkpoint import NoteSignature
    from hyok.vocabulary import TreeHead

PRIVATE = ec.derive_private_key(7, ec.SECP256R1())
KEY = PublicKey(PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
ORIGIN = "audit.example/test"


class Signer:
    software = False

    def sign(self, head: TreeHead) -> NoteSignature:
        raw = PRIVATE.sign(head.text().encode(), ec.ECDSA(SHA256()))
        return sign_line(head.origin, KEY, raw)


def write(path: Path, count: int) -> None:
    log = LogFile(path)
    log.append(
        [{"action": "a", "n": sha256(bytes([n % 256])).hexdigest()} for n in range(count)],
        sync=True,
    )
    log.close()


def root_of_lines(path: Path) -> bytes:
    tree = Tree()
    for line in path.read_bytes().splitlines():
        tree.append(leaf_hash(line))
    return tree.root()


def seal(path: Path):
    keeper = TreeKeeper(path, ORIGIN)
    keeper.follow(path.stat().st_size)
    return keeper.make_checkpoint(Signer(), 1_790_000_000_000)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    write(path, 700)
    return path


def test_a_checkpoint_has_the_root_of_the_lines_and_the_keys_signature(log: Path) -> None:
    made = seal(log)
    assert (made.head.size, made.head.root) == (700, root_of_lines(log))
    assert made.verify([KEY]) == KEY
    folder = log.with_name("audit.jsonl.tree")
    assert parse_checkpoint((folder / "checkpoint").read_text()) == made
    assert sorted(
        str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()
    ) == [
        "checkpoint",
        HISTORY,
        STATE,
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/188",
        "tile/1/000.p/2",
    ]


def test_only_what_is_on_disk_is_taken_in(log: Path) -> None:
    keeper = TreeKeeper(log, ORIGIN)
    raw = log.read_bytes()
    keeper.follow(len(raw) // 2)
    assert keeper.size == raw[: len(raw) // 2].count(b"\n")
    keeper.follow(len(raw))
    assert keeper.size == 700


@pytest.mark.parametrize("between", [0, 1, 255, 256, 257, 700])
def test_the_tree_goes_on_where_it_was_without_reading_the_log_anew(
    log: Path, between: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal(log)
    write(log, between)
    monkeypatch.setattr(TreeKeeper, "_begin_anew", lambda _: pytest.fail("it began anew"))
    assert seal(log).head.root == root_of_lines(log)


def test_a_keeper_that_was_stopped_while_it_caught_up_goes_on_from_there(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyok.audit.keeper.FLUSH_RECORDS", 100)
    monkeypatch.setattr("hyok.audit.keeper.BLOCK_BYTES", 5_000)
    TreeKeeper(log, ORIGIN).follow(log.stat().st_size)  # and no more: it was killed
    later = TreeKeeper(log, ORIGIN)
    assert 600 <= later.size < 700
    later.follow(log.stat().st_size)
    assert later.make_checkpoint(Signer(), 1).head.root == root_of_lines(log)


def _lose_state(folder: Path) -> None:
    (folder / STATE).unlink()


def _tear_tile(folder: Path) -> None:
    tile = next(folder.glob("tile/0/*.p/*"))
    tile.write_bytes(tile.read_bytes()[:-5])


def _zero_tile(folder: Path) -> None:
    tile = next(folder.glob("tile/0/*.p/*"))
    tile.write_bytes(bytes(tile.stat().st_size))


def _lose_tiles(folder: Path) -> None:
    shutil.rmtree(folder / "tile")


def _tear_state(folder: Path) -> None:
    (folder / STATE).write_text('{"size": 7')


def _wrong_state(folder: Path) -> None:
    state = json.loads((folder / STATE).read_text())
    (folder / STATE).write_text(json.dumps({**state, "offset": state["offset"] - 3}))


@pytest.mark.parametrize(
    "harm", [_lose_state, _tear_tile, _zero_tile, _lose_tiles, _tear_state, _wrong_state]
)
def test_damaged_tiles_are_made_anew_from_the_log(log: Path, harm) -> None:
    seal(log)
    harm(log.with_name("audit.jsonl.tree"))
    write(log, 3)
    assert seal(log).head.root == root_of_lines(log)


def test_a_torn_line_of_the_history_is_cut_and_the_others_stay(log: Path) -> None:
    first = seal(log)
    history = log.with_name("audit.jsonl.tree") / HISTORY
    with history.open("ab") as file:
        file.write(b'"audit.example/test\\n70')
    write(log, 1)
    second = seal(log)
    assert list(TreeKeeper(log, ORIGIN).folder.notes()) == [first.note(), second.note()]


def test_the_log_may_be_rotated_while_no_writer_runs(log: Path) -> None:
    seal(log)
    whole = log.read_bytes()
    log.rename(log.with_name("audit.jsonl.1"))
    write(log, 10)
    assert seal(log).head.size == 710
    whole += log.read_bytes()
    packed = log.with_name("audit.jsonl.2.gz")
    packed.write_bytes(gzip.compress(log.with_name("audit.jsonl.1").read_bytes()))
    log.with_name("audit.jsonl.1").unlink()
    log.rename(log.with_name("audit.jsonl.1"))
    write(log, 300)
    whole += log.read_bytes()
    assert [each.first for each in segments_of(log)] == [1, 701, 711]
    tree = Tree()
    for line in whole.splitlines():
        tree.append(leaf_hash(line))
    assert seal(log).head.root == tree.root()
    # Also from nothing.
    shutil.rmtree(log.with_name("audit.jsonl.tree"))
    assert seal(log).head.root == tree.root()


def _cut(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:650]))


def _edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"seq":3}', b'"seq":3 }', 1))


# With its tiles in place an edit is not seen here: the writer does not read the whole log at each
# start.  `hyok audit verify` does.
@pytest.mark.parametrize(("harm", "with_tiles"), [(_cut, True), (_cut, False), (_edit, False)])
def test_a_log_that_is_not_the_last_checkpoints_is_never_signed(
    log: Path, harm, with_tiles: bool
) -> None:
    seal(log)
    harm(log)
    if not with_tiles:
        _lose_tiles(log.with_name("audit.jsonl.tree"))
    with pytest.raises(Tampered):
        seal(log)


def test_a_line_out_of_its_order_ends_the_signing(log: Path) -> None:
    seal(log)
    with log.open("ab") as file:
        file.write(canonical({"action": "a", "seq": 702}))
    with pytest.raises(Tampered):
        seal(log)


def test_another_origin_is_not_signed_for_the_same_log(log: Path) -> None:
    seal(log)
    keeper = TreeKeeper(log, "audit.example/other")
    keeper.follow(log.stat().st_size)
    with pytest.raises(Tampered):
        keeper.make_checkpoint(Signer(), 1)
