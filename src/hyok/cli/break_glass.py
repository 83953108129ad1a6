"""`hyok break-glass`: reading beyond one's rights in an emergency, by quorum, for a short time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.acting import (
    AsOption,
    KeyOption,
    Login,
    PassphraseOption,
    ReasonOption,
    act,
    propose,
)
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.peek import split_address
from hyok.cli.remote import ApiOption, Remote
from hyok.cli.screen import say, show
from hyok.cli.session import run
from hyok.custody.quorum import Act
from hyok.errors import Malformed
from hyok.officer.door_break_glass import EVERY
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.break_glass import Grant, Granted
    from hyok.custody.proposal import Effect
    from hyok.custody.signing import Signer
    from hyok.officer.actions import OfficerActions
    from hyok.wiring import Core

app = typer.Typer(help="Reading beyond one's rights in an emergency.", no_args_is_help=True)
GrantArgument = Annotated[str, typer.Argument(help="As hyok break-glass list shows it.")]


@app.command()
def request(
    addresses: Annotated[
        list[str],
        typer.Argument(help="s3://bucket/prefix/ (ends in a slash), or objects of one bucket."),
    ],
    reader: Annotated[str, typer.Option("--app", help="The application that reads.")],
    minutes: Annotated[int, typer.Option("--minutes", min=1, help="For how long.")],
    ticket: Annotated[str, typer.Option("--ticket", help="Where the emergency is written down.")],
    classification: Annotated[
        str, typer.Option("--classification", help="The highest it opens; default: the bucket's.")
    ] = "",
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose that an application reads named objects beyond its rights, for a short time."""
    named = [split_address(address) for address in addresses]
    buckets = {bucket for bucket, _ in named}
    if len(buckets) != 1:
        raise Malformed("one proposal is about one bucket", effect="Nothing was proposed.")
    keys = [name for _, name in named]
    is_prefix = len(keys) == 1 and keys[0].endswith("/")
    effect: Effect = {
        "app": reader,
        "bucket": buckets.pop(),
        "keys": [] if is_prefix else keys,
        "prefix": keys[0] if is_prefix else "",
        "minutes": minutes,
        "ticket": ticket,
    }
    if classification:
        effect["classification"] = classification
    login = Login(person, key, passphrase_file, api)
    propose(config, login, Act.BREAK_GLASS, effect, reason, as_json=as_json)


@app.command("request-door")
def request_door(
    door: Annotated[str, typer.Argument(help="The door: kacls.")],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose key.")],
    door_key: Annotated[str, typer.Option("--door-key", help="The door's key.")],
    user: Annotated[str, typer.Option("--app", help="The app in whose name the door uses it.")],
    operation: Annotated[
        list[str], typer.Option("--operation", help="privilegedunwrap, …; may be given again.")
    ],
    who: Annotated[
        list[str],
        typer.Option(
            "--person", help="A mail address, or another key service's; may be given again."
        ),
    ],
    minutes: Annotated[int, typer.Option("--minutes", min=1, help="For how long.")],
    ticket: Annotated[str, typer.Option("--ticket", help="Where the reason is written down.")],
    resource: Annotated[
        list[str] | None,
        typer.Option("--resource", help="A resource's name there; may be given again."),
    ] = None,
    every: Annotated[
        bool,
        typer.Option("--every-resource", help="Whatever another key service asks for."),
    ] = False,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose that somebody may make privileged calls of a door, for a short time."""
    effect: Effect = {
        "door": door,
        "tenant": tenant,
        "key": door_key,
        "app": user,
        "operations": operation,
        "people": who,
        "resources": resource or [],
        "reach": EVERY if every else "named",
        "minutes": minutes,
        "ticket": ticket,
    }
    login = Login(person, key, passphrase_file, api)
    propose(config, login, Act.BREAK_GLASS_DOOR, effect, reason, as_json=as_json)


@app.command("list")
def list_grants(
    api: ApiOption = "", config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List grants, and which of them nobody has reviewed."""
    now = clock_ms()
    if api:
        rows = [
            {
                "grant": one["id"],
                **{name: one[name] for name in ("app", "bucket", "classification", "ticket")},
                **({} if one["bucket"] else {"bucket": f"door {one['door']}"}),
                "state": "running" if one["running"] else "ended",
                "ends": moment(one["endsMs"]),
                "review": _review(one["reviewer"], one["reviewDueMs"], now),
                "review due": moment(one["reviewDueMs"]),
            }
            for one in Remote(api).all("/v1/break-glass-grants")
        ]
        show(rows, as_json=as_json, empty="There was no break-glass.")
        return

    async def look(core: Core) -> Sequence[Granted]:
        await core.break_glass.end_past()
        return await core.break_glass.book.all()

    rows = [
        {
            "grant": found.grant.grant_id,
            "app": found.grant.app,
            "bucket": found.grant.bucket or f"door {found.grant.door}",
            "classification": found.grant.classification,
            "ticket": found.grant.ticket,
            "state": "running" if now < found.grant.ends_ms else "ended",
            "ends": moment(found.grant.ends_ms),
            "review": _review((found.review or {}).get("reviewer", ""), found.review_due_ms, now),
            "review due": moment(found.review_due_ms),
        }
        for found in run(config, look)
    ]
    show(rows, as_json=as_json, empty="There was no break-glass.")


def _review(reviewer: str, due_ms: int, now_ms: int) -> str:
    if reviewer:
        return f"by {reviewer}"
    return "overdue" if now_ms > due_ms else "open"


@app.command()
def end(
    grant: GrantArgument,
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
) -> None:
    """End a grant before its hour; running gateways follow within five seconds."""
    login = Login(person, key, passphrase_file, api)

    async def work(core: Core, actions: OfficerActions, signer: Signer) -> Grant:
        del actions
        return await core.break_glass.end(signer, grant)

    if login.remote is not None:
        login.remote.post(f"/v1/break-glass-grants/{grant}/endings", {})
    else:
        act(config, login, work)
    say(f"break-glass {grant} has ended; its review is open")


@app.command()
def review(
    grant: GrantArgument,
    finding: Annotated[str, typer.Option("--finding", help="What you found.")],
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
) -> None:
    """Close the review of a grant that has ended."""
    login = Login(person, key, passphrase_file, api)

    async def work(core: Core, actions: OfficerActions, signer: Signer) -> None:
        del actions
        await core.break_glass.review(signer, grant, finding)

    if login.remote is not None:
        login.remote.post(f"/v1/break-glass-grants/{grant}/reviews", {"finding": finding})
    else:
        act(config, login, work)
    say(f"break-glass {grant} was reviewed")
