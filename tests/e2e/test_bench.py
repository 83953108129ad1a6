"""`hyok bench` on a whole installation: its HSM and its gateway are measured, nothing stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.e2e import running
from tests.fakes.hsm_tokens import HAS_SOFTHSM

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here"),
]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    made = running.start(tmp_path_factory.mktemp("bench") / "home")
    yield made
    assert made.stop() == 0


def bench(
    made: running.Running, *arguments: str, code: int = 0
) -> subprocess.CompletedProcess[str]:
    demo = json.loads((made.home / "demo.json").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "hyok", "bench", *arguments],
        env={
            **os.environ,
            "AWS_ACCESS_KEY_ID": demo["access_key"],
            "AWS_SECRET_ACCESS_KEY": demo["secret"],
            "AWS_CA_BUNDLE": str(made.home / "ca.pem"),
        },
        cwd=made.home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def tokens(made: running.Running) -> dict[str, bytes]:
    """Return the token's objects; of the token itself a login changes the flags."""
    found = (made.home / "softhsm").rglob("*.object")
    return {str(path): path.read_bytes() for path in found if path.name != "token.object"}


def test_a_running_gateway_is_measured_and_left_as_it_was(installation: running.Running) -> None:
    client = installation.client()
    client.put_object(Bucket="intern", Key="mine", Body=b"kept")
    arguments = ["gateway", installation.endpoint, "intern", "--sizes", "1k,2m", "--json"]
    told = json.loads(bench(installation, *arguments, "--seconds", "0.5").stdout)
    assert [(cell["call"], cell["size_bytes"]) for cell in told["cells"]] == [
        ("PUT", 1024),
        ("GET", 1024),
        ("PUT", 2 << 20),
        ("GET", 2 << 20),
    ]
    assert all(cell["operations"] >= 8 and cell["p99_ms"] > 0 for cell in told["cells"])
    listed = client.list_objects_v2(Bucket="intern")
    assert [row["Key"] for row in listed["Contents"]] == ["mine"]
    client.close()


def test_a_refused_access_key_is_told_in_one_line(installation: running.Running) -> None:
    done = bench(installation, "gateway", installation.endpoint, "not-here", code=1)
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("HY-2457 ")


def test_the_hsm_is_measured_beside_the_gateway(installation: running.Running) -> None:
    before = tokens(installation)
    assert before
    output = installation.home / "hsm.json"
    arguments = ["hsm", "--config", str(installation.home / "hyok.toml"), "--seconds", "0.1"]
    arguments += ["--sessions", "2", "--callers", "1,4", "--output", str(output)]
    shown = bench(installation, *arguments).stdout
    assert tokens(installation) == before
    told = json.loads(output.read_text())
    assert told["tokens"][0]["usable_profiles"] == [1, 2, 3]
    assert "fail-over: not measured, the settings name one token" in shown
    assert f"sessions: {told['recommended']['sessions']} are enough" in shown
    # The gateway's own agent went on.
    client = installation.client()
    client.put_object(Bucket="geheim", Key="after", Body=b"sealed under the HSM")
    client.delete_object(Bucket="geheim", Key="after")
    client.close()


def test_production_is_measured_only_with_leave(installation: running.Running) -> None:
    text = (installation.home / "hyok.toml").read_text()
    config = installation.home / "as-production.toml"
    text = text.replace('mode = "development"', 'mode = "production"')
    config.write_text(text.replace('label = "hyok-dev"', 'label = "hyok"'))
    done = bench(installation, "hsm", "--config", str(config), code=1)
    assert done.stderr.startswith("HY-2455 ")
    assert "as fast as they answer" in done.stderr
