"""A road that skips a check is found out: a bare store that claims to be a gateway."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from benchmarks.side_by_side import processes
from benchmarks.side_by_side.build import built
from benchmarks.side_by_side.client import send
from benchmarks.side_by_side.proofs import prove
from benchmarks.side_by_side.requests import Ask, Slice, make_pattern
from benchmarks.side_by_side.roads import CLASSES, Road, Store, memory_store
from benchmarks.side_by_side.rows import KIB, MIB, Row
from benchmarks.side_by_side.work import Bench, Failed, measure, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

PATTERN = make_pattern(11)
ROWS = {
    "put": Row("p", "put", 4 * KIB, 4),
    "get": Row("g", "get", 4 * KIB, 4),
    "range": Row("r", "range", MIB, 4),
    "list": Row("l", "list", 1000, 1),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("proofs")
    store = memory_store(folder, 512 << 20)
    try:
        (folder / "pattern").write_bytes(PATTERN)
        for name in CLASSES:
            assert send(store.road, Ask("PUT", f"/bench-{name}"), PATTERN).status == 200
        yield Bench(folder, built("load", folder), PATTERN, 0.1, {"memory": store}, set())
    finally:
        store.stop()


def store_of(bench: Bench) -> Store:
    return bench.stores["memory"]


def road_of(bench: Bench, *, checks: bool = False, opens: bool = False) -> Road:
    return dataclasses.replace(store_of(bench).road, name="liar", checks=checks, opens=opens)


@pytest.mark.parametrize("kind", ROWS)
def test_each_kind_of_row_is_measured(bench: Bench, kind: str) -> None:
    road, row = road_of(bench), ROWS[kind]
    prepare(bench, road, row)
    sample = measure(bench, road, row, 0.1)
    assert sample.operations >= row.connections
    assert sample.seconds >= 0.1
    assert sample.peak_bytes["store"] > 1 << 20
    assert set(sample.cpu_seconds) == {"store"}
    assert prove(bench, road, row) == {"put": ["bodies"], "list": ["listing"]}.get(kind, [])


def test_an_upload_in_parts_is_measured_whole(bench: Bench) -> None:
    road, row = road_of(bench), Row("m", "multipart", 256 * MIB, 4)
    sample = measure(bench, road, row, 0.1)
    assert (sample.operations, sample.bytes) == (1, 256 * MIB)
    assert prove(bench, road, row) == ["bodies"]


def test_who_checks_no_signature_is_found_out(bench: Bench) -> None:
    with pytest.raises(Failed, match="a wrong signature is answered with 200"):
        prove(bench, road_of(bench, checks=True), ROWS["get"])


def test_who_seals_nothing_is_found_out(bench: Bench) -> None:
    with pytest.raises(Failed, match=r"plaintext of tampered/g stands at the store"):
        prove(bench, road_of(bench, opens=True), ROWS["get"])


def test_who_gives_out_changed_bytes_is_found_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if it were sealed: no window of the plaintext is looked for.
    monkeypatch.setattr("benchmarks.side_by_side.proofs.WINDOW", 1 << 40)
    row = dataclasses.replace(ROWS["get"], name="as-if-sealed")
    with pytest.raises(Failed, match="changed at the store are given out as whole"):
        prove(bench, road_of(bench, opens=True), row)


def test_who_takes_a_body_that_was_not_signed_is_found_out(bench: Bench) -> None:
    row = dataclasses.replace(ROWS["put"], signing="sha256")
    with pytest.raises(Failed, match=r"a changed body \(sha256\) is answered 200"):
        prove(bench, road_of(bench, opens=True), row)


def test_who_keeps_other_bytes_is_found_out(bench: Bench) -> None:
    road, row = road_of(bench), ROWS["put"]
    measure(bench, road, row, 0.1)
    wrong = Ask("PUT", f"/bench-intern/{row.size}/0", body=Slice(1, row.size))
    assert send(road, wrong, PATTERN).status == 200
    with pytest.raises(Failed, match="the body is not what was put there"):
        prove(bench, road, row)


def test_a_listing_that_lacks_a_name_is_found_out(bench: Bench) -> None:
    road, row = road_of(bench), ROWS["list"]
    prepare(bench, road, row)
    assert send(road, Ask("DELETE", "/bench-intern/list/0500"), PATTERN).status == 204
    with pytest.raises(Failed, match="999 of 1000 names"):
        prove(bench, road, row)


def test_processes_are_told_apart_and_counted() -> None:
    before = processes.own_busy_seconds()
    sum(number * number for number in range(2_000_000))
    assert processes.own_busy_seconds() > before
    assert processes.machine_busy_seconds() > 0
    assert processes.family(1)[0] == 1
