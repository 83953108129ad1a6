"""`hyok apps`: applications and their access keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli import app_keys, app_trusts
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.registrations import record
from hyok.cli.screen import say, show
from hyok.cli.session import operator_ask, run
from hyok.errors import Malformed, NotFound
from hyok.identity.apps import App

if TYPE_CHECKING:
    from hyok.identity.access_keys import IssuedAccessKey
    from hyok.wiring import Core

app = typer.Typer(help="Applications and their access keys.", no_args_is_help=True)
app.add_typer(app_keys.app, name="keys")
app.add_typer(app_trusts.app, name="trust")
GRANTS = (
    *("read", "write", "delete", "list", "create-bucket", "lock", "bypass-governance"),
    "use-keys",
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name; in the audit log.")],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose application it is.")],
    clearance: Annotated[
        str, typer.Option("--clearance", help="The highest classification it may touch.")
    ] = "vertrouwelijk",
    purpose: Annotated[str, typer.Option("--purpose", help="Why it may; in the audit log.")] = "",
    processing_activity: Annotated[
        str,
        typer.Option(
            "--processing-activity",
            help="URI in the register of processing activities, where it handles personal data.",
        ),
    ] = "",
    grant: Annotated[list[str] | None, typer.Option("--grant", help=", ".join(GRANTS))] = None,
    bucket: Annotated[list[str] | None, typer.Option("--bucket", help="Default: all.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register an application and print its access key, once."""
    unknown = sorted(set(grant or ()) - set(GRANTS))
    if unknown:
        raise Malformed(
            f"there is no grant {', '.join(unknown)}",
            effect="Nothing was registered.",
            next_step=f"choose from {', '.join(GRANTS)}",
        )

    async def act(core: Core) -> IssuedAccessKey:
        return await create_app(
            core,
            App(
                app_id=name,
                tenant=tenant,
                clearance=core.classifications.level(clearance),
                grants=frozenset(grant or GRANTS[:4]),
                purpose=purpose,
                processing_activity=processing_activity,
                buckets=frozenset(bucket) if bucket else None,
            ),
        )

    app_keys.show_issued(run(config, act), as_json=as_json)


async def create_app(core: Core, made: App) -> IssuedAccessKey:
    """Register an app with its first access key, on the record."""
    await core.access_keys.add_tenant(made.tenant)
    await core.access_keys.create_app(made)
    issued = await core.access_keys.create_key(made.app_id)
    await core.custodian.conclude(operator_ask("app:create", made.tenant), "done")
    return issued


@app.command("list")
def list_apps(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List applications."""

    async def act(core: Core) -> list[App]:
        return await core.access_keys.list_apps()

    rows = [
        {
            "app": found.app_id,
            "tenant": found.tenant,
            "clearance": found.clearance,
            "grants": ",".join(sorted(found.grants)),
            "buckets": ",".join(sorted(found.buckets)) if found.buckets is not None else "all",
            "state": found.state,
            "made": moment(found.created_ms),
        }
        for found in run(config, act)
    ]
    show(rows, as_json=as_json, empty="No applications yet.  Next: hyok apps create NAME …")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="As hyok apps list shows it.")],
    config: ConfigOption = None,
) -> None:
    """Refuse an application from now on; running gateways follow within five seconds."""

    async def act(core: Core) -> None:
        found = await core.access_keys.find_app(name)
        if found is None:
            raise NotFound(f"there is no app {name}", next_step="hyok apps list")
        await core.access_keys.revoke_app(name)
        await core.custodian.conclude(operator_ask("app:revoke", found.tenant), "done")

    run(config, act)
    say(f"app {name} is revoked")


@app.command()
def end_sessions(config: ConfigOption = None) -> None:
    """End every session of every application now; workloads get new ones for their tokens."""

    async def act(core: Core) -> None:
        await core.sessions.end_all()
        await record(core, "sessions:end", "system")

    run(config, act)
    say("all sessions have ended; running gateways follow within five seconds")
