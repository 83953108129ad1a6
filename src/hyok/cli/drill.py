"""`hyok drill restore`: is the backup any good?  Tried beside the running installation."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from hyok import __version__
from hyok.audit.checkpoint import parse_public_key
from hyok.audit.signed import check
from hyok.cli.backup import (
    FileArgument,
    ShareOption,
    open_backup,
    private_folder,
    read_shares,
)
from hyok.cli.backup_origin import (
    AuditKeyOption,
    MinutesOfOption,
    UnsignedOption,
    origin_of,
)
from hyok.cli.documents import read_json
from hyok.cli.open import KeysOption  # noqa: TC001 - typer reads the annotation
from hyok.cli.options import ConfigOption, JsonOption, load, moment
from hyok.cli.progress import counting
from hyok.cli.screen import mark, say, show
from hyok.cli.session import run
from hyok.cli.signed_files import check_free, page_of, sign_and_write
from hyok.custody.kek import parse_rows
from hyok.database.rows import DRILL_PASSED, put_setting
from hyok.drills import drill
from hyok.officer.drill_report import ACTION, FORM, REASON, DrillReport, Opened, render_page
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.cli.backup_origin import Origin
    from hyok.custody.custodian_shares import Share
    from hyok.custody.kek import Kek
    from hyok.database.sealed_copy import BackupHead
    from hyok.drills import Drilled
    from hyok.objects.drilling import ClassResult
    from hyok.settings import Settings
    from hyok.wiring import Core

app = typer.Typer(help="Drills.", no_args_is_help=True)

PER_CLASS = 20
LOOK_MAX = 2_000


@app.command()
def restore(
    file: FileArgument,
    report: Annotated[Path, typer.Option("--report", help="A new file for the signed report.")],
    objects: Annotated[
        int, typer.Option("--objects", min=1, help="Opened of each classification and bucket.")
    ] = PER_CLASS,
    look: Annotated[
        int, typer.Option("--look", min=1, help="Looked at in each bucket, to choose from.")
    ] = LOOK_MAX,
    share: ShareOption = None,
    audit_key: AuditKeyOption = None,
    minutes: MinutesOfOption = None,
    unsigned: UnsignedOption = False,
    keys: KeysOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into a throw-away place and open a sample of objects with the real HSM.

    The gateway may run; no store is written, and of its database only the date of a drill that was
    passed.  The report is signed with the audit key, and its digest stands in the audit log.  Exit
    code 1: something did not come back.
    """
    settings, _ = load(config)
    check_free(report)
    named = parse_rows(keys.read_text()) if keys is not None else ()
    shares = read_shares(share)
    origin = origin_of(settings.audit.file, audit_key, minutes, unsigned=unsigned)

    async def act(core: Core) -> tuple[DrillReport, bool]:
        made = await _drilled(core, settings, file.absolute(), named, shares, origin, objects, look)
        signed = await sign_and_write(
            core, report, made.document(), _page, ACTION, REASON, outcome=_outcome(made)
        )
        if made.passed and signed:
            now = clock_ms()
            await core.database.run(
                lambda c: put_setting(c, DRILL_PASSED, str(made.ended_ms), now_ms=now)
            )
        return made, signed

    made, signed = run(config, act)
    if as_json:
        show([made.document() | {"report": str(report), "signed": signed}], as_json=True, empty="")
    else:
        _print(made, report, signed=signed)
    if not made.passed or not signed:
        sys.exit(1)


async def _drilled(
    core: Core,
    settings: Settings,
    file: Path,
    named: Sequence[Kek],
    shares: Sequence[Share],
    origin: Origin,
    objects: int,
    look: int,
) -> DrillReport:
    begun = clock_ms()
    with private_folder(settings.database.url) as folder:
        fresh = folder / "drill"
        head, _ = await open_backup(settings, file, fresh, named, shares, origin)
        restored = clock_ms()
        with counting("opening") as tell:
            found = await drill(
                core, fresh, head.made_ms, clock_ms, per_class=objects, look_max=look, tell=tell
            )
    return _report(core, file, head, [one.name for one in shares], begun, restored, found)


def _report(
    core: Core,
    file: Path,
    head: BackupHead,
    custodians: Sequence[str],
    begun: int,
    restored: int,
    found: Drilled,
) -> DrillReport:
    return DrillReport(
        installation=core.settings.installation.name,
        version=__version__,
        operator=getpass.getuser(),
        backup=file.name,
        backup_id=head.backup_id.hex(),
        backup_made_ms=head.made_ms,
        backup_bytes=head.size_bytes,
        custodians=custodians,
        begun_ms=begun,
        restored_ms=restored,
        ended_ms=clock_ms(),
        rows=found.rows,
        keys=found.keys,
        keys_right=found.keys_right,
        officers=found.officers,
        classes=[_opened(name, one) for name, one in sorted(found.classes.items())],
        failures=found.failures,
    )


def _opened(name: str, one: ClassResult) -> Opened:
    return Opened(
        classification=name,
        looked_at=one.looked_at,
        sampled=one.sampled,
        opened=one.opened,
        size_bytes=one.size_bytes,
        checksums=one.checksums,
        newer=one.newer,
        destroyed=one.destroyed,
        failed=len(one.failures),
    )


def _outcome(made: DrillReport) -> str:
    return "done" if made.passed else "failed"


def _page(document: Mapping[str, object], signed_by: str) -> str:
    return render_page(document, moment, signed_by)


def _print(made: DrillReport, report: Path, *, signed: bool) -> None:
    seconds = (made.restored_ms - made.begun_ms) / 1000
    say(f"backup of {moment(made.backup_made_ms)} UTC, restored in {seconds:.1f} s")
    mark("ok" if made.keys_right == made.keys else "FAIL", f"{made.keys_right} of {made.keys} keys")
    for one in made.classes:
        mark(
            "FAIL" if one.failed else "ok",
            f"{one.classification}: {one.opened} of {one.sampled} opened ({one.size_bytes} bytes), "
            f"{one.checksums} checksums compared, {one.newer} newer than the backup, "
            f"{one.destroyed} destroyed, {one.failed} failed",
        )
    if not made.classes:
        mark("FAIL", "no object was found to open")
    for text in made.failures:
        mark("FAIL", text)
    say(f"report: {report}, for people {page_of(report)}")
    if not signed:
        mark("FAIL", "not signed: there is no audit key; hyok audit key --create")


@app.command("check-report")
def check_report(
    file: Annotated[Path, typer.Argument(help="The report, JSON.")],
    key: Annotated[Path, typer.Option("--key", help="The public key of the audit log, PEM.")],
    as_json: JsonOption = False,
) -> None:
    """Check a report: nothing but the file and the public key is needed."""
    document = check(read_json(file), FORM, [parse_public_key(key.read_bytes())])
    if as_json:
        show([{"file": str(file), "signed": True, "report": document}], as_json=True, empty="")
        return
    word = "passed" if document["passed"] else "did not pass"
    mark("ok", f"{file} was signed with this key; the drill {word}")
