"""`hyok approvals`: what officers have asked for, and what the others say of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyok.acts import build_actions
from hyok.cli.acting import (
    AsOption,
    KeyOption,
    Login,
    PassphraseOption,
    ReasonOption,
    act,
    as_row,
    tell_quorum,
)
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.remote import ApiOption, Remote, row_of
from hyok.cli.screen import mark, say, show
from hyok.cli.session import run
from hyok.custody.quorum import Verdict
from hyok.officer.port import Done
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.custody.approvals import Listed
    from hyok.custody.cases import Case
    from hyok.custody.signing import Signer
    from hyok.officer.actions import Executed, OfficerActions
    from hyok.wiring import Core

app = typer.Typer(help="Proposals that take several officers.", no_args_is_help=True)
ProposalArgument = Annotated[str, typer.Argument(help="As hyok approvals list shows it.")]


@app.command("list")
def list_proposals(
    api: ApiOption = "", config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List the newest proposals."""
    if api:
        rows = [
            {
                "proposal": one["id"],
                **{name: one[name] for name in ("act", "author", "state", "missing")},
                "made": moment(one["createdMs"]),
                "expires": moment(one["expiresMs"]),
            }
            for one in Remote(api).all("/v1/proposals")
        ]
        show(rows, as_json=as_json, empty="Nothing was proposed yet.")
        return

    async def look(core: Core) -> Sequence[Listed]:
        return await build_actions(core).approvals.list()

    rows = [
        {
            "proposal": found.proposal_id,
            "act": found.act,
            "author": found.author,
            "state": found.state,
            "missing": found.case.standing(clock_ms()).missing if found.case else 0,
            "made": moment(found.created_ms),
            "expires": moment(found.expires_ms),
        }
        for found in run(config, look)
    ]
    show(rows, as_json=as_json, empty="Nothing was proposed yet.")


@app.command("show")
def show_proposal(
    proposal: ProposalArgument,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show exactly what would be executed, and who said what of it."""
    if api:
        _tell(row_of(Remote(api).get(f"/v1/proposals/{proposal}")), as_json=as_json)
        return

    async def look(core: Core) -> Case:
        return await build_actions(core).get(proposal)

    _tell(_row(run(config, look)), as_json=as_json)


@app.command()
def approve(
    proposal: ProposalArgument,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve exactly these bytes."""
    login = Login(person, key, passphrase_file, api)
    _decide(config, login, proposal, Verdict.APPROVE, reason, as_json=as_json)


@app.command()
def refuse(
    proposal: ProposalArgument,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse it, for good; also what you approved before."""
    login = Login(person, key, passphrase_file, api)
    _decide(config, login, proposal, Verdict.REFUSE, reason, as_json=as_json)


@app.command()
def withdraw(
    proposal: ProposalArgument,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back a proposal of your own."""
    login = Login(person, key, passphrase_file, api)
    _decide(config, login, proposal, Verdict.WITHDRAW, reason, as_json=as_json)


@app.command()
def execute(
    proposal: ProposalArgument,
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do what was approved, once; again carries on what was broken off."""
    login = Login(person, key, passphrase_file, api)
    if login.remote is not None:
        said = login.remote.say(proposal, "execute", "", login.own_key())
        _tell_done(proposal, Done(said["said"], said["figures"], said["whole"]), as_json=as_json)
        return

    async def work(core: Core, actions: OfficerActions, signer: Signer) -> Executed:
        del core
        return await actions.execute(signer, proposal)

    _tell_done(proposal, act(config, login, work).done, as_json=as_json)


def _tell_done(proposal: str, done: Done, *, as_json: bool) -> None:
    if as_json:
        show([{"proposal": proposal, "said": done.said} | done.figures], as_json=True, empty="")
    else:
        mark("ok" if done.whole else "FAIL", done.said)
        failed = done.figures.get("failed")
        for name, cause in failed if isinstance(failed, list) else ():
            mark("FAIL", f"{name}: {cause}")
        if "folder" in done.figures:
            folder = done.figures["folder"]
            say(f"Read it anywhere with the HSM:  hyok open {folder} --to PLAIN --config hyok.toml")
    if not done.whole:
        sys.exit(1)


def _decide(
    config: ConfigOption,
    login: Login,
    proposal: str,
    verdict: Verdict,
    reason: str,
    *,
    as_json: bool,
) -> None:
    if login.remote is not None:
        said = login.remote.say(proposal, str(verdict), reason, login.own_key())
        _tell(row_of(said), as_json=as_json)
        return

    async def work(core: Core, actions: OfficerActions, signer: Signer) -> Case:
        del core
        return await actions.decide(signer, proposal, verdict, reason)

    _tell(_row(act(config, login, work)), as_json=as_json)


def _row(case: Case) -> dict[str, object]:
    standing = case.standing(clock_ms())
    return as_row(case, str(standing.state), standing.missing)


def _tell(row: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        show([row], as_json=True, empty="")
        return
    say(f"proposal {row['proposal']}: {row['act']}, {row['state']}")
    say(f"  by {row['author']}: {row['reason']}")
    say(f"  expires {moment(row['expires_ms'])}, classification {row['classification'] or '-'}")
    for name, value in row["effect"].items():
        say(f"  {name}: {value}")
    tell_quorum(row)
    for said in row["decisions"][1:]:
        why = f": {said['reason']}" if said["reason"] else ""
        by = f"{said['verdict']} by {said['person']} ({said['method']})"
        say(f"  {moment(said['at_ms'])}  {by}{why}")
    if row["missing"]:
        say(f"  {row['missing']} missing")
