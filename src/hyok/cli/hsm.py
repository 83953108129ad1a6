"""`hyok hsm`: tokens: making a development one, proving a module, and how they are."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.audit.signed import wrapped
from hyok.cli.minutes import MinutesOption, PresentOption, minutes_of
from hyok.cli.minutes import tell as tell_minutes
from hyok.cli.options import ConfigOption, JsonOption, load, moment
from hyok.cli.screen import mark, say, show
from hyok.cli.session import run, services
from hyok.cli.signed_files import check_free, write
from hyok.connections import build_token
from hyok.custody.key_states import KeyState
from hyok.errors import Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.hsm.prove import prove as prove_module
from hyok.hsm.setup import NSS_LABEL, init_nss, init_softhsm, softhsm_module
from hyok.hsm.supervise import reset_pin
from hyok.officer.minutes import parse_present, render_page
from hyok.sockets import agent_socket, agent_specs
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.kek import Kek
    from hyok.hsm.port import Hsm
    from hyok.wiring import Core

app = typer.Typer(help="HSM tokens.", no_args_is_help=True)


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="A new folder for the token.")],
    label: Annotated[str, typer.Option(help="The token's label; SoftHSM.")] = "hyok-test",
    profile: Annotated[str, typer.Option("--profile", help="softhsm, or nss.")] = "softhsm",
    name: Annotated[str, typer.Option("--name", help="The token's name in the settings.")] = (
        "primary"
    ),
    minutes: MinutesOption = None,
    present: PresentOption = None,
) -> None:
    """Make a software token for tests: keys in files, under a PIN; never for production.

    Minutes of it are signed later, by `hyok keys minutes sign`: a new token has no key yet.
    """
    persons = parse_present(present or []) if minutes is not None else []
    if minutes is not None:
        check_free(minutes)
    begun = clock_ms()
    if profile not in ("softhsm", "nss"):
        raise Malformed(
            f"a token of the HSM profile {profile} is not made by hyok",
            next_step="make it with the vendor's tools; softhsm and nss are for tests",
        )
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pin_file = directory / "hsm.pin"
    if not pin_file.exists():
        pin_file.touch(mode=0o600)
        pin_file.write_text(secrets.token_hex(8))
    if profile == "nss":
        init_nss(directory, pin_file)
        label, variable, value = NSS_LABEL, "HYOK_TOKEN_DIRECTORY", directory
    else:
        value = init_softhsm(directory, label, pin_file.read_text(), secrets.token_hex(8))
        variable = "SOFTHSM2_CONF"
    if minutes is not None:
        facts = {"token": name, "folder": str(directory)} | _facts_of_token(profile, label, value)
        made = minutes_of("hsm:init", "", persons, begun, {}, [facts]).document()
        write(minutes, wrapped(made, None, None), render_page(made, moment, ""))
        tell_minutes(minutes, signed=False)
    say(f"token {label!r} stands in {directory}.  In the settings:")
    say("  [hsm]")
    say(f'  profile = "{profile}"')
    say("  [[hsm.tokens]]")
    say(f'  name = "{name}"')
    say(f'  label = "{label}"')
    say(f'  pin_file = "{pin_file}"')
    say(f'  environment = {{ {variable} = "{value}" }}')


def _facts_of_token(profile: str, label: str, value: Path) -> dict[str, object]:
    """Return what a new token says of itself, read by a process of its own."""
    if profile != "softhsm":
        return {"label": label, "error": "not read back: hyok keys create does so"}
    done = subprocess.run(  # noqa: S603 - the arguments are a list and go to no shell
        [sys.executable, "-m", "hyok.hsm.describe", softhsm_module(), label],
        env={**os.environ, "SOFTHSM2_CONF": str(value)},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        return {"label": label, "error": "the module did not say anything of its token"}
    found: dict[str, object] = json.loads(done.stdout)
    return found


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
    """Ask every token of the group about every key, and say how it is."""

    async def act(core: Core) -> list[dict[str, object]]:
        keks = [one for one in await core.keks.all() if one.state is not KeyState.DESTROYED]
        if core.settings.hsm.kind == "software":
            return [await _state_of(core.hsm, keks)]
        rows = []
        for token in core.settings.hsm.tokens:
            alone = build_token(core.settings, token.name)
            try:
                rows.append(await _state_of(alone, keks))
            finally:
                await alone.close()
        return rows

    rows = run(config, act)
    show(rows, as_json=as_json, empty="The settings name no token.")
    if not all(row["healthy"] for row in rows):
        sys.exit(1)


async def _state_of(token: Hsm, keks: Sequence[Kek]) -> dict[str, object]:
    """Return how one token is; ``keys``: how many answer their check values in it."""
    right, wrong = 0, ""
    try:
        if not keks:
            await token.find_keks()
        for kek in keks:
            try:
                await token.check(kek.spec)
                right += 1
            except (NotFound, Tampered, Refused) as error:
                wrong = wrong or error.cause
    except Unavailable as error:
        wrong = error.cause
    (health,) = await token.health()
    return {
        "token": health.token,
        "healthy": health.healthy and not wrong,
        "keys": f"{right} of {len(keks)}",
        "since": moment(health.since_ms),
        "calls": health.calls,
        "failures": health.failures,
        "p50_ms": round(health.p50_ms, 2),
        "p99_ms": round(health.p99_ms, 2),
        "last_error": wrong or health.last_error,
    }


@app.command("reset-pin")
def reset(token: str, config: ConfigOption = None) -> None:
    """Let the agent of a token try its PIN again, once you have put the right one in its file."""
    settings, path = load(config)
    if token not in {known.name for known in settings.hsm.tokens}:
        raise Malformed(f"the settings name no token {token}")
    with services(settings, path):
        reset_pin(str(agent_socket(settings, token)))
    say(f"the PIN of token {token} is tried once more")
