"""Several hosts, one log: the same file everywhere, one sequencer, every change to rows found."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.fakes.shared_log import MemoryLog, Rows
from tests.unit.audit.test_keeper import KEY, ORIGIN, Signer

from hyok.audit.checkpoint import Checkpoint, PublicKey, parse_checkpoint, sign_line
from hyok.audit.file import LogFile
from hyok.audit.ordering import OrderThread
from hyok.audit.row_log import RowLog, host_id
from hyok.audit.rows import vouch
from hyok.audit.sealing import CheckpointRules, CheckpointThread
from hyok.audit.shared_writer import Checkpoints
from hyok.audit.tiles import HISTORY, MEMORY, PROBLEM, folder_of, pinned_key
from hyok.audit.verify import verify
from hyok.errors import Conflict, Tampered, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.audit.checkpoint import NoteSignature
    from hyok.audit.shared import SharedLog
    from hyok.vocabulary import TreeHead


class Forger:
    """Signs with a key that is not the log's."""

    software = False

    def sign(self, head: TreeHead) -> NoteSignature:
        private = ec.derive_private_key(8, ec.SECP256R1())
        public = private.public_key()
        key = PublicKey(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        return sign_line(head.origin, key, private.sign(head.text().encode(), ec.ECDSA(SHA256())))


class Host:
    """One host's writer, turn by turn."""

    def __init__(
        self, folder: Path, name: str, rows: Rows, *, shared: SharedLog | None = None
    ) -> None:
        self.folder, self.name, self.rows = folder / name, name, rows
        self.given = shared
        self.folder.mkdir(exist_ok=True)
        self.path = self.folder / "audit.jsonl"
        pin = pinned_key(self.path, "hyok-audit/hyok/1")
        pin.parent.mkdir(exist_ok=True)
        pin.write_text(KEY.pem())
        self.start()

    def start(self) -> None:
        self.log = LogFile(self.path)
        self.log.sync()
        self.shared = self.given or MemoryLog(self.rows)
        memory = folder_of(self.path) / MEMORY
        self.mine = RowLog(self.shared, memory, host_id(self.name, self.path), self.name)
        checkpoints = Checkpoints(self.shared, self.mine)
        self.tree = CheckpointThread(
            self.path,
            lambda: self.log.durable_bytes,
            CheckpointRules(ORIGIN, 1),
            Signer,
            checkpoints,
        )
        self.order = OrderThread(
            *(self.path, self.log, self.shared, self.mine, Signer, "hyok"),
            lambda: self.tree.covered,
            threading.Event(),
        )
        checkpoints.order = self.order
        self.mine.begin()

    def kill(self) -> None:
        """End it as `kill -9` does: its session with the database breaks."""
        self.shared.retire()
        self.log.close()

    def write(self, *actions: str) -> None:
        self.mine.append([{"action": one, "at_ms": 1} for one in actions], sync=True)

    def turn(self, *, seal: bool = False) -> None:
        self.order._lead_at = 0.0
        self.order._report_at = 0.0
        self.order.look()
        if seal:
            self.tree._look(last=True)

    def said(self) -> list[str]:
        """Return the actions but those of writers that begin."""
        return [action for action in self.actions() if action != "audit:start"]

    def actions(self) -> list[str]:
        rows = [json.loads(line) for line in self.path.read_bytes().splitlines()]
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
        return [row["action"] for row in rows]


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def hosts(tmp_path: Path, rows: Rows) -> tuple[Host, Host]:
    return Host(tmp_path, "a", rows), Host(tmp_path, "b", rows)


def turns(*hosts: Host, seal: bool = False) -> None:
    for _ in range(3):
        for host in hosts:
            host.turn(seal=seal)


def test_every_host_has_the_same_file_and_checkpoints(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    for number in range(5):
        a.write(f"a{number}", f"a{number}+")
        b.write(f"b{number}")
        turns(a, b, seal=True)
    assert a.path.read_bytes() == b.path.read_bytes()
    names = [folder_of(host.path) / HISTORY for host in hosts]
    assert names[0].read_bytes() == names[1].read_bytes()
    assert [one for one in a.actions() if one[0] == "a" and one[1].isdigit()] == [
        f"a{number}{more}" for number in range(5) for more in ("", "+")
    ]
    for host in hosts:
        report = verify(host.path, [KEY])
        assert report.good
        assert report.covered == len(host.actions())
        record = json.loads(host.path.read_bytes().splitlines()[-1])
        assert record["host"] in ("a", "b")


def test_another_host_takes_over_and_loses_and_repeats_nothing(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    a.write("a1")
    b.write("b1")
    turns(a, b)
    assert a.order.leading
    assert not b.order.leading
    a.write("a2")  # durable, without a place yet
    a.kill()
    b.write("b2")
    turns(b, seal=True)
    assert b.order.leading
    assert b.said()[:2] == ["a1", "b1"]
    assert sorted(b.said()[2:]) == ["a2", "b2"]
    a.start()
    a.write("a3")
    turns(a, b, seal=True)
    assert a.actions() == [*b.actions()]
    assert a.actions()[-3:] == ["audit:gap", "audit:start", "a3"]  # it did not end by itself
    gap = json.loads(a.path.read_bytes().splitlines()[-3])
    assert "reasons" not in gap  # nothing is missing: only batched records might be
    assert verify(a.path, [KEY]).good


def test_a_sequencer_that_was_overtaken_adds_and_signs_nothing(hosts: tuple[Host, Host]) -> None:
    """Two believe that it is their turn: a's session broke, and it did not notice yet."""
    a, b = hosts
    a.write("a1")
    turns(a, b, seal=True)
    stale = a.shared.head()
    b.rows.leader = None  # the database let go of a's lock
    b.write("b1")
    turns(b)
    a.write("a2")
    assert stale is not None
    with pytest.raises(Conflict):
        a.order._order(stale)
    with pytest.raises(Conflict):
        a.shared.publish("note", 4)
    turns(b, a, seal=True)
    assert a.path.read_bytes() == b.path.read_bytes()
    assert a.actions().count("a2") == 1


def test_a_commit_that_nobody_heard_of_comes_into_the_log_once(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    a.write("a1")
    for ordered_meanwhile in (False, True):
        a.rows.forgetful = 1
        with pytest.raises(Unavailable):
            a.write("unsure")
        if ordered_meanwhile:
            turns(a, b)
        a.write("next")
    turns(a, b)
    assert a.said() == ["a1", *("unsure", "next") * 2]
    assert not a.rows.waiting


def test_while_the_database_is_away_nothing_is_acknowledged(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    a.write("a1")
    turns(a, b)
    a.rows.away = True
    with pytest.raises(Unavailable):
        a.write("lost")
    with pytest.raises(Unavailable):
        a.order.look()
    a.rows.away = False
    a.write("a2")
    turns(a, b)
    # What was refused may stand there: nobody could know whether it was committed.
    assert a.said() == ["a1", "lost", "a2"]


def test_a_row_that_was_edited_before_it_had_its_place_is_told_in_the_log(
    hosts: tuple[Host, Host],
) -> None:
    a, b = hosts
    a.write("a1")
    place, batch = list(a.rows.waiting.items())[-1]
    a.rows.waiting[place] = replace(batch, lines=batch.lines.replace(b"a1", b"a9"))
    a.write("a2")
    turns(a, b, seal=True)
    assert a.said() == ["audit:gap", "a2"]
    said = [json.loads(line).get("reasons") for line in a.path.read_bytes().splitlines()]
    assert ["batch 2 of run 1 is not what was handed in"] in said
    assert place in a.rows.refused  # kept, to be looked at


def test_a_row_that_was_removed_before_it_had_its_place_is_told_in_the_log(
    hosts: tuple[Host, Host],
) -> None:
    a, b = hosts
    a.write("a1")
    a.rows.waiting.popitem()
    a.kill()  # it hands nothing more in, so that only its memory tells
    a.start()
    a.write("a2")
    turns(a, b)
    said = [json.loads(line).get("reasons") for line in a.path.read_bytes().splitlines()]
    assert ["batches up to 2 of run 1 are missing"] in said


@pytest.mark.parametrize("column", ["lines", "state", "previous", "run"])
def test_a_row_that_was_edited_after_it_had_its_place_reaches_no_file(
    hosts: tuple[Host, Host], column: str
) -> None:
    a, b = hosts
    a.write("a1")
    a.turn()
    b.write("b1")
    first, chunk = list(a.rows.chunks.items())[-1]
    other = {"lines": chunk.lines.replace(b"a1", b"a9"), "run": next(reversed(a.rows.runs))}
    other |= {"state": "{}", "previous": "00"}
    a.rows.chunks[first] = replace(chunk, **{column: other[column]})
    before = b.path.read_bytes()
    with pytest.raises(Tampered) as caught:
        turns(b)
    assert caught.value.code == "HY-5120" or column == "run"
    assert b.path.read_bytes() == before
    with pytest.raises(Tampered):  # and nobody goes on behind it
        turns(a)


@pytest.mark.parametrize("forged", [False, True])
def test_a_run_that_a_stranger_wrote_into_the_rows_never_gets_a_place(
    hosts: tuple[Host, Host], tmp_path: Path, *, forged: bool
) -> None:
    a, b = hosts
    a.write("a1")
    stranger = Host(tmp_path, "z", a.rows)
    stranger.write("forged")
    assert stranger.mine.run is not None
    if forged:
        document = vouch(stranger.mine.run, Forger(), "hyok", 1)
        stranger.shared.vouch(stranger.mine.run.run, document)
    turns(a, b, seal=True)
    a.write("a2")
    turns(a, b, seal=True)
    assert a.said() == ["a1", "a2"]
    assert len(a.rows.waiting) == 2


def test_a_log_that_was_rolled_back_in_the_database_does_not_go_on(
    hosts: tuple[Host, Host],
) -> None:
    a, b = hosts
    a.write("a1")
    turns(a, b)
    a.write("a2")
    turns(a, b)
    chunk = a.rows.chunks.pop(max(a.rows.chunks))
    a.rows.size = chunk.first - 1
    for host in hosts:
        with pytest.raises(Tampered) as caught:
            host.turn()
        assert caught.value.code == "HY-5121"


@pytest.mark.parametrize("wrong", ["key", "root", "origin"])
def test_a_checkpoint_that_is_not_the_keys_or_of_another_tree_is_not_taken(
    hosts: tuple[Host, Host], wrong: str
) -> None:
    a, b = hosts
    a.write("a1")
    turns(a, b)
    a.turn(seal=True)
    b.turn()
    size, note = next(iter(a.rows.notes.items()))
    head = parse_checkpoint(note).head
    head = replace(head, root=bytes(32)) if wrong == "root" else head
    head = replace(head, origin="audit.example/other") if wrong == "origin" else head
    signer = Forger() if wrong == "key" else Signer()
    a.rows.notes[size] = Checkpoint(head, (signer.sign(head),)).note()
    with pytest.raises(Tampered):
        b.tree._look(last=True)
    assert not (folder_of(b.path) / HISTORY).exists()


def test_a_log_of_one_host_goes_on_as_the_log_of_several(tmp_path: Path, rows: Rows) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    alone = LogFile(folder / "audit.jsonl")
    alone.begin(1)
    alone.append([{"action": "before", "at_ms": 1}], sync=True)
    alone.end(2)
    alone.close()
    a = Host(tmp_path, "a", rows)
    a.write("a1")
    a.turn(seal=True)
    assert a.actions() == ["audit:start", "before", "audit:stop", "audit:start", "a1"]
    b = Host(tmp_path, "b", rows)
    with pytest.raises(Tampered) as caught:  # b has none of what was before
        b.turn()
    assert caught.value.code == "HY-5122"
    b.kill()
    b.path.write_bytes(a.path.read_bytes())  # as its next step says
    b.start()
    turns(a, b, seal=True)
    assert a.path.read_bytes() == b.path.read_bytes()


def test_a_file_of_another_log_gets_no_record_of_this_one(tmp_path: Path, rows: Rows) -> None:
    a, b = Host(tmp_path, "a", rows), Host(tmp_path, "b", rows)
    a.write("a1", "a2")
    a.turn()
    b.log.append([{"action": "elsewhere", "at_ms": 1}], sync=True)
    b.kill()
    b.start()
    before = b.path.read_bytes()
    with pytest.raises(Tampered) as caught:
        b.turn()
    assert caught.value.code == "HY-5121"
    assert b.path.read_bytes() == before


def test_rows_go_once_every_host_has_them_and_a_checkpoint_covers_them(
    hosts: tuple[Host, Host],
) -> None:
    a, b = hosts
    for number in range(6):
        a.write(f"a{number}")
        turns(a, b)
    assert len(a.rows.chunks) >= 6  # no checkpoint covers them
    turns(a, seal=True)
    assert len(a.rows.chunks) >= 6  # b does not have the checkpoint
    turns(a, b, seal=True)
    assert len(a.rows.chunks) == 1
    assert len(a.rows.notes) == 1
    a.write("on")
    turns(a, b, seal=True)
    assert b.actions()[-1] == "on"


def test_a_file_that_a_crash_tore_goes_on_inside_a_chunk(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    a.write("a1", "a2", "a3")
    turns(a, b)
    b.kill()
    raw = b.path.read_bytes()
    b.path.write_bytes(raw[: raw.index(b'"a3"') + 2])
    b.start()
    turns(a, b, seal=True)
    assert a.path.read_bytes() == b.path.read_bytes()
    assert verify(b.path, [KEY]).good


def test_a_second_writer_with_the_same_name_ends_the_first(tmp_path: Path, rows: Rows) -> None:
    a = Host(tmp_path, "a", rows)
    a.write("a1")
    a.log.close()
    twin = Host(tmp_path, "a", rows)
    twin.write("a2")
    with pytest.raises(Conflict) as caught:
        a.write("a3")
    assert caught.value.code == "HY-5123"


def test_a_problem_is_left_for_doctor(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    a.write("a1")
    turns(a, b)
    assert a.rows.size is not None
    a.rows.size -= 1
    assert a.order._turns()
    said = (folder_of(a.path) / PROBLEM).read_text()
    assert "HY-5121" in said
    assert not a.order.leading
