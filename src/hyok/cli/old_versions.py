"""Removing older versions that hold plaintext still, after an operator has seen how many."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from hyok.cli.progress import counting
from hyok.cli.registrations import record
from hyok.cli.screen import mark, show
from hyok.cli.session import operator_ask, run
from hyok.errors import Malformed
from hyok.objects.adopting import ACTION as ADOPT

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.objects.plain_versions import Older
    from hyok.wiring import Core


def erase_versions(config: Path | None, name: str, *, yes: bool, as_json: bool) -> None:
    """Count a bucket's older versions in clear, ask, and remove them; exit with 1 if some stay.

    Raises:
        Malformed: nobody can be asked.
    """
    if not yes and (as_json or not sys.stdin.isatty()):
        raise Malformed(
            "nobody can be asked here, and older versions are removed for good",
            effect="Nothing was removed.",
            next_step="say --yes as well",
        )
    if not yes:
        older = run(config, lambda core: _look(core, name))
        if not older.versions:
            mark("ok", f"bucket {name} has no older versions in clear")
            return
        typer.confirm(
            f"Remove {older.versions} older versions of {older.size_bytes} bytes for good? "
            f"{older.locked} of them are under object lock and stay",
            abort=True,
        )
    removed = run(config, lambda core: _erase(core, name))
    if as_json:
        row = {"bucket": name, "removed": removed.versions, "bytes": removed.size_bytes}
        show([row | {"locked": removed.locked}], as_json=True, empty="")
    else:
        mark("ok", f"{removed.versions} older versions of {removed.size_bytes} bytes are gone")
        if removed.locked:
            mark("warn", f"{removed.locked} are under object lock: run this again when it ends")
    if removed.locked:
        sys.exit(1)


async def _look(core: Core, name: str) -> Older:
    bucket = await core.registry.get(name)
    with counting("counting older versions in clear") as tell:
        return await core.plain_versions.look(bucket, tell)


async def _erase(core: Core, name: str) -> Older:
    bucket = await core.registry.get(name)
    ask = operator_ask(ADOPT, bucket.tenant, bucket)
    with counting("removing older versions in clear") as tell:
        removed = await core.plain_versions.erase(ask, tell)
    facts = (f"bucket {name}", f"removed {removed.versions}", f"locked {removed.locked}")
    await record(core, "bucket:erase-versions", bucket.tenant, *facts)
    return removed
