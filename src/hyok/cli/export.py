"""`hyok export`: a bucket as sealed files, for another place, an archive, or the exit."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

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
from hyok.custody.quorum import Act
from hyok.errors import Conflict, Malformed

if TYPE_CHECKING:
    from hyok.custody.proposal import Effect


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(export)


def export(
    address: Annotated[str, typer.Argument(help="s3://bucket or s3://bucket/prefix")],
    folder: Annotated[Path, typer.Argument(help="A new folder on the host that executes it.")],
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose to write sealed files, their keyring records and a sealed manifest.

    It is written by `hyok approvals execute`, each object proven; after a break that goes on where
    it stopped.
    """
    bucket_id, _, prefix = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not bucket_id:
        raise Malformed(f"{address} is no bucket: write s3://bucket or s3://bucket/prefix")
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(
            f"{folder} is not empty",
            effect="Nothing was proposed.",
            next_step="name a new folder; hyok approvals execute goes on with one that was begun",
        )
    effect: Effect = {"bucket": bucket_id, "prefix": prefix, "folder": str(folder)}
    login = Login(person, key, passphrase_file)
    propose(config, login, Act.EXPORT, effect, reason, as_json=as_json)
