"""The module ends its process in the midst of calls, again and again, under load."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest
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
CRASHES = 5


def test_crashes_of_the_module_cost_503_at_most_and_nothing_is_wrong(tmp_path: Path) -> None:
    shim = Shim(tmp_path)
    made = operated.copied(tmp_path, shim=shim)
    try:
        gateway = made.serve()
        agents = set(made.agents("a"))
        with operated.Load(gateway, ("geheim", "intern", "geheim", "vertrouwelijk")) as load:
            for _ in range(CRASHES):
                until = time.monotonic() + 30
                done = load.done
                shim.order("C_Sign abort 0 once")
                while not shim.was_taken() or load.done < done + 20:
                    assert time.monotonic() < until, "no call met the order, or none goes on"
                    time.sleep(0.05)
                agents |= set(made.agents("a"))
        print(f"{load.done} requests, {len(load.failed)} times 503, slowest {load.slowest:.2f} s")
        assert load.wrong == []
        assert set(load.failed) <= {503}
        assert len(load.failed) < load.done / 4
        assert len(agents) == CRASHES + 1
        assert made.wait_ready() < 10
        s3 = gateway.client()
        for (bucket, key), body in load.held.items():
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    finally:
        made.close()
