"""The README's commands and snippets do what it says, on a running installation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e import running

from hyok.backends.config import S3StoreSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
SHELL = [text for kind, text in BLOCKS if kind == "sh"]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    made = running.start(tmp_path_factory.mktemp("readme") / "home", "--reset")
    yield made
    assert made.stop() == 0


def command(installation: running.Running, line: str) -> subprocess.CompletedProcess[str]:
    """Run one line of the README as a person would, with this installation's values."""
    demo = json.loads((installation.home / "demo.json").read_text())
    line = line.partition("  #")[0].strip()
    line = line.replace("https://127.0.0.1:8443", installation.endpoint)
    line = line.replace("./hyok ", f"{sys.executable} -m hyok ")
    line = line.replace(".hyok/", f"{installation.home}/")
    return subprocess.run(
        ["sh", "-c", line],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HYOK_CONFIG": str(installation.home / "hyok.toml"),
            "AWS_ACCESS_KEY_ID": demo["access_key"],
            "AWS_SECRET_ACCESS_KEY": demo["secret"],
            "AWS_CA_BUNDLE": str(installation.home / "ca.pem"),
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_lines_to_try_work_in_order(installation: running.Running) -> None:
    block = next(text for text in SHELL if "s3 cp README.md" in text)
    lines = [line for line in block.splitlines() if not line.startswith("export")]
    copied = command(installation, lines[0])
    assert copied.returncode == 0, copied.stderr
    peeked = command(installation, lines[1])
    assert peeked.returncode == 0, peeked.stderr
    supplier, _, owner = peeked.stdout.partition("What the owner has")
    assert "hyok" not in supplier.partition("as '")[2]
    assert "A hold-your-own-key gateway" in re.sub(r"\n\s+[0-9a-f]{6}  [0-9a-f ]{47}  ", "", owner)
    log = [
        json.loads(line)
        for line in (installation.home / "log" / "gateway.jsonl").read_text().splitlines()
    ]
    request = next(line for line in log if line.get("operation") == "PutObject")["request_id"]
    explained = command(installation, lines[2].replace("REQUEST-ID", request))
    assert explained.returncode == 0, explained.stderr
    for said in ("zaaksysteem", "app-write", "gemeente/vertrouwelijk/1", "answered 200"):
        assert said in explained.stdout
    doctor = command(installation, lines[3])
    assert doctor.returncode == 0, doctor.stdout
    assert "FAIL" not in doctor.stdout


def test_the_demo_program_works(installation: running.Running) -> None:
    done = command(installation, f"{sys.executable} {installation.home}/demo.py")
    assert done.returncode == 0, done.stderr
    assert "Geachte heer, mevrouw" in done.stdout


def test_doctor_speaks_json_and_fails_with_its_exit_code(installation: running.Running) -> None:
    well = json.loads(command(installation, "./hyok doctor --json").stdout)
    assert {row["result"] for row in well} <= {"ok", "warn"}
    broken = command(installation, "./hyok doctor --json --config /nowhere.toml")
    assert broken.returncode == 1
    assert json.loads(broken.stdout)[0]["result"] == "FAIL"


def test_health_is_told_on_its_own_listener(installation: running.Running) -> None:
    import urllib.request

    for path, said in (("livez", b"ok"), ("readyz", b"ok"), ("metrics", b"hyok_s3_requests")):
        with urllib.request.urlopen(f"{installation.management}/{path}") as answer:
            assert said in answer.read()


def test_a_second_start_keeps_everything(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = running.start(home, "--reset", "--soft-keys")
    first.client().put_object(Bucket="intern", Key="blijft", Body=b"ja")
    assert first.stop() == 0
    again = running.start(home)
    assert again.client().get_object(Bucket="intern", Key="blijft")["Body"].read() == b"ja"
    assert again.stop() == 0
    assert b"SOFTWARE KEYS" in (tmp_path / "home.out").read_bytes()


def test_a_backup_brings_back_what_only_the_database_knew(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = running.start(home, "--reset", "--soft-keys")
    first.client().put_object(Bucket="vertrouwelijk", Key="zaak", Body=b"inhoud")
    made = command(first, f"./hyok backup {tmp_path}/kopie")
    assert made.returncode == 0, made.stderr
    refused = command(first, f"./hyok restore {tmp_path}/kopie --force")
    assert refused.returncode == 1
    assert "stop it first" in refused.stderr
    assert first.stop() == 0
    for path in home.glob("hyok.db*"):
        path.unlink()
    (tmp_path / "bad").write_bytes(b"no database")
    assert command(first, f"./hyok restore {tmp_path}/bad").returncode == 1
    restored = command(first, f"./hyok restore {tmp_path}/kopie")
    assert restored.returncode == 0, restored.stderr
    again = running.start(home)
    answer = again.client().get_object(Bucket="vertrouwelijk", Key="zaak")
    assert answer["Body"].read() == b"inhoud"
    assert again.stop() == 0


def test_the_store_of_the_readme_is_accepted() -> None:
    text = next(text for kind, text in BLOCKS if kind == "toml")
    S3StoreSettings.model_validate(tomllib.loads(text)["stores"][0])


def test_every_file_that_the_readme_names_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
