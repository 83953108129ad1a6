"""Which officer acts, and what commands that propose something have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable  # noqa: TC003 - typer reads annotations here
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hyok.acts import build_actions
from hyok.cli.progress import counting
from hyok.cli.remote import Remote, row_of
from hyok.cli.screen import mark, say, show
from hyok.cli.session import run
from hyok.officer.login import read_key_file, sign_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.custody.cases import Case
    from hyok.custody.proposal import Effect
    from hyok.custody.quorum import Act
    from hyok.custody.signing import KeySigner, Signer
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
    api: str = ""

    @property
    def remote(self) -> Remote | None:
        """The officer API to act over; None: directly, on this host."""
        return Remote(self.api) if self.api else None

    def own_key(self) -> KeySigner | None:
        """Return the officer's own key, where one was named; it never leaves this machine.

        Raises:
            Malformed: it cannot be read.
        """
        if self.key is None:
            return None
        return read_key_file(self.key, lambda: passphrase(self.passphrase_file))

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
    if login.remote is not None:
        asked = {"act": str(what), "effect": effect, "reason": reason}
        _tell_proposed(row_of(login.remote.post("/v1/proposals", asked)), as_json=as_json)
        return

    async def work(core: Core, actions: OfficerActions, signer: Signer) -> Case:
        del core
        return await actions.propose(signer, what, effect, reason)

    tell_proposal(act(config, login, work), as_json=as_json)


def tell_proposal(case: Case, *, as_json: bool) -> None:
    """Say what was proposed and what it takes now."""
    row = as_row(case, "open", case.proposal.quorum.approvals)
    _tell_proposed(row, as_json=as_json)


def _tell_proposed(row: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        show([row], as_json=True, empty="")
        return
    proposal = row["proposal"]
    say(f"proposal {proposal}: {row['act']}, by {row['author']}")
    tell_quorum(row)
    say(f"Next: hyok approvals approve {proposal}, by another officer")
    say(f"Then: hyok approvals execute {proposal}")


def tell_quorum(row: Mapping[str, object]) -> None:
    """Say how many approve, and whose."""
    named = row["among"]
    among = (
        f", one each of {', '.join(map(str, named))}" if isinstance(named, list) and named else ""
    )
    say(f"  takes {row['approvals']} approvals of others{among}")
    if row["development"]:
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
