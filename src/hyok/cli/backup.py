"""`hyok backup` and `hyok restore`: the database, which holds the only shreddable records."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.open import KeysOption, agents
from hyok.cli.options import ConfigOption, JsonOption, load, moment
from hyok.cli.screen import say, show
from hyok.cli.session import is_running, operator_ask, run
from hyok.connections import build_hsm
from hyok.custody.kek import parse_rows
from hyok.custody.lone_keys import LoneKeys, find_keks
from hyok.custody.secret_box import HsmSecretBox
from hyok.database.copy import copy_to, file_of, flush, put_back
from hyok.database.sealed_copy import open_copy, seal_copy
from hyok.errors import Conflict
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.kek import Kek
    from hyok.database.sealed_copy import BackupHead
    from hyok.settings import Settings
    from hyok.vocabulary import Bucket
    from hyok.wiring import Core

FileArgument = Annotated[Path, typer.Argument(help="The backup's file.")]


def register(root: typer.Typer) -> None:
    """Add these commands."""
    root.command()(backup)
    root.command()(restore)


def backup(file: FileArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Copy the database, also while the gateway runs, into one file that only your HSM opens."""
    settings, _ = load(config)
    file = file.absolute()
    source = file_of(settings.database.url)
    if file.exists():
        raise Conflict(f"{file} is there already", effect="Nothing was overwritten.")
    # Beside the database, not beside the backup: that may be another's disk.
    copied = source.with_name(source.name + ".copying")

    async def act(core: Core) -> int:
        now = clock_ms()
        await core.custodian.conclude(operator_ask("database:backup", "system"), "done")
        copied.unlink(missing_ok=True)
        try:
            await asyncio.to_thread(copy_to, source, copied)
            return await seal_copy(copied, file, core.box, secrets.token_bytes, now)
        finally:
            copied.unlink(missing_ok=True)

    size = run(config, act)
    flush(file.parent)
    source.with_name(source.name + ".backup-made").write_text(str(clock_ms()))
    if as_json:
        show([{"file": str(file), "bytes": size}], as_json=True, empty="")
        return
    say(f"{file}: {size} bytes, sealed under the HSM's key system/secrets.")
    say("Keep it where destroyed records can be removed from it as well.")


def restore(
    file: FileArgument,
    force: Annotated[bool, typer.Option("--force", help="Replace the database.")] = False,
    keys: KeysOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup back; the gateway must be stopped, and the HSM there."""
    settings, _ = load(config)
    if is_running(settings):
        raise Conflict(
            "the gateway runs on this database",
            effect="Nothing was changed.",
            next_step="stop it first",
        )
    target = file_of(settings.database.url)
    if target.exists() and not force:
        raise Conflict(
            f"the database {target} is there",
            effect="Nothing was changed.",
            next_step="--force replaces it",
        )
    named = parse_rows(keys.read_text()) if keys is not None else ()
    fresh = target.with_name(target.name + ".restoring")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with agents(settings):
        head = asyncio.run(_open(settings, file.absolute(), fresh, named))
    put_back(fresh, target)

    async def act(core: Core) -> None:
        await core.custodian.conclude(operator_ask("database:restore", "system"), "done")

    run(config, act)
    if as_json:
        row = {"file": str(file), "made_ms": head.made_ms, "bytes": head.size_bytes}
        show([row], as_json=True, empty="")
        return
    say(f"the database is that of {file}, made {moment(head.made_ms)} UTC")


async def _open(settings: Settings, file: Path, fresh: Path, named: Sequence[Kek]) -> BackupHead:
    """Open a backup with the HSM alone: the database that knows its keys is what is missing."""
    hsm = build_hsm(settings)

    async def no_records(_bucket: Bucket, _ik_id: bytes) -> None:
        return None

    try:
        known = LoneKeys(hsm, await find_keks(hsm, named), no_records)
        return await open_copy(file, fresh, HsmSecretBox(hsm, known, secrets.token_bytes))
    finally:
        await hsm.close()
