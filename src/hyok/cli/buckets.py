"""`hyok buckets`: registered buckets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli import jobs, old_versions
from hyok.cli.acting import (
    AsOption,
    KeyOption,
    Login,
    PassphraseOption,
    ReasonOption,
    propose,
)
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.progress import counting
from hyok.cli.registrations import record
from hyok.cli.remote import ApiOption  # noqa: TC001 - typer reads it
from hyok.cli.screen import mark, say, show
from hyok.cli.session import operator_ask, run
from hyok.custody.quorum import Act
from hyok.errors import Malformed
from hyok.jobs.catalog import SEAL as JOB_SEAL
from hyok.objects.adopting import ACTION as ADOPT
from hyok.objects.adoption import SEAL
from hyok.objects.registry import NewBucket
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.proposal import Effect
    from hyok.jobs.catalog import Progress
    from hyok.objects.adopting import AdoptReport
    from hyok.vocabulary import Bucket
    from hyok.wiring import Core

    Ended = tuple[Progress, Sequence[tuple[str, str, str]]]

BucketArgument = Annotated[str, typer.Argument(help="As hyok buckets list shows it.")]

app = typer.Typer(help="Registered buckets.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="As clients will name it.")],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose bucket it is.")],
    classification: Annotated[str, typer.Option("--classification", help="Default of the bucket.")],
    store: Annotated[str, typer.Option("--store", help="Default: the settings'.")] = "",
    names: Annotated[str, typer.Option("--names", help="clear or sealed; for its life.")] = "",
    backend_name: Annotated[
        str, typer.Option("--backend-name", help="Its name in the store; default: the same.")
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a bucket and register it."""

    async def act(core: Core) -> Bucket:
        return await create_bucket(
            core,
            NewBucket(
                bucket_id=name,
                tenant=tenant,
                store=store or core.settings.default_store,
                classification=ClassificationName(classification),
                names=names,
                backend_name=backend_name,
            ),
        )

    made = run(config, act)
    if as_json:
        row = {"bucket": made.bucket_id, "store": made.store, "names": made.names}
        show([row | {"backend": made.backend_name}], as_json=True, empty="")
        return
    say(f"bucket {made.bucket_id} made in store {made.store}, names {made.names}")


async def create_bucket(core: Core, wanted: NewBucket) -> Bucket:
    """Make a bucket as an operator."""
    return await core.keeper.create(operator_ask("bucket:create", wanted.tenant), wanted)


@app.command()
def adopt(
    name: Annotated[str, typer.Argument(help="As clients will name it.")],
    mode: Annotated[
        str, typer.Option("--mode", help="refuse, read-through or seal what stands in clear.")
    ] = "refuse",
    tenant: Annotated[str, typer.Option("--tenant", help="Whose bucket it is.")] = "",
    classification: Annotated[
        str, typer.Option("--classification", help="Default of the bucket.")
    ] = "",
    store: Annotated[str, typer.Option("--store", help="Default: the settings'.")] = "",
    backend_name: Annotated[
        str, typer.Option("--backend-name", help="Its name in the store; default: the same.")
    ] = "",
    names: Annotated[str, typer.Option("--names", help="clear or sealed; for its life.")] = "",
    erase_versions: Annotated[
        bool,
        typer.Option(
            "--erase-versions",
            help="Remove older versions in clear for good, once all is sealed; asks first.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them without asking.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a bucket that holds plaintext already, or treat what it holds in another way.

    Let nobody write to the store around the gateway from now on: what is not counted now is
    refused.  With --mode seal a job seals each object where it stands; it may be killed and run
    again at any moment.
    """
    if erase_versions:
        old_versions.erase_versions(config, name, yes=yes, as_json=as_json)
        return
    wanted = NewBucket(
        bucket_id=name,
        tenant=tenant,
        store=store,
        classification=ClassificationName(classification),
        names=names,
        backend_name=backend_name,
    )

    async def act(core: Core) -> tuple[AdoptReport, Ended | None]:
        found = await _adopt(core, wanted, mode)
        if found.bucket.adoption != SEAL or not found.counted.left:
            return found, None
        runner = jobs.runner_of(core)
        job = await runner.begin(JOB_SEAL, name, operator_ask("job:run", "").principal.id)
        await runner.ledger.reopen(job)
        await record(core, "job:run", found.bucket.tenant, f"job {job}", f"bucket {name}")
        return found, await jobs.work(runner, job)

    found, ended = run(config, act)
    if ended is None or not as_json:
        _tell_adopted(found, as_json=as_json)
    if ended is not None:
        jobs.report(*ended, as_json=as_json)


async def _adopt(core: Core, wanted: NewBucket, mode: str) -> AdoptReport:
    """Adopt a bucket, or change the mode of one that is."""
    known = [bucket for bucket in await core.registry.all() if bucket.bucket_id == wanted.bucket_id]
    if known:
        ask = operator_ask(ADOPT, known[0].tenant, known[0])
        return await core.adopter.change_mode(ask, mode)
    if not wanted.tenant or not wanted.classification:
        raise Malformed(
            f"bucket {wanted.bucket_id} is not registered yet",
            next_step="say whose it is with --tenant, and what it holds with --classification",
        )
    wanted = replace(wanted, store=wanted.store or core.settings.default_store)
    with counting("counting what stands in clear") as tell:
        return await core.adopter.adopt(operator_ask(ADOPT, wanted.tenant), wanted, mode, tell)


def _tell_adopted(found: AdoptReport, *, as_json: bool) -> None:
    bucket, counted = found.bucket, found.counted
    if as_json:
        row: dict[str, object] = {"bucket": bucket.bucket_id, "mode": bucket.adoption}
        row |= {"store": bucket.store, "backend": bucket.backend_name, "names": bucket.names}
        sums: dict[str, object] = {
            "objects": counted.objects,
            "bytes": counted.size_bytes,
            "left": counted.left,
        }
        show([row | sums], as_json=True, empty="")
        return
    mark(
        "ok",
        f"bucket {bucket.bucket_id}, mode {bucket.adoption}: {counted.objects} objects of "
        f"{counted.size_bytes} bytes stood in clear when it was adopted, {counted.left} still did "
        "just now",
    )
    mark(
        "warn",
        "If the store keeps versions, older ones hold plaintext whatever the mode; once all is "
        f"sealed, remove them: hyok buckets adopt {bucket.bucket_id} --erase-versions",
    )


@app.command()
def publish(
    name: BucketArgument,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose that anybody reads the bucket's public objects, without credentials."""
    login = Login(person, key, passphrase_file, api)
    propose(config, login, Act.PUBLISH, {"bucket": name}, reason, as_json=as_json)


@app.command()
def withdraw(name: BucketArgument, config: ConfigOption = None) -> None:
    """Close a published bucket at once, alone: only applications read it from now on."""

    async def act(core: Core) -> None:
        bucket = await core.registry.get(name)
        ask = replace(operator_ask("bucket:withdraw", bucket.tenant), bucket=bucket)
        await core.keeper.set_public(ask, public=False)

    run(config, act)
    say(f"bucket {name} is closed to readers without credentials")


@app.command()
def lower(
    name: BucketArgument,
    to: Annotated[str, typer.Option("--to", help="The lower classification.")],
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a lower default for what is written from then on."""
    login = Login(person, key, passphrase_file, api)
    effect: Effect = {"bucket": name, "to": to}
    propose(config, login, Act.LOWER_BUCKET, effect, reason, as_json=as_json)


@app.command("list")
def list_buckets(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List buckets, and what their classification demands that is not enforced yet."""

    async def act(core: Core) -> tuple[Sequence[Bucket], list[str]]:
        return await core.registry.all(), core.classifications.not_enforced()

    found, unenforced = run(config, act)
    rows: list[dict[str, object]] = [
        {
            "bucket": bucket.bucket_id,
            "tenant": bucket.tenant,
            "classification": bucket.classification,
            "names": bucket.names,
            "public": bucket.public,
            "adoption": bucket.adoption,
            "store": bucket.store,
            "backend": bucket.backend_name,
            "not enforced": [
                line.partition(": ")[2]
                for line in unenforced
                if line.startswith(f"{bucket.classification}:")
            ],
            "made": moment(bucket.created_ms),
        }
        for bucket in found
    ]
    if not as_json:  # the demands are long; `hyok doctor` spells them out
        rows = [row | {"not enforced": len(_list(row["not enforced"]))} for row in rows]
    show(rows, as_json=as_json, empty="No buckets yet.  Next: hyok buckets create NAME …")


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
