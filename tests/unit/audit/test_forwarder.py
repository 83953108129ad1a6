"""Exporting: at least once, in order, whatever fails and whenever it ends."""

from __future__ import annotations

import json
import random  # noqa: TID251 - moments of failing
from typing import TYPE_CHECKING

import pytest
from tests.unit.audit.logs import add

from hyok.audit import follow, forwarder
from hyok.audit.cursor import CursorFile, folder_of, progress, read_cursor
from hyok.audit.forwarder import Forwarder
from hyok.audit.sinks.lines_file import LinesFile
from hyok.errors import Conflict, Malformed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hyok.audit.follow import Entry


class Lines:
    """The log's own lines."""

    def render(self, entry: Entry) -> bytes:
        return entry.line


class Receiver:
    """Takes batches, or fails as it is told."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.away = False

    def send(self, messages: Sequence[bytes]) -> None:
        if self.away:
            raise Unavailable("siem: connection refused")
        self.got += [json.loads(message)["seq"] for message in messages]

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def make(log: Path, sink: object, **more: object) -> Forwarder:
    return Forwarder("siem", log, CursorFile(log, "siem"), Lines(), sink, batch_records=4, **more)


def drain(export: Forwarder) -> None:
    while export.step():
        pass


def end(export: Forwarder) -> None:
    """As when the process is killed: nothing is put down at the end."""
    export._follower.close()
    export._cursor.close()


def test_the_cursor_follows_the_acknowledgement_and_never_goes_before_it(log: Path) -> None:
    receiver = Receiver()
    export = make(log, receiver)
    add(log, 1, 10)
    drain(export)
    assert receiver.got == list(range(1, 11))
    cursor = folder_of(log) / "siem.cursor.json"
    assert read_cursor(cursor).place.seq == 10
    receiver.away = True
    add(log, 11, 12)
    with pytest.raises(Unavailable):
        export.step()
    assert read_cursor(cursor).place.seq == 10
    end(export)
    receiver.away = False
    again = make(log, receiver)
    drain(again)
    assert receiver.got == list(range(1, 13))
    end(again)


def test_kills_and_failures_at_any_moment_leave_nothing_out(log: Path) -> None:
    for seed in range(30):
        draw = random.Random(seed)
        folder = log.parent / str(seed)
        folder.mkdir()
        here, receiver, seq = folder / log.name, Receiver(), 0
        export = make(here, receiver)
        for _ in range(40):
            act = draw.randrange(4)
            if act == 0:
                add(here, seq + 1, seq + 3)
                seq += 3
            elif act == 1:
                receiver.away = not receiver.away
            elif act == 2:
                end(export)
                export = make(here, receiver)
            else:
                export._attempt()
        receiver.away = False
        drain(export)
        end(export)
        first_seen = list(dict.fromkeys(receiver.got))
        assert first_seen == list(range(1, seq + 1)), seed


def test_what_a_receiver_may_have_had_in_memory_only_is_sent_again(log: Path) -> None:
    receiver = Receiver()
    export = make(log, receiver, resend_seconds=60.0)
    add(log, 1, 6)
    drain(export)
    receiver.away = True
    add(log, 7, 7)
    with pytest.raises(Unavailable):
        export.step()
    receiver.away, receiver.got = False, []
    drain(export)
    assert receiver.got == [1, 2, 3, 4, 5, 6, 7]
    # The same when the exporter was killed as well.
    end(export)
    add(log, 8, 8)
    receiver.away, receiver.got = True, []
    again = make(log, receiver, resend_seconds=60.0)
    with pytest.raises(Unavailable):
        again.step()
    receiver.away = False
    drain(again)
    assert receiver.got == list(range(1, 9))
    end(again)


def test_what_was_acknowledged_long_ago_is_not_sent_again(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(forwarder.time, "monotonic", lambda: now)
    receiver = Receiver()
    export = make(log, receiver, resend_seconds=10.0)
    for seq in range(1, 5):
        add(log, seq, seq)
        drain(export)
        now += 6.0
    receiver.away, receiver.got = True, []
    add(log, 5, 5)
    with pytest.raises(Unavailable):
        export.step()
    receiver.away = False
    drain(export)
    assert receiver.got == [3, 4, 5]  # record 2 was acknowledged 12 seconds before record 4
    end(export)


def test_an_export_can_begin_with_what_is_new(log: Path) -> None:
    add(log, 1, 5)
    receiver = Receiver()
    export = make(log, receiver, begin="newest")
    assert not export.step()
    add(log, 6, 7)
    drain(export)
    assert receiver.got == [6, 7]
    end(export)


def test_people_are_told_how_it_goes(log: Path) -> None:
    said: list[tuple[str, str]] = []
    receiver = Receiver()
    export = make(log, receiver, tell=lambda event, **more: said.append((event, more["export"])))
    add(log, 1, 3)
    receiver.away = True
    pauses = [export._attempt() for _ in range(12)]
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert pauses[-1] == 60
    found = progress(log, "siem", 1_795_860_900_000)
    assert (found.lag_records, found.status.error) == (3, "siem: connection refused")
    assert found.status.failing_since_ms
    assert said == [("audit.export_failed", "siem")]  # once, not for each attempt
    receiver.away = False
    assert export._attempt() == 0
    found = progress(log, "siem", 1_795_860_900_000)
    assert (found.lag_records, found.lag_seconds, found.status.error) == (0, 0, "")
    assert said[-1] == ("audit.export_goes_on", "siem")
    end(export)


def test_a_log_that_was_exchanged_stops_the_export_and_says_so(log: Path) -> None:
    receiver = Receiver()
    export = make(log, receiver)
    add(log, 1, 3)
    drain(export)
    end(export)
    log.write_bytes(b"")
    add(log, 1, 9, actor="somebody else")
    again = make(log, receiver)
    assert again._attempt() == forwarder.STOPPED_SECONDS
    found = progress(log, "siem", 0)
    assert found.status.stopped
    assert "HY-5110" in found.status.error
    assert receiver.got == [1, 2, 3]
    end(again)


def test_a_cursor_that_cannot_be_read_stops_the_export(log: Path) -> None:
    add(log, 1, 3)
    folder_of(log).mkdir()
    cursor = folder_of(log) / "siem.cursor.json"
    for text in ("", "{}", '{"place":{"seq":-1},"resend_from":{}}', '{"place":1,"resend_from":2}'):
        cursor.write_text(text)
        with pytest.raises(Malformed, match="no cursor"):
            read_cursor(cursor)
    receiver = Receiver()
    export = make(log, receiver)
    assert export._attempt() == forwarder.STOPPED_SECONDS
    assert receiver.got == []
    end(export)


def test_two_processes_cannot_export_under_one_name(log: Path) -> None:
    first = CursorFile(log, "siem")
    with pytest.raises(Conflict):
        CursorFile(log, "siem")
    first.close()
    CursorFile(log, "siem").close()


def test_a_file_gets_whole_lines_only_and_may_be_rotated(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = LinesFile(path)
    sink.send([b'{"a":1}', b'{"a":2}'])
    with path.open("ab") as file:
        file.write(b'{"a":3,"torn')
    sink.send([b'{"a":3}'])
    assert path.read_bytes() == b'{"a":1}\n{"a":2}\n{"a":3}\n'
    path.rename(tmp_path / "events.jsonl.1")
    sink.send([b'{"a":4}'])
    assert path.read_bytes() == b'{"a":4}\n'
    path.write_bytes(b"x" * (2 << 20))
    with pytest.raises(Unavailable, match="another program"):
        sink.send([b'{"a":5}'])
    assert path.stat().st_size == 2 << 20
    with pytest.raises(Unavailable, match="No such file"):
        LinesFile(tmp_path / "away" / "events.jsonl").send([b"x"])
