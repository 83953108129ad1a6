"""`hyok backup` and `hyok restore`: the database, which holds the only shreddable records."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from contextlib import closing, contextmanager
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
from hyok.database.copy import copy_to, file_of, flush, is_file, put_back
from hyok.database.engine import Database
from hyok.database.rows import BACKUP_MADE, put_setting
from hyok.database.rows_copy import fill, gather, is_empty
from hyok.database.sealed_copy import open_copy, seal_copy
from hyok.errors import Conflict
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    url = settings.database.url
    if file.exists():
        raise Conflict(f"{file} is there already", effect="Nothing was overwritten.")

    async def act(core: Core) -> int:
        now = clock_ms()
        await core.custodian.conclude(operator_ask("database:backup", "system"), "done")
        with _private_folder(url) as folder:
            copied = folder / "copied"
            if is_file(url):
                await asyncio.to_thread(copy_to, file_of(url), copied)
            else:
                await asyncio.to_thread(gather, core.database, copied)
            size = await seal_copy(copied, file, core.box, secrets.token_bytes, now)
        flush(file.parent)
        await core.database.run(lambda c: put_setting(c, BACKUP_MADE, str(now), now_ms=now))
        return size

    size = run(config, act)
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
    url = settings.database.url
    if not force and _holds_something(url):
        raise Conflict(
            "the database is there and holds an installation",
            effect="Nothing was changed.",
            next_step="--force replaces it",
        )
    named = parse_rows(keys.read_text()) if keys is not None else ()
    with _private_folder(url) as folder:
        fresh = folder / "restoring"
        with agents(settings):
            head = asyncio.run(_open(settings, file.absolute(), fresh, named))
        if is_file(url):
            put_back(fresh, file_of(url))
        else:
            with closing(Database(url, threads=1)) as database:
                fill(fresh, database, replace=force)

    async def act(core: Core) -> None:
        await core.custodian.conclude(operator_ask("database:restore", "system"), "done")
        made = str(head.made_ms)
        await core.database.run(lambda c: put_setting(c, BACKUP_MADE, made, now_ms=clock_ms()))

    run(config, act)
    if as_json:
        row = {"file": str(file), "made_ms": head.made_ms, "bytes": head.size_bytes}
        show([row], as_json=True, empty="")
        return
    say(f"the database is that of {file}, made {moment(head.made_ms)} UTC")


@contextmanager
def _private_folder(url: str) -> Iterator[Path]:
    """A folder for the copy that is not sealed yet, or no more: on a disk of this host.

    Beside the database, not beside the backup, which may be another's disk.
    """
    beside = file_of(url).parent if is_file(url) else None
    if beside is not None:
        beside.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hyok-copy-", dir=beside) as folder:
        yield Path(folder)


def _holds_something(url: str) -> bool:
    if is_file(url):
        return file_of(url).exists()
    with closing(Database(url, threads=1)) as database:
        return not is_empty(database)


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
