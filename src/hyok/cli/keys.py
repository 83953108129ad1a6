"""`hyok keys`: key versions in the HSM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.screen import say, show
from hyok.cli.session import operator_ask, run
from hyok.custody.kek import as_row
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from hyok.custody.kek import Kek
    from hyok.wiring import Core

app = typer.Typer(help="Keys in the HSM.", no_args_is_help=True)
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose keys.")]


@app.command()
def create(
    tenant: TenantOption,
    classification: Annotated[str, typer.Option("--classification")],
    profile: Annotated[int, typer.Option(min=1, max=4, help="Format profile; 1 is HMAC.")] = 1,
    config: ConfigOption = None,
) -> None:
    """Make the next version of a key; it is used for writing at once, older ones still open."""

    async def act(core: Core) -> Kek:
        return await create_kek(core, tenant, classification, profile)

    say(f"key {run(config, act).kek_id} made in the HSM, non-extractable, active")


async def create_kek(core: Core, tenant: str, classification: str, profile: int = 1) -> Kek:
    """Make a key version, with its audit records."""
    ask = operator_ask("key:create", tenant)
    made = await core.keks.create(core.hsm, tenant, classification, profile, clock_ms())
    await core.custodian.conclude(ask, "done", kek_id=made.kek_id)
    return made


@app.command("list")
def list_keys(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List key versions.  Keep the JSON with the HSM's backup: recover and open may need it."""

    async def act(core: Core) -> list[Kek]:
        return list(await core.keks.all())

    found = run(config, act)
    if as_json:
        show([as_row(kek) for kek in found], as_json=True, empty="")
        return
    rows = [
        {
            "kek_id": kek.kek_id,
            "state": str(kek.state),
            "profile": kek.spec.profile,
            "check_value": kek.spec.check_value.hex(),
            "made": moment(kek.created_ms),
        }
        for kek in found
    ]
    show(rows, as_json=False, empty="No keys yet.  Next: hyok keys create --tenant … …")
