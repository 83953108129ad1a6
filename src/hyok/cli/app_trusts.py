"""`hyok apps trust`: whose OIDC tokens may act as which application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.registrations import record
from hyok.cli.screen import say, show
from hyok.cli.session import run
from hyok.errors import NotFound
from hyok.identity.trusts import Trust
from hyok.s3.sts import DURATION_SECONDS_DEFAULT, DURATION_SECONDS_MAX, DURATION_SECONDS_MIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.wiring import Core

app = typer.Typer(help="Whose OIDC tokens may act as which application.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="As hyok apps list shows it.")],
    issuer: Annotated[str, typer.Option("--issuer", help="One of [[web_identity.issuers]].")],
    subject: Annotated[
        str,
        typer.Option(
            "--subject", help="As tokens have it: system:serviceaccount:NS:NAME; may end in *."
        ),
    ],
    audience: Annotated[str, typer.Option("--audience", help="What the tokens are made for.")],
    max_duration: Annotated[
        int,
        typer.Option(
            "--max-duration",
            min=DURATION_SECONDS_MIN,
            max=DURATION_SECONDS_MAX,
            help="Longest session, in seconds.",
        ),
    ] = DURATION_SECONDS_DEFAULT,
    config: ConfigOption = None,
) -> None:
    """Let holders of such tokens act as an application."""

    async def act(core: Core) -> tuple[Trust, str]:
        made = await core.identities.add_trust(
            Trust("", name, issuer, subject, audience, max_duration)
        )
        found = await core.access_keys.find_app(name)
        assert found is not None  # `add_trust` saw it
        await record(
            core,
            "trust:create",
            found.tenant,
            f"app:{name}",
            f"trust:{made.trust_id}",
            f"issuer:{issuer}",
            f"subject:{subject}",
            f"audience:{audience}",
        )
        return made, found.tenant

    made, tenant = run(config, act)
    say(f"{made.trust_id}: {subject} of {issuer} may act as {name}")
    say(f"  AWS_ROLE_ARN=arn:hyok:iam::{tenant}:role/{name}")


@app.command("list")
def list_trusts(
    name: Annotated[str, typer.Argument(help="An app; left out: all.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List trusts, revoked ones too."""

    async def act(core: Core) -> Sequence[Trust]:
        if name and await core.access_keys.find_app(name) is None:
            raise NotFound(f"there is no app {name}", next_step="hyok apps list")
        return await core.identities.list_trusts(name or None)

    rows = [
        {
            "trust": trust.trust_id,
            "app": trust.app_id,
            "issuer": trust.issuer,
            "subject": trust.subject,
            "audience": trust.audience,
            "max_duration": trust.duration_seconds_max,
            "state": trust.state,
            "made": moment(trust.created_ms),
        }
        for trust in run(config, act)
    ]
    show(rows, as_json=as_json, empty="No trusts yet.  Next: hyok apps trust add NAME …")


@app.command()
def remove(
    trust_id: Annotated[str, typer.Argument(help="As hyok apps trust list shows it.")],
    config: ConfigOption = None,
) -> None:
    """Trust no more, and end its sessions; running gateways follow within five seconds."""

    async def act(core: Core) -> None:
        found = await core.identities.revoke_trust(trust_id)
        facts = (f"app:{found.app_id}", f"trust:{trust_id}")
        await record(core, "trust:revoke", found.tenant, *facts)

    run(config, act)
    say(f"{trust_id} is removed, and its sessions have ended")
