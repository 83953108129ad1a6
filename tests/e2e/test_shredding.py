"""A case destroyed in real processes: no copy of it opens, and the statement is proven.

What a thief can do until the horizon is done as well, by the decryptor that needs no gateway: so
its failure afterwards shows something.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from tests.e2e import forked, four_eyes, operated, running
from typer.testing import CliRunner

from hyok.backends.filesystem import FileStore
from hyok.backends.port import StoredFacts
from hyok.cli.main import app
from hyok.cli.open import agents
from hyok.cli.options import load, moment
from hyok.cli.shred import statement_of
from hyok.errors import NotFound, Tampered

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
CASE, OTHER = "2026-004711", "2026-004712"
BUCKET = "vertrouwelijk"
BACKUPS_KEPT_MS = 35 * 86_400_000
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
    client.put_object(Bucket="geheim", Key="kluis", Body=b"kluis")
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
    forked.hyok(*restore).check_returncode()
    sealed = _put_back(home, tmp_path)
    gateway = serve(home)
    for key in bodies:
        assert get(gateway.client(), key) == "AccessDenied", sealed
    assert get(gateway.client(), "ander") == b"ander"
    assert gateway.stop() == 0

    thief = Thief(home, tmp_path)
    with agents(load(config)[0]):
        thief.restore(tmp_path / "backup.hyok")
        assert thief.opens(BUCKET) == {*bodies, "ander", "los"}, "until the horizon, as is stated"
        assert thief.opens("geheim") == {"kluis"}
        _end_the_key(config, f"gemeente/{BUCKET}/1")
        assert thief.opens(BUCKET) == set(), "after it"
        # Nor has what the installation keeps now, and backs up from now on, anything of the case.
        thief.take_records(home / "hyok.db")
        assert thief.opens(BUCKET) == {"ander", "los"}
        _shred_geheim(config)
        thief.take_records(home / "hyok.db")
        assert thief.opens("geheim") == set()
    gateway = serve(home)
    client = gateway.client()
    client.put_object(Bucket="geheim", Key="nieuw", Body=b"nieuw")
    assert client.get_object(Bucket="geheim", Key="nieuw")["Body"].read() == b"nieuw"
    assert [one["Key"] for one in client.list_objects_v2(Bucket="geheim")["Contents"]] == ["nieuw"]
    assert gateway.stop() == 0


def _end_the_key(config: Path, name: str) -> None:
    """The horizon: the KEK is rotated and destroyed, with the record that came back."""
    rotate = ["keys", "rotate", "--tenant", "gemeente", "--classification", BUCKET, "--json"]
    destroy = ["keys", "destroy", name, "--reason", "horizon", *four_eyes.DEMO[0], "--json"]
    [rotated], [proposed] = (
        json.loads(text) for text in operated.cli(config, [rotate, destroy])[:2]
    )
    assert (rotated["buried"], rotated["failed"]) == (1, 0)
    proposal = proposed["proposal"]
    commands = [
        ["approvals", "show", proposal, "--json"],
        ["approvals", "approve", proposal, *four_eyes.DEMO[1]],
        ["approvals", "execute", proposal, *four_eyes.DEMO[0]],
    ]
    shown = operated.cli(config, commands)
    assert json.loads(shown[0])[0]["effect"]["buried_records"] == 1


def _shred_geheim(config: Path) -> None:
    """A classification whose objects have no key but the KEK, which goes with them."""
    command = ["shred", "classification", "geheim", "--tenant", "gemeente", "--selection", "B1.2"]
    [proposal] = four_eyes.propose(config, four_eyes.DEMO, command)
    commands = [
        ["approvals", "approve", proposal, *four_eyes.DEMO[1]],
        ["approvals", "execute", proposal, *four_eyes.DEMO[0]],
        ["shred", "statement", proposal],
    ]
    _, said, stated, *_ = operated.cli(config, commands, ok=(0, 1))
    assert "1 key versions in the HSM, 0 keys and 1 versions" in said
    statement = json.JSONDecoder().raw_decode(stated)[0]["statement"]  # no checkpoint yet
    assert [one["kek_id"] for one in statement["keks"]] == ["gemeente/geheim/1"]
    assert [one["answer"] for one in statement["attempts"]] == ["HY-2301", "HY-2103"]
    assert (statement["deleted"], statement["remaining"]) == ([], 0)


class Thief:
    """Has a copy of the buckets, a backup of the database, and the use of the HSM: not hyok."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.folder = folder / "thief"
        self.folder.mkdir()
        self.store = self.folder / "store"
        shutil.copytree(folder / "store-before", self.store)
        text = (home / "hyok.toml").read_text()
        for mine, own in {
            f"{home}/store": self.store,
            f"{home}/hyok.db": self.folder / "hyok.db",
            f"{home}/audit/audit.jsonl": self.folder / "audit.jsonl",
        }.items():
            assert mine in text
            text = text.replace(mine, str(own))
        self.config = self.folder / "hyok.toml"
        self.config.write_text(text)
        self.turns = 0

    def restore(self, backup: Path) -> None:
        """Bring the database of a backup back, with the HSM."""
        assert self._run("restore", str(backup)) == 0
        self.take_records(self.folder / "hyok.db")

    def _run(self, *command: str) -> int:
        return CliRunner().invoke(app, [*command, "--config", str(self.config)]).exit_code

    def take_records(self, database: Path) -> None:
        """Lay the keyring records of a database beside the objects, where the decryptor looks."""
        with contextlib.closing(sqlite3.connect(database)) as opened:
            rows = opened.execute("select ik_id, record from keyring where record is not null")
            records = rows.fetchall()
        assert records

        async def act() -> None:
            store = FileStore(self.store)
            try:
                for bucket in (BUCKET, "geheim"):
                    for ik_id, record in records:
                        name = f".hyok/keyring/{ik_id.hex()}"
                        await store.put_whole(bucket, name, record, StoredFacts())
            finally:
                await store.close()

        asyncio.run(act())

    def opens(self, bucket: str) -> set[str]:
        """Return the keys of what `hyok open` decrypts of a bucket, its plaintext proven."""
        self.turns += 1
        to = self.folder / f"opened-{self.turns}"
        self._run("open", f"local:{bucket}", "--to", str(to))
        index = to / "opened.jsonl"
        lines = index.read_text().splitlines() if index.exists() else []
        return {json.loads(line)["key"] for line in lines}


def _sealed(effect: dict[str, Any]) -> int:
    return int(effect["holdings"][0].split(", ")[1].split()[0])


def _check_statement(home: Path, tmp_path: Path, proposal: str) -> None:
    """The statement stands by itself: the file and the public key of the log."""
    public = operated.cli(home / "hyok.toml", [["audit", "key"]])[0]
    (tmp_path / "audit.pem").write_text(public)
    page = tmp_path / "verklaring.html"
    deadline = time.monotonic() + 90
    while True:
        shown = ("--html", str(page), "--config", str(home / "hyok.toml"))
        done = forked.hyok("shred", "statement", proposal, *shown)
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
    horizon_ms = stated["horizon_ms"]
    assert 0 <= stated["ended_ms"] - (horizon_ms - BACKUPS_KEPT_MS) < 60_000
    assert f"kunnen de sleutels nog bevatten tot {moment(horizon_ms)}" in page.read_text()
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
