"""`--minutes FILE` of ceremonies, and `hyok keys minutes`: signing and checking them."""

from __future__ import annotations

import getpass
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyok import __version__
from hyok.audit.checkpoint import parse_public_key
from hyok.audit.signed import check, document_of
from hyok.cli.documents import read_json
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.screen import mark, say, show
from hyok.cli.session import run
from hyok.cli.signed_files import page_of, sign_and_write
from hyok.custody.key_facts import facts_of_key
from hyok.errors import Malformed
from hyok.officer.minutes import ACTION, FORM, REASON, Minutes, render_page
from hyok.sockets import agent_socket
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.custody.kek import Kek
    from hyok.officer.minutes import Present
    from hyok.wiring import Core

app = typer.Typer(help="Minutes of key ceremonies.", no_args_is_help=True)

MinutesOption = Annotated[
    Path | None,
    typer.Option(
        "--minutes", help="Write signed minutes of this ceremony to this new file, with a page."
    ),
]
PresentOption = Annotated[
    list[str] | None,
    typer.Option("--present", help="A person who is present, NAME:ROLE; once for each."),
]


def command_line() -> list[str]:
    """Return what was run; no option of a ceremony carries a secret."""
    return ["hyok", *sys.argv[1:]]


def minutes_of(
    act: str,
    installation: str,
    present: Sequence[Present],
    begun_ms: int,
    key: Mapping[str, object],
    tokens: Sequence[Mapping[str, object]],
) -> Minutes:
    """Return the minutes of an act that has just ended."""
    return Minutes(
        act=act,
        installation=installation,
        version=__version__,
        operator=getpass.getuser(),
        command=command_line(),
        present=present,
        begun_ms=begun_ms,
        ended_ms=clock_ms(),
        key=key,
        tokens=tokens,
    )


async def write_minutes(
    core: Core, file: Path, present: Sequence[Present], begun_ms: int, kek: Kek
) -> bool:
    """Write the minutes of a key that was made; False: nobody could sign them yet."""
    settings = core.settings
    if settings.hsm.kind == "software":
        tokens: list[dict[str, object]] = [
            {"token": "software keys", "error": "no HSM: keys in a file, not for production"}
        ]
    else:
        sockets = {one.name: str(agent_socket(settings, one.name)) for one in settings.hsm.tokens}
        tokens = facts_of_key(sockets, kek.kek_id)
    key = {
        "kek_id": kek.kek_id,
        "state": str(kek.state),
        "profile": kek.spec.profile,
        "check_value": kek.spec.check_value.hex(),
        "made_ms": kek.created_ms,
    }
    made = minutes_of("key:create", settings.installation.name, present, begun_ms, key, tokens)
    return await sign_and_write(
        core, file, made.document(), _page, ACTION, REASON, tenant=kek.tenant
    )


def tell(file: Path, *, signed: bool) -> None:
    """Say where the minutes are, and what is still to be done."""
    say(f"minutes: {file}, for people {page_of(file)}")
    if not signed:
        mark("warn", "not signed: there is no audit key yet")
        say(f"Next: hyok audit key --create; then hyok keys minutes sign {shlex.quote(str(file))}")


def _page(document: Mapping[str, object], signed_by: str) -> str:
    return render_page(document, moment, signed_by)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The minutes, JSON.")],
    key: Annotated[Path, typer.Option("--key", help="The public key of the audit log, PEM.")],
    as_json: JsonOption = False,
) -> None:
    """Check minutes: nothing but the file and the public key is needed."""
    document = check(read_json(file), FORM, [parse_public_key(key.read_bytes())])
    if as_json:
        show([{"file": str(file), "signed": True, "minutes": document}], as_json=True, empty="")
        return
    mark("ok", f"{file} was signed with this key and is as it was then")


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(help="Minutes that nobody could sign when made.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign minutes of before the audit key was made; what they say is not proven by that.

    The signature says that this installation's HSM has seen the file, and when.
    """
    whole = read_json(file)
    document = document_of(whole, FORM)
    if isinstance(whole, dict) and whole.get("note") is not None:
        raise Malformed(f"{file} is signed already", effect="Nothing was changed.")

    async def act(core: Core) -> bool:
        return await sign_and_write(core, file, document, _page, ACTION, REASON)

    signed = run(config, act)
    if as_json:
        show([{"file": str(file), "signed": signed}], as_json=True, empty="")
    else:
        tell(file, signed=signed)
    if not signed:
        sys.exit(1)
