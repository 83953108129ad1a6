"""`hyok policy shadow`, `hyok policy enforce`: decide a policy beside the one in force first."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations here
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.acts import shadow_desk
from hyok.cli.acting import (
    AsOption,
    KeyOption,
    Login,
    PassphraseOption,
    ReasonOption,
    act,
    tell_proposal,
)
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.screen import mark, say, show, show_whole
from hyok.cli.session import run
from hyok.custody.quorum import Act
from hyok.errors import HyokError, Malformed
from hyok.policy.shadow import Verdict
from hyok.wiring import clock_ms, policy_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.cases import Case
    from hyok.custody.proposal import Effect
    from hyok.custody.shadow_book import Counted, Shadow
    from hyok.custody.signing import Signer
    from hyok.officer.actions import OfficerActions
    from hyok.wiring import Core

DAY_MS = 86_400_000
SHOWN_MAX = 50
LIVE, ENFORCED, OVERTAKEN = "in shadow", "in force", "overtaken"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(shadow)
    app.command()(enforce)


def shadow(
    folder: Annotated[
        Path | None, typer.Argument(help="The policy to try; left out: what is in shadow.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End the shadow.")] = False,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide a policy beside the one in force, without effect on answers, and see the difference.

    Every gateway takes it within five seconds. Without FOLDER: what it would have denied and newly
    allowed until now. One security officer begins and ends it.
    """
    login = Login(person, key, passphrase_file)
    if folder is not None and stop:
        raise Malformed("a folder begins a shadow and --stop ends it", next_step="say one of them")
    if folder is None and not stop:
        _report(config, as_json=as_json)
        return
    files = policy_files(folder) if folder is not None else None

    async def work(core: Core, _actions: OfficerActions, signer: Signer) -> Shadow | None:
        if files is not None:
            return await shadow_desk(core).begin(signer, files, reason)
        await shadow_desk(core).stop(signer)
        return None

    made = act(config, login, work)
    if as_json:
        rows = [] if made is None else [_row(made, LIVE)]
        show(rows, as_json=True, empty="")
    elif made is None:
        say("no policy is in shadow")
    else:
        say(f"policy {made.sha256[:16]}… is in shadow; every gateway takes it within five seconds")
        say("Next: hyok policy shadow, after some days; then hyok policy enforce, or --stop")


def enforce(
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose exactly the policy that is in shadow; another security officer approves it."""

    async def work(core: Core, actions: OfficerActions, signer: Signer) -> Case:
        bundle = await shadow_desk(core).to_enforce()
        effect: Effect = {"sha256": bundle.digest}
        return await actions.propose(signer, Act.PUBLISH_POLICY, effect, reason)

    tell_proposal(act(config, Login(person, key, passphrase_file), work), as_json=as_json)


async def standing(core: Core) -> dict[str, object] | None:
    """Return what is in shadow, and whether it still can come in force, for a list.

    Raises:
        Tampered: its row is not genuine.
    """
    found = await core.shadows.current()
    if found is None:
        return None
    history = await core.policies.history()
    state = LIVE
    if any(one.sha256 == found[0].sha256 for one in history):
        state = ENFORCED
    elif history and history[0].version >= found[0].version:
        state = OVERTAKEN
    return _row(found[0], state)


async def standing_or_why(core: Core) -> dict[str, object] | None:
    """Return the same for a list, which says what is wrong with the row and goes on."""
    try:
        return await standing(core)
    except HyokError as error:
        return {"version": "", "state": f"in shadow: {error.cause}", "sha256": "", "since": ""}


def _report(config: Path | None, *, as_json: bool) -> None:
    async def inside(core: Core) -> tuple[dict[str, object] | None, Sequence[Counted]]:
        row = await standing(core)
        return row, [] if row is None else await core.shadows.counted(str(row["sha256"]))

    row, counted = run(config, inside)
    if row is None:
        show([], as_json=as_json, empty="No policy is in shadow.  Next: hyok policy shadow FOLDER")
        return
    totals = {str(word): 0 for word in Verdict}
    for one in counted:
        totals[one.difference.verdict] += one.decisions
    found = [_counted(one) for one in counted if one.difference.app]
    if as_json:
        show([row | {"decisions": totals, "differences": found}], as_json=True, empty="")
        return
    say(f"policy {str(row['sha256'])[:16]}…, {row['state']} since {row['since']}, by {row['by']}")
    empty = "Nothing would have been decided otherwise."
    show_whole(found[:SHOWN_MAX], as_json=False, empty=empty)
    if len(found) > SHOWN_MAX:
        say(f"… and {len(found) - SHOWN_MAX} more (--json has all)")
    say(", ".join(f"{totals[word]:,} {word}" for word in totals))
    if row["state"] == OVERTAKEN:
        mark("warn", "another policy came in force since; begin it anew: hyok policy shadow FOLDER")


def _row(found: Shadow, state: str) -> dict[str, object]:
    return {
        "sha256": found.sha256,
        "version": found.version,
        "state": state,
        "since": moment(found.since_ms),
        "days": (clock_ms() - found.since_ms) // DAY_MS,
        "by": found.by,
        "reason": found.reason,
    }


def _counted(one: Counted) -> dict[str, object]:
    difference = one.difference
    return {
        "verdict": difference.verdict,
        "app": difference.app,
        "action": difference.action,
        "bucket": difference.bucket_id,
        "classification": difference.classification,
        "by": difference.reason,
        "decisions": one.decisions,
        "first": moment(one.first_ms),
        "last": moment(one.last_ms),
    }
