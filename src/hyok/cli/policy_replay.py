"""`hyok policy replay`: what a policy would have said of the decisions that were made."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations here
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.acts import world_of
from hyok.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer reads them
from hyok.cli.policy_at_hand import in_force
from hyok.cli.progress import bar, steps
from hyok.cli.screen import mark, say, show_whole
from hyok.cli.session import run
from hyok.officer.past_decisions import gather, size_of
from hyok.policy.bundle import load as load_policy
from hyok.policy.replay import replay as decide_anew
from hyok.wiring import clock_ms, policy_files

if TYPE_CHECKING:
    from hyok.policy.replay import Replayed
    from hyok.wiring import Core

DAY_MS = 86_400_000
DAYS = 30
SHOWN_MAX = 50


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    folder: Annotated[Path, typer.Argument(help="The policy that would come.")],
    days: Annotated[
        int, typer.Option("--days", min=1, max=3_660, help="How far back the log is read.")
    ] = DAYS,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide anew what the audit log says was decided, and say what would come out otherwise.

    A record names app, action, bucket and class; clearance, grants, purpose and store are those of
    today. What the policy of today answers otherwise than the record is not replayed.
    """
    after = load_policy(policy_files(folder))

    async def inside(core: Core) -> Replayed:
        log, since_ms = core.settings.audit.file, clock_ms() - days * DAY_MS
        with bar("reading the log", size_of(log, since_ms)) as read:
            decisions, skipped = gather(log, since_ms, read)
        before, world = await in_force(core), await world_of(core)
        with steps("deciding anew") as told:
            found = decide_anew(before, after, world, decisions, told)
        found.skipped += skipped
        return found

    found = run(config, inside)
    rows: list[dict[str, object]] = [
        {
            "verdict": one.verdict,
            "app": one.app,
            "bucket": one.bucket_id,
            "action": one.action,
            "by": one.by,
            "decisions": count,
        }
        for one, count in sorted(found.changed.items(), key=lambda each: (-each[1], each[0]))
    ]
    changed = found.changed.total()
    if as_json:
        row: dict[str, object] = {"days": days, "records": found.records, "same": found.same}
        row |= {"changed": changed, "changes": rows, "not_replayed": dict(found.skipped)}
        show_whole([row], as_json=True, empty="")
        return
    show_whole(rows[:SHOWN_MAX], as_json=False, empty="Nothing would come out otherwise.")
    if len(rows) > SHOWN_MAX:
        say(f"… and {len(rows) - SHOWN_MAX} more (--json has all)")
    say(
        f"{found.records:,} decisions in {days} days: {found.same:,} the same, "
        f"{changed:,} otherwise, {found.skipped.total():,} not replayed"
    )
    for why, count in found.skipped.most_common():
        mark("warn", f"{count:,} not replayed: {why}")
