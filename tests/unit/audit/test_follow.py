"""Following a log for an export: nothing left out, nothing taken that may go away again."""

from __future__ import annotations

import gzip
import os
import random  # noqa: TID251 - moments of rotation
from typing import TYPE_CHECKING, ClassVar

import pytest
from tests.unit.audit.logs import add, line

from hyok.audit.follow import SETTLE_SECONDS, LogFollower, Place, last_place
from hyok.errors import Tampered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Following:
    """A follower with its clock and the place where it stands."""

    all: ClassVar[list[Following]] = []

    def __init__(self, log: Path, place: Place | None = None) -> None:
        self.clock = Clock()
        self.follower = LogFollower(log, self.clock)
        self.place = place or Place()
        self.all.append(self)

    def read(self, records_max: int = 1000, *, settle: bool = True) -> list[int]:
        """Return the numbers of what is new."""
        entries = self.follower.read(self.place, records_max)
        for _ in range(3 if settle and not entries else 0):
            self.clock.now += SETTLE_SECONDS
            entries = entries or self.follower.read(self.place, records_max)
        if entries:
            self.place = entries[-1].place
        return [entry.place.seq for entry in entries]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "audit.jsonl"
    while Following.all:
        Following.all.pop().follower.close()


def test_records_are_given_out_once_they_have_stood_long_enough(log: Path) -> None:
    following = Following(log)
    assert following.read(settle=False) == []  # there is no log yet
    add(log, 1, 3)
    assert following.read(settle=False) == []
    following.clock.now += SETTLE_SECONDS
    add(log, 4, 4)
    assert following.read(settle=False) == [1, 2, 3]
    assert following.read(settle=False) == []
    following.clock.now += SETTLE_SECONDS
    assert following.read(settle=False) == [4]


def test_what_the_writer_takes_back_is_not_given_out(log: Path) -> None:
    add(log, 1, 2)
    following = Following(log)
    assert following.read() == [1, 2]
    whole = log.stat().st_size
    add(log, 3, 9, action="object:put")
    assert following.read(settle=False) == []
    os.truncate(log, whole)  # the disk refused the batch
    following.clock.now += SETTLE_SECONDS
    assert following.read(settle=False) == []
    add(log, 3, 4)
    assert following.read() == [3, 4]


def test_a_torn_line_waits_until_it_is_whole(log: Path) -> None:
    add(log, 1, 1)
    with log.open("ab") as file:
        file.write(line(2)[:20])
    following = Following(log)
    assert following.read() == [1]
    with log.open("ab") as file:
        file.write(line(2)[20:])
    assert following.read() == [2]


@pytest.mark.parametrize("pack", [False, True])
def test_rotated_files_are_read_to_their_end_before_the_next(log: Path, pack: bool) -> None:
    add(log, 1, 10)
    following = Following(log)
    assert following.read(4) == [1, 2, 3, 4]
    rotate(log, pack=pack)
    add(log, 11, 12)
    assert following.read() == [5, 6, 7, 8, 9, 10]
    assert following.read() == [11, 12]


def rotate(log: Path, *, pack: bool = False) -> None:
    number = sum(1 for _ in log.parent.glob(f"{log.name}.*"))
    rotated = log.with_name(f"{log.name}.{number + 1}")
    log.rename(rotated)
    if pack:
        rotated.with_name(rotated.name + ".gz").write_bytes(gzip.compress(rotated.read_bytes()))
        rotated.unlink()


def test_any_mixture_of_writing_rotating_and_restarting_gives_every_record_once(
    log: Path,
) -> None:
    for seed in range(60):
        draw = random.Random(seed)
        folder = log.parent / str(seed)
        folder.mkdir()
        here = folder / log.name
        following, found, seq = Following(here), [], 0
        for _ in range(25):
            act = draw.randrange(5)
            if act <= 1:
                more = draw.randrange(1, 6)
                add(here, seq + 1, seq + more)
                seq += more
            elif act == 2 and here.exists():
                rotate(here, pack=draw.random() < 0.5)
            elif act == 3:  # the process began anew, from what it had put down
                following = Following(here, following.place)
            else:
                found += following.read(draw.randrange(1, 9))
        while more_found := following.read(7):
            found += more_found
        assert found == list(range(1, seq + 1)), seed


def test_a_log_that_does_not_go_on_stops_the_export(log: Path) -> None:
    add(log, 1, 5)
    following = Following(log)
    assert following.read(3) == [1, 2, 3]
    log.write_bytes(b"")
    add(log, 1, 5, actor="somebody else")
    with pytest.raises(Tampered, match="not the one that was exported"):
        Following(log, following.place).read()
    log.write_bytes(line(1))
    with pytest.raises(Tampered, match="not the one"):
        Following(log, following.place).read()
    log.unlink()
    with pytest.raises(Tampered, match="no records"):
        Following(log, following.place).read()


def test_records_that_were_rotated_away_and_deleted_are_missed(log: Path) -> None:
    add(log, 1, 5)
    following = Following(log)
    assert following.read(3) == [1, 2, 3]
    log.unlink()
    add(log, 9, 12)
    with pytest.raises(Tampered, match="neither its file"):
        following.read()
    rotated = log.with_name("audit.jsonl.1")
    add(rotated, 1, 5)
    with pytest.raises(Tampered, match="the next record that is there is 9"):
        for _ in range(3):
            following.read()


def test_a_gap_inside_a_file_is_told(log: Path) -> None:
    add(log, 1, 2)
    add(log, 4, 4)
    following = Following(log)
    with pytest.raises(Tampered, match="has the number 4"):
        following.read()


def test_the_newest_place_is_behind_the_last_whole_record(log: Path) -> None:
    assert last_place(log) == Place()
    add(log, 1, 6)
    with log.open("ab") as file:
        file.write(b'{"seq":7,"torn')
    following = Following(log, last_place(log))
    assert following.place.seq == 6
    os.truncate(log, following.place.offset)
    add(log, 7, 8)
    assert following.read() == [7, 8]
    rotate(log, pack=True)
    assert last_place(log).seq == 8
