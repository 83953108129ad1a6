"""`hyok audit key | checkpoint`: the key that signs checkpoints, and the newest checkpoint."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.audit.checkpoint import parse_public_key, time_of
from hyok.audit.evidence import latest
from hyok.audit.witness import Witness
from hyok.audit_signing import audit_key_name, audit_origin, build_audit_key
from hyok.cli.audit_verify import app
from hyok.cli.documents import read_json
from hyok.cli.options import ConfigOption, JsonOption, load
from hyok.cli.screen import show
from hyok.cli.session import operator_ask, run
from hyok.errors import Refused

if TYPE_CHECKING:
    from hyok.audit.checkpoint import Checkpoint, NoteSignature, PublicKey
    from hyok.vocabulary import TreeHead
    from hyok.wiring import Core

__all__ = ["app"]


@app.command()
def key(
    create: Annotated[bool, typer.Option("--create", help="Make the key pair in the HSM.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the public key (PEM) that verifies checkpoints; give it to whoever audits the log."""

    async def act(core: Core) -> tuple[str, PublicKey]:
        name, audit_key = audit_key_name(core.settings), build_audit_key(core.settings)
        if not create:
            return name, audit_key.public_key()
        await core.custodian.conclude(operator_ask("audit-key:create", "system"), "pending")
        made = await asyncio.to_thread(audit_key.create)
        await core.custodian.conclude(operator_ask("audit-key:create", "system"), "done")
        return name, made

    name, public = run(config, act)
    if as_json:
        row = {"name": name, "sha256": public.fingerprint, "pem": public.pem()}
        show([row], as_json=True, empty="")
        return
    sys.stdout.write(public.pem())


@app.command()
def checkpoint(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print the newest checkpoint.  Keep it elsewhere: `hyok audit verify --against` takes it."""
    settings, _ = load(config)
    newest = latest(settings.audit.file)
    if not as_json:
        sys.stdout.write(newest.note())
        return
    row = {"origin": newest.head.origin, "records": newest.head.size, "note": newest.note()}
    show([row | {"at_ms": time_of(newest.head)}], as_json=True, empty="")


@app.command()
def witness(
    file: Annotated[Path, typer.Argument(help="What the log's owner's `prove-growth` printed.")],
    key: Annotated[Path, typer.Option("--key", help="The public key of that log, PEM.")],
    config: ConfigOption = None,
) -> None:
    """Co-sign another installation's checkpoint with our audit key, if its log only grew.

    Prints the checkpoint with our signature added; give it back, and keep a copy.
    """
    document = read_json(file)

    async def act(core: Core) -> Checkpoint:
        settings, audit_key = core.settings, build_audit_key(core.settings)
        own = audit_origin(settings)

        def sign(head: TreeHead) -> NoteSignature:
            if head.origin == own:
                raise Refused("this is our own log: a witness is somebody else")
            return replace(audit_key.sign(head), name=own)

        keeper = Witness(settings.audit.file.with_name("witnessed"), sign)
        keys = [parse_public_key(key.read_bytes())]
        cosigned = await asyncio.to_thread(keeper.cosign, document, keys)
        await core.custodian.conclude(operator_ask("audit:witness", "system"), "done")
        return cosigned

    sys.stdout.write(run(config, act).note())
