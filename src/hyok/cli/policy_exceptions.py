"""`hyok policy exceptions`: what the policy in force lets pass for a while, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.policy_at_hand import in_force
from hyok.cli.screen import mark, show, show_whole
from hyok.cli.session import run
from hyok.custody.exceptions import first_approved
from hyok.policy.exceptions import DAY_MS, SOON_MS, StoreLift
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import typer

    from hyok.policy.exceptions import PolicyException
    from hyok.wiring import Core

HOLDS, SOON, ENDED = "holds", "ends soon", "ended"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(exceptions)


def exceptions(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the exceptions of the policy in force: what each lifts, whose it is, and its end.

    One that has ended holds no more; it stands here, and is an alarm, until a policy without it.
    """

    async def inside(
        core: Core,
    ) -> tuple[Sequence[PolicyException], Mapping[str, tuple[int, PolicyException]]]:
        return (await in_force(core)).exceptions, await first_approved(core.policies)

    found, approved = run(config, inside)
    now_ms = clock_ms()
    rows = [_row(one, approved[one.id][0], now_ms) for one in found]
    if as_json:
        show(rows, as_json=True, empty="")
        return
    short = [{name: row[name] for name in row if name != "reason"} for row in rows]
    show_whole(short, as_json=False, empty="The policy in force has no exceptions.")
    for row in rows:
        if row["state"] == ENDED:
            mark("FAIL", f"{row['id']} has ended on {row['until']}: publish a policy without it")
        elif row["state"] == SOON:
            mark("warn", f"{row['id']} ends after {row['until']}")


def state_of(one: PolicyException, now_ms: int) -> str:
    """Return whether an exception holds, ends within thirty days, or has ended."""
    if one.ends_ms <= now_ms:
        return ENDED
    return SOON if one.ends_ms - now_ms <= SOON_MS else HOLDS


def _row(one: PolicyException, approved_ms: int, now_ms: int) -> dict[str, object]:
    lifts = one.lifts
    of = lifts.classification if isinstance(lifts, StoreLift) else f"app {lifts.app}"
    return {
        "id": one.id,
        "state": state_of(one, now_ms),
        "lifts": lifts.lifted,
        "of": of,
        "bucket": lifts.bucket,
        "owner": one.owner,
        "approved": moment(approved_ms),
        "until": str(one.until),
        "days": max(0, -(-(one.ends_ms - now_ms) // DAY_MS)),
        "reason": one.reason,
    }
