"""The rows of the table: what is asked, how often at once, over which roads, and what is wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.side_by_side.requests import Signing

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PARTS, PART_BYTES = 16, 16 * MIB
RANGE_BYTES = 64 * KIB
LISTED = 1000
STREAMS = 64
"""As many clients hold a body half-way at once where memory is looked at."""

PROXIES = ("store", "nginx", "haproxy", "hyok")


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of a road, and the bound it should keep.

    Figures: ``to_nginx``, ``to_rclone`` (throughput), ``cpu_to_rclone``, ``time_to_store`` (p50),
    ``added_p50_ms`` (over nginx), ``cpu_ms_mb``, ``cpu_us_op``, ``growth_mib``.
    """

    figure: str
    bound: float
    road: str = "hyok"

    @property
    def at_least(self) -> bool:
        return self.figure in {"to_nginx", "to_rclone"}

    def reached(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    kind: Literal["put", "get", "range", "multipart", "list", "stream", "streams"]
    size: int
    connections: int
    targets: tuple[Target, ...] = ()
    signing: Signing = "unsigned"
    classification: str = "intern"
    store: str = "memory"
    roads: tuple[str, ...] = PROXIES
    tls: bool = False
    in_order: bool = False  # each range begins where the last one ended
    quick: bool = False
    long: bool = False

    @property
    def keys(self) -> int:
        """How many objects take part."""
        if self.size >= 16 * MIB:
            return self.connections
        return 64 if self.size >= MIB else 256 if self.size > KIB else 1024


def to_nginx(bound: float, road: str = "hyok") -> Target:
    return Target("to_nginx", bound, road)


_BIG_CPU, _SMALL_CPU = Target("cpu_ms_mb", 1.5), Target("cpu_us_op", 180)
_WITH_TWO = (*PROXIES, "hyok-2w")
_TLS = ("nginx", "hyok", "hyok-behind")
_BIG = (*PROXIES, "nginx-big")
_RCLONE = ("store", "nginx", "hyok", "rclone")
_BEAT_RCLONE = (Target("to_rclone", 1.5), Target("cpu_to_rclone", 1 / 3))
_SMALL = (to_nginx(0.4), to_nginx(0.6, "hyok-2w"), _SMALL_CPU)
_WHOLE: tuple[Literal["put", "get"], ...] = ("put", "get")
_ADDED = (Target("added_p50_ms", 0.5),)

ROWS: tuple[Row, ...] = (
    # First, while the worker is fresh: memory that it took before would hide what it takes now.
    Row("stream", "stream", 5_000_000_000, 1, (Target("growth_mib", 32),), roads=("hyok",)),
    Row("streams-get", "streams", GIB, STREAMS, (Target("growth_mib", 200),), roads=("hyok",)),
    Row("streams-put", "put", 16 * MIB, STREAMS, (Target("growth_mib", 200),), roads=("hyok",)),
    Row("put-64m", "put", 64 * MIB, 8, (to_nginx(0.85), _BIG_CPU), roads=_BIG, quick=True),
    Row("get-64m", "get", 64 * MIB, 8, (to_nginx(0.7), _BIG_CPU), roads=_BIG, quick=True),
    Row("put-64m-sha", "put", 64 * MIB, 8, (to_nginx(0.55),), signing="sha256", quick=True),
    Row("put-64m-crc32", "put", 64 * MIB, 8, signing="crc32"),
    Row("put-64m-crc32c", "put", 64 * MIB, 8, signing="crc32c"),
    Row("put-64m-1c", "put", 64 * MIB, 1),
    Row("get-64m-1c", "get", 64 * MIB, 1),
    Row("put-1m", "put", MIB, 8, (to_nginx(0.6),), quick=True),
    Row("get-1m", "get", MIB, 8, (to_nginx(0.6),), quick=True),
    Row("put-1m-sha", "put", MIB, 8, signing="sha256"),
    Row("put-1m-crc32", "put", MIB, 8, signing="crc32"),
    Row("put-64k", "put", 64 * KIB, 8),
    Row("get-64k", "get", 64 * KIB, 8),
    Row("put-64k-sha", "put", 64 * KIB, 8, signing="sha256"),
    Row("put-1k", "put", KIB, 64, _SMALL, roads=_WITH_TWO, quick=True),
    Row("get-1k", "get", KIB, 64, _SMALL, roads=_WITH_TWO, quick=True),
    Row("put-1k-8c", "put", KIB, 8),
    Row("get-1k-8c", "get", KIB, 8),
    Row("put-1k-1c", "put", KIB, 1, _ADDED, quick=True),
    Row("get-1k-1c", "get", KIB, 1, _ADDED, quick=True),
    Row("range-64k", "range", GIB, 8, (to_nginx(0.35),), quick=True),
    Row("range-64k-on", "range", GIB, 1, in_order=True),
    Row("multipart", "multipart", PARTS * PART_BYTES, 4, (to_nginx(0.8),), quick=True),
    Row("put-64m-wa", "put", 64 * MIB, 8, classification="vertrouwelijk"),
    Row("get-64m-wa", "get", 64 * MIB, 8, classification="vertrouwelijk"),
    Row("put-1k-wa", "put", KIB, 64, classification="vertrouwelijk"),
    Row("get-1k-wa", "get", KIB, 64, classification="vertrouwelijk"),
    Row("put-64m-tls", "put", 64 * MIB, 8, (to_nginx(0.6),), roads=_TLS, tls=True),
    Row("get-64m-tls", "get", 64 * MIB, 8, (to_nginx(0.6),), roads=_TLS, tls=True),
    Row("put-1k-tls", "put", KIB, 64, roads=_TLS, tls=True),
    Row("get-1k-tls", "get", KIB, 64, roads=_TLS, tls=True),
    *(
        Row(
            f"rclone-{kind}-{name}",
            kind,
            size,
            connections,
            _BEAT_RCLONE,
            store="seaweedfs",
            roads=_RCLONE,
        )
        for name, size, connections in (
            ("64m", 64 * MIB, 8),
            ("1m", MIB, 8),
            ("64k", 64 * KIB, 8),
            ("1k", KIB, 8),
        )
        for kind in _WHOLE
    ),
    Row(
        "list-1000",
        "list",
        LISTED,
        1,
        (Target("time_to_store", 1.3),),
        store="seaweedfs",
        roads=("store", "nginx", "hyok"),
    ),
    Row(
        "list-1000-sealed",
        "list",
        LISTED,
        1,
        (Target("time_to_store", 2.0),),
        classification="vertrouwelijk",
        store="seaweedfs",
        roads=("store", "nginx", "hyok"),
    ),
    Row("put-1g", "put", GIB, 2, long=True),
    Row("get-1g", "get", GIB, 2, long=True),
)


SHORT = {
    "range-64k": 256 * MIB,
    "range-64k-on": 256 * MIB,
    "stream": 2_000_000_000,
    "streams-get": 128 * MIB,
}


def sized(row: Row, *, long: bool) -> Row:
    """Return a row with the lengths of the short form, or of the long one."""
    return row if long or row.name not in SHORT else replace(row, size=SHORT[row.name])


def chosen(only: Sequence[str], *, quick: bool, long: bool) -> list[Row]:
    """Return the rows that were asked for, in the table's order.

    Raises:
        ValueError: a name is none.
    """
    names = {row.name for row in ROWS}
    if wrong := [name for name in only if name not in names]:
        raise ValueError(f"no such row: {', '.join(wrong)}; there are {', '.join(sorted(names))}")
    if only:
        found = [row for row in ROWS if row.name in only]
    elif quick:
        found = [row for row in ROWS if row.quick]
    else:
        found = [row for row in ROWS if long or not row.long]
    return [sized(row, long=long) for row in found]
