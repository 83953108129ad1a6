"""A bucket of SeaweedFS that an application filled in clear, adopted behind a real gateway."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random  # noqa: TID251 - repeatable by its seed
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.e2e import running
from tests.peers import seaweedfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]

LONG_RUN = bool(os.environ.get("HYOK_LONG"))
in_sealed_names = pytest.mark.parametrize("names", ["sealed", *(["clear"] if LONG_RUN else [])])
"""What clear names add to these is little, and takes as long again."""
MARK = b"IN-KLARE-TAAL-"
CLASSES = {"clear": "intern", "sealed": "vertrouwelijk"}
LOOKALIKE = 40 + 16 + 120  # about the length of a small sealed object


def body(size: int, mark: str) -> bytes:
    """Return bytes in which the marker comes again and again."""
    unit = MARK + hashlib.sha256(mark.encode()).hexdigest().encode() + b" "
    return (unit * (size // len(unit) + 1))[:size]


OBJECTS: dict[str, bytes] = {
    "leeg": b"",
    "een": b"1",
    "map/brief.txt": body(300, "brief"),
    "map/lijkt op verzegeld": body(LOOKALIKE, "lijkt"),
    "map/één & twee+drie=vier%20.txt": body(5_000, "vreemd"),
    "een/diep/pad/naar/een/bestand": body(70_000, "diep"),
    "groot": body((5 << 20) + 123, "groot"),
}
IN_PARTS = "in delen"
PARTS = [body(5 << 20, "deel 1"), body(1 << 20, "deel 2")]
ALL = {**OBJECTS, IN_PARTS: b"".join(PARTS)}


@dataclass
class Town:
    """A store, and an installation in front of it."""

    home: Path
    config: Path
    store: seaweedfs.SeaweedFS
    gateway: running.Gateway

    def direct(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.store.endpoint,
            aws_access_key_id=self.store.access_key,
            aws_secret_access_key=self.store.secret,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 0}),
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hyok", *command, "--config", str(self.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, ok: int = 0) -> Any:
        process = self.start(*command, "--json")
        out, err = process.communicate(timeout=200)
        assert process.returncode == ok, out + err
        return json.loads(out)[0]

    def adopt(self, bucket: str, backend: str, names: str, mode: str, ok: int = 0) -> Any:
        where = ("--store", "weed", "--backend-name", backend, "--tenant", "gemeente")
        what = ("--classification", CLASSES[names], "--names", names, "--mode", mode)
        return self.run("buckets", "adopt", bucket, *where, *what, ok=ok)

    def in_clear(self, backend: str) -> set[str]:
        """Return the objects that the store's holder sees without envelope, or with the marker."""
        found = set()
        s3 = self.direct()
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=backend):
            for entry in page.get("Contents", []):
                if entry["Key"].startswith(".hyok/"):
                    continue
                answer = s3.get_object(Bucket=backend, Key=entry["Key"])
                if "hyok" not in answer["Metadata"] or MARK in answer["Body"].read():
                    found.add(entry["Key"])
        return found

    def names_at_store(self, backend: str) -> set[str]:
        pages = self.direct().get_paginator("list_objects_v2").paginate(Bucket=backend)
        found = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
        return {name for name in found if not name.startswith(".hyok/")}


def fill(s3: Any, bucket: str) -> None:
    """Write as an application did that knew nothing of us."""
    s3.create_bucket(Bucket=bucket)
    for key, plain in OBJECTS.items():
        s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=plain,
            ContentType="text/x-brief",
            CacheControl="max-age=60",
            Metadata={"soort": "brief"},
            Tagging="a=b",
        )
    made = s3.create_multipart_upload(Bucket=bucket, Key=IN_PARTS, ContentType="text/x-delen")
    here = {"Bucket": bucket, "Key": IN_PARTS, "UploadId": made["UploadId"]}
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**here, PartNumber=number, Body=part)["ETag"],
        }
        for number, part in enumerate(PARTS, 1)
    ]
    s3.complete_multipart_upload(**here, MultipartUpload={"Parts": parts})


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("adoption")
    with ExitStack() as over:
        (folder / "weed").mkdir()
        store = seaweedfs.start(folder / "weed")
        over.callback(store.stop)
        home = folder / "home"
        running.prepare(home)
        stores = running.s3_store("weed", store.endpoint, store.credentials_file())
        config = running.configure(home, "adoption", stores, https=False)
        gateway = running.serve(config)
        over.callback(gateway.stop)
        yield Town(home, config, store, gateway)


def code_of(error: ClientError) -> tuple[int, str]:
    answer = error.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


@pytest.mark.parametrize("names", ["clear", "sealed"])
def test_from_refused_through_read_through_to_sealed(town: Town, names: str) -> None:
    backend, bucket = f"oud-{names}", f"archief-{names}"
    fill(town.direct(), backend)
    told = town.adopt(bucket, backend, names, "refuse")
    assert (told["objects"], told["left"]) == (len(ALL), len(ALL))
    assert told["bytes"] == sum(map(len, ALL.values()))
    with closing(town.gateway.client()) as s3:
        deadline = time.monotonic() + 10  # gateways hear of a new bucket within two seconds
        while True:
            with pytest.raises(ClientError) as refused:
                s3.get_object(Bucket=bucket, Key="map/brief.txt")
            if code_of(refused.value)[1] != "NoSuchBucket":
                break
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert code_of(refused.value)[0] == 500
        assert town.in_clear(backend) == set(ALL)

        town.run("buckets", "adopt", bucket, "--mode", "read-through")
        time.sleep(2.5)
        for key, plain in ALL.items():
            answer = s3.get_object(Bucket=bucket, Key=key)
            assert answer["Body"].read() == plain, key
            headers = answer["ResponseMetadata"]["HTTPHeaders"]
            assert headers["x-hyok-unsealed"] == "true"
            assert "x-amz-server-side-encryption" not in headers
            told = s3.head_object(Bucket=bucket, Key=key)
            assert (told["ContentLength"], told["ETag"]) == (len(plain), answer["ETag"])
        told = s3.head_object(Bucket=bucket, Key="groot")
        assert (told["ContentType"], told["CacheControl"]) == ("text/x-brief", "max-age=60")
        assert told["Metadata"] == {"soort": "brief"}
        ranged = s3.get_object(Bucket=bucket, Key="groot", Range="bytes=100-2000099")
        assert ranged["Body"].read() == ALL["groot"][100:2_000_100]
        assert ranged["ContentRange"] == f"bytes 100-2000099/{len(ALL['groot'])}"
        with pytest.raises(ClientError) as refused:
            s3.get_object(Bucket=bucket, Key="groot", IfNoneMatch=told["ETag"])
        assert code_of(refused.value)[0] == 304
        listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
        assert {e["Key"]: e["Size"] for e in listed} == {k: len(v) for k, v in ALL.items()}

        # A client writes one and removes one; the supplier brings the old bytes back.
        s3.put_object(Bucket=bucket, Key="map/brief.txt", Body=b"nieuwer")
        s3.delete_object(Bucket=bucket, Key="een")
        for key in ("map/brief.txt", "een"):
            town.direct().put_object(Bucket=backend, Key=key, Body=ALL[key])
            got = b""
            try:
                got = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            except ClientError as error:
                assert code_of(error)[0] == (404 if names == "sealed" else 500)
            assert got == (b"nieuwer" if names == "sealed" and key != "een" else b"")
        for key in ("map/brief.txt", "een"):
            town.direct().delete_object(Bucket=backend, Key=key)
        s3.put_object(Bucket=bucket, Key="map/brief.txt", Body=b"nieuwer")

        report = town.run("buckets", "adopt", bucket, "--mode", "seal")
        assert (report["state"], report["failed"]) == ("done", 0)
        assert report["objects"] == len(ALL) - 2
        assert town.in_clear(backend) == set()
        wanted = {**ALL, "map/brief.txt": b"nieuwer"}
        del wanted["een"]
        for key, plain in wanted.items():
            answer = s3.get_object(Bucket=bucket, Key=key)
            assert answer["Body"].read() == plain, key
            assert "x-hyok-unsealed" not in answer["ResponseMetadata"]["HTTPHeaders"]
        told = s3.head_object(Bucket=bucket, Key="groot")
        assert (told["ContentType"], told["Metadata"]) == ("text/x-brief", {"soort": "brief"})
        listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
        assert {e["Key"]: e["Size"] for e in listed} == {k: len(v) for k, v in wanted.items()}
    if names == "sealed":
        assert not set(ALL) & town.names_at_store(backend)
    row = next(row for row in json.loads(_list(town)) if row["bucket"] == bucket)
    assert row["adoption"] == ""
    log = (town.home / "log" / "adoption.jsonl").read_text().splitlines()
    assert any(json.loads(line).get("unsealed") for line in log)
    audit = (town.home / "audit" / "adoption.jsonl").read_text()
    assert '"outcome":"unsealed"' in audit
    assert "map/brief.txt" not in audit


def _list(town: Town) -> str:
    process = town.start("buckets", "list", "--json")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return out


# ── versions, tags and locks of what stood there ─────────────────────────────────────────────────


def fill_versions(s3: Any, bucket: str) -> dict[str, str]:
    """Write into a bucket that keeps versions and knows locks; return ids of versions."""
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    ids = {}
    for version, key, plain in (
        ("oud", "brief", b"eerste"),
        ("brief", "brief", OBJECTS["map/brief.txt"]),
        ("weg", "weg", b"weg"),
        ("groot", "groot", OBJECTS["groot"]),
        ("blijft", "blijft", OBJECTS["map/brief.txt"]),
        ("formulier", "formulier", b"leeg formulier"),
    ):
        tags = "zaak=7&soort=brief"
        told = s3.put_object(Bucket=bucket, Key=key, Body=plain, Tagging=tags)
        ids[version] = told["VersionId"]
    told = s3.put_object(
        Bucket=bucket,
        Key="slot",
        Body=b"op slot",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=datetime.fromtimestamp(time.time() + 86_400, UTC),
    )
    return ids | {"slot": told["VersionId"]}


def versions_in_clear(s3: Any, bucket: str) -> list[str]:
    """Return the key of every version without envelope, whether something lies over it or not."""
    found = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for one in page.get("Versions", []):
            at = {"Bucket": bucket, "Key": one["Key"], "VersionId": one["VersionId"]}
            ours = one["Key"].startswith(".hyok/")
            if not ours and "hyok" not in s3.head_object(**at)["Metadata"]:
                found.append(one["Key"])
    return found


def is_marked(answer: Any) -> bool:
    return answer["ResponseMetadata"]["HTTPHeaders"].get("x-hyok-unsealed") == "true"


def refused(call: Any, **asked: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call(**asked)
    return code_of(caught.value)


def known(s3: Any, bucket: str, key: str) -> None:
    """Wait until the gateway has heard of a new bucket."""
    deadline = time.monotonic() + 10
    while True:
        try:
            s3.head_object(Bucket=bucket, Key=key)
        except ClientError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


@in_sealed_names
def test_versions_tags_and_locks_of_before_are_read_and_none_is_made_in_clear(
    town: Town, names: str
) -> None:
    backend, bucket = f"versies-{names}", f"met-versies-{names}"
    store = town.direct()
    ids = fill_versions(store, backend)
    town.adopt(bucket, backend, names, "read-through")
    brief = {"Bucket": bucket, "Key": "brief"}
    plain, large = OBJECTS["map/brief.txt"], OBJECTS["groot"]
    with closing(town.gateway.client()) as s3:
        known(s3, bucket, "brief")
        # Reading: by version, by part, by range; tags, attributes and locks.
        told = s3.get_object(**brief, VersionId=ids["brief"])
        assert (told["Body"].read(), told["VersionId"]) == (plain, ids["brief"])
        assert is_marked(told)
        assert told["TagCount"] == 2
        told = s3.get_object(
            Bucket=bucket, Key="groot", VersionId=ids["groot"], Range="bytes=7-2000006"
        )
        assert told["Body"].read() == large[7:2_000_007]
        older = refused(s3.get_object, **brief, VersionId=ids["oud"])
        assert older == ((403, "AccessDenied") if names == "clear" else (404, "NoSuchVersion"))
        told = s3.get_object(**brief, PartNumber=1)
        assert (told["Body"].read(), told["ResponseMetadata"]["HTTPStatusCode"]) == (plain, 206)
        assert refused(s3.get_object, **brief, PartNumber=2)[0] == 416
        told = s3.get_object_tagging(**brief)
        assert {tag["Key"]: tag["Value"] for tag in told["TagSet"]} == {
            "zaak": "7",
            "soort": "brief",
        }
        assert is_marked(told)
        told = s3.get_object_attributes(**brief, ObjectAttributes=["ObjectSize", "ETag"])
        assert told["ObjectSize"] == len(plain)
        assert is_marked(told)
        told = s3.get_object_retention(Bucket=bucket, Key="slot")
        assert told["Retention"]["Mode"] == "GOVERNANCE"
        held = {"LegalHold": {"Status": "ON"}}
        assert refused(s3.put_object_legal_hold, **brief, **held) == (403, "AccessDenied")

        listed = s3.list_object_versions(Bucket=bucket)["Versions"]
        sizes = {(one["Key"], one["VersionId"]): one["Size"] for one in listed}
        assert sizes["groot", ids["groot"]] == len(large)
        assert sizes["brief", ids["brief"]] == len(plain)
        assert len(sizes) == (7 if names == "clear" else 6)

        # Copies are sealed, whole or as a part.
        source = {"Bucket": bucket, "Key": "brief", "VersionId": ids["brief"]}
        s3.copy_object(Bucket=bucket, Key="afschrift", CopySource=source)
        told = s3.get_object(Bucket=bucket, Key="afschrift")
        assert (told["Body"].read(), is_marked(told)) == (plain, False)
        begun = s3.create_multipart_upload(Bucket=bucket, Key="uit delen")
        upload = {"Bucket": bucket, "Key": "uit delen", "UploadId": begun["UploadId"]}
        part = s3.upload_part_copy(
            **upload,
            PartNumber=1,
            CopySource={"Bucket": bucket, "Key": "groot"},
            CopySourceRange="bytes=1-1000000",
        )
        part = {"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
        told = s3.get_object(Bucket=bucket, Key="uit delen")
        assert (told["Body"].read(), is_marked(told)) == (large[1:1_000_001], False)

        # So is what a browser's form brings, over what was counted.
        with closing(town.gateway.client(signature_version="s3v4")) as signer:
            form = signer.generate_presigned_post(bucket, "formulier")
        fields = {**form["fields"], "file": ("a.txt", b"ingevuld")}
        url = f"{town.gateway.endpoint}/{bucket}"
        assert urllib3.PoolManager().request("POST", url, fields=fields).status == 204
        told = s3.get_object(Bucket=bucket, Key="formulier")
        assert (told["Body"].read(), is_marked(told)) == (b"ingevuld", False)

        # An older version goes alone; the counted one takes what was counted with it.
        s3.delete_object(**brief, VersionId=ids["oud"])
        assert is_marked(s3.head_object(**brief))
        s3.delete_object(Bucket=bucket, Key="weg", VersionId=ids["weg"])
        assert refused(s3.get_object, Bucket=bucket, Key="weg")[0] == 404
        assert "weg" not in versions_in_clear(store, backend)
        assert refused(s3.delete_object, Bucket=bucket, Key="slot", VersionId=ids["slot"]) == (
            403,
            "AccessDenied",
        )
        assert s3.get_object(Bucket=bucket, Key="slot")["Body"].read() == b"op slot"

        # New tags never stand at the store in clear: they seal the object.
        s3.put_object_tagging(**brief, Tagging={"TagSet": [{"Key": "zaak", "Value": "bijzonder"}]})
        told = s3.get_object(**brief)
        assert (told["Body"].read(), is_marked(told)) == (plain, False)
        told = s3.get_object_tagging(**brief)["TagSet"]
        assert [(tag["Key"], tag["Value"]) for tag in told] == [("zaak", "bijzonder")]
        assert refused(s3.get_object, **brief, VersionId=ids["brief"])[0] in (403, 404)

        report = town.run("buckets", "adopt", bucket, "--mode", "seal")
        assert (report["state"], report["failed"], report["objects"]) == ("done", 0, 3)
        assert town.in_clear(backend) == set()
        left = versions_in_clear(store, backend)
        assert {"brief", "groot", "blijft", "slot"} <= set(left)
        assert f"{len(left)} older versions of" in report["note"]
        assert "1 of them under object lock" in report["note"]
        told = s3.get_object_retention(Bucket=bucket, Key="slot")
        assert told["Retention"]["Mode"] == "GOVERNANCE"
        assert refused(s3.get_object, Bucket=bucket, Key="blijft", VersionId=ids["blijft"]) == (
            (403, "AccessDenied") if names == "clear" else (404, "NoSuchVersion")
        )

        gone = town.run("buckets", "adopt", bucket, "--erase-versions", "--yes", ok=1)
        assert (gone["removed"], gone["locked"]) == (len(left) - 1, 1)
        assert versions_in_clear(store, backend) == ["slot"]
        for key, wanted in (("brief", plain), ("groot", large), ("slot", b"op slot")):
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == wanted
    if names == "sealed":
        pages = store.get_paginator("list_object_versions").paginate(Bucket=backend)
        markers = {one["Key"] for page in pages for one in page.get("DeleteMarkers", [])}
        assert markers & {"brief", "groot", "blijft"} == set()


@in_sealed_names
def test_a_job_killed_again_and_again_loses_nothing_and_leaves_nothing_in_clear(
    town: Town, names: str
) -> None:
    seed = int(os.environ.get("HYOK_SEED") or int.from_bytes(os.urandom(4), "big"))
    print(f"HYOK_SEED={seed}")
    random = Random(seed)
    count, kills = (2_000, 20) if LONG_RUN else (120, 2)
    backend, bucket = f"kill-{names}", f"dossiers-{names}"
    s3 = town.direct()
    s3.create_bucket(Bucket=backend)
    held = {
        f"zaak {n // 50}/stuk {n}": body(
            random.choice([0, 40, 3_000, 60_000, 1_300_000 if n % 30 == 0 else 9]), str(n)
        )
        for n in range(count)
    }
    for key, plain in held.items():
        s3.put_object(Bucket=backend, Key=key, Body=plain, Metadata={"nummer": key[-3:].strip()})
    assert town.adopt(bucket, backend, names, "refuse")["objects"] == count
    done = 0
    command = ("buckets", "adopt", bucket, "--mode", "seal")
    for _ in range(kills):
        process = town.start(*command)
        _wait_until_sealed(town, backend, done + random.randrange(1, count // (kills + 2)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done = _sealed(town, backend)
        job = next(row for row in _jobs(town) if row["bucket"] == bucket)
        command = ("jobs", "run", job["job"])
    assert done < count, "it was killed too late to show anything"
    report = town.run(*command)
    assert (report["state"], report["failed"]) == ("done", 0)
    assert town.in_clear(backend) == set()
    with closing(town.gateway.client()) as client:
        for key, plain in held.items():
            answer = client.get_object(Bucket=bucket, Key=key)
            assert answer["Body"].read() == plain
            assert answer["Metadata"] == {"nummer": key[-3:].strip()}
    assert len(town.names_at_store(backend)) == count


def _jobs(town: Town) -> list[dict[str, Any]]:
    process = town.start("jobs", "list", "--json")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    found: list[dict[str, Any]] = json.loads(out)
    return found


def _sealed(town: Town, backend: str) -> int:
    """Return how many objects the job has sealed, as our own database has it."""
    import sqlite3

    with closing(sqlite3.connect(town.home / "hyok.db", timeout=30)) as database:
        ((left, total),) = database.execute(
            "SELECT (SELECT count(*) FROM adopted_objects o WHERE o.bucket_id = a.bucket_id), "
            "a.objects FROM adoptions a JOIN buckets b ON b.bucket_id = a.bucket_id "
            "WHERE b.backend_name = ?",
            (backend,),
        ).fetchall()
    return int(total) - int(left)


def _wait_until_sealed(town: Town, backend: str, wanted: int) -> None:
    deadline = time.monotonic() + 90
    while _sealed(town, backend) < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.005)
