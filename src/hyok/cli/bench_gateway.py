"""`hyok bench gateway`: throughput and latency of a running gateway, as a client sees them.

For a gateway of one's own, with a bucket and an access key of one's own.  The client is Python and
may be the limit; it says how much of its one core it used.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import Annotated, Any, TypeAlias

import botocore.session
import typer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from hyok.cli import bench_result
from hyok.cli.options import JsonOption  # noqa: TC001 - typer reads the annotation
from hyok.cli.progress import steps
from hyok.cli.screen import say, show_whole
from hyok.errors import HyokError, Malformed, Tampered, Unavailable
from hyok.telemetry.percentiles import percentile

SIZES = "1k,1m,16m"
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
SIZE_MAX = 1 << 30
KEYS_MAX = 64
KEYS_BYTES_MAX = 256 << 20
CLIENT_BUSY = 0.85

Act: TypeAlias = Callable[[int], None]


def gateway(
    endpoint: Annotated[str, typer.Argument(help="Where the S3 door is: https://s3.example.nl")],
    bucket: Annotated[str, typer.Argument(help="A bucket that the access key may write in.")],
    sizes: Annotated[str, typer.Option(help="Of the bodies: 1k,1m,16m")] = SIZES,
    connections: Annotated[int, typer.Option(min=1, max=64, help="Requests at once.")] = 8,
    seconds: Annotated[float, typer.Option(min=0.2, max=600, help="Of each step.")] = 5.0,
    profile: Annotated[str, typer.Option(help="Of the AWS configuration; else its own.")] = "",
    region: Annotated[str, typer.Option(help="That requests are signed for.")] = "us-east-1",
    ca_file: Annotated[Path | None, typer.Option(help="PEM of the CA; else AWS_CA_BUNDLE.")] = None,
    site: Annotated[str, typer.Option(help="A name of this place, for comparing.")] = "",
    output: Annotated[Path | None, typer.Option(help="The result file; else one is named.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a running gateway: PUT and GET, every body compared, nothing left behind.

    The access key comes from the usual AWS environment or profile.
    """
    wanted = parse_sizes(sizes)
    client = _client(endpoint, profile, region, ca_file, connections)
    try:
        run = Run(client, bucket, connections, seconds)
        with steps("measuring") as tell:
            try:
                for number, size in enumerate(wanted):
                    run.measure(size)
                    tell(number + 1, len(wanted))
            finally:
                run.clean()
    finally:
        client.close()
    document = bench_result.head("hyok-bench-gateway", site)
    document |= {"connections": connections, "cells": [asdict(cell) for cell in run.cells]}
    if not as_json:
        _tell(run.cells)
    bench_result.give(document, output, as_json=as_json)


def parse_sizes(text: str) -> list[int]:
    """Return sizes in bytes.

    Raises:
        Malformed: one is none, or longer than a client should hold (code HY-2456).
    """
    sizes = []
    for word in text.lower().split(","):
        digits, unit = (word[:-1], UNITS[word[-1]]) if word[-1:] in UNITS else (word, 1)
        if not (digits.isascii() and digits.isdigit()) or not 0 < int(digits) * unit <= SIZE_MAX:
            raise Malformed(
                f"{word!r} is no size",
                code="HY-2456",
                effect="Nothing was measured.",
                next_step="write sizes as 1k,1m,64m; 1g is the longest",
            )
        sizes.append(int(digits) * unit)
    return sizes


def _client(
    endpoint: str, profile: str, region: str, ca_file: Path | None, connections: int
) -> Any:
    session = botocore.session.Session(profile=profile or None)
    return session.create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        verify=str(ca_file) if ca_file is not None else None,
        config=Config(
            retries={"max_attempts": 0},
            max_pool_connections=connections,
            connect_timeout=10,
            read_timeout=120,
            s3={"addressing_style": "path"},
        ),
    )


@dataclass(frozen=True, slots=True)
class Cell:
    """One size, one kind of request.  ``client_cpu``: of one core, what this client used."""

    call: str
    size_bytes: int
    operations: int
    seconds: float
    p50_ms: float
    p99_ms: float
    client_cpu: float

    @property
    def client_was_the_limit(self) -> bool:
        return self.client_cpu >= CLIENT_BUSY


@dataclass
class Run:
    """A measurement under a prefix of its own, which `clean` takes away again."""

    client: Any
    bucket: str
    connections: int
    seconds: float
    cells: list[Cell] = field(default_factory=list)
    prefix: str = field(default_factory=lambda: f"hyok-bench-{secrets.token_hex(8)}/")
    made: dict[tuple[str, str], None] = field(default_factory=dict)  # key, version
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def measure(self, size: int) -> None:
        """Write bodies of this size, and read them back.

        Raises:
            Unavailable: the gateway refuses or does not answer (code HY-2457).
            Tampered: a body that came back is another one (code HY-2458).
        """
        count = max(1, min(KEYS_MAX, KEYS_BYTES_MAX // size, 4 * self.connections))
        whole = secrets.token_bytes(size + count)
        names = [f"{self.prefix}{size}/{number}" for number in range(count)]

        def put(turn: int) -> None:
            at = turn % count
            body = whole[at : at + size]
            told = self.client.put_object(Bucket=self.bucket, Key=names[at], Body=body)
            with self._lock:
                self.made[names[at], told.get("VersionId", "")] = None

        def get(turn: int) -> None:
            at = turn % count
            told = self.client.get_object(Bucket=self.bucket, Key=names[at])
            if told["Body"].read() != memoryview(whole)[at : at + size]:
                raise Tampered(
                    f"{names[at]} came back as another body than was written",
                    code="HY-2458",
                    effect="The figures are worth nothing.",
                    next_step="hyok doctor; look at the store",
                )

        for turn in range(count):
            _asked(put, turn)  # so that every GET finds its object
        for call, act in (("PUT", put), ("GET", get)):
            self.cells.append(self._cell(call, size, act))

    def _cell(self, call: str, size: int, act: Act) -> Cell:
        took: list[float] = []
        began, cpu = time.perf_counter(), time.process_time()
        ends = began + self.seconds

        def work(first: int) -> None:
            turn = first
            while (at := time.perf_counter()) < ends or turn == first:
                _asked(act, turn)
                took.append(time.perf_counter() - at)
                turn += self.connections

        with ThreadPoolExecutor(self.connections) as pool:
            for done in [pool.submit(work, first) for first in range(self.connections)]:
                done.result()
        lasted = time.perf_counter() - began
        took.sort()
        return Cell(
            call=call,
            size_bytes=size,
            operations=len(took),
            seconds=round(lasted, 3),
            p50_ms=round(1000 * percentile(took, 0.5), 2),
            p99_ms=round(1000 * percentile(took, 0.99), 2),
            client_cpu=round((time.process_time() - cpu) / lasted, 2),
        )

    def clean(self) -> None:
        """Take away what was written, versions too.

        Raises:
            Unavailable: something stays; says what (code HY-2459).
        """
        left = []
        for key, version in self.made:
            named = {"VersionId": version} if version else {}
            try:
                self.client.delete_object(Bucket=self.bucket, Key=key, **named)
            except (BotoCoreError, ClientError):
                left.append(key)
        self.made.clear()
        if left:
            raise Unavailable(
                f"{len(left)} objects of the measurement stay in {self.bucket}",
                code="HY-2459",
                effect=f"They stand under {self.prefix}.",
                next_step="delete them with an access key that may",
            )


def _asked(act: Act, turn: int) -> None:
    try:
        act(turn)
    except HyokError:
        raise
    except ClientError as error:
        told = error.response.get("Error", {})
        raise _refused(f"{told.get('Code', '')} {told.get('Message', '')}".strip()) from error
    except BotoCoreError as error:
        raise _refused(str(error)) from error


def _refused(said: str) -> Unavailable:
    return Unavailable(
        f"the gateway does not do what is measured: {said}",
        code="HY-2457",
        effect="What was written is taken away again.",
        next_step="look at endpoint, access key, CA and bucket; hyok doctor on the gateway's host",
    )


def _tell(cells: list[Cell]) -> None:
    rows = [
        {
            "call": cell.call,
            "bytes": f"{cell.size_bytes:,}",
            "calls/s": f"{cell.operations / cell.seconds:.1f}",
            "MB/s": f"{cell.operations * cell.size_bytes / cell.seconds / 1e6:.1f}",
            "p50 ms": cell.p50_ms,
            "p99 ms": cell.p99_ms,
            "client": f"{cell.client_cpu:.0%} of a core",
        }
        for cell in cells
    ]
    show_whole(rows, as_json=False, empty="nothing was measured")
    say("every body was compared with what was written; the client is Python, in one process")
    if any(cell.client_was_the_limit for cell in cells):
        say("where the client used nearly all of a core, it was the limit and not the gateway")
