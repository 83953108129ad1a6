"""`hyok doors transit-token`: tokens with which clients of Vault Transit come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.app_keys import parse_end
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.registrations import record
from hyok.cli.screen import say, show
from hyok.cli.session import run
from hyok.errors import Malformed
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.identity.door_tokens import DoorToken, IssuedToken
    from hyok.wiring import Core

app = typer.Typer(
    help="Tokens for clients of Vault Transit, and of the payloads door.", no_args_is_help=True
)
SECONDS_MIN = 60


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="An app whose only grant is use-keys.")],
    expires: Annotated[
        str, typer.Option("--expires", help="When it ends: 90d, 12h, or 2030-01-31 (UTC).")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it, once; what is kept of it lets nobody in.

    An app has two live tokens at most: give out the new one before the old one ends.
    """
    now_ms = clock_ms()
    seconds = (parse_end(expires, now_ms) - now_ms) // 1000
    if seconds < SECONDS_MIN:
        raise Malformed("a token lives for a minute or longer", next_step="--expires 90d")

    async def act(core: Core) -> IssuedToken:
        issued = await core.door_tokens.create(name, seconds)
        found = await core.access_keys.find_app(name)
        assert found is not None  # a foreign key holds it
        facts = (f"app:{name}", f"token:{issued.row.token_id}")
        await record(core, "door-token:create", found.tenant, *facts)
        return issued

    issued = run(config, act)
    if as_json:
        row = _row(issued.row, now_ms) | {"token": issued.token.get_secret_value()}
        show([row], as_json=True, empty="")
        return
    say(f"token of {name}, until {moment(issued.row.expires_ms)} UTC; it is shown this once:")
    say(f"  export VAULT_TOKEN={issued.token.get_secret_value()}")


@app.command("list")
def list_tokens(
    name: Annotated[str, typer.Argument(help="An app; left out: all.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List tokens, never what lets their bearers in."""

    async def act(core: Core) -> Sequence[DoorToken]:
        return await core.door_tokens.list(name or None)

    now_ms = clock_ms()
    rows = [_row(one, now_ms) for one in run(config, act)]
    show(rows, as_json=as_json, empty="No tokens.  Next: hyok doors transit-token create APP …")


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(help="Its id, as list shows it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse a token from now on; running doors follow within five seconds."""

    async def act(core: Core) -> DoorToken:
        revoked = await core.door_tokens.revoke(token)
        found = await core.access_keys.find_app(revoked.app_id)
        assert found is not None  # a foreign key holds it
        await record(
            core, "door-token:revoke", found.tenant, f"app:{found.app_id}", f"token:{token}"
        )
        return revoked

    revoked = run(config, act)
    if as_json:
        show([_row(revoked, clock_ms())], as_json=True, empty="")
        return
    say(f"token {token} of {revoked.app_id} is revoked; every door knows within five seconds")


def _row(token: DoorToken, now_ms: int) -> dict[str, object]:
    live = token.is_live(now_ms)
    return {
        "id": token.token_id,
        "app": token.app_id,
        "state": token.state if live or token.state == "revoked" else "ended",
        "made": moment(token.created_ms),
        "ends": moment(token.expires_ms),
    }
