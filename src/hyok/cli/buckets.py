"""`hyok buckets`: registered buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.acting import (
    AsOption,
    KeyOption,
    Login,
    PassphraseOption,
    ReasonOption,
    propose,
)
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.screen import say, show
from hyok.cli.session import operator_ask, run
from hyok.custody.quorum import Act
from hyok.objects.registry import NewBucket
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.proposal import Effect
    from hyok.vocabulary import Bucket
    from hyok.wiring import Core

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
def publish(
    name: BucketArgument,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose that anybody reads the bucket's public objects, without credentials."""
    login = Login(person, key, passphrase_file)
    propose(config, login, Act.PUBLISH, {"bucket": name}, reason, as_json=as_json)


@app.command()
def withdraw(
    name: BucketArgument,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose to close a published bucket: only applications read it from then on."""
    login = Login(person, key, passphrase_file)
    propose(config, login, Act.WITHDRAW, {"bucket": name}, reason, as_json=as_json)


@app.command()
def lower(
    name: BucketArgument,
    to: Annotated[str, typer.Option("--to", help="The lower classification.")],
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a lower default for what is written from then on."""
    login = Login(person, key, passphrase_file)
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
