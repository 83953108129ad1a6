"""`hyok audit subject`: what the log of processing calls a person, or who is called so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer reads the annotations
from hyok.cli.registrations import record
from hyok.cli.screen import say, show
from hyok.cli.session import run
from hyok.errors import Malformed
from hyok.vocabulary import DataSubject

if TYPE_CHECKING:
    from hyok.wiring import Core


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(subject)


def subject(
    tenant: Annotated[str, typer.Option("--tenant", help="Whose log it is.")],
    kind: Annotated[
        str, typer.Option("--type", help="As `betrokkene-type` had it, such as BSN.")
    ] = "",
    reveal: Annotated[
        bool, typer.Option("--reveal", help="The other way: who is called so.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encrypt a person's number as the log of processing has it, to find what was done with theirs.

    The number is read from standard input: a command line is seen by others. That somebody asked
    is on record, the number is not.
    """
    if sys.stdin.isatty():
        sys.stderr.write("What --reveal is to open:\n" if reveal else "The number:\n")
    text = sys.stdin.readline().strip()
    if not text:
        raise Malformed("nothing was given on standard input")

    async def act(core: Core) -> str:
        await record(core, "audit:subject-reveal" if reveal else "audit:subject", tenant)
        if reveal:
            return await core.custodian.open_subject(tenant, text, kind)
        return await core.custodian.seal_subject(tenant, DataSubject(text, kind))

    found = run(config, act)
    if as_json:
        show([{"number" if reveal else "subject": found}], as_json=True, empty="")
        return
    say(found)
