"""`hyok freeze`, `hyok thaw`, `hyok freezes`: stop every use of an app, bucket, key or door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.registrations import record
from hyok.cli.screen import say, show
from hyok.cli.session import operator_ask, run
from hyok.custody.freezes import Frozen
from hyok.errors import Malformed, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.freezes import Freeze
    from hyok.wiring import Core

HEEDED_SECONDS = 2
"""How soon every process looks again (hyok.database.epoch_rows)."""

SHOWN_MAX = 20
DOORS = ("xks",)

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
    """Stop every use of an app, bucket, tenant, store, key or door, everywhere within seconds.

    A key is one that a door uses for others, named as hyok doors keys list shows it.

    What is answered at this moment ends as it began; officers still act on what is frozen.
    """
    _check_reason(reason)

    async def act(core: Core) -> Freeze:
        await _check_known(core, kind, name)
        tenant, facts = await _tenant(core, kind, name), (f"{kind} {name}", f"reason {reason}")
        await record(core, "freeze:begin", tenant, *facts, outcome="pending")
        who = operator_ask("freeze:begin", tenant).principal.id
        made = await core.freezes.freeze(kind, name, who, reason)
        await record(core, "freeze:begin", tenant, *facts)
        return made

    run(config, act)
    say(f"{kind} {name} is frozen; {HEEDED_SECONDS} s from now no gateway begins anything for it")
    say(f"Next: hyok thaw {kind} {name} --reason …, when it may be used again")


def thaw(
    kind: KindArgument, name: NameArgument, reason: WhyOption = "", config: ConfigOption = None
) -> None:
    """Let what was frozen be used again."""
    _check_reason(reason)

    async def act(core: Core) -> None:
        tenant, facts = await _tenant(core, kind, name), (f"{kind} {name}", f"reason {reason}")
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
    """Return quietly if there is such a thing: a name that is wrong would stop nobody.

    Raises:
        NotFound: there is none (code HY-2316).
    """
    known = {
        Frozen.APP: {app.app_id for app in await core.access_keys.list_apps()},
        Frozen.BUCKET: {bucket.bucket_id for bucket in await core.registry.all()},
        Frozen.TENANT: {kek.tenant for kek in await core.keks.all()},
        Frozen.STORE: set(core.stores),
        Frozen.KEY: {f"{key.tenant}/{key.name}" for key in await core.doors.catalog.all()},
        Frozen.DOOR: set(DOORS),
    }
    if name not in known[kind]:
        raise NotFound(
            f"There is no {kind} {name}.",
            code="HY-2316",
            effect="Nothing was frozen.",
            next_step=f"one of: {', '.join(sorted(known[kind])[:SHOWN_MAX])}",
        )


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
