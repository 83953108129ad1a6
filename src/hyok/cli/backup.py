"""`hyok backup` and `hyok restore`: the database, which holds the only shreddable records."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.audit_signing import build_audit_key
from hyok.cli.backup_origin import (
    AuditKeyOption,
    MinutesOfOption,
    UnsignedOption,
    origin_of,
    signing,
    verify,
)
from hyok.cli.documents import read_json
from hyok.cli.open import KeysOption, agents
from hyok.cli.options import ConfigOption, JsonOption, load, moment
from hyok.cli.registrations import record
from hyok.cli.screen import say, show
from hyok.cli.session import is_running, operator_ask, run
from hyok.connections import build_hsm
from hyok.custody.custodian_shares import CustodianBox, ShareBox, parse_custodian, shares_of
from hyok.custody.kek import parse_rows
from hyok.custody.lone_keys import LoneKeys, find_keks
from hyok.custody.secret_box import HsmSecretBox
from hyok.database.copy import copy_to, file_of, flush, is_file, put_back
from hyok.database.engine import Database
from hyok.database.rows import BACKUP_MADE, put_setting
from hyok.database.rows_copy import fill, gather, is_empty
from hyok.database.sealed_copy import BY_CUSTODIANS_SIGNED, BY_HSM, open_copy, read_head, seal_copy
from hyok.errors import Conflict, Malformed
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hyok.cli.backup_origin import Origin
    from hyok.custody.custodian_shares import Share
    from hyok.custody.kek import Kek
    from hyok.database.sealed_copy import BackupHead
    from hyok.settings import Settings
    from hyok.vocabulary import Bucket
    from hyok.wiring import Core

ShareOption = Annotated[
    list[Path] | None,
    typer.Option("--share", help="A share of a backup that custodians hold; once for each."),
]
FileArgument = Annotated[Path, typer.Argument(help="The backup's file.")]


def register(root: typer.Typer) -> None:
    """Add these commands."""
    root.command()(backup)
    root.command()(restore)


def backup(
    file: FileArgument,
    custodians: Annotated[
        int, typer.Option("--custodians", min=0, help="How many custodians hold the key together.")
    ] = 0,
    quorum: Annotated[
        int,
        typer.Option("--quorum", min=0, help="How many of them it takes to restore; 2 or more."),
    ] = 0,
    custodian: Annotated[
        list[Path] | None,
        typer.Option("--custodian", help="Public file of `hyok custodian key`; once for each."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the database, also while the gateway runs, into one file that only your HSM opens.

    With --custodians N --quorum M it is sealed to N custodians instead, any M of whom open it, and
    fewer learn nothing of it.  Then the HSM signs it with the audit key, which shows who made it.
    """
    settings, _ = load(config)
    people = [parse_custodian(read_json(one)) for one in custodian or []]
    if len(people) != custodians:
        raise Malformed(
            f"{custodians} custodians are wanted and {len(people)} are named",
            code="HY-2430",
            effect="Nothing was written.",
            next_step="--custodian FILE once for each",
        )
    together = CustodianBox(people, quorum, secrets.token_bytes) if people else None
    file = file.absolute()
    url = settings.database.url
    if file.exists():
        raise Conflict(f"{file} is there already", effect="Nothing was overwritten.")

    async def act(core: Core) -> int:
        now = clock_ms()
        await core.custodian.conclude(operator_ask("database:backup", "system"), "done")
        with private_folder(url) as folder:
            copied = folder / "copied"
            if is_file(url):
                await asyncio.to_thread(copy_to, file_of(url), copied)
            else:
                await asyncio.to_thread(gather, core.database, copied)
            if together is None:
                size = await seal_copy(copied, file, core.box, secrets.token_bytes, now)
            else:
                size = await seal_copy(
                    copied,
                    file,
                    together,
                    secrets.token_bytes,
                    now,
                    BY_CUSTODIANS_SIGNED,
                    signing(build_audit_key(settings), settings.installation.name, clock_ms),
                )
        flush(file.parent)
        if together is None:  # one that the HSM opens stays the daily one
            await core.database.run(lambda c: put_setting(c, BACKUP_MADE, str(now), now_ms=now))
        return size

    size = run(config, act)
    if as_json:
        row: dict[str, object] = {"file": str(file), "bytes": size}
        if people:
            row |= {"custodians": [one.name for one in people], "quorum": quorum}
        show([row], as_json=True, empty="")
        return
    if people:
        names = ", ".join(one.name for one in people)
        say(f"{file}: {size} bytes; any {quorum} of {names} open it.")
    else:
        say(f"{file}: {size} bytes, sealed under the HSM's key system/secrets.")
    say("Keep it where destroyed records can be removed from it as well.")


def restore(
    file: FileArgument,
    force: Annotated[bool, typer.Option("--force", help="Replace the database.")] = False,
    share: ShareOption = None,
    audit_key: AuditKeyOption = None,
    minutes: MinutesOfOption = None,
    unsigned: UnsignedOption = False,
    keys: KeysOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup back; the gateway must be stopped, and the HSM there.

    One that custodians hold together takes their shares (`hyok custodian share`), and the audit
    key's public half: of --audit-key or --minutes, else the one that lies beside the audit log.
    """
    settings, _ = load(config)
    shares = read_shares(share)
    origin = origin_of(settings.audit.file, audit_key, minutes, unsigned=unsigned)
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
    with private_folder(url) as folder:
        fresh = folder / "restoring"
        with agents(settings):
            opened = open_backup(settings, file.absolute(), fresh, named, shares, origin)
            head, signer = asyncio.run(opened)
        if is_file(url):
            put_back(fresh, file_of(url))
        else:
            with closing(Database(url, threads=1)) as database:
                fill(fresh, database, replace=force)

    async def act(core: Core) -> None:
        said = f"signed by {signer}" if signer else "origin not proven"
        shown = () if head.version == BY_HSM else (said,)
        await record(core, "database:restore", "system", *shown)
        made = str(head.made_ms)
        await core.database.run(lambda c: put_setting(c, BACKUP_MADE, made, now_ms=clock_ms()))

    run(config, act)
    if as_json:
        row = {"file": str(file), "made_ms": head.made_ms, "bytes": head.size_bytes}
        row |= {"signed_by": signer} if head.by_custodians else {}
        show([row], as_json=True, empty="")
        return
    say(f"the database is that of {file}, made {moment(head.made_ms)} UTC")


@contextmanager
def private_folder(url: str) -> Iterator[Path]:
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


def read_shares(files: list[Path] | None) -> Sequence[Share]:
    """Return the custodians' shares of these files.

    Raises:
        Malformed: one is none, or two are of one custodian (code HY-2431).
    """
    return shares_of({str(file): read_json(file) for file in files or []})


async def open_backup(
    settings: Settings,
    file: Path,
    fresh: Path,
    named: Sequence[Kek],
    shares: Sequence[Share],
    origin: Origin,
) -> tuple[BackupHead, str]:
    """Open a backup with the HSM alone, or with custodians' shares; return who signed it.

    The database that knows the HSM's keys is what is missing.

    Raises:
        Malformed, Tampered, Unavailable: as `open_copy` says; Conflict: shares are missing, or it
            is not shown who made it.
    """
    head, _ = await asyncio.to_thread(read_head, file)
    if head.by_custodians:
        # Its medium may be another's, who could change it between the check and the use.
        mine = fresh.with_name("sealed")
        await asyncio.to_thread(shutil.copyfile, file, mine)
        signer = await asyncio.to_thread(verify, mine, read_head(mine)[0], origin)
        return await open_copy(mine, fresh, ShareBox(shares)), signer
    hsm = build_hsm(settings)

    async def no_records(_bucket: Bucket, _ik_id: bytes) -> None:
        return None

    try:
        known = LoneKeys(hsm, await find_keks(hsm, named), no_records)
        return await open_copy(file, fresh, HsmSecretBox(hsm, known, secrets.token_bytes)), ""
    finally:
        await hsm.close()
