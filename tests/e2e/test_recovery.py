"""Leaving, and coming back from nothing: export, open without a gateway, recover a database."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from tests.compat.matrix import ODD_KEYS, content
from tests.e2e import forked, four_eyes, running

from hyok.backends.filesystem import FileStore

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]

KEPT = ("intern", "onbekend", "geheim")
SHREDDABLE = "vertrouwelijk"
SIZES = (0, 1, 262_105, (1 << 20) + 1)


def hyok(home: Path, *arguments: str, ok: tuple[int, ...] = (0,)) -> str:
    environment = {**os.environ, "HOME": "/nonexistent"}
    done = forked.hyok(*arguments, "--config", str(home / "hyok.toml"), environment=environment)
    assert done.returncode in ok, done.stdout + done.stderr
    return done.stdout


def failing(home: Path, *arguments: str) -> str:
    done = forked.hyok(*arguments, "--config", str(config_of(home)))
    assert done.returncode == 1
    return done.stderr


def config_of(home: Path) -> Path:
    return home / "hyok.toml"


def fill(s3: Any, bucket: str) -> dict[str, bytes]:
    held = {f"maat/{size}.bin": content(size, size) for size in SIZES}
    held |= {key: key.encode() for key in ODD_KEYS}
    held["../ontsnapt"] = b"uit de map"
    for key, body in held.items():
        s3.put_object(
            Bucket=bucket, Key=key, Body=body, ContentType="text/x", Metadata={"soort": "brief"}
        )
    held["delen"] = content((12 << 20) + 5, 3)
    parts = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=6 << 20)
    s3.upload_fileobj(io.BytesIO(held["delen"]), bucket, "delen", Config=parts)
    later = {"TagSet": [{"Key": "stand", "Value": "later gegeven"}]}
    s3.put_object_tagging(Bucket=bucket, Key="delen", Tagging=later)
    return held


def opened(folder: Path) -> dict[str, bytes]:
    rows = [json.loads(line) for line in (folder / "opened.jsonl").read_text().splitlines()]
    return {row["key"]: (folder / row["file"]).read_bytes() for row in rows}


def tags_of(folder: Path, key: str) -> dict[str, str]:
    rows = [json.loads(line) for line in (folder / "opened.jsonl").read_text().splitlines()]
    [tags] = [row["tags"] for row in rows if row["key"] == key]
    assert isinstance(tags, dict)
    return tags


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An installation that was filled and stopped: its home, and what it holds."""
    folder = tmp_path_factory.mktemp("leaving")
    home = folder / "home"
    made = running.fresh(home)
    s3 = made.client()
    held = {bucket: fill(s3, bucket) for bucket in (*KEPT, SHREDDABLE)}
    four_eyes.together(config_of(home), ["export", "s3://geheim", f"{folder}/while-running"])
    assert made.stop() == 0
    return home, held, folder


def lone_settings(home: Path, folder: Path) -> Path:
    """Return settings that name an HSM and a copied store, and nothing of the installation."""
    text = (home / "hyok.toml").read_text()
    hsm = text[text.index("[hsm]") : text.index("[[stores]]")]
    folder.mkdir()
    shutil.copytree(home / "store", folder / "copy")
    config = folder / "open.toml"
    config.write_text(
        f'[installation]\nmode = "development"\nrun_directory = "{folder / "run"}"\n'
        f'{hsm}\n[[stores]]\nkind = "files"\nname = "copy"\npath = "{folder / "copy"}"\n'
    )
    return config


def lone_open(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the decryptor by itself, in a process that could not load gateway or database."""
    script = (
        "import sys\n"
        "away = ('hyok.database', 'hyok.gateway', 'hyok.policy', 'hyok.audit')\n"
        "class Away:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        inside = name.startswith(tuple(folder + '.' for folder in away))\n"
        "        if inside and not name.endswith('.config'):\n"  # a model of the settings
        "            raise ImportError(name + ' is not here')\n"
        "sys.meta_path.insert(0, Away())\n"
        "for name in ('sqlalchemy', 'alembic'):\n"
        "    sys.modules[name] = None\n"
        "from hyok.cli.open import main\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script, *arguments, "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("bucket", [*KEPT, SHREDDABLE])
def test_an_export_opens_with_the_hsm_alone(left: Any, bucket: str, tmp_path: Path) -> None:
    home, held, _ = left
    folder = tmp_path / "export"
    four_eyes.together(config_of(home), ["export", f"s3://{bucket}", str(folder)])
    raw = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for body in (*list(held[bucket])[:6], "ontsnapt", hashlib.sha256(b"").hexdigest()):
        assert body.encode() not in raw
    config = lone_settings(home, tmp_path / "lone")
    shutil.rmtree(tmp_path / "lone" / "copy")
    done = lone_open(config, str(folder), "--to", str(tmp_path / "plain"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert opened(tmp_path / "plain") == held[bucket]
    assert not (tmp_path / "ontsnapt").exists()


def test_an_export_made_beside_a_running_gateway_is_whole(left: Any, tmp_path: Path) -> None:
    home, held, folder = left
    hyok(home, "open", str(folder / "while-running"), "--to", str(tmp_path / "plain"))
    assert opened(tmp_path / "plain") == held["geheim"]
    assert tags_of(tmp_path / "plain", "delen") == {"stand": "later gegeven"}


def test_an_export_that_was_broken_off_goes_on(left: Any, tmp_path: Path) -> None:
    home, held, _ = left
    folder = tmp_path / "export"
    config = config_of(home)
    [proposal] = four_eyes.propose(config, four_eyes.DEMO, ["export", "s3://intern", str(folder)])
    hyok(home, "approvals", "approve", proposal, *four_eyes.DEMO[1])
    execute = ("approvals", "execute", proposal, *four_eyes.DEMO[0])
    process = subprocess.Popen(
        [sys.executable, "-m", "hyok", *execute, "--config", str(config)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (folder / "objects" / "0000" / "00000002").exists():
        assert process.poll() is None
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    plain = str(tmp_path / "no")
    assert "no last page" in hyok(home, "open", str(folder), "--to", plain, ok=(1,))
    with sqlite3.connect(home / "hyok.db") as database:
        database.execute("DELETE FROM leases")  # the dead one's ends by itself after two minutes
    hyok(home, *execute)
    hyok(home, "open", str(folder), "--to", str(tmp_path / "plain"))
    assert opened(tmp_path / "plain") == held["intern"]
    assert "HY-2505" in failing(home, *execute)  # once is once


def test_a_changed_export_gives_no_wrong_byte(left: Any, tmp_path: Path) -> None:
    home, held, _ = left
    folder = tmp_path / "export"
    four_eyes.together(config_of(home), ["export", "s3://intern", str(folder)])
    files = sorted((folder / "objects").rglob("0*1")) + sorted((folder / "objects").rglob("0*2"))
    one, two = files[0], files[1]
    raw = bytearray(one.read_bytes())
    raw[-5] ^= 1
    one.write_bytes(raw)
    two.write_bytes(files[-1].read_bytes())
    plain = tmp_path / "plain"
    said = hyok(home, "open", str(folder), "--to", str(plain), ok=(1,))
    assert said.count("FAIL") == 2
    found = opened(plain)
    assert len(found) == len(held["intern"]) - 2
    assert all(held["intern"][key] == body for key, body in found.items())
    files = [path for path in plain.rglob("*") if path.is_file() and path.name != "opened.jsonl"]
    assert len(files) == len(found)


@pytest.mark.parametrize("bucket", KEPT)
def test_a_copied_bucket_opens_with_the_hsm_alone(left: Any, bucket: str, tmp_path: Path) -> None:
    home, held, _ = left
    config = lone_settings(home, tmp_path / "lone")
    done = lone_open(config, f"copy:{bucket}", "--to", str(tmp_path / "plain"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert opened(tmp_path / "plain") == held[bucket]
    assert tags_of(tmp_path / "plain", "delen") == {"stand": "later gegeven"}


def test_a_copy_without_its_shreddable_records_stays_closed(left: Any, tmp_path: Path) -> None:
    home, _, _ = left
    config = lone_settings(home, tmp_path / "lone")
    done = lone_open(config, f"copy:{SHREDDABLE}", "--to", str(tmp_path / "plain"))
    assert done.returncode == 1
    assert opened(tmp_path / "plain") == {}


def copied(old: Path, home: Path) -> None:
    """Copy an installation that was stopped to another place."""
    shutil.copytree(old, home, ignore=shutil.ignore_patterns("run"))
    for file in (home / "hyok.toml", home / "softhsm" / "softhsm2.conf"):
        file.write_text(file.read_text().replace(str(old), str(home)))


async def empty_mirrors(folder: Path) -> int:
    """Delete the keyring records in every bucket of a file store; return how many."""
    store = FileStore(folder)
    count = 0
    for bucket in await store.list_buckets():
        for entry in (await store.list(bucket, ".hyok/keyring/")).objects:
            await store.delete(bucket, entry.name)
            count += 1
    await store.close()
    return count


def test_records_lost_from_the_mirrors_are_back_before_the_database_is_lost(
    left: Any, tmp_path: Path
) -> None:
    old, held, _ = left
    home = tmp_path / "home"
    copied(old, home)
    lost = asyncio.run(empty_mirrors(home / "store"))
    assert lost >= len(KEPT)
    made = running.start(home)
    made_anew = ""
    deadline = time.monotonic() + 30
    while "mirror.records_made_anew" not in made_anew and time.monotonic() < deadline:
        made_anew = "".join(path.read_text() for path in (home / "log").glob("*"))
        time.sleep(0.1)
    assert made.stop() == 0
    for name in ("hyok.db", "hyok.db-wal", "hyok.db-shm", "demo.json"):
        (home / name).unlink(missing_ok=True)
    report = json.loads(hyok(home, "recover", "--json", ok=(3,)))[0]
    told = {found["bucket_id"]: found for found in report["buckets"]}
    for bucket in KEPT:
        assert (told[bucket]["readable"], told[bucket]["lost"]) == (len(held[bucket]), [])
    assert {key for key, _ in told[SHREDDABLE]["lost"]} == set(held[SHREDDABLE])


def test_a_lost_database_comes_back_from_buckets_and_hsm(left: Any, tmp_path: Path) -> None:
    old, held, _ = left
    home = tmp_path / "home"
    copied(old, home)
    for name in ("hyok.db", "hyok.db-wal", "hyok.db-shm", "demo.json"):
        (home / name).unlink(missing_ok=True)
    report = json.loads(hyok(home, "recover", "--json", ok=(3,)))[0]
    told = {found["bucket_id"]: found for found in report["buckets"]}
    for bucket in KEPT:
        assert (told[bucket]["readable"], told[bucket]["lost"]) == (len(held[bucket]), [])
    assert {key for key, _ in told[SHREDDABLE]["lost"]} == set(held[SHREDDABLE])
    again = json.loads(hyok(home, "recover", "--json", ok=(3,)))[0]
    assert not any(found["added"] or found["records"] for found in again["buckets"])
    made = running.start(home)
    try:
        s3 = made.client()
        for bucket in KEPT:
            for key, body in held[bucket].items():
                assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
            s3.put_object(Bucket=bucket, Key="maat/1.bin", Body=b"nieuw")
            assert s3.get_object(Bucket=bucket, Key="maat/1.bin")["Body"].read() == b"nieuw"
            listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
            assert {found["Key"] for found in listed} == set(held[bucket])
        s3.put_object(Bucket=SHREDDABLE, Key="nieuw", Body=b"nieuw")
        assert s3.get_object(Bucket=SHREDDABLE, Key="nieuw")["Body"].read() == b"nieuw"
    finally:
        assert made.stop() == 0
