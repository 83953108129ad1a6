"""`hyok objects`: acts on single objects."""

from __future__ import annotations

from typing import Annotated

import typer

from hyok.cli.acting import (
    AsOption,
    KeyOption,
    Login,
    PassphraseOption,
    ReasonOption,
    propose,
)
from hyok.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer reads them
from hyok.cli.peek import split_address
from hyok.cli.remote import ApiOption  # noqa: TC001 - typer reads it
from hyok.custody.quorum import Act

app = typer.Typer(help="Acts on single objects.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Acts on single objects."""


@app.command()
def lower(
    address: Annotated[str, typer.Argument(help="s3://bucket/key")],
    to: Annotated[str, typer.Option("--to", help="The lower classification.")],
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose to seal an object again under a lower classification."""
    bucket, name = split_address(address)
    effect: dict[str, str | int | list[str]] = {"bucket": bucket, "key": name, "to": to}
    login = Login(person, key, passphrase_file, api)
    propose(config, login, Act.LOWER_OBJECT, effect, reason, as_json=as_json)
