"""`hyok recover`: the database again, from buckets, HSM and settings."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.open import KeysOption  # noqa: TC001 - typer reads the annotation
from hyok.cli.options import ConfigOption, JsonOption, load
from hyok.cli.progress import counting
from hyok.cli.screen import mark, say, show
from hyok.cli.session import is_running, operator_ask, run
from hyok.custody.kek import parse_rows
from hyok.errors import Conflict
from hyok.objects.recovery import Recovery
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from hyok.objects.recovery import RecoveryReport
    from hyok.wiring import Core

SHOWN_MAX = 20


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(recover)


def recover(
    keys: KeysOption = None,
    moved: Annotated[
        bool, typer.Option("--moved", help="Take buckets that stand elsewhere than they did.")
    ] = False,
    look: Annotated[
        bool, typer.Option(help="Look at every object and list those that are lost.")
    ] = True,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild a lost database; what is there already stays.  The gateway must be stopped.

    A backup is better where there is one: `hyok restore`.  Records of shreddable classifications
    stand in the database alone, so their objects are lost without it.
    """
    settings, _ = load(config)
    if is_running(settings):
        raise Conflict("the gateway runs", effect="Nothing was changed.", next_step="stop it first")
    named = parse_rows(keys.read_text()) if keys is not None else ()

    async def act(core: Core) -> RecoveryReport:
        with counting("recovering") as tell:
            recovery = Recovery(
                database=core.database,
                hsm=core.hsm,
                keks=core.keks,
                registry=core.registry,
                stores=core.stores,
                mirror=core.mirror,
                now_ms=clock_ms(),
                moved=moved,
                tell=lambda _bucket, count: tell(count, 0),
            )
            report = await recovery.run(named, look=look)
        await core.custodian.conclude(operator_ask("database:recover", "system"), "done")
        return report

    report = run(config, act)
    if as_json:
        show([report.as_row()], as_json=True, empty="")
    else:
        _tell(report)
    if report.lost:
        sys.exit(3)


def _tell(report: RecoveryReport) -> None:
    mark("ok", f"{len(report.keys)} keys found in the HSM")
    for bucket in report.buckets:
        said = f"{bucket.bucket_id}: {bucket.records} keyring records, {bucket.readable} readable"
        mark("ok" if not bucket.lost else "warn", f"{said}, {len(bucket.lost)} lost")
        for key, cause in bucket.lost[:SHOWN_MAX]:
            say(f"        lost: {key}: {cause}")
        if len(bucket.lost) > SHOWN_MAX:
            say(f"        … and {len(bucket.lost) - SHOWN_MAX} more; --json lists them all")
        for record in bucket.refused_records:
            mark("FAIL", f"{bucket.bucket_id}: keyring record {record}")
        if bucket.open_uploads:
            mark("warn", f"{bucket.bucket_id}: {bucket.open_uploads} open uploads are lost")
    for place, cause in report.skipped:
        mark("warn", f"{place} was left alone: {cause}")
    mark("warn", "apps and access keys are lost: make them anew with hyok apps create")
    mark("warn", "states of keys are lost: the newest version of each writes, the others open")
