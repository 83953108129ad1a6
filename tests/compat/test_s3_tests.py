"""ceph/s3-tests at a real store, and through hyok before the same store: what passes must pass.

Runs only with a checkout of that suite: ``./hyok test --long --s3-tests CHECKOUT``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.compat.s3_tests import suite
from tests.compat.s3_tests.comparison import (
    DEVIATIONS,
    TARGET,
    compare,
    read_deviations,
)
from tests.compat.s3_tests.doors import doors_in
from tests.compat.s3_tests.report import table
from tests.peers import radosgw

CHECKOUT = os.environ.get("HYOK_S3_TESTS", "")
CHOSEN = tuple(f"{suite.FOLDER}/{file}" for file in ("test_s3.py", "test_headers.py"))
RUNS = ("seaweedfs/clear", "seaweedfs/sealed", "radosgw/clear")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not CHECKOUT, reason="needs --s3-tests CHECKOUT"),
]


@pytest.mark.parametrize("run", RUNS)
def test_what_passes_at_the_store_passes_through_hyok(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, names = run.split("/")
    if store == "radosgw" and radosgw.missing():
        pytest.skip(f"not installed: {', '.join(radosgw.missing())}")
    checkout, results = Path(CHECKOUT), tmp_path / "results"
    with doors_in(tmp_path, store=store, names=names) as (behind, hyok):
        at_store = suite.run(checkout, behind, results, CHOSEN)
        # What the store does not do is not asked of us, so it need not be run.
        passed = [name for name, result in at_store.items() if result.passed]
        wanted = [f"{suite.FOLDER}/{name}" for name in passed]
        through = suite.run(checkout, hyok, results, wanted)
    verdict = compare(run, at_store, through, read_deviations(DEVIATIONS.read_text()))
    said = table(run, at_store, through, verdict)
    with capsys.disabled():
        print(f"\n{said}", flush=True)
    assert verdict.both, said
    assert verdict.holds, said
    assert verdict.share(apart=False) >= TARGET, said
