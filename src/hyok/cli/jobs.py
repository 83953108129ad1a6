"""`hyok jobs`: bulk work, how far it is, and going on with it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.bulk_work import build_runner
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.progress import counting, share
from hyok.cli.registrations import record
from hyok.cli.screen import mark, say, show
from hyok.cli.session import operator_ask, run
from hyok.expiring import expire_bucket
from hyok.jobs.catalog import CANCELLED, EXPIRE, KINDS, PAUSED, RESEAL, REWRAP
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.jobs.catalog import Progress
    from hyok.jobs.expire import Preview
    from hyok.jobs.runner import Runner
    from hyok.wiring import Core

app = typer.Typer(help="Bulk work on buckets.", no_args_is_help=True)

FAILURES_SHOWN = 20
SHOWN = ("job", "kind", "bucket", "state", "percent", "failed")
"""What fits a narrow terminal; `--json` has the rest."""
JobArgument = Annotated[str, typer.Argument(help="As `hyok jobs list` shows it.")]


def runner_of(core: Core) -> Runner:
    """Return a runner that acts for the person at the keyboard."""
    return build_runner(core, operator_ask("job:run", "").principal.id)


@app.command("list")
def list_jobs(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List jobs, the newest first."""

    async def act(core: Core) -> Sequence[Progress]:
        return await runner_of(core).ledger.progress()

    found = run(config, act)
    rows = [_row(one) for one in found]
    if not as_json:
        rows = [{name: row[name] for name in SHOWN} for row in rows]
    show(rows, as_json=as_json, empty="No jobs.")


@app.command("show")
def show_job(job: JobArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show how far a job is, and what failed."""

    async def act(core: Core) -> tuple[Progress, Sequence[tuple[str, str, str]]]:
        runner = runner_of(core)
        return (await runner.ledger.progress(job))[0], await runner.failures(job)

    report(*run(config, act), as_json=as_json)


@app.command("run")
def run_job(job: JobArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Go on with a job until it is done; one that is done tries its failures again.

    It may be stopped or killed at any moment and run again.
    """

    async def act(core: Core) -> tuple[Progress, Sequence[tuple[str, str, str]]]:
        runner = runner_of(core)
        await runner.ledger.reopen(job)
        await _record(core, "job:run", job)
        return await work(runner, job)

    report(*run(config, act), as_json=as_json)


async def work(runner: Runner, job: str) -> tuple[Progress, Sequence[tuple[str, str, str]]]:
    """Work with a progress bar on a terminal; return the end and what failed."""
    with share(f"job {job}") as tell:
        found = await runner.run(
            job, lambda now: tell(now.looked_at, now.objects_total, now.size_bytes)
        )
    return found, await runner.failures(job)


@app.command()
def rewrap(
    bucket: Annotated[str, typer.Argument(help="Whose objects.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wrap the keys of a bucket's objects under the key that writes now.

    Each object's Last-Modified changes, and on some stores the ETag of what was uploaded in parts.
    Rotating a keyring record needs no such job: it touches no object.
    """
    _begin(config, REWRAP, bucket, as_json=as_json)


@app.command()
def reseal(
    bucket: Annotated[str, typer.Argument(help="Whose objects.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal a bucket's objects anew, with new keys, where a compromised key version kept theirs.

    `hyok keys reseal KEK` does so in every bucket, and says what still depends on that version.
    """
    _begin(config, RESEAL, bucket, as_json=as_json)


def _begin(config: ConfigOption, kind: str, bucket: str, *, as_json: bool) -> None:
    """Begin a job, or go on with the same one, and work until it is done."""

    async def act(core: Core) -> tuple[Progress, Sequence[tuple[str, str, str]]]:
        runner = runner_of(core)
        job = await runner.begin(kind, bucket, operator_ask("job:run", "").principal.id)
        await runner.ledger.reopen(job)
        await _record(core, "job:run", job)
        return await work(runner, job)

    report(*run(config, act), as_json=as_json)


@app.command()
def expire(
    bucket: Annotated[str, typer.Argument(help="Whose lifecycle rules.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would go; remove nothing.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove now what a bucket's lifecycle rules say has had its time.

    Gateways do so by themselves once a day, after midnight UTC.
    """
    if dry_run:
        _preview(bucket, config, as_json=as_json)
        return

    _begin(config, EXPIRE, bucket, as_json=as_json)


def _preview(bucket: str, config: ConfigOption, *, as_json: bool) -> None:
    async def act(core: Core) -> Preview:
        planned = await expire_bucket(core, bucket, clock_ms, dry=True)
        with counting("looking") as tell:
            return await planned.preview(lambda keys: tell(keys, 0))

    found = run(config, act)
    if as_json:
        row: dict[str, object] = {
            "bucket": bucket,
            "would_expire": found.objects,
            "bytes": found.size_bytes,
            "kept": found.kept,
            "failed": len(found.failures),
            "looked_at": found.looked_at,
        }
        show([row], as_json=True, empty="")
    else:
        mark(
            "ok",
            f"{found.objects} objects of {bucket} would expire now ({found.size_bytes} bytes), "
            f"{found.kept} are kept by object lock or their classification, of "
            f"{found.looked_at} looked at",
        )
        for name, _, text in found.failures[:FAILURES_SHOWN]:
            say(f"      {name}: {text}")
    if found.failures:
        sys.exit(1)


@app.command()
def pause(job: JobArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Stop a job after its present step, wherever it runs."""
    _change(config, job, PAUSED, "job:pause", as_json=as_json)


@app.command()
def resume(job: JobArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Let a paused job go on: the same as `run`."""
    run_job(job, config, as_json)


@app.command()
def cancel(job: JobArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """End a job for good after its present step; what it did stays done."""
    _change(config, job, CANCELLED, "job:cancel", as_json=as_json)


def _change(config: ConfigOption, job: str, state: str, action: str, *, as_json: bool) -> None:
    async def act(core: Core) -> Progress:
        ledger = runner_of(core).ledger
        await ledger.set_state(job, state, clock_ms())
        await _record(core, action, job)
        return (await ledger.progress(job))[0]

    found = run(config, act)
    if as_json:
        show([_row(found)], as_json=True, empty="")
    else:
        say(f"job {job} is {found.state}")


async def _record(core: Core, action: str, job: str) -> None:
    found = (await runner_of(core).ledger.progress(job))[0]
    bucket = await core.registry.get(found.bucket_id)
    await record(core, action, bucket.tenant, f"job {job}", f"bucket {found.bucket_id}")


def report(found: Progress, failed: Sequence[tuple[str, str, str]], *, as_json: bool) -> None:
    """Print how far a job is; exit with 1 when objects failed, with 2 when it stands still."""
    if as_json:
        rows = [{"name": name, "cause": cause, "text": text} for name, cause, text in failed]
        show([_row(found) | {"failures": rows}], as_json=True, empty="")
    else:
        _print(found, failed)
    if found.state == PAUSED:
        sys.exit(2)
    if found.failed:
        sys.exit(1)


def _print(found: Progress, failed: Sequence[tuple[str, str, str]]) -> None:
    verb = KINDS[found.kind].verb
    kept = f"{found.kept} had to stay, " if found.kept else ""
    mark(
        "ok",
        f"job {found.job_id} on {found.bucket_id} is {found.state}: {found.objects} objects {verb} "
        f"({found.size_bytes} bytes), {found.skipped} had nothing to do, {kept}{found.failed} "
        f"failed, of {max(found.objects_total, found.looked_at)}",
    )
    if found.cause and found.state != PAUSED:
        mark("warn", found.cause)
    elif found.cause:
        mark("warn", f"it stands still: {found.cause}  Next: hyok jobs run {found.job_id}")
    for cause, count in found.causes.items():
        mark("FAIL", f"{count} objects: {cause}")
    for name, _, text in failed[:FAILURES_SHOWN]:
        say(f"      {name}: {text}")
    if found.failed > FAILURES_SHOWN:
        say(f"      … and more: hyok jobs show {found.job_id} --json has up to 1,000")


def _row(found: Progress) -> dict[str, object]:
    return {
        "job": found.job_id,
        "kind": found.kind,
        "bucket": found.bucket_id,
        "state": found.state,
        "percent": round(found.fraction * 100, 1),
        "objects": found.objects,
        "bytes": found.size_bytes,
        "skipped": found.skipped,
        "kept": found.kept,
        "failed": found.failed,
        "note": found.cause,
        "of": found.objects_total,
        "begun": moment(found.created_ms),
        "by": found.begun_by,
    }
