"""`hyok bench hsm`: what the HSM can do, how fast, and which cache times follow from it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyok.cli import bench_result
from hyok.cli.options import ConfigOption, JsonOption, load
from hyok.cli.progress import steps
from hyok.cli.screen import err, say, show_whole
from hyok.errors import Malformed, Refused
from hyok.hsm.figures import (
    READ_CACHE_FORMULA,
    WRITE_TTL_FORMULA,
    Failover,
    Load,
    TokenFigures,
    best,
    cache_seconds,
    safe_sessions,
)
from hyok.hsm.measure import Plan, failover, measure
from hyok.hsm.profile import load_families
from hyok.hsm.supervise import AgentSpec
from hyok.sockets import agent_specs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SESSIONS = "1,2,4,8,16"
CALLERS = "1,4,16"
COUNT_MAX = 64
_PRODUCTION = "production"


def hsm(
    module: Annotated[
        Path | None, typer.Option(help="A PKCS#11 module, in place of that of the settings.")
    ] = None,
    token: Annotated[str, typer.Option(help="With --module: the token's label.")] = "",
    pin_file: Annotated[
        Path | None, typer.Option(help="With --module: the file with the token's PIN.")
    ] = None,
    profile: Annotated[str, typer.Option(help="With --module: the HSM family.")] = "softhsm",
    profiles_directory: Annotated[
        Path, typer.Option(help="With --module: where the families' files are.")
    ] = Path("/usr/share/hyok/hsm/profiles"),
    environment: Annotated[
        list[str] | None,
        typer.Option(help="With --module: NAME=VALUE that the module wants; may be repeated."),
    ] = None,
    sessions: Annotated[
        str, typer.Option(help="How many sessions at once: those below the profile file's limit.")
    ] = SESSIONS,
    callers: Annotated[str, typer.Option(help="How many calls at once.")] = CALLERS,
    seconds: Annotated[
        float, typer.Option(min=0.05, max=60, help="Of each step; more is steadier.")
    ] = 1.0,
    failovers: Annotated[
        int, typer.Option(min=0, max=20, help="How often our agent of the first token is killed.")
    ] = 3,
    scopes: Annotated[
        int, typer.Option(min=1, help="For the cache times: buckets and cases in use at once.")
    ] = 10_000,
    workers: Annotated[
        int, typer.Option(min=0, help="For the cache times: workers in all; 0: of the settings.")
    ] = 0,
    share: Annotated[
        float, typer.Option(min=0.01, max=1, help="Of the rate, what keys may take.")
    ] = 0.25,
    site: Annotated[str, typer.Option(help="A name of this place, for comparing.")] = "",
    output: Annotated[Path | None, typer.Option(help="The result file; else one is named.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go on beside a production HSM.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the HSM: mechanisms, calls a second, fail-over, sessions, and cache times.

    Keys for the measurement live in sessions of its own and are gone afterwards; where the module
    makes none such, they stand in the token under hyok-prove/ and are destroyed.
    """
    with tempfile.TemporaryDirectory(prefix="hyok-bench-") as folder:
        if module is not None:
            specs = [
                _spec_of(
                    module, token, pin_file, profile, profiles_directory, environment or [], folder
                )
            ]
            mode, count = _PRODUCTION, workers or 1  # nobody knows whose module it is
        else:
            settings, _ = load(config)
            specs = agent_specs(settings)
            mode, count = settings.installation.mode, workers or settings.gateway.workers
        if not specs:
            raise Malformed(
                "the settings keep keys in software: there is no HSM to measure",
                code="HY-2454",
                next_step="set hsm.kind to pkcs11, or name --module, --token and --pin-file",
            )
        counts = parse_counts(sessions), parse_counts(callers)
        plan = Plan(*counts, seconds, Path(folder), failovers)
        _warn(specs, plan, mode, yes=yes)
        with steps("measuring") as tell:
            figures, gaps = asyncio.run(_measure(specs, plan, tell))
    document = bench_result.head("hyok-bench-hsm", site)
    document |= document_of(specs, figures, gaps, Load(scopes, count, share))
    if not as_json:
        _tell(document)
    bench_result.give(document, output, as_json=as_json)
    if not any(one.usable() for one in figures):
        sys.exit(1)


def parse_counts(text: str) -> tuple[int, ...]:
    """Return numbers, each once and in order.

    Raises:
        Malformed: one is none, or out of bounds (code HY-2460).
    """
    words = [word.strip() for word in text.split(",")]
    if not all(w.isascii() and w.isdigit() and 1 <= int(w) <= COUNT_MAX for w in words):
        raise Malformed(
            f"{text!r} are no numbers of sessions or callers",
            code="HY-2460",
            effect="Nothing was measured.",
            next_step=f"write them as 1,2,4; {COUNT_MAX} is the most",
        )
    return tuple(sorted({int(word) for word in words}))


def _spec_of(
    module: Path,
    token: str,
    pin_file: Path | None,
    profile: str,
    directory: Path,
    environment: Sequence[str],
    folder: str,
) -> AgentSpec:
    if not token or pin_file is None:
        raise Malformed(
            "--module needs --token and --pin-file too",
            code="HY-2454",
            next_step="name the token's label and the file that holds its PIN",
        )
    families = load_families(directory)
    if profile not in families:
        raise Malformed(
            f"no HSM family {profile} in {directory}",
            code="HY-2454",
            next_step=f"--profile is one of {', '.join(families) or 'none: --profiles-directory'}",
        )
    named = dict(pair.split("=", 1) for pair in environment if "=" in pair)
    return AgentSpec(
        name=profile,
        socket_path=f"{folder}/hsm.sock",
        module=str(module),
        token_label=token,
        dialect=families[profile].dialect(directory=named.get("HYOK_TOKEN_DIRECTORY", "")),
        pin_file=str(pin_file),
        environment=named,
    )


def _warn(specs: Sequence[AgentSpec], plan: Plan, mode: str, *, yes: bool) -> None:
    """Say what will happen; beside production only with leave.

    Raises:
        Refused: the mode is production, and nobody said yes (code HY-2455).
    """
    what = (
        f"{len(specs)} token(s) are called as fast as they answer for about "
        f"{plan.seconds * plan.steps(specs):.0f} s, from agents of our own; keys are temporary"
    )
    if plan.failovers and len(specs) > 1:
        what += f"; our agent of {specs[0].name} is killed {plan.failovers} times"
    if mode == _PRODUCTION and not yes:
        raise Refused(
            f"this may slow a production HSM down: {what}",
            code="HY-2455",
            effect="Nothing was started.",
            next_step="choose a quiet hour and say --yes",
        )
    err.print(what, markup=False)


async def _measure(
    specs: Sequence[AgentSpec], plan: Plan, tell: Callable[[int, int], None]
) -> tuple[list[TokenFigures], Failover]:
    done = 0
    total = plan.steps(specs)

    def step() -> None:
        nonlocal done
        done += 1
        tell(done, total)

    figures = [await measure(spec, plan, step) for spec in specs]
    if not plan.failovers:
        return figures, Failover(not_measured="it was not asked for")
    return figures, await failover(specs, plan, step)


def document_of(
    specs: Sequence[AgentSpec], figures: Sequence[TokenFigures], gaps: Failover, load_: Load
) -> dict[str, Any]:
    """Return the result: what can be compared with other sites, and no secret."""
    spread = [cell for one in figures for cell in one.cells if cell.call == "open"]
    rates = [found.rate for one in figures if (found := best(_opens(one))) is not None]
    rate = min(rates, default=0.0)  # after a fail-over the slowest one has to do it alone
    return {
        "family": specs[0].dialect.family,
        "module": Path(specs[0].module).name,
        "tokens": [
            {
                **asdict(one),
                "usable_profiles": one.usable(),
                "safe_sessions": safe_sessions(_opens(one)),
                "rate_best": round(found.rate, 1) if (found := best(_opens(one))) else 0.0,
            }
            for one in figures
        ],
        "failover": asdict(gaps),
        "recommended": {
            "sessions": min((safe_sessions(_opens(one)) for one in figures), default=0),
            **cache_seconds(rate, load_),
            "operations_per_second": round(rate, 1),
            "scopes": load_.scopes,
            "workers": load_.workers,
            "share": load_.share,
            "read_cache_formula": READ_CACHE_FORMULA,
            "write_ttl_formula": WRITE_TTL_FORMULA,
        },
        "failures": sum(cell.failures for cell in spread),
    }


def _opens(one: TokenFigures) -> list[Any]:
    """Return the cells of the first profile's table of sessions and callers."""
    first = one.cells[0].profile if one.cells else 0
    return [cell for cell in one.cells if cell.call == "open" and cell.profile == first]


def _tell(document: dict[str, Any]) -> None:
    for token in document["tokens"]:
        about = token["about"]
        say(
            f"token {token['name']}: {about.get('token', '')}, firmware "
            f"{about.get('firmware_version', '?')}, {about.get('library', '')} "
            f"{about.get('library_version', '')}; ready after {token['ready_seconds']:.1f} s"
        )
        mechanisms = [
            {
                "profile": row["profile"],
                "for": row["use"],
                "mechanism": f"0x{row['number']:08X}",
                "offered": "yes" if row["offered"] else "NO",
                "self-test": row["tested"],
                "works": "yes" if row["profile"] in token["usable_profiles"] else "NO",
                "key": token["keys"].get(row["profile"], token["keys"].get(str(row["profile"]))),
            }
            for row in token["mechanisms"]
        ]
        show_whole(mechanisms, as_json=False, empty="no mechanism was told")
        cells = [
            {
                "profile": cell["profile"],
                "call": cell["call"],
                "sessions": cell["sessions"],
                "callers": cell["callers"],
                "calls/s": f"{cell['operations'] / cell['seconds']:.0f}",
                "p50 ms": cell["p50_ms"],
                "p99 ms": cell["p99_ms"],
                "failures": cell["failures"],
            }
            for cell in token["cells"]
        ]
        show_whole(cells, as_json=False, empty="nothing was measured")
    gaps = document["failover"]
    if gaps["not_measured"]:
        say(f"fail-over: not measured, {gaps['not_measured']}")
    else:
        told = ", ".join(f"{gap:.0f}" for gap in gaps["gap_ms"])
        back = ", ".join(f"{gap:.0f}" for gap in gaps["first_back_ms"])
        say(f"fail-over: {told} ms to the next answer; the first token is back after {back} ms")
    wanted = document["recommended"]
    say(f"sessions: {wanted['sessions']} are enough")
    if "read_cache_seconds" in wanted:
        say(
            f"with {wanted['scopes']} scopes, {wanted['workers']} worker(s) and "
            f"{wanted['share']:.0%} of {wanted['operations_per_second']:.0f} calls a second: "
            f"read-cache of {wanted['read_cache_seconds']} s or more "
            f"({wanted['read_cache_formula']}), write-ttl of {wanted['write_ttl_seconds']} s or "
            f"more ({wanted['write_ttl_formula']})"
        )
