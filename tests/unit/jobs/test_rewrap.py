"""After a rotation a job wraps the key of every object of a bucket anew, once."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.unit.custody.test_custodian import house
from tests.unit.objects.test_rewrapping import job as officer
from tests.unit.objects.test_store_copy import stored
from tests.unit.objects.vaults import vaults_over

from hyok.backends.port import StoredFacts
from hyok.jobs.catalog import REWRAP, STEP_OBJECTS
from hyok.jobs.ledger import JobLedger
from hyok.jobs.rewrap import RewrapBucket
from hyok.jobs.runner import Runner
from hyok.objects.rewrapping import Rewrapper

if TYPE_CHECKING:
    from tests.unit.custody.test_custodian import House

__all__ = ["house"]


async def test_every_object_is_kept_under_the_new_key_and_a_second_run_does_nothing(
    house: House,
) -> None:
    vaults = await vaults_over(house, classification="geheim")
    keys = [f"map/{n}" for n in range(2 * STEP_OBJECTS + 3)]
    for key in keys:
        await vaults.put(vaults.ask(key), key.encode())
    await vaults.store.put_whole("dossiers", "van-een-ander", b"x", StoredFacts())
    await house.keks.create(house.hsm, "t", "geheim", 1, 1)

    async def work(_kind: str, _bucket: str) -> RewrapBucket:
        rewrapper = Rewrapper(vaults.vault, vaults.leases)
        return RewrapBucket(vaults.vault, rewrapper, lambda: replace(officer(vaults), key=""))

    runner = Runner(
        JobLedger(house.database), vaults.leases, work, lambda: house.now[0], secrets.token_bytes
    )
    found = await runner.run(await runner.begin(REWRAP, "dossiers", "operator:x"))
    assert (found.state, found.objects, found.skipped) == ("done", len(keys), 0)
    assert found.objects_total == len(keys) + 1
    told = await runner.failures(found.job_id)
    assert [name for name, _, _ in told] == ["van-een-ander"]
    for key in keys:
        assert (await stored(vaults, vaults.ask(key)))[0].kek_id == "t/geheim/2"
        assert await vaults.get(vaults.ask(key)) == key.encode()
    again = await runner.run(await runner.begin(REWRAP, "dossiers", "operator:x"))
    assert (again.objects, again.skipped, again.failed) == (0, len(keys), 1)
