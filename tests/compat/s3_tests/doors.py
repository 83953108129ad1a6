"""The two doors that are compared: a real store, and a gateway in front of the same store."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from tests.compat.s3_tests.users import (
    LIFECYCLE_DAY_SECONDS,
    SECTIONS,
    User,
    seaweedfs_identities,
    store_users,
)
from tests.e2e import running
from tests.peers import radosgw, seaweedfs

from hyok import settings as settings_file
from hyok.cli.apps import create_app
from hyok.cli.keys import create_kek
from hyok.custody.custodian import TENANT_CLASSIFICATION
from hyok.identity.apps import GRANTS, App
from hyok.s3.elements import OWNER_NAME
from hyok.vocabulary import ClassificationName
from hyok.wiring import open_core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

NEW_BUCKETS = {"sealed": "onbekend", "clear": "intern"}
"""What the suite's buckets are, by how their names are kept.  A bucket that a client makes without
saying is `onbekend` and seals names; another kind is a tag of the CreateBucket."""

TENANTS = {"main": "gemeente", "alt": "anders", "tenant": "testx"}
"""The suite's accounts are tenants here; its other users are more apps of the first."""

SEAWEEDFS_OPTIONS = (
    # A bucket has volumes of its own, and the suite makes a thousand buckets.
    "-volume.max=4000",
    "-master.volumeSizeLimitMB=64",
    "-volume.minFreeSpace=1",
)


@dataclass(frozen=True, slots=True)
class Door:
    """Where to knock, and as whom."""

    name: str
    endpoint: str
    users: Mapping[str, User]
    new_buckets: str = ""  # the classification that every new bucket is tagged with, if any

    def client(self, role: str) -> Any:
        """Return a client that acts as a user."""
        user = self.users[role]
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=user.access_key,
            aws_secret_access_key=user.secret,
            region_name="us-east-1",
        )


@contextmanager
def doors_in(folder: Path, *, store: str, names: str) -> Iterator[tuple[Door, Door]]:
    """Start a store and a gateway before it; ``names`` of new buckets are "clear" or "sealed"."""
    with ExitStack() as over:
        users = store_users()
        (folder / "store").mkdir(parents=True)
        behind = STORES[store](folder / "store", users)
        over.callback(behind.stop)
        home = folder / "home"
        running.prepare(home)
        config = running.configure(
            home,
            "suite",
            running.s3_store("suite", behind.endpoint, behind.credentials_file()),
            https=False,
        )
        _set_default_store(config)
        gateway = running.serve(config)
        over.callback(gateway.stop)
        classification = NEW_BUCKETS[names]
        through = asyncio.run(_make_users(config, classification))
        store_door = Door("store", behind.endpoint, users)
        hyok_door = Door("hyok", gateway.endpoint, through, classification)
        _check_names(behind, hyok_door, names)
        yield store_door, hyok_door


def _seaweedfs(folder: Path, users: Mapping[str, User]) -> seaweedfs.SeaweedFS:
    identities = seaweedfs_identities(users)
    return seaweedfs.start(folder, identities=identities, options=SEAWEEDFS_OPTIONS)


def _radosgw(folder: Path, users: Mapping[str, User]) -> radosgw.Radosgw:
    made = radosgw.start(folder)
    for user in users.values():
        made.create_user(user.user_id, user.display_name, user.access_key, user.secret)
    made.keep_up()
    return made


STORES: Mapping[str, Callable[[Path, Mapping[str, User]], seaweedfs.SeaweedFS | radosgw.Radosgw]]
STORES = {"seaweedfs": _seaweedfs, "radosgw": _radosgw}


def _set_default_store(config: Path) -> None:
    """Have the buckets that clients make in the store, and days as short as the suite has them."""
    text = config.read_text()
    text = text.replace("[gateway]\n", '[gateway]\ndefault_store = "suite"\n', 1)
    days = f"[lifecycle]\nday_seconds = {LIFECYCLE_DAY_SECONDS}\n\n[[stores]]"
    config.write_text(text.replace("[[stores]]", days, 1))


def _check_names(behind: seaweedfs.SeaweedFS | radosgw.Radosgw, hyok: Door, names: str) -> None:
    """Say no where the run would not show what it is called after."""
    bucket, key = "hyok-names", "a-clear-name"
    client = hyok.client("main")
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration=tagged(hyok.new_buckets))
    client.put_object(Bucket=bucket, Key=key, Body=b"")
    # The bucket at the store is of the gateway's own account there.
    owner = User("", "", behind.access_key, behind.secret)
    at_store = Door("store", behind.endpoint, {"main": owner}).client("main")
    kept = {found["Key"] for found in at_store.list_objects_v2(Bucket=bucket)["Contents"]}
    assert (key in kept) == (names == "clear"), f"names are not {names} at the store: {kept}"
    client.delete_object(Bucket=bucket, Key=key)
    client.delete_bucket(Bucket=bucket)


def tagged(classification: str) -> dict[str, Any]:
    """Return the part of a CreateBucket that says what the bucket is."""
    return {"Tags": [{"Key": "classification", "Value": classification}]}


async def _make_users(config: Path, classification: str) -> dict[str, User]:
    """Register tenants with their keys, and an app for each user, as an operator would."""
    core = open_core(settings_file.load(config))
    made = {}
    try:
        for tenant in sorted(set(TENANTS.values()) - {"gemeente"}):
            for name in (TENANT_CLASSIFICATION, classification):
                await create_kek(core, tenant, ClassificationName(name))
        for role in SECTIONS:
            app = App(
                app_id=f"suite-{role.replace('_', '-')}",
                tenant=TENANTS.get(role, "gemeente"),
                clearance=core.classifications.level("geheim"),
                grants=GRANTS,
                purpose="suite",
            )
            issued = await create_app(core, app)
            secret = issued.secret.get_secret_value()
            made[role] = User(app.tenant, OWNER_NAME, issued.access_key, secret)
    finally:
        await core.close()
    return made
