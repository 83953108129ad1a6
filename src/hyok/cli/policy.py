"""`hyok policy`: try a policy, see what it changes, and put it in force."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.acts import world_of
from hyok.cli import policy_exceptions, policy_rehearse, policy_replay, policy_shadow
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
from hyok.cli.policy_at_hand import in_force
from hyok.cli.screen import mark, say, show
from hyok.cli.session import run
from hyok.custody.quorum import Act
from hyok.errors import Malformed, NotFound
from hyok.policy.bundle import Bundle, failing
from hyok.policy.bundle import load as load_policy
from hyok.policy.exceptions import check_terms
from hyok.policy.matrix import ACTIONS, allowed, ask, compare
from hyok.wiring import clock_ms, policy_files

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.custody.bundles import InForce
    from hyok.custody.cases import Case
    from hyok.custody.proposal import Effect
    from hyok.custody.signing import Signer
    from hyok.officer.actions import OfficerActions
    from hyok.policy.bundle import Policy
    from hyok.policy.decision import Decision
    from hyok.policy.matrix import Cell, Change
    from hyok.wiring import Core

app = typer.Typer(help="What each classification demands, and who may.", no_args_is_help=True)
policy_shadow.register(app)
policy_replay.register(app)
policy_rehearse.register(app)
policy_exceptions.register(app)

SHOWN_MAX = 50
FolderArgument = Annotated[
    Path | None, typer.Argument(help="A folder of policies; default: what is in force.")
]
BucketOption = Annotated[str, typer.Option("--bucket", help="Only this bucket.")]
ActionOption = Annotated[str, typer.Option("--action", help="Only this action: object:get, …")]
ClassOption = Annotated[
    str, typer.Option("--classification", help="Of the object; default: the bucket's.")
]


@app.command()
def validate(
    folder: Annotated[Path, typer.Argument(help="A folder of policies.")],
    as_json: JsonOption = False,
) -> None:
    """Read a policy strictly and run its cases; needs no installation.

    An exception that has ended, or would last more than a year from today, fails it.
    """
    policy = load_policy(policy_files(folder))
    said = [*failing(policy), *_ill_timed(policy)]
    bundle = Bundle(0, policy_files(folder))
    if as_json:
        row: dict[str, object] = {"folder": str(folder), "cases": len(policy.cases)}
        row |= {"classifications": policy.classifications.names(), "failing": said}
        row |= {"exceptions": [one.id for one in policy.exceptions]}
        show([row | {"bytes": len(bundle.render())}], as_json=True, empty="")
    else:
        for one in said:
            mark("FAIL", one)
        counts = f"{len(policy.classifications.names())} classifications, "
        counts += f"{len(policy.cases)} cases, {len(policy.exceptions)} exceptions"
        mark("FAIL" if said else "ok", counts)
    if said:
        sys.exit(1)


@app.command("test")
def run_cases(folder: FolderArgument = None, config: ConfigOption = None) -> None:
    """Run the cases of a policy and say each; exit code 1 when one fails."""
    policy = _of(config, folder)
    failed = 0
    for case in policy.cases:
        said = case.failure(policy.engine)
        failed += bool(said)
        mark("FAIL" if said else "ok", said or case.why)
    if failed:
        sys.exit(1)


@app.command()
def diff(
    folder: Annotated[Path, typer.Argument(help="The policy that would come.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a policy would give and take: every app, bucket, classification and action."""
    after = load_policy(policy_files(folder))

    async def inside(core: Core) -> tuple[Change, Sequence[str]]:
        world = await world_of(core)
        before = await in_force(core)
        return compare(allowed(before, world), allowed(after, world)), failing(after)

    change, said = run(config, inside)
    if as_json:
        row: dict[str, object] = {
            "gained": [_row(cell) for cell in change.gained],
            "lost": [_row(cell) for cell in change.lost],
        }
        show([row | {"apps_that_lose": list(change.apps_that_lose)}], as_json=True, empty="")
        return
    for sign, cells in (("+", change.gained), ("-", change.lost)):
        for cell in cells[:SHOWN_MAX]:
            say(f"{sign} {cell.app}  {cell.action}  {cell.bucket}  {cell.classification}")
        if len(cells) > SHOWN_MAX:
            say(f"{sign} … and {len(cells) - SHOWN_MAX} more (--json has all)")
    apps = len(change.apps_that_lose)
    say(f"{len(change.gained)} gained, {len(change.lost)} lost; {apps} apps lose something")
    for one in said:
        mark("FAIL", one)


@app.command("who-can")
def who_can(
    action: Annotated[str, typer.Argument(help="object:get, bucket:list, …")],
    bucket: Annotated[str, typer.Argument(help="The bucket.")],
    classification: ClassOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the apps that may do this there, under the policy in force."""

    async def inside(core: Core) -> Sequence[Cell]:
        cells = await _cells(core, [action])
        return [cell for cell in cells if cell.bucket == bucket]

    _tell(run(config, inside), classification, as_json=as_json)


@app.command("what-can")
def what_can(
    name: Annotated[str, typer.Argument(help="The app.")],
    bucket: BucketOption = "",
    action: ActionOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what an app may do, under the policy in force."""

    async def inside(core: Core) -> Sequence[Cell]:
        cells = await _cells(core, [action] if action else ACTIONS)
        return [cell for cell in cells if cell.app == name and bucket in {"", cell.bucket}]

    _tell(run(config, inside), "", as_json=as_json)


@app.command("why-denied")
def why_denied(
    name: Annotated[str, typer.Argument(help="The app.")],
    action: Annotated[str, typer.Argument(help="object:get, bucket:list, …")],
    bucket: Annotated[str, typer.Argument(help="The bucket.")],
    classification: ClassOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which rule decides a question, whether it permits or forbids."""

    async def inside(core: Core) -> tuple[Decision, str]:
        policy, world = await in_force(core), await world_of(core)
        apps = [one for one in world.principals if one.id == name]
        buckets = [one for one in world.buckets if one.bucket_id == bucket]
        if not apps or not buckets:
            missing, step = (f"app {name}", "apps") if not apps else (f"bucket {bucket}", "buckets")
            raise NotFound(f"There is no {missing}.", next_step=f"hyok {step} list")
        named = classification or buckets[0].classification
        return ask(policy, world, apps[0], buckets[0], named, action), named

    decision, named = run(config, inside)
    word = "permit" if decision.allowed else "forbid"
    if as_json:
        row: dict[str, object] = {"answer": word, "rules": list(decision.reasons)}
        show([row | {"classification": named}], as_json=True, empty="")
        return
    by = ", ".join(decision.reasons) or "no rule permits it"
    say(f"{word}: {name} {action} {bucket} ({named}) by {by}")


@app.command("list")
def list_policies(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the policy in shadow and those that were in force, the newest first."""

    async def inside(core: Core) -> tuple[dict[str, object] | None, Sequence[InForce]]:
        return await policy_shadow.standing_or_why(core), await core.policies.history()

    shadow, history = run(config, inside)
    rows: list[dict[str, object]] = [
        {
            "version": one.version,
            "state": "in force" if one is history[0] else "before",
            "sha256": one.sha256,
            "proposal": one.proposal_id,
            "since": moment(one.since_ms),
        }
        for one in history
    ]
    if shadow is not None and shadow["state"] != policy_shadow.ENFORCED:
        first = {name: shadow[name] for name in ("version", "state", "sha256")}
        rows.insert(0, first | {"proposal": "", "since": shadow["since"]})
    show(rows, as_json=as_json, empty="The policy is the folder of the settings, signed by nobody.")


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="The policy that shall be in force.")],
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a policy; another security officer approves exactly these bytes."""
    files = policy_files(folder)
    login = Login(person, key, passphrase_file)
    _propose(config, login, lambda _core: _given(files), reason, as_json=as_json)


@app.command()
def rollback(
    version: Annotated[int, typer.Argument(help="As `hyok policy list` shows it.")],
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose what was in force before, as a new version."""

    async def files_of(core: Core) -> dict[str, str]:
        for one in await core.policies.history():
            if one.version == version:
                return dict((await core.policies.find(one.sha256)).files)
        raise NotFound(
            f"There was no policy version {version}.",
            code="HY-2330",
            effect="Nothing was proposed.",
            next_step="hyok policy list",
        )

    login = Login(person, key, passphrase_file)
    _propose(config, login, files_of, reason, as_json=as_json)


def _propose(
    config: ConfigOption,
    login: Login,
    files_of: Callable[[Core], Awaitable[dict[str, str]]],
    reason: str,
    *,
    as_json: bool,
) -> None:
    """Keep the bundle and propose it, unless it could not be in force."""

    async def work(core: Core, actions: OfficerActions, signer: Signer) -> Case:
        files = await files_of(core)
        load_policy(files)
        bundle = Bundle(await core.policies.next_version(), files)
        await core.policies.keep(bundle)
        effect: Effect = {"sha256": bundle.digest}
        return await actions.propose(signer, Act.PUBLISH_POLICY, effect, reason)

    tell_proposal(act(config, login, work), as_json=as_json)


async def _given(files: dict[str, str]) -> dict[str, str]:
    return files


def _ill_timed(policy: Policy) -> list[str]:
    """Return what is wrong with the ends of exceptions, as if each were approved now."""
    try:
        check_terms(policy.exceptions, clock_ms(), {})
    except Malformed as error:
        return [error.explain()]
    return []


def _of(config: ConfigOption, folder: Path | None) -> Policy:
    if folder is not None:
        return load_policy(policy_files(folder))
    return run(config, in_force)


async def _cells(core: Core, actions: Sequence[str]) -> Sequence[Cell]:
    unknown = set(actions) - set(ACTIONS)
    if unknown:
        raise Malformed(
            f"no app can ask {sorted(unknown)[0]}", next_step="one of: " + ", ".join(ACTIONS)
        )
    return sorted(allowed(await in_force(core), await world_of(core), actions))


def _row(cell: Cell) -> dict[str, object]:
    row: dict[str, object] = {"app": cell.app, "action": cell.action, "bucket": cell.bucket}
    return row | {"classification": cell.classification}


def _tell(cells: Sequence[Cell], classification: str, *, as_json: bool) -> None:
    rows = [_row(cell) for cell in cells if classification in {"", cell.classification}]
    show(rows, as_json=as_json, empty="Nobody, nothing.")
