"""`hyok keys reseal`: seal anew, with new keys, what a compromised key version kept."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.acts import key_uses
from hyok.cli.jobs import FAILURES_SHOWN, runner_of, work
from hyok.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer reads annotations
from hyok.cli.progress import counting
from hyok.cli.registrations import record
from hyok.cli.screen import mark, say, show
from hyok.cli.session import operator_ask, run
from hyok.custody.key_states import KeyState
from hyok.errors import Conflict, NotFound
from hyok.jobs.catalog import PAUSED, RESEAL
from hyok.objects.keys_in_use import Exposed
from hyok.officer.key_uses import OLDER_ROAD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.custody.kek import Kek
    from hyok.jobs.catalog import Progress
    from hyok.wiring import Core


NOTHING = Exposed()


@dataclass(frozen=True, slots=True)
class Resealed:
    """What was done in each bucket, and what is left."""

    jobs: Sequence[tuple[Progress, Sequence[tuple[str, str, str]]]]
    exposed: Mapping[str, Exposed]  # by bucket

    @property
    def left(self) -> int:
        """How many objects and older versions still depend on the compromised key version."""
        return sum(one.total for one in self.exposed.values())

    @property
    def older(self) -> int:
        """How many of these are older versions, which no run of this mends."""
        return sum(one.older for one in self.exposed.values())


def reseal(
    name: Annotated[str, typer.Argument(metavar="KEK", help="The compromised version's kek_id.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal anew, with new keys, every object whose key a compromised version may have kept.

    It may be stopped or killed at any moment and run again.  ETag, Last-Modified and version id of
    each object change.  At its end it says how many objects still depend on the version; while
    there is one, the version is not destroyed.  Exit code 1: some are left; 2: a job stands still.
    """

    async def act(core: Core) -> Resealed:
        return await reseal_key(core, await _compromised(core, name))

    done = run(config, act)
    if as_json:
        show([_row(name, done)], as_json=True, empty="")
    else:
        _print(name, done)
    if any(found.state == PAUSED for found, _ in done.jobs):
        sys.exit(2)
    if done.left or any(found.failed for found, _ in done.jobs):
        sys.exit(1)


async def _compromised(core: Core, name: str) -> Kek:
    kek = await core.keks.find(name)
    if kek is None:
        raise NotFound(f"There is no key {name}.", code="HY-2310", next_step="hyok keys list")
    if kek.state is not KeyState.COMPROMISED:
        raise Conflict(
            f"The key {name} is {kek.state}, not compromised.",
            code="HY-2420",
            effect="Nothing was begun.",
            next_step="a key that nobody else has is replaced by hyok keys rotate",
        )
    if kek.classification not in core.classifications.names():
        named = f"--tenant {kek.tenant} --classification {kek.classification}"
        raise Conflict(
            f"The key {name} keeps no objects.",
            code="HY-2420",
            effect="Nothing was begun.",
            next_step=f"hyok keys rotate {named}",
        )
    await core.exposures.check_sound(kek.tenant, [kek.classification])
    return kek


async def reseal_key(core: Core, kek: Kek) -> Resealed:
    """Work through every bucket that may hold objects of a version, with its audit records."""
    await record(core, "key:reseal", kek.tenant, kek_id=kek.kek_id, outcome="pending")
    runner = runner_of(core)
    done = []
    for bucket in await core.registry.all():
        if bucket.tenant == kek.tenant and kek.classification in bucket.allowed:
            who = operator_ask("job:run", "").principal.id
            job = await runner.begin(RESEAL, bucket.bucket_id, who)
            await runner.ledger.reopen(job)
            done.append(await work(runner, job))
    with counting("counting what is left") as tell:
        found = Resealed(done, await key_uses(core, tell).exposed(kek))
    changed = sum(job.objects for job, _ in done)
    facts = (f"objects {changed}", f"left {found.left}", f"older versions {found.older}")
    outcome = "failed" if found.left else "done"
    await record(core, "key:reseal", kek.tenant, *facts, kek_id=kek.kek_id, outcome=outcome)
    return found


def _row(name: str, done: Resealed) -> dict[str, object]:
    return {
        "kek_id": name,
        "left": done.left,
        "older_versions": done.older,
        "next_step": _next_step(name, done),
        "buckets": [
            {
                "bucket": found.bucket_id,
                "job": found.job_id,
                "state": found.state,
                "objects": found.objects,
                "bytes": found.size_bytes,
                "skipped": found.skipped,
                "failed": found.failed,
                "note": found.cause,
                "left": done.exposed.get(found.bucket_id, NOTHING).total,
                "older_versions": done.exposed.get(found.bucket_id, NOTHING).older,
                "failures": [
                    {"name": item, "cause": cause, "text": text} for item, cause, text in failed
                ],
            }
            for found, failed in done.jobs
        ],
    }


def _print(name: str, done: Resealed) -> None:
    for found, failed in done.jobs:
        mark(
            "warn" if found.state == PAUSED else "ok",
            f"{found.bucket_id}: {found.objects} sealed anew ({found.size_bytes} bytes), "
            f"{found.skipped} had nothing to do, {found.failed} failed (job {found.job_id})",
        )
        if found.state == PAUSED:
            say(f"      it stands still: {found.cause}")
        for item, _, text in failed[:FAILURES_SHOWN]:
            say(f"      {item}: {text}")
        if found.failed > FAILURES_SHOWN:
            say(f"      … and more: hyok jobs show {found.job_id} --json has up to 1,000")
    if done.left:
        said = f"{done.left} objects still depend on {name}, {done.older} of them older versions"
        mark("FAIL", said)
        for bucket, one in sorted(done.exposed.items()):
            if one.older:
                say(f"      {bucket}: {one.older} older versions cannot be sealed anew")
    else:
        mark("ok", f"no object depends on {name} any more")
    say(f"Next: {_next_step(name, done)}")


def _next_step(name: str, done: Resealed) -> str:
    """Return the road from here: what a further run mends, and what only removing does."""
    if not done.left:
        return f"hyok keys destroy {name} --reason …"
    if done.left == done.older:
        return OLDER_ROAD
    rest = f"mend what is named, and run hyok keys reseal {name} again"
    return f"{rest}; of older versions: {OLDER_ROAD}" if done.older else rest
