"""`hyok export`: a bucket as sealed files, for another place, an archive, or the exit."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer reads them
from hyok.cli.progress import counting
from hyok.cli.screen import mark, say, show
from hyok.cli.session import operator_ask, run
from hyok.errors import Conflict, Malformed
from hyok.objects.export import Exporter
from hyok.objects.export_folder import begin, export_id_of

if TYPE_CHECKING:
    from hyok.objects.export import ExportReport
    from hyok.wiring import Core


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(export)


def export(
    address: Annotated[str, typer.Argument(help="s3://bucket or s3://bucket/prefix")],
    folder: Annotated[Path, typer.Argument(help="A new folder, or one that was broken off.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write sealed files, their keyring records and a sealed manifest; each object is proven.

    Run it again after a break: it goes on where it stopped.
    """
    bucket_id, _, prefix = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not bucket_id:
        raise Malformed(f"{address} is no bucket: write s3://bucket or s3://bucket/prefix")
    folder = folder.absolute()
    if not (folder / "export.json").exists():
        if folder.exists() and any(folder.iterdir()):
            raise Conflict(
                f"{folder} holds something else than an export",
                effect="Nothing was written.",
                next_step="name a new folder",
            )
        begin(folder, secrets.token_hex(16))
    export_id = export_id_of(folder)

    async def act(core: Core) -> ExportReport:
        bucket = await core.registry.get(bucket_id)
        exporter = Exporter(core.vault, core.keyring, core.box, folder)
        with counting("exporting") as tell:
            ask = operator_ask("object:export", bucket.tenant, bucket)
            return await exporter.run(ask, prefix, export_id, tell)

    report = run(config, act)
    if as_json:
        row = {"folder": str(folder), "objects": report.objects, "bytes": report.plain_bytes}
        show([row | {"failed": report.failed}], as_json=True, empty="")
    else:
        mark("ok", f"{report.objects} objects, {report.plain_bytes} plaintext bytes in {folder}")
        for key, cause in report.failed:
            mark("FAIL", f"{key}: {cause}")
        say(f"Read it anywhere with the HSM:  hyok open {folder} --to PLAIN --config hyok.toml")
    if report.failed:
        sys.exit(1)
