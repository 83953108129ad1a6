"""`hyok policy rehearse`: what a policy would do to what is counted and registered here."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path  # noqa: TC003 - typer reads annotations here
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.acts import classes_in_use, world_of
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.policy_at_hand import in_force
from hyok.cli.progress import steps
from hyok.cli.screen import mark, say, show
from hyok.cli.session import run
from hyok.errors import NotFound
from hyok.policy.bundle import failing
from hyok.policy.bundle import load as load_policy
from hyok.policy.rehearsal import Reclassed
from hyok.policy.rehearsal import rehearse as rehearsed
from hyok.wiring import clock_ms, policy_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.policy.bundle import Policy
    from hyok.policy.rehearsal import Rehearsal
    from hyok.wiring import Core

DAY_MS = 86_400_000
PAGE = 1_000
SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Inventoried:
    """A bucket's inventory, and what of it would get another class."""

    bucket: str
    created_ms: int
    looked_at: int
    changed: Sequence[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Found:
    """All that the rehearsal found."""

    registered: Rehearsal
    inventories: Sequence[Inventoried]
    uncounted: Sequence[str]
    problems: Sequence[str]

    @property
    def objects(self) -> int | None:
        """How many objects would change class; None where nothing was ever counted."""
        if not self.inventories:
            return None
        return sum(count for one in self.inventories for *_, count in one.changed)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rehearse)


def rehearse(
    folder: Annotated[Path, typer.Argument(help="The policy that would come.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which objects would change class, which apps lose access, which stores become illegal.

    Objects are those of the inventories of adopted buckets that still stand in clear: what the
    gateway sealed has its class in its envelope and keeps it.
    """
    after = load_policy(policy_files(folder))

    async def inside(core: Core) -> Found:
        before, world = await in_force(core), await world_of(core)
        missing = sorted(await classes_in_use(core) - set(after.classifications.names()))
        with steps("counting objects") as tell:
            counted, uncounted = await _count(core, before, after, tell)
        return Found(
            await asyncio.to_thread(rehearsed, before, after, world),
            counted,
            uncounted,
            [*failing(after), *(f"it has no class {name}, which is in use" for name in missing)],
        )

    found = run(config, inside)
    if as_json:
        show([_row(found)], as_json=True, empty="")
    else:
        _tell(found)


async def _count(
    core: Core, before: Policy, after: Policy, tell: Callable[[int, int], None]
) -> tuple[list[Inventoried], list[str]]:
    """Return what the inventory of each bucket comes to, and the buckets that have none."""
    found, uncounted = [], []
    for bucket in await core.registry.all():
        try:
            counted = await core.inventories.counted(bucket.bucket_id)
        except NotFound:
            uncounted.append(bucket.bucket_id)
            continue
        made = Reclassed(before, after, bucket)
        if made.is_settled:
            made.looked_at = counted.left
        else:
            cursor = b""
            while page := await core.inventories.after(bucket.bucket_id, b"", b"", cursor, PAGE):
                cursor = page[-1].row_id
                for entry in page:
                    if not entry.replaced:
                        made.count(entry.name)
                tell(made.looked_at, counted.left)
        changed = [(*pair, count) for pair, count in sorted(made.changed.items())]
        found.append(Inventoried(bucket.bucket_id, counted.created_ms, made.looked_at, changed))
    return found, uncounted


def _tell(found: Found) -> None:
    objects = [
        f"~ {one.bucket}  {before} → {after}  {count:,} objects"
        for one in found.inventories
        for before, after, count in one.changed
    ]
    registered = found.registered
    lost = [f"- {c.app}  {c.action}  {c.bucket}  {c.classification}" for c in registered.lost]
    stores = [f"! {b.store}  {b.bucket}  {b.classification}  {b.by}" for b in registered.illegal]
    labels = [f"= label {word}: {old} → {new}" for word, (old, new) in registered.labels.items()]
    for lines in (objects, lost, stores, labels):
        for line in lines[:SHOWN_MAX]:
            say(line)
        if len(lines) > SHOWN_MAX:
            say(f"{lines[0][0]} … and {len(lines) - SHOWN_MAX} more (--json has all)")
    counted = "an unknown number of" if found.objects is None else f"{found.objects:,}"
    say(
        f"{counted} objects would change class, {len(registered.apps_that_lose)} apps lose access, "
        f"{len(registered.stores_that_become_illegal)} stores become illegal"
    )
    _tell_inventories(found)
    if registered.illegal_already:
        count = len(registered.illegal_already)
        mark("warn", f"{count} pairs of store and class are illegal already (--json has them)")
    for store in registered.unknown_stores:
        mark("warn", f"store {store} is not in the settings: nothing is said of it")
    for one in found.problems:
        mark("FAIL", one)


def _tell_inventories(found: Found) -> None:
    if not found.inventories:
        mark(
            "warn",
            "there is no inventory, so nothing is known of objects: none of "
            f"{len(found.uncounted)} buckets was adopted",
        )
        return
    ages = sorted(_days(one.created_ms) for one in found.inventories)
    looked_at = sum(one.looked_at for one in found.inventories)
    mark(
        "ok",
        f"inventories of {len(ages)} buckets, {looked_at:,} objects still in clear; the newest is "
        f"{ages[0]} days old, the oldest {ages[-1]}",
    )
    if found.uncounted:
        mark("warn", f"{len(found.uncounted)} buckets have no inventory (--json names them)")


def _row(found: Found) -> dict[str, object]:
    registered = found.registered
    return {
        "objects_that_change_class": found.objects,
        "apps_that_lose": list(registered.apps_that_lose),
        "stores_that_become_illegal": list(registered.stores_that_become_illegal),
        "objects": [
            {"bucket": one.bucket, "before": before, "after": after, "objects": count}
            for one in found.inventories
            for before, after, count in one.changed
        ],
        "lost": [asdict(cell) for cell in registered.lost],
        "illegal": [asdict(one) for one in registered.illegal],
        "illegal_already": [asdict(one) for one in registered.illegal_already],
        "labels": {word: list(pair) for word, pair in registered.labels.items()},
        "unknown_stores": list(registered.unknown_stores),
        "inventories": [
            {
                "bucket": one.bucket,
                "made": moment(one.created_ms),
                "days": _days(one.created_ms),
                "objects": one.looked_at,
            }
            for one in found.inventories
        ],
        "buckets_without_inventory": list(found.uncounted),
        "failing": list(found.problems),
    }


def _days(created_ms: int) -> int:
    return (clock_ms() - created_ms) // DAY_MS
