"""docs/audit-log.md is enough to verify a log without us: its program is run as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.audit.test_keeper import KEY, log, seal, write  # noqa: F401 - a fixture

PAGE = Path(__file__).parents[3] / "docs" / "audit-log.md"
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")


def run(path: Path) -> subprocess.CompletedProcess[str]:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    pem = path.with_name("key.pem")
    pem.write_text(KEY.pem())
    return subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", program, str(path), str(pem)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_program_of_the_page_verifies_a_log_and_finds_changes(log: Path) -> None:  # noqa: F811
    seal(log)
    write(log, 300)
    seal(log)
    write(log, 7)
    done = run(log)
    assert (done.returncode, done.stdout) == (0, "1000\n"), done.stderr
    good = log.read_bytes()
    log.write_bytes(good.replace(b'"action":"a"', b'"action":"b"', 1))
    assert "a record up to 700 is not what was signed" in run(log).stderr
    log.write_bytes(b"".join(good.splitlines(keepends=True)[:990]))
    assert "1000 records were signed" in run(log).stderr
    log.write_bytes(good)
    history = log.with_name("audit.jsonl.tree") / "checkpoints.jsonl"
    history.write_bytes(history.read_bytes().replace(b"time 17", b"time 18"))
    assert run(log).returncode != 0
