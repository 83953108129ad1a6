"""`hyok apps keys`: access keys of applications, and rotating them with an overlap."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.registrations import record
from hyok.cli.screen import say, show
from hyok.cli.session import run
from hyok.errors import Malformed, NotFound
from hyok.policy.classifications import parse_duration
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.identity.access_keys import IssuedAccessKey
    from hyok.identity.apps import App, KeyRow
    from hyok.wiring import Core

app = typer.Typer(help="Access keys of applications.", no_args_is_help=True)
DAY_MS = 86_400_000


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="As hyok apps list shows it.")],
    expires: Annotated[
        str,
        typer.Option(
            "--expires", help="When the app's other key ends: 7d, 12h, or 2030-01-31 (UTC)."
        ),
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a further access key and print it, once; with --expires the old one gets an end.

    An app has two live keys at most: give the new one to the application before the old one ends.
    """
    ends_ms = parse_end(expires, clock_ms()) if expires else None

    async def act(core: Core) -> IssuedAccessKey:
        found = await _app(core, name)
        issued = await core.access_keys.create_key(name, others_end_ms=ends_ms)
        facts = (f"app:{name}", f"access-key:{issued.access_key}")
        await record(core, "access-key:create", found.tenant, *facts)
        return issued

    show_issued(run(config, act), as_json=as_json)
    if ends_ms is not None and not as_json:
        say(f"the other key ends {moment(ends_ms)} UTC; see: hyok apps keys list {name}")


def show_issued(issued: IssuedAccessKey, *, as_json: bool) -> None:
    """Print a new access key: the only time that its secret is shown."""
    if as_json:
        row = {"access_key": issued.access_key, "secret": issued.secret.get_secret_value()}
        show([row], as_json=True, empty="")
        return
    say(f"access key of {issued.app_id}; the secret is shown this once:")
    say(f"  export AWS_ACCESS_KEY_ID={issued.access_key}")
    say(f"  export AWS_SECRET_ACCESS_KEY={issued.secret.get_secret_value()}")


@app.command("list")
def list_keys(
    name: Annotated[str, typer.Argument(help="An app; left out: all.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List access keys with their age and last use (to the minute), never their secrets."""

    async def act(core: Core) -> Sequence[KeyRow]:
        wanted = [await _app(core, name)] if name else await core.access_keys.list_apps()
        return [key for one in wanted for key in await core.access_keys.list_keys(one.app_id)]

    now_ms = clock_ms()
    rows = [_row(key, now_ms) for key in run(config, act)]
    show(rows, as_json=as_json, empty="No access keys.  Next: hyok apps keys create NAME")


@app.command()
def end(
    access_key: Annotated[str, typer.Argument(help="As hyok apps keys list shows it.")],
    expires: Annotated[str, typer.Option("--expires", help="7d, 12h, or 2030-01-31 (UTC).")],
    config: ConfigOption = None,
) -> None:
    """Give an access key an end; one that ends earlier keeps its end."""
    ends_ms = parse_end(expires, clock_ms())

    async def act(core: Core) -> None:
        found = await core.access_keys.app_of_key(access_key)
        await core.access_keys.end_key(access_key, ends_ms)
        facts = (f"app:{found.app_id}", f"access-key:{access_key}", f"ends:{moment(ends_ms)}")
        await record(core, "access-key:end", found.tenant, *facts)

    run(config, act)
    say(f"access key {access_key} ends {moment(ends_ms)} UTC at the latest")


@app.command()
def revoke(
    access_key: Annotated[str, typer.Argument(help="As hyok apps keys list shows it.")],
    config: ConfigOption = None,
) -> None:
    """Refuse an access key from now on; running gateways follow within five seconds."""

    async def act(core: Core) -> None:
        found = await core.access_keys.app_of_key(access_key)
        await core.access_keys.revoke_key(access_key)
        facts = (f"app:{found.app_id}", f"access-key:{access_key}")
        await record(core, "access-key:revoke", found.tenant, *facts)

    run(config, act)
    say(f"access key {access_key} is revoked")


def parse_end(text: str, now_ms: int) -> int:
    """Return a moment to come, in unix milliseconds: a length of time from now, or a date (UTC).

    Raises:
        Malformed: neither, or in the past.
    """
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        ends_ms = int(day.timestamp() * 1000)
    except ValueError:
        try:
            ends_ms = now_ms + parse_duration(text)
        except (ValueError, Malformed):
            ends_ms = 0
    if ends_ms <= now_ms:
        raise Malformed(
            f"--expires {text!r} is neither a length of time such as 7d or 12h nor a date to come "
            "such as 2030-01-31.",
            effect="Nothing was changed.",
        )
    return ends_ms


async def _app(core: Core, name: str) -> App:
    found = await core.access_keys.find_app(name)
    if found is None:
        raise NotFound(f"there is no app {name}", next_step="hyok apps list")
    return found


def _row(key: KeyRow, now_ms: int) -> Mapping[str, object]:
    ended = key.state == "active" and not key.is_live(now_ms)
    return {
        "app": key.app_id,
        "access_key": key.access_key,
        "state": "ended" if ended else key.state,
        "made": moment(key.created_ms),
        "days_old": (now_ms - key.created_ms) // DAY_MS,
        "last_used": moment(key.last_used_ms) if key.last_used_ms is not None else "never",
        "ends": moment(key.expires_ms) if key.expires_ms is not None else "",
    }
