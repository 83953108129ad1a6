"""What the rows ask of a road: its requests, what must stand there before, and how a round goes."""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from benchmarks.side_by_side import processes
from benchmarks.side_by_side.client import send, send_raw
from benchmarks.side_by_side.figures import Sample
from benchmarks.side_by_side.requests import LENGTH, SAME, Ask, Slice, write_requests
from benchmarks.side_by_side.rows import LISTED, MIB, PART_BYTES, PARTS, RANGE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.side_by_side.client import Answer
    from benchmarks.side_by_side.roads import Road, Store
    from benchmarks.side_by_side.rows import Row

STEP = 104_729
"""Prime: where the body of each next key begins in the pattern."""


class Failed(Exception):
    """A road did not do what was asked; a figure of it would be worth nothing."""


@dataclass
class Bench:
    """What all rows share."""

    folder: Path
    program: Path
    pattern: bytes
    seconds: float
    stores: dict[str, Store]
    prepared: set[tuple[object, ...]]

    @property
    def pattern_file(self) -> Path:
        return self.folder / "pattern"


def key_path(road: Road, row: Row, key: str) -> str:
    return f"/{road.bucket(row.classification)}/{quote(key)}"


def body_of(row: Row, number: int) -> Slice:
    return Slice(number * STEP, row.size)


def put_asks(road: Road, row: Row, prefix: str = "") -> list[Ask]:
    return [
        Ask(
            "PUT",
            key_path(road, row, f"{prefix}{row.size}/{number}"),
            body=body_of(row, number),
            signing=row.signing,
        )
        for number in range(row.keys)
    ]


def get_asks(road: Road, row: Row) -> list[Ask]:
    """Every body of short ones is compared, of long ones that of one key in eight."""
    return [
        Ask(
            "GET",
            key_path(road, row, f"{row.size}/{number}"),
            check=SAME if row.size < MIB or number % 8 == 0 else LENGTH,
            expected=body_of(row, number),
        )
        for number in range(row.keys)
    ]


def range_asks(road: Road, row: Row) -> list[Ask]:
    asks = []
    for number in range(256):
        step = RANGE_BYTES if row.in_order else 2_654_435_761
        start = number * step % (row.size - RANGE_BYTES)
        asks.append(
            Ask(
                "GET",
                key_path(road, row, f"range/{row.size}"),
                headers={"range": f"bytes={start}-{start + RANGE_BYTES - 1}"},
                status=206,
                check=SAME,
                expected=Slice(0, row.size).cut(start, RANGE_BYTES),
            )
        )
    return asks


def list_ask(road: Road, row: Row) -> Ask:
    query = (("list-type", "2"), ("max-keys", str(LISTED)), ("prefix", "list/"))
    return Ask("GET", f"/{road.bucket(row.classification)}", query=query)


def load(
    bench: Bench, road: Road, asks: list[Ask], *, connections: int, seconds: float, count: int = 0
) -> dict[str, Any]:
    """Run the load generator; ``count`` operations exactly, or for ``seconds``.

    Raises:
        Failed: an answer was not as expected.
    """
    file = bench.folder / "requests"
    write_requests(file, asks, road.host, road.signer, bench.pattern)
    command = [str(bench.program), "--port", str(road.port), "--connections", str(connections)]
    command += ["--seconds", str(seconds), "--least", str(count or connections)]
    command += ["--requests", str(file), "--pattern", str(bench.pattern_file)]
    if count:
        command += ["--most", str(count)]
    if road.ca:
        command += ["--ca", road.ca]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        try:
            why = json.loads(done.stdout)["first_error"]
        except ValueError:
            why = f"the load generator ends with {done.returncode}: {done.stderr}"
        raise Failed(f"{road.name}: {why}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def prepare(bench: Bench, road: Road, row: Row) -> None:
    """Put there what the row reads, once for each place."""
    place = (row.kind, row.size, row.classification, road.host, road.bucket(row.classification))
    if row.kind in {"put", "multipart"} or place in bench.prepared:
        return
    if row.kind == "list":
        small = replace(row, size=16)
        asks = [
            Ask("PUT", key_path(road, row, f"list/{n:04}"), body=body_of(small, n))
            for n in range(LISTED)
        ]
    elif row.kind == "stream":  # so that what a worker loads once is not counted
        asks = [Ask("PUT", key_path(road, row, "small"), body=Slice(0, 4 * MIB))]
    elif row.kind in {"range", "streams"}:
        asks = [Ask("PUT", key_path(road, row, f"range/{row.size}"), body=Slice(0, row.size))]
    else:
        asks = put_asks(road, replace(row, signing="unsigned"))
    load(bench, road, asks, connections=min(4, len(asks)), seconds=0, count=len(asks))
    bench.prepared.add(place)


@dataclass
class Round:
    """One round of one road: what the load generator told, and whole bytes moved."""

    told: dict[str, Any]
    seconds: float
    bytes: int


def _simple(bench: Bench, road: Road, row: Row, seconds: float) -> Round:
    asks = {"put": put_asks, "get": get_asks, "range": range_asks}.get(row.kind)
    wanted = asks(road, row) if asks else [list_ask(road, row)]
    told = load(bench, road, wanted, connections=row.connections, seconds=seconds)
    size = {"range": RANGE_BYTES, "list": 0}.get(row.kind, row.size)
    return Round(told, told["seconds"], told["operations"] * size)


def _stream(bench: Bench, road: Road, row: Row, seconds: float) -> Round:
    ask = Ask("PUT", key_path(road, row, "stream"), body=Slice(0, row.size))
    told = load(bench, road, [ask], connections=1, seconds=0, count=1)
    return Round(told, told["seconds"], row.size)


def _streams(bench: Bench, road: Road, row: Row, seconds: float) -> Round:
    """Read one long body as often as there are connections, all at once."""
    path = key_path(road, row, f"range/{row.size}")
    ask = Ask("GET", path, check=LENGTH, expected=Slice(0, row.size))
    count = row.connections
    told = load(bench, road, [ask], connections=count, seconds=0, count=count)
    return Round(told, told["seconds"], count * row.size)


def _multipart(bench: Bench, road: Road, row: Row, seconds: float) -> Round:
    """Begin, sixteen parts four at a time, complete: all of it counts."""
    path = key_path(road, row, "parts")
    began = time.perf_counter()
    answer = send(road, Ask("POST", path, (("uploads", ""),)), bench.pattern)
    found = re.search(rb"<UploadId>(.*?)</UploadId>", answer.body)
    if found is None:
        raise Failed(f"{road.name}: no upload begins ({answer.status})")
    upload = found[1].decode()
    taken = time.perf_counter() - began
    whole = Slice(0, row.size)
    parts = [
        Ask(
            "PUT",
            path,
            (("partNumber", str(number + 1)), ("uploadId", upload)),
            body=whole.cut(number * PART_BYTES, PART_BYTES),
            signing=row.signing,
        )
        for number in range(PARTS)
    ]
    told = load(bench, road, parts, connections=row.connections, seconds=0, count=PARTS)
    document = "".join(
        f'<Part><PartNumber>{number}</PartNumber><ETag>"{etag}"</ETag></Part>'
        for number, etag in enumerate(told["etags"], 1)
    )
    began = time.perf_counter()
    ended = _complete(road, path, upload, document)
    if ended.status != 200 or b"<Error>" in ended.body:
        raise Failed(
            f"{road.name}: the upload is not completed ({ended.status} {ended.body[:300]!r})"
        )
    taken += time.perf_counter() - began
    told["operations"] = 1
    return Round(told, told["seconds"] + taken, row.size)


def _complete(road: Road, path: str, upload: str, document: str) -> Answer:
    """Send the document that ends an upload; it is no slice of the pattern."""
    body = f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>".encode()
    now = datetime.now(UTC)  # noqa: TID251
    query = [("uploadId", upload)]
    digest = sha256(body).hexdigest()
    lines = road.signer.sign("POST", road.host, path, query, {}, digest, now)
    head = f"POST {path}?uploadId={quote(upload, safe='')} HTTP/1.1\r\nhost: {road.host}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return send_raw(road, f"{head}content-length: {len(body)}\r\n\r\n".encode(), body)


class Others:
    """How many cores were busy with work that is not ours."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._machine = processes.machine_busy_seconds()
        self._own = processes.own_busy_seconds()

    def cores(self) -> float:
        seconds = time.perf_counter() - self._began
        machine = processes.machine_busy_seconds() - self._machine
        own = processes.own_busy_seconds() - self._own
        return max(0.0, (machine - own) / seconds)


def measure(bench: Bench, road: Road, row: Row, seconds: float) -> Sample:
    """Let one road do one round of a row.

    Raises:
        Failed: it did not do it rightly.
    """
    kinds = {"multipart": _multipart, "stream": _stream, "streams": _streams}
    watched = road.watched
    store = bench.stores[row.store].road.watched
    for pids in watched.roles.values():
        for pid in pids:
            processes.forget_peak(pid)
    resting = road.resting()
    others = Others()
    before, store_before = watched.cpu(), sum(store.cpu().values())
    done = kinds.get(row.kind, _simple)(bench, road, row, seconds)
    after, store_after = watched.cpu(), sum(store.cpu().values())
    peaks = watched.peaks()
    return Sample(
        operations=done.told["operations"],
        seconds=done.seconds,
        bytes=done.bytes,
        p50_us=done.told["p50_us"],
        p99_us=done.told["p99_us"],
        cpu_seconds={role: round(after[role] - before[role], 3) for role in after},
        peak_bytes=peaks,
        client_cpu_seconds=done.told["client_cpu_seconds"],
        store_cpu_seconds=round(store_after - store_before, 3),
        others_busy=round(others.cores(), 2),
        growth_bytes=sum(peaks.values()) - resting,
    )
