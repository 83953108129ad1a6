"""The arithmetic of the table, the verdicts and the drawing."""

import re
from xml.etree import ElementTree

import pytest
from benchmarks.side_by_side.figures import (
    Sample,
    figures_of,
    paired,
    percentile,
    table,
    verdict_lines,
    verdicts,
)
from benchmarks.side_by_side.plot import plot
from benchmarks.side_by_side.requests import PATTERN_BYTES, Slice, framed, make_pattern
from benchmarks.side_by_side.rows import ROWS, Row, Target, chosen, to_nginx


def sample(rate: float, cpu: float = 0.5, p50_us: float = 100.0) -> Sample:
    return Sample(
        operations=int(rate),
        seconds=1.0,
        bytes=int(rate) * 1_000_000,
        p50_us=p50_us,
        p99_us=2 * p50_us,
        cpu_seconds={"worker": cpu, "audit writer": 0.1},
        peak_bytes={"worker": 50 << 20, "audit writer": 10 << 20},
    )


@pytest.mark.parametrize(
    ("share", "wanted"), [(0.0, 1), (0.5, 3), (0.99, 5), (1.0, 5), (0.25, 2), (0.7, 4)]
)
def test_percentile_is_the_nearest_value(share: float, wanted: float) -> None:
    assert percentile([5, 3, 1, 4, 2], share) == wanted


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_ratios_are_taken_within_a_round() -> None:
    # Both slow down together in the second and third round: the ratio stays what it is.
    assert paired([50, 5, 10], [100, 10, 20]) == 0.5


def test_figures_of_a_road() -> None:
    rounds = {
        "nginx": [sample(100), sample(200), sample(100)],
        "hyok": [sample(50, p50_us=600), sample(100, p50_us=600), sample(50, p50_us=600)],
    }
    found = figures_of(rounds, "hyok")
    assert found["to_nginx"] == 0.5
    assert found["added_p50_ms"] == 0.5
    assert found["cpu_us_op"] == pytest.approx(12_000)  # 0.6 s for 50 operations
    assert found["cpu_ms_mb"] == pytest.approx(12)
    assert found["peak_mib"] == 60
    assert "to_rclone" not in found


def test_cpu_beside_rclone_is_for_the_same_work() -> None:
    rounds = {"hyok": [sample(100, 0.2)], "rclone": [sample(50, 0.8)]}
    found = figures_of(rounds, "hyok")
    assert found["to_rclone"] == 2
    assert found["cpu_to_rclone"] == pytest.approx((0.3 / 100) / (0.9 / 50))


def test_a_target_that_was_not_measured_is_not_reached() -> None:
    row = Row("x", "put", 1, 1, (to_nginx(0.6), to_nginx(0.6, "hyok-2w"), Target("cpu_us_op", 180)))
    told = verdicts(row, {"hyok": {"to_nginx": 0.6, "cpu_us_op": 180.1}})
    assert [one.reached for one in told] == [True, False, False]
    lines = verdict_lines(told)
    assert ["NOT REACHED" in line for line in lines] == [False, True, True]
    assert "not measured" in lines[1]


def test_the_table_has_a_line_for_each_road() -> None:
    figures = {"hyok": figures_of({"hyok": [sample(50)]}, "hyok")}
    head, line = table({"put-1k": figures})
    assert head.split()[:2] == ["row", "road"]
    assert line.split()[:3] == ["put-1k", "hyok", "50.0"]
    assert line.split()[-1] == "-"  # no bare store in this run


def test_the_plot_is_an_image_with_each_road_and_the_target() -> None:
    text = plot({"put <1k>": {"nginx": 1.0, "hyok": 0.5}}, {"put <1k>": 0.75}, "a & b")
    root = ElementTree.fromstring(text)
    drawn = [one for one in root if one.tag.endswith("rect")][1:]
    assert len(drawn) == 2
    wide, narrow = (float(one.attrib["width"]) for one in drawn)
    assert narrow == pytest.approx(wide / 2, abs=0.2)
    mark = next(one for one in root if one.attrib.get("stroke-width") == "2")
    start = float(drawn[0].attrib["x"])
    assert float(mark.attrib["x1"]) == pytest.approx(start + wide * 0.75, abs=0.2)
    assert "put &lt;1k&gt;" in text


def test_rows_have_names_of_their_own_and_known_figures() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    told = figures_of({r: [sample(9)] for r in ("hyok", "nginx", "store", "rclone")}, "hyok")
    assert {target.figure for row in ROWS for target in row.targets} <= set(told)
    assert all(target.road in row.roads for row in ROWS for target in row.targets)


def test_rows_are_chosen_by_name() -> None:
    assert [row.name for row in chosen(["get-1k", "put-64m"], quick=True, long=False)] == [
        "put-64m",
        "get-1k",
    ]
    with pytest.raises(ValueError, match="no such row: put-2k"):
        chosen(["put-2k"], quick=False, long=False)
    assert chosen(["range-64k"], quick=False, long=False)[0].size < 1 << 30


def test_bodies_go_around_the_end_of_the_pattern() -> None:
    pattern = make_pattern(1)
    body = Slice(PATTERN_BYTES - 3, 10)
    assert body.of(pattern) == pattern[-3:] + pattern[:7]
    assert body.cut(2, 4).of(pattern) == body.of(pattern)[2:6]
    assert body.cut(8, 40).length == 2


def test_no_two_segments_of_a_long_body_are_alike() -> None:
    starts = [(step * (256 << 10)) % PATTERN_BYTES for step in range(4096)]
    assert len(set(starts)) == len(starts)


def test_framing_has_the_checksum_last() -> None:
    parts = framed(Slice(0, 70_000), "x-amz-checksum-crc32", "AAAAAA==")
    assert parts[0] == b"10000\r\n"
    assert parts[2] == b"\r\n1170\r\n"
    assert parts[-1] == b"\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    assert re.match(rb"0\r\n", framed(Slice(0, 0), "a", "b")[0])  # type: ignore[arg-type]
