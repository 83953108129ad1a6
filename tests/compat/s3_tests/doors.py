"""The two doors that are compared: a real store, and a gateway in front of the same store."""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.compat.s3_tests.users import SECTIONS, User, seaweedfs_identities, store_users
from tests.e2e import running
from tests.peers import radosgw, seaweedfs

from hyok import settings as settings_file
from hyok.cli.apps import create_app
from hyok.cli.keys import create_kek
from hyok.custody.custodian import TENANT_CLASSIFICATION
from hyok.identity.apps import GRANTS, App
from hyok.s3.elements import OWNER_NAME
from hyok.wiring import open_core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

NEW_BUCKETS = "onbekend"
"""What a bucket is that a client makes without saying; it seals names unless told otherwise."""

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


@contextmanager
def doors_in(folder: Path, *, store: str, names: str) -> Iterator[tuple[Door, Door]]:
    """Start a store and a gateway before it; ``names`` of new buckets are "clear" or "sealed"."""
    with ExitStack() as over:
        users = store_users()
        (folder / "store").mkdir(parents=True)
        behind = STORES[store](folder / "store", users)
        over.callback(behind.stop)
        home = folder / "home"
        assert running.start(home, "--reset").stop() == 0
        config = running.configure(
            home,
            "suite",
            running.s3_store("suite", behind.endpoint, behind.credentials_file()),
            https=False,
        )
        _rewrite(config, folder / "policies", names)
        gateway = running.serve(config)
        over.callback(gateway.stop)
        through = asyncio.run(_make_users(config))
        yield Door("store", behind.endpoint, users), Door("hyok", gateway.endpoint, through)


def _seaweedfs(folder: Path, users: Mapping[str, User]) -> seaweedfs.SeaweedFS:
    identities = seaweedfs_identities(users)
    return seaweedfs.start(folder, identities=identities, options=SEAWEEDFS_OPTIONS)


def _radosgw(folder: Path, users: Mapping[str, User]) -> radosgw.Radosgw:
    made = radosgw.start(folder)
    for user in users.values():
        made.create_user(user.user_id, user.display_name, user.access_key, user.secret)
    return made


STORES: Mapping[str, Callable[[Path, Mapping[str, User]], seaweedfs.SeaweedFS | radosgw.Radosgw]]
STORES = {"seaweedfs": _seaweedfs, "radosgw": _radosgw}


def _rewrite(config: Path, policies: Path, names: str) -> None:
    """Have new buckets in the store, with names as asked."""
    text = config.read_text()
    found = re.search(r'(?m)^\[policies\]\ndirectory = "(.*)"$', text)
    assert found is not None
    shutil.copytree(found[1], policies)
    classification = policies / "classifications" / f"{NEW_BUCKETS}.yaml"
    rules, count = re.subn(r"names: \w+", f"names: {names}", classification.read_text())
    assert count == 1
    classification.write_text(rules)
    text = text.replace(found[0], f'[policies]\ndirectory = "{policies}"')
    config.write_text(text.replace("[gateway]\n", '[gateway]\ndefault_store = "suite"\n', 1))


async def _make_users(config: Path) -> dict[str, User]:
    """Register tenants with their keys, and an app for each user, as an operator would."""
    core = open_core(settings_file.load(config))
    made = {}
    try:
        for tenant in sorted(set(TENANTS.values()) - {"gemeente"}):
            for classification in (TENANT_CLASSIFICATION, NEW_BUCKETS):
                await create_kek(core, tenant, classification)
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
