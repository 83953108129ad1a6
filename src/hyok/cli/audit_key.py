"""`hyok audit key | checkpoint`: the key that signs checkpoints, and the newest checkpoint."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.audit.checkpoint import time_of
from hyok.audit.evidence import latest
from hyok.cli.audit_verify import app
from hyok.cli.options import ConfigOption, JsonOption, load
from hyok.cli.screen import show
from hyok.cli.session import operator_ask, run
from hyok.connections import audit_key_name, build_audit_key

if TYPE_CHECKING:
    from hyok.audit.checkpoint import PublicKey
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
