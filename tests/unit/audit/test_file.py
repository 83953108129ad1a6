"""The log's end is found after any crash, and a batch is added whole or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hyok.audit.file import GAP, START, STOP, LogFile, canonical
from hyok.errors import Conflict, Tampered

if TYPE_CHECKING:
    from pathlib import Path


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write_some(path: Path, count: int, *, clean: bool) -> None:
    log = LogFile(path)
    log.begin(1)
    log.append([{"action": "a", "n": n} for n in range(count)], sync=True)
    if clean:
        log.end(2)
    log.close()


def test_lines_are_numbered_without_a_gap_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_some(path, 3, clean=True)
    write_some(path, 2, clean=True)
    assert [line["seq"] for line in lines_of(path)] == list(range(1, 10))
    assert [line["action"] for line in lines_of(path)].count(GAP) == 0


def test_every_line_is_canonical(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_some(path, 3, clean=False)
    for line in path.read_bytes().splitlines(keepends=True):
        assert canonical(json.loads(line)) == line


def test_an_end_without_a_stop_shows_as_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_some(path, 1, clean=False)
    write_some(path, 0, clean=True)
    assert [line["action"] for line in lines_of(path)] == [START, "a", GAP, START, STOP]


@pytest.mark.parametrize(
    "torn",
    [b"{", b'{"action":"a","seq":9', b"\x00" * 5000, b"\x00\n\x00\n", b"[]\n", b'{"no":"seq"}\n'],
)
def test_what_stands_behind_the_last_good_line_is_cut_and_told(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "audit.jsonl"
    write_some(path, 2, clean=True)
    good = path.read_bytes()
    path.write_bytes(good + torn)
    write_some(path, 0, clean=True)
    assert path.read_bytes().startswith(good)
    gap = next(line for line in lines_of(path) if line["action"] == GAP)
    assert gap["torn_bytes"] == len(torn)
    assert [line["seq"] for line in lines_of(path)] == list(range(1, 8))


def test_a_torn_first_line_leaves_an_empty_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"action":"a')
    write_some(path, 0, clean=True)
    assert [line["action"] for line in lines_of(path)] == [GAP, START, STOP]


def test_every_cut_of_a_log_opens_and_keeps_the_whole_lines_before_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_some(path, 2, clean=False)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        log = LogFile(path)
        assert log.ending.good_bytes == whole[:cut].rfind(b"\n") + 1
        log.close()


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_some(path, 5_000, clean=False)
    path.write_bytes(path.read_bytes() + b"\x00" * 200_000)
    log = LogFile(path)
    assert log.ending.seq == 5_001
    assert log.ending.torn_bytes == 200_000
    log.close()


def test_a_file_that_is_no_log_is_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyok.audit.file.TORN_BYTES_MAX", 100_000)
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"x" * 400_000)
    with pytest.raises(Tampered):
        LogFile(path)
    assert path.stat().st_size == 400_000


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = LogFile(path)
    with pytest.raises(Conflict):
        LogFile(path)
    log.close()
    LogFile(path).close()
