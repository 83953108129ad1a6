"""`hyok freeze`, `hyok thaw`, `hyok freezes`: stop every use of an app, bucket, key or door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.registrations import record
from hyok.cli.screen import say, show
from hyok.cli.session import operator_ask, run
from hyok.custody.freezes import Frozen, supplier_of
from hyok.errors import Malformed, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.freezes import Freeze
    from hyok.wiring import Core

HEEDED_SECONDS = 2
"""How soon every process looks again (hyok.database.epoch_rows)."""

SHOWN_MAX = 20
DOORS = ("xks", "dke", "transit", "kubernetes", "ekm", "kacls", "payloads")


KindArgument = Annotated[Frozen, typer.Argument(help="What it is.")]
NameArgument = Annotated[str, typer.Argument(help="Its name.")]
WhyOption = Annotated[str, typer.Option("--reason", help="Why; it stands in the audit log.")]


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.command()(freeze)
    root.command()(thaw)
    root.command()(freezes)


def freeze(
    kind: KindArgument, name: NameArgument, reason: WhyOption = "", config: ConfigOption = None
) -> None:
    """Stop every use of an app, bucket, tenant, store, supplier, key or door, within seconds.

    A key is one that a door uses for others, named as hyok doors keys list shows it; a supplier is
    every store whose settings name it as parent, also one that comes later.

    What is answered at this moment ends as it began; officers still act on what is frozen.
    """
    _check_reason(reason)

    async def act(core: Core) -> list[str]:
        await _check_known(core, kind, name)
        tenant = await _tenant(core, kind, name)
        facts = (f"{kind} {name}", f"reason {reason}")
        await record(core, "freeze:begin", tenant, *facts, outcome="pending")
        who = operator_ask("freeze:begin", tenant).principal.id
        await core.freezes.freeze(kind, name, who, reason)
        await record(core, "freeze:begin", tenant, *facts)
        return _stores_of(core, name) if kind is Frozen.SUPPLIER else []

    stores = f" (now {', '.join(found)})" if (found := run(config, act)) else ""
    when = f"{HEEDED_SECONDS} s from now no gateway begins anything for it"
    say(f"{kind} {name}{stores} is frozen; {when}")
    say(f"Next: hyok thaw {kind} {name} --reason …, when it may be used again")


def thaw(
    kind: KindArgument, name: NameArgument, reason: WhyOption = "", config: ConfigOption = None
) -> None:
    """Let what was frozen be used again, also what is not there any more."""
    _check_reason(reason)

    async def act(core: Core) -> None:
        tenant = await _tenant(core, kind, name)
        facts = (f"{kind} {name}", f"reason {reason}")
        await record(core, "freeze:end", tenant, *facts, outcome="pending")
        await core.freezes.thaw(kind, name)
        await record(core, "freeze:end", tenant, *facts)

    run(config, act)
    say(f"{kind} {name} may be used again, {HEEDED_SECONDS} s from now everywhere")


def freezes(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List what is frozen, since when, by whom and why."""

    async def act(core: Core) -> Sequence[Freeze]:
        return await core.freezes.all()

    rows: list[dict[str, object]] = [
        {
            "kind": str(one.kind),
            "name": one.name,
            "since": moment(one.since_ms),
            "by": one.by,
            "reason": one.reason,
        }
        for one in run(config, act)
    ]
    show(rows, as_json=as_json, empty="Nothing is frozen.")


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise Malformed("a reason is wanted; it stands in the audit log", next_step="--reason TEXT")


async def _check_known(core: Core, kind: Frozen, name: str) -> None:
    """Return quietly if it is there: a name that is wrong would stop nobody.

    Raises:
        NotFound: there is no such thing (code HY-2316).
    """
    known: dict[Frozen, set[str]] = {
        Frozen.APP: {app.app_id for app in await core.access_keys.list_apps()},
        Frozen.BUCKET: {bucket.bucket_id for bucket in await core.registry.all()},
        Frozen.TENANT: {kek.tenant for kek in await core.keks.all()},
        Frozen.STORE: set(core.stores),
        Frozen.KEY: {f"{key.tenant}/{key.name}" for key in await core.doors.catalog.all()},
        Frozen.DOOR: set(DOORS),
        Frozen.SUPPLIER: {store.parent for store in core.settings.stores if store.parent},
    }
    if name not in known[kind]:
        raise NotFound(
            f"There is no {kind} {name}.",
            code="HY-2316",
            effect="Nothing was frozen.",
            next_step=f"one of: {', '.join(sorted(known[kind])[:SHOWN_MAX])}",
        )


def _stores_of(core: Core, supplier: str) -> list[str]:
    mine = supplier_of(supplier)
    return [one.name for one in core.settings.stores if supplier_of(one.parent) == mine]


async def _tenant(core: Core, kind: Frozen, name: str) -> str:
    """Return whose it is, for the log."""
    if kind is Frozen.TENANT:
        return name
    if kind is Frozen.KEY:
        return name.partition("/")[0]
    if kind is Frozen.BUCKET:
        for bucket in await core.registry.all():
            if bucket.bucket_id == name:
                return bucket.tenant
    if kind is Frozen.APP:
        for app in await core.access_keys.list_apps():
            if app.app_id == name:
                return app.tenant
    return "system"
