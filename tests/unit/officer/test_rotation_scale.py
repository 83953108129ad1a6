"""Rotation over many records and objects: HSM calls by the record, and no object is touched.

HYOK_LONG=1: a million records and 100,000 objects; HYOK_RECORDS and HYOK_OBJECTS say other numbers.
The speed on an HSM is measured by benchmarks/bench_rotation.py.
"""

from __future__ import annotations

import asyncio
import os
import random  # noqa: TID251 - which objects are sampled
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert
from tests.fakes.memory_store import MemoryStore
from tests.unit.custody.test_custodian import house
from tests.unit.objects.vaults import Vaults, vaults_over
from tests.unit.officer.test_acts import Acts, executed

from hyok.backends.port import ObjectStore
from hyok.custody.quorum import Act
from hyok.database.tables import keyring
from hyok.envelope.profiles import Profile
from hyok.envelope.records import seal_record
from hyok.errors import NotFound

if TYPE_CHECKING:
    from tests.unit.custody.test_custodian import House

    from hyok.custody.kek import Kek

__all__ = ["house"]

LONG_RUN = bool(os.environ.get("HYOK_LONG"))
RECORDS = int(os.environ.get("HYOK_RECORDS") or (1_000_000 if LONG_RUN else 300))
OBJECTS = int(os.environ.get("HYOK_OBJECTS") or (100_000 if LONG_RUN else 400))
SAMPLE = 200
AT_ONCE = 16
CASES_MAX = 10_000
ROWS = 1_000
CLASS = "vertrouwelijk"


async def fill(vaults: Vaults) -> None:
    """Write objects of many cases, and records of other cases that have none."""
    cases = min(OBJECTS, RECORDS, CASES_MAX)

    async def one(number: int) -> None:
        ask = vaults.ask(f"stuk-{number}", case=f"zaak-{number % cases}")
        await vaults.put(ask, f"inhoud {number}".encode())

    for begin in range(0, OBJECTS, AT_ONCE):
        await asyncio.gather(*(one(n) for n in range(begin, min(begin + AT_ONCE, OBJECTS))))
    house = vaults.house
    kek = await house.keks.active("t", CLASS)
    for begin in range(cases, RECORDS, ROWS):
        rows = [await lone(house, kek, n) for n in range(begin, min(begin + ROWS, RECORDS))]
        await house.database.run(lambda c, rows=rows: c.execute(insert(keyring), rows))


async def lone(house: House, kek: Kek, number: int) -> dict[str, object]:
    """Return the row of a case without objects, as `Keyring` makes it."""
    scope, ik_id = f"subject:{number:032x}", secrets.token_bytes(16)
    token, secret = await house.hsm.new_token(kek.spec, scope)
    raw = seal_record(
        ik=secrets.token_bytes(32),
        ik_id=ik_id,
        salt=secrets.token_bytes(32),
        secret=secret,
        profile=Profile(kek.spec.profile),
        kek_id=kek.kek_id,
        scope=scope,
        token=token,
    )
    return {
        "ik_id": ik_id,
        "tenant": "t",
        "classification": CLASS,
        "scope": scope,
        "kek_id": kek.kek_id,
        "record": raw,
        "created_ms": house.now[0],
        "writes": 0,
        "current": True,
    }


async def told(vaults: Vaults) -> dict[str, tuple[str, int]]:
    """Return what the store says of each object: a touch changes one of these."""
    found: dict[str, tuple[str, int]] = {}
    after = ""
    while True:
        page = await vaults.store.list("dossiers", after=after)
        found |= {one.name: (one.etag, one.modified_ms) for one in page.objects}
        after = page.next_after
        if not after:
            return found


async def test_a_rotation_costs_two_hsm_calls_a_record_and_touches_no_object(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    vaults = await vaults_over(house, store, classification=CLASS)
    await fill(vaults)
    acts = Acts(vaults)
    house.now[0] += 5_000  # the registry looks again
    before = await told(vaults)
    assert len(before) == OBJECTS

    def touched(*_: Any, **__: Any) -> Any:
        raise AssertionError("a rotation asks the store nothing")

    names = [name for name in vars(ObjectStore) if not name.startswith("_") and name != "features"]
    assert {"put", "put_whole", "read", "head", "delete", "list"} <= set(names)
    asked = len(house.hsm.asked)
    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(store, name, touched)
        began = time.monotonic()
        kek, _ = await acts.rotation.next_version("t", CLASS)
        done = await acts.rotation.move(kek, await acts.registry.all())
        seconds = time.monotonic() - began
    used = [method for method, _, _ in house.hsm.asked[asked:] if method != "check"]
    assert done.whole
    assert done.records == RECORDS + 1, "and that of the bucket's names"
    assert len(used) == done.hsm_calls == 2 * done.records
    assert await told(vaults) == before, "objects touched: none"
    print(
        f"{done.records:,} records, {OBJECTS:,} objects: {seconds:.1f} s, "
        f"{done.hsm_calls:,} HSM calls, 0 objects touched"
    )

    await executed(Act.DESTROY_KEY, acts.destroy_key, {"key": f"t/{CLASS}/1"})
    old = await house.keks.find(f"t/{CLASS}/1")
    assert old is not None
    with pytest.raises(NotFound):
        await house.hsm.check(old.spec)
    house.keyring.forget()
    house.now[0] += 5_000
    for number in random.sample(range(OBJECTS), min(SAMPLE, OBJECTS)):
        assert await vaults.get(vaults.ask(f"stuk-{number}")) == f"inhoud {number}".encode()
