"""A case destroyed in real processes: no copy of it opens, and the statement is proven."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from tests.e2e import four_eyes, operated, running

from hyok.backends.filesystem import FileStore
from hyok.cli.shred import statement_of
from hyok.errors import NotFound, Tampered

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
CASE, OTHER = "2026-004711", "2026-004712"
BUCKET = "vertrouwelijk"
HEEDED_SECONDS_MAX = 5.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shred") / "home"
    running.prepare(folder)
    config = folder / "hyok.toml"
    config.write_text(config.read_text().replace("[audit]\n", "[audit]\ncheckpoint_seconds = 2\n"))
    return folder


def serve(home: Path) -> running.Gateway:
    return running.serve(home / "hyok.toml")


def get(client: Any, key: str) -> bytes | str:
    try:
        return bytes(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    except ClientError as error:
        return str(error.response["Error"]["Code"])


def test_a_destroyed_case_opens_from_no_copy_and_the_statement_proves_it(
    home: Path, tmp_path: Path
) -> None:
    config = home / "hyok.toml"
    gateway = serve(home)
    client = gateway.client()
    bodies = {f"stuk-{n}": f"{CASE} {n}".encode() * 100 for n in range(5)}
    for key, body in bodies.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=body, Tagging=f"zaak={CASE}")
    client.put_object(Bucket=BUCKET, Key="ander", Body=b"ander", Tagging=f"zaak={OTHER}")
    client.put_object(Bucket=BUCKET, Key="los", Body=b"los")
    assert gateway.stop() == 0
    shutil.copytree(home / "store", tmp_path / "store-before")
    operated.cli(config, [["backup", str(tmp_path / "backup.hyok")]])

    gateway = serve(home)
    client = gateway.client()
    assert get(client, "stuk-0") == bodies["stuk-0"], "its key is in memory now"
    command = ["shred", "case", CASE, "--tenant", "gemeente", "--selection", "B1.2"]
    [proposal] = four_eyes.propose(config, four_eyes.DEMO, command)
    [shown] = operated.cli(config, [["approvals", "show", proposal, "--json"]])[:1]
    effect = json.loads(shown)[0]["effect"]
    assert (effect["case"], effect["keys"]) == (CASE, 1)
    assert effect["holdings"] == [f"{BUCKET}: 5 versions, {_sealed(effect)} bytes"]
    began = time.monotonic()
    [said] = four_eyes.done(config, four_eyes.DEMO, proposal)
    figures = json.loads(said)[0] if said.startswith("[") else {}
    print(f"destroyed in {time.monotonic() - began:.1f} s, {figures or said.strip()}")
    for key in bodies:
        assert get(client, key) == "NoSuchKey"
    assert get(client, "ander") == b"ander"
    assert get(client, "los") == b"los"

    _check_statement(home, tmp_path, proposal)
    _check_log(home, proposal)
    assert gateway.stop() == 0

    # A copy of the bucket from before, put back under the same database.
    after = tmp_path / "store-after"
    shutil.move(home / "store", after)
    shutil.copytree(tmp_path / "store-before", home / "store")
    gateway = serve(home)
    for key in bodies:
        assert get(gateway.client(), key) == "AccessDenied"
    assert get(gateway.client(), "ander") == b"ander"
    assert gateway.stop() == 0

    # A database from before, over the bucket as it is: the tombstones in the bucket say no.
    shutil.rmtree(home / "store")
    shutil.copytree(after, home / "store")
    for path in home.glob("hyok.db*"):
        path.unlink()
    restore = ["restore", str(tmp_path / "backup.hyok"), "--config", str(config)]
    subprocess.run([sys.executable, "-m", "hyok", *restore], check=True, capture_output=True)
    sealed = _put_back(home, tmp_path)
    gateway = serve(home)
    for key in bodies:
        assert get(gateway.client(), key) == "AccessDenied", sealed
    assert get(gateway.client(), "ander") == b"ander"
    assert gateway.stop() == 0


def _sealed(effect: dict[str, Any]) -> int:
    return int(effect["holdings"][0].split(", ")[1].split()[0])


def _check_statement(home: Path, tmp_path: Path, proposal: str) -> None:
    """The statement stands by itself: the file and the public key of the log."""
    public = operated.cli(home / "hyok.toml", [["audit", "key"]])[0]
    (tmp_path / "audit.pem").write_text(public)
    page = tmp_path / "verklaring.html"
    deadline = time.monotonic() + 90
    while True:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "hyok", "shred", "statement", proposal),
                *("--html", str(page), "--config", str(home / "hyok.toml")),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            break
        assert "no checkpoint covers it yet" in done.stderr + done.stdout
        assert time.monotonic() < deadline
        time.sleep(2)
    document = json.loads(done.stdout)
    stated = statement_of(document, (tmp_path / "audit.pem").read_bytes())
    assert stated["remaining"] == 0
    assert [part["versions"] for part in stated["parts"]] == [5]
    assert [attempt["answer"] for attempt in stated["attempts"]] == ["HY-2304"]
    assert CASE not in done.stdout
    assert "Verklaring van vernietiging" in page.read_text()
    document["statement"]["remaining"] = 1
    with pytest.raises(Tampered):
        statement_of(document, (tmp_path / "audit.pem").read_bytes())


def _check_log(home: Path, proposal: str) -> None:
    lines = (home / "audit" / "audit.jsonl").read_text().splitlines()
    assert not [line for line in lines if CASE in line], "no number in clear"
    mine = [json.loads(line) for line in lines if proposal in line]
    assert {"scope:shred", "shred:statement"} <= {record["action"] for record in mine}
    tried = [r for r in mine if r["action"] == "object:get" and r["outcome"] == "failed"]
    assert [record["error"] for record in tried] == ["NotFound:HY-2304"]


def _put_back(home: Path, tmp_path: Path) -> int:
    """Put the objects from before into the store as it is now; its `.hyok/` stays as it is."""

    async def act() -> int:
        before, now = FileStore(tmp_path / "store-before"), FileStore(home / "store")
        count = 0
        try:
            for entry in (await before.list(BUCKET)).objects:
                if entry.name.startswith(".hyok/"):
                    continue
                try:
                    await now.head(BUCKET, entry.name)
                except NotFound:
                    stored, body = await before.read_whole(BUCKET, entry.name)
                    assert stored.facts is not None
                    await now.put_whole(BUCKET, entry.name, body, stored.facts)
                    count += 1
        finally:
            await before.close()
            await now.close()
        return count

    count = asyncio.run(act())
    assert count == 5
    return count
