"""A key on which the module hangs for ever: its clients wait and get 503, the others do not notice.

The hung key is the one of `geheim`: it is asked at every read, and it is the first that the watch
asks.  Other clients are of two kinds: those whose keys are in memory, and those who come with a
cold key, in the same token and so through the same agent.
"""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from tests.e2e import operated
from tests.fakes.hsm_tokens import HAS_SOFTHSM
from tests.faults.shim import Shim

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (HAS_SOFTHSM and shutil.which("gcc")), reason="no SoftHSM or no compiler here"
    ),
]
DEADLINE_SECONDS = 2.0
START_SECONDS = 6.0  # for a new agent on a busy machine; half a second on an idle one
WAITERS = 10  # more than the lines that a gateway has to an agent
HUNG = "gemeente/geheim/1"


class Reader:
    """One client that reads over and over; what it met, and how long each read took."""

    def __init__(self, s3: Any, bucket: str, body: bytes) -> None:
        self._s3, self._bucket, self._body = s3, bucket, body
        self.took: list[float] = []
        self.met: list[str] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                got = self._s3.get_object(Bucket=self._bucket, Key="brief")["Body"].read()
                if got != self._body:
                    self.met.append("another body")
            except ClientError as error:
                self.met.append(str(operated.status_of(error)))
            self.took.append(time.monotonic() - began)
            time.sleep(0.02)


def hold(s3: Any, outcomes: list[tuple[int, float]]) -> None:
    """Read the object of the hung key once."""
    began = time.monotonic()
    try:
        s3.get_object(Bucket="geheim", Key="brief")["Body"].read()
        status = 200
    except ClientError as error:
        status = operated.status_of(error)
    outcomes.append((status, time.monotonic() - began))


def test_a_key_that_hangs_costs_its_own_clients_alone(tmp_path: Path) -> None:
    shim = Shim(tmp_path)
    made = operated.copied(tmp_path, shim=shim, deadline_seconds=DEADLINE_SECONDS)
    try:
        gateway = made.serve()
        s3 = gateway.client()
        for bucket in (*operated.CLASSES, "koud"):
            s3.put_object(Bucket=bucket, Key="brief", Body=bucket.encode())
        assert gateway.stop() == 0
        gateway = made.serve()
        readers = [Reader(gateway.client(), name, name.encode()) for name in operated.CLASSES[:2]]
        for reader in readers:
            reader.thread.start()
        time.sleep(1.5)
        calm = max(max(reader.took[3:]) for reader in readers)
        for reader in readers:
            reader.took.clear()
        (agent,) = made.agents("a")
        shim.order(f"C_SignInit hang 0 always {HUNG}")
        began = time.monotonic()
        outcomes: list[tuple[int, float]] = []
        waiters = [
            threading.Thread(target=hold, args=(gateway.client(), outcomes)) for _ in range(WAITERS)
        ]
        for waiter in waiters:
            waiter.start()
        time.sleep(0.3)
        # A key that nobody holds in memory, in the same token, while all of them wait.
        cold_began = time.monotonic()
        assert gateway.client().get_object(Bucket="koud", Key="brief")["Body"].read() == b"koud"
        cold = time.monotonic() - cold_began
        while agent in made.agents("a"):
            assert time.monotonic() - began < DEADLINE_SECONDS + START_SECONDS
            time.sleep(0.02)
        replaced = time.monotonic() - began
        for waiter in waiters:
            waiter.join(60)
        assert [status for status, _ in outcomes] == [503] * WAITERS
        waited = max(took for _, took in outcomes)
        # The key goes on hanging and being asked for: the watch must not take it for the HSM.
        hold(gateway.client(), outcomes)
        time.sleep(3.0)
        for reader in readers:
            reader.stop.set()
            reader.thread.join(30)
        assert [reader.met for reader in readers] == [[], []]
        slowest = max(max(reader.took) for reader in readers)
        assert made.readyz()[0] == 200
        shim.order()
        until = time.monotonic() + 30
        while True:
            outcomes.clear()
            hold(gateway.client(), outcomes)
            if outcomes[0][0] == 200:
                break
            assert time.monotonic() < until
        print(
            f"agent replaced after {replaced:.1f} s; 503 after {waited:.1f} s; "
            f"readers of other keys at most {slowest:.2f} s (calm: {calm:.2f} s), cold {cold:.2f} s"
        )
        assert replaced < DEADLINE_SECONDS + 1.5
        assert slowest < max(1.0, 4 * calm), "a client of another key waited for the hung one"
        assert cold < max(1.0, 4 * calm), "a cold key waited for the hung one"
    finally:
        made.close()
