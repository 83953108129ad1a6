"""`hyok custodian`: keys of those who hold a backup together, and their shares of it.

Custodians run it on machines of their own: it needs neither settings nor HSM.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.acting import PassphraseOption, passphrase
from hyok.cli.options import JsonOption, moment
from hyok.cli.screen import say, show
from hyok.custody.custodian_shares import make_custodian, named_in, open_share, read_private
from hyok.database.sealed_copy import read_head
from hyok.errors import Conflict, Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.database.sealed_copy import BackupHead

app = typer.Typer(help="Custodians of a backup.", no_args_is_help=True)
BackupArgument = Annotated[Path, typer.Argument(help="The backup's file.")]


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="Whose key it is; the backup names it so.")],
    file: Annotated[Path, typer.Argument(help="A new file for the key, under a passphrase.")],
    public: Annotated[Path, typer.Option("--public", help="A new file to hand in.")],
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a custodian's key; hand in the public file, and tell its fingerprint by telephone."""
    for path in (file, public):
        if path.exists():
            raise Conflict(f"{path} is there already", effect="Nothing was overwritten.")
    pem, made = make_custodian(name, passphrase(passphrase_file, confirm=True))
    _write_private(file, pem)
    public.write_text(json.dumps(made.document(), indent=2, ensure_ascii=False) + "\n")
    if as_json:
        show([made.document() | {"sha256": made.fingerprint}], as_json=True, empty="")
        return
    say(f"key {file}, to hand in {public}")
    say(f"fingerprint {made.fingerprint}")


@app.command()
def share(
    backup: BackupArgument,
    key: Annotated[Path, typer.Option("--key", help="The custodian's key file.")],
    to: Annotated[Path, typer.Option("--to", help="A new file for the share.")],
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open the own share of a backup, to bring to its restore.

    The share stands in the file in clear.  Fewer of them than the quorum say nothing of the backup.
    """
    head, sealed = _held(backup)
    if to.exists():
        raise Conflict(f"{to} is there already", effect="Nothing was overwritten.")
    opened = open_share(
        head.purpose, sealed, read_private(key.read_bytes(), passphrase(passphrase_file))
    )
    text = json.dumps(opened.document(), indent=2, ensure_ascii=False) + "\n"
    _write_private(to, text.encode())
    if as_json:
        row = {"file": str(to), "name": opened.name, "number": opened.number}
        show([row], as_json=True, empty="")
        return
    say(f"share {opened.number} of {opened.name} is in {to}: keep it from others, and remove it")


@app.command("show")
def show_backup(backup: BackupArgument, as_json: JsonOption = False) -> None:
    """Show who holds a backup together, and how many of them it takes."""
    head, sealed = _held(backup)
    quorum, people = named_in(sealed)
    row: Mapping[str, object] = {
        "made": moment(head.made_ms),
        "quorum": quorum,
        "custodians": ", ".join(one.name for one in people),
    }
    if as_json:
        named = [{"name": one.name, "sha256": one.fingerprint} for one in people]
        row = {"made_ms": head.made_ms, "quorum": quorum, "custodians": named}
    show([row], as_json=as_json, empty="")


def _held(backup: Path) -> tuple[BackupHead, bytes]:
    head, sealed = read_head(backup)
    if not head.by_custodians:
        raise Malformed(
            f"{backup} is no backup that custodians hold",
            code="HY-2430",
            next_step="hyok restore FILE, with the HSM",
        )
    return head, sealed


def _write_private(path: Path, raw: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(raw)
