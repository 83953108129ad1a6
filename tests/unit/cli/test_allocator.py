"""Bodies of a megabyte meet no new pages once the first have been served."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from hyok.cli import workers

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import resource, sys
from hyok.cli.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    print(keep_freed_memory(), end=" ")
def serve():
    bodies = [bytearray(1 << 20) for _ in range(3)]
    return len(b"".join(bodies))
for _ in range(5):
    serve()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    serve()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES_OF_A_BODY = (1 << 20) // 4096


def faults(how: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True
    )
    return ran.stdout.strip()


def test_freed_memory_is_used_again_and_not_met_page_by_page() -> None:
    taken, kept = faults("kept").split()
    assert taken == "True"
    assert int(kept) < PAGES_OF_A_BODY, "fifty requests together, less than one body"


def test_cycles_are_looked_for_rarely_and_still_found() -> None:
    program = """
import gc
from hyok.cli.allocator import collect_rarely
from hyok.cli.entry import OBJECTS_BETWEEN_LOOKS
collect_rarely()
assert gc.get_freeze_count() > 1000
assert gc.get_threshold()[0] == OBJECTS_BETWEEN_LOOKS
begun = gc.get_stats()[0]["collections"]
for _ in range(3 * OBJECTS_BETWEEN_LOOKS):
    cycle = []
    cycle.append(cycle)
print(gc.get_stats()[0]["collections"] - begun)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert 2 <= int(ran.stdout) <= 4


def test_a_worker_begins_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    order: list[str] = []

    def load(_path: Path) -> SimpleNamespace:
        order.append("settings")
        return SimpleNamespace(log=SimpleNamespace(level="info", file=None))

    monkeypatch.setattr(workers, "forbid_core_dumps", lambda: None)
    monkeypatch.setattr(workers, "keep_freed_memory", lambda: order.append("memory"))
    monkeypatch.setattr(workers, "collect_rarely", lambda: order.append("garbage"))
    monkeypatch.setattr(workers, "configure", lambda *_: None)
    monkeypatch.setattr(workers, "_until_ended", lambda _run: order.append("serve"))
    monkeypatch.setattr(workers.settings_file, "load", load)
    workers.serve_worker(tmp_path / "hyok.toml", 0)
    assert order == ["memory", "settings", "garbage", "serve"]
