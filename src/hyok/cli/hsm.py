"""`hyok hsm`: tokens: making a development one, proving a module, and how they are."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.options import ConfigOption, JsonOption, load, moment
from hyok.cli.screen import mark, say, show
from hyok.cli.session import run, services
from hyok.connections import agent_socket, agent_specs
from hyok.errors import Malformed
from hyok.hsm.prove import prove as prove_module
from hyok.hsm.setup import init_softhsm
from hyok.hsm.supervise import reset_pin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.hsm.port import TokenHealth
    from hyok.wiring import Core

app = typer.Typer(help="HSM tokens.", no_args_is_help=True)


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="A new folder for the token.")],
    label: Annotated[str, typer.Option(help="The token's label.")] = "hyok-test",
) -> None:
    """Make a SoftHSM token for tests: keys in files, under a PIN; never for production."""
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pin_file = directory / "hsm.pin"
    if not pin_file.exists():
        pin_file.touch(mode=0o600)
        pin_file.write_text(secrets.token_hex(8))
    config = init_softhsm(directory, label, pin_file.read_text(), secrets.token_hex(8))
    say(f"token {label!r} stands in {directory}.  In the settings:")
    say("  [hsm]")
    say('  profile = "softhsm"')
    say("  [[hsm.tokens]]")
    say('  name = "primary"')
    say(f'  label = "{label}"')
    say(f'  pin_file = "{pin_file}"')
    say(f'  environment = {{ SOFTHSM2_CONF = "{config}" }}')


@app.command()
def prove(
    profile: Annotated[str, typer.Option("--profile", help="The HSM family of the settings.")],
    operations: Annotated[int, typer.Option(min=10, help="Operations of the hammer.")] = 2000,
    callers: Annotated[int, typer.Option(min=1, max=64)] = 8,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a module can do: mechanisms, check values, a concurrency hammer, a reconnect."""
    settings, _ = load(config)
    if settings.hsm.profile != profile:
        raise Malformed(
            f"the settings name HSM profile {settings.hsm.profile}, not {profile}",
            next_step="set hsm.profile, or prove the one that is set",
        )
    failed = False
    rows = []
    for spec in agent_specs(settings):
        for finding in asyncio.run(prove_module(spec, callers=callers, operations=operations)):
            failed = failed or not finding.ok
            rows.append(
                {
                    "token": spec.name,
                    "check": finding.name,
                    "ok": finding.ok,
                    "detail": finding.detail,
                    "figure": f"{finding.figure:.1f} {finding.unit}" if finding.unit else "",
                }
            )
    if as_json:
        show(rows, as_json=True, empty="")
    else:
        for row in rows:
            said = f"{row['token']}: {row['check']}  {row['detail']} {row['figure']}"
            mark("ok" if row["ok"] else "FAIL", said.rstrip())
    if failed or not rows:
        sys.exit(1)


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Ask every token of the group, and say how it is."""

    async def act(core: Core) -> Sequence[TokenHealth]:
        await core.watch.look()
        return await core.hsm.health()

    rows = [
        {
            "token": token.token,
            "healthy": token.healthy,
            "since": moment(token.since_ms),
            "calls": token.calls,
            "failures": token.failures,
            "p50_ms": round(token.p50_ms, 2),
            "p99_ms": round(token.p99_ms, 2),
            "last_error": token.last_error,
        }
        for token in run(config, act)
    ]
    show(rows, as_json=as_json, empty="The settings name no token.")
    if not all(row["healthy"] for row in rows):
        sys.exit(1)


@app.command("reset-pin")
def reset(token: str, config: ConfigOption = None) -> None:
    """Let the agent of a token try its PIN again, once you have put the right one in its file."""
    settings, path = load(config)
    if token not in {known.name for known in settings.hsm.tokens}:
        raise Malformed(f"the settings name no token {token}")
    with services(settings, path):
        reset_pin(str(agent_socket(settings, token)))
    say(f"the PIN of token {token} is tried once more")
