"""Which officer acts, and what commands that propose something have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable  # noqa: TC003 - typer reads annotations here
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hyok.acts import build_actions
from hyok.cli.progress import counting
from hyok.cli.screen import mark, say, show
from hyok.cli.session import run
from hyok.officer.login import sign_in

if TYPE_CHECKING:
    from hyok.custody.cases import Case
    from hyok.custody.proposal import Effect
    from hyok.custody.quorum import Act
    from hyok.custody.signing import Signer
    from hyok.officer.actions import OfficerActions
    from hyok.wiring import Core

T = TypeVar("T")

AsOption = Annotated[
    str,
    typer.Option(
        "--as",
        envvar="HYOK_OFFICER",
        help="DEVELOPMENT LOGIN: act as this officer; refused in production.",
    ),
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key", envvar="HYOK_OFFICER_KEY", help="Key file of the officer who acts; signs it."
    ),
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Holds the key's passphrase; else it is asked for."),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; the approvers read it.")]


@dataclass(frozen=True, slots=True)
class Login:
    """What the options say of who acts."""

    person: str
    key: Path | None
    passphrase_file: Path | None

    def signer(self, core: Core) -> Signer:
        """Return what signs for the officer.

        Raises:
            NotAuthenticated, Refused, Malformed: as `sign_in` says.
        """
        return sign_in(
            person=self.person,
            key_file=self.key,
            passphrase=lambda: passphrase(self.passphrase_file),
            box=core.box,
            development=core.settings.installation.mode == "development",
        )


def passphrase(file: Path | None, *, confirm: bool = False) -> bytes:
    """Return the passphrase of a file without its line end, or ask for it."""
    if file is not None:
        return file.read_bytes().rstrip(b"\r\n")
    asked: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm)
    return asked.encode()


def act(
    config: Path | None,
    login: Login,
    work: Callable[[Core, OfficerActions, Signer], Awaitable[T]],
) -> T:
    """Run ``work`` as the officer who acts."""

    async def inside(core: Core) -> T:
        with counting("working") as tell:
            return await work(core, build_actions(core, tell), login.signer(core))

    return run(config, inside)


def propose(
    config: Path | None, login: Login, what: Act, effect: Effect, reason: str, *, as_json: bool
) -> None:
    """Propose an act and say what it takes now."""

    async def work(core: Core, actions: OfficerActions, signer: Signer) -> Case:
        del core
        return await actions.propose(signer, what, effect, reason)

    case = act(config, login, work)
    proposal = case.proposal
    if as_json:
        show([as_row(case, "open", proposal.quorum.approvals)], as_json=True, empty="")
        return
    say(f"proposal {proposal.proposal_id}: {proposal.act}, by {proposal.author}")
    tell_quorum(case)
    say(f"Next: hyok approvals approve {proposal.proposal_id}, by another officer")
    say(f"Then: hyok approvals execute {proposal.proposal_id}")


def tell_quorum(case: Case) -> None:
    """Say how many approve, and whose."""
    quorum = case.proposal.quorum
    among = f", one each of {', '.join(quorum.among)}" if quorum.among else ""
    say(f"  takes {quorum.approvals} approvals of others{among}")
    if quorum.development:
        mark("warn", "DEVELOPMENT QUORUM: two persons; production asks what the class demands")


def as_row(case: Case, state: str, missing: int) -> dict[str, object]:
    """Return a proposal for programs."""
    proposal = case.proposal
    return {
        "proposal": proposal.proposal_id,
        "act": str(proposal.act),
        "state": state,
        "missing": missing,
        "author": proposal.author,
        "reason": proposal.reason,
        "tenant": proposal.tenant,
        "classification": proposal.classification,
        "effect": proposal.effect,
        "sha256": proposal.digest,
        "approvals": proposal.quorum.approvals,
        "among": [str(role) for role in proposal.quorum.among],
        "development": proposal.quorum.development,
        "created_ms": proposal.created_ms,
        "expires_ms": proposal.expires_ms,
        "decisions": [
            {
                "person": said.person,
                "verdict": str(said.verdict),
                "at_ms": said.at_ms,
                "method": said.method,
                "reason": said.reason,
            }
            for said in case.decisions
        ],
    }
