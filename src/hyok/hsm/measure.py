"""Measuring: what `hyok bench hsm` runs on tokens, through agents of its own.

Production agents on the same host go on, but the HSM works for both.  Keys are of one session where
the module lets them be, else of the token under ``hyok-prove/`` and destroyed.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import struct
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hyok.envelope.profiles import Profile
from hyok.errors import HyokError, Unavailable
from hyok.hsm.figures import Cell, Failover, Mechanism, TokenFigures
from hyok.hsm.gate import PinGate, gate_path
from hyok.hsm.line import AgentLines
from hyok.hsm.pool import HsmPool, TokenSpec
from hyok.hsm.prove import READY_SECONDS_MAX, mechanisms_of
from hyok.hsm.supervise import AgentSupervisor
from hyok.hsm.wire import BENCH_PREFIX, PROVE_PREFIX, Outcome, Verb
from hyok.telemetry.percentiles import percentile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from hyok.hsm.port import KekSpec
    from hyok.hsm.supervise import AgentSpec

SCOPE = "bucket:bench"
FAILOVER_SECONDS_MAX = 30.0
_SECRETS_CHECKED = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """What is tried: sessions and callers in every combination, each for so many seconds.

    ``folder`` is for the sockets of our agents: a new one, whose path is short.
    """

    sessions: tuple[int, ...]
    callers: tuple[int, ...]
    seconds: float
    folder: Path
    failovers: int = 3

    def steps(self, tokens: Sequence[AgentSpec]) -> int:
        """Return how many steps `measure` will tell."""
        count = sum(
            len(self.fitting(spec)) * len(self.callers) + 3 * len(spec.dialect.profiles)
            for spec in tokens
        )
        return count + (self.failovers if len(tokens) > 1 else 0)

    def beside(self, spec: AgentSpec) -> AgentSpec:
        """Return the agent of the same token at a socket of our own."""
        return replace(spec, socket_path=str(self.folder / f"{spec.name}.sock"))

    def fitting(self, spec: AgentSpec) -> tuple[int, ...]:
        """Return the numbers of sessions that the profile file allows, itself among them."""
        most = spec.dialect.sessions_max
        return (*(count for count in self.sessions if count < most), most)


@dataclass(frozen=True, slots=True)
class _House:
    """One agent on one token, and a pool on it."""

    pool: HsmPool
    lines: AgentLines
    ready_seconds: float


@asynccontextmanager
async def _house(spec: AgentSpec, sessions: int, callers: int) -> AsyncIterator[_House]:
    spec = replace(spec, dialect=replace(spec.dialect, sessions_max=sessions))
    began = time.monotonic()
    with AgentSupervisor([spec], pause_seconds_max=1.0) as supervisor:
        await asyncio.to_thread(supervisor.wait_ready, READY_SECONDS_MAX)
        lines = AgentLines(spec.socket_path, 1)
        pool = HsmPool([TokenSpec(spec.name, spec.socket_path)], lines_max=callers)
        try:
            yield _House(pool, lines, time.monotonic() - began)
        finally:
            lines.close()
            await pool.close()


async def measure(spec: AgentSpec, plan: Plan, tell: Callable[[], None]) -> TokenFigures:
    """Return the figures of one token; a profile that fails its self-test has none.

    Raises:
        Unavailable: the PIN is refused, or an agent that was ready is not any more.
    """
    if cause := PinGate(gate_path(spec.socket_path)).cause:
        raise _pin_refused(spec, f"It was {cause}, and is not tried again by itself.")
    spec = plan.beside(spec)
    keys: dict[int, str] = {}
    for profile in spec.dialect.profiles:
        if wrong := await _unfit(spec, profile):
            keys[profile] = wrong
    fit = tuple(number for number in spec.dialect.profiles if number not in keys)
    for _ in range(3 * len(keys)):
        tell()
    if not fit:
        return TokenFigures(spec.name, {}, 0.0, (), keys, (), spec.dialect.sessions_max)
    sound = replace(spec, dialect=replace(spec.dialect, profiles=fit))
    cells = await _spread(sound, plan, tell)
    async with _house(sound, spec.dialect.sessions_max, max(plan.callers)) as house:
        about = await _about(house)
        mechanisms = await _mechanisms(house, spec)
        for profile in map(Profile, fit):
            try:
                async with _key(house, profile) as (kek, kind):
                    keys[profile.value] = kind
                    cells += await _calls(house, profile, kek, spec, plan, tell)
            except HyokError as error:
                keys[profile.value] = f"no key: {error.cause}"
        return TokenFigures(
            name=spec.name,
            about=about,
            ready_seconds=round(house.ready_seconds, 3),
            mechanisms=mechanisms,
            keys=keys,
            cells=tuple(cells),
            sessions_max=spec.dialect.sessions_max,
        )


async def _unfit(spec: AgentSpec, profile: int) -> str:
    """Return what is wrong with a profile; empty where an agent of it alone is ready.

    Raises:
        Unavailable: the PIN is refused: nothing more may be tried with it (code HY-2102).
    """
    alone = replace(spec, dialect=replace(spec.dialect, profiles=(profile,)))
    try:
        async with _house(alone, 1, 1) as house:
            answer = await house.lines.ask(Verb.ABOUT, (), 10.0)
    except Unavailable:
        return "the agent's self-test does not pass; its log says why"
    if answer.outcome is Outcome.PIN_REFUSED:
        raise _pin_refused(spec, "It was tried once and is not tried again.")
    return ""


def _pin_refused(spec: AgentSpec, effect: str) -> Unavailable:
    return Unavailable(
        f"the HSM refused the PIN of token {spec.name}",
        code="HY-2102",
        effect=effect,
        next_step="put the right PIN in its file; hyok hsm reset-pin where a gateway uses it",
    )


async def _spread(spec: AgentSpec, plan: Plan, tell: Callable[[], None]) -> list[Cell]:
    """Return the first profile's opening for all numbers of sessions and callers."""
    cells: list[Cell] = []
    first = Profile(spec.dialect.profiles[0])
    for sessions in plan.fitting(spec):
        house_of = _house(spec, sessions, max(plan.callers))
        async with house_of as house, _key(house, first) as (kek, _):
            for callers in plan.callers:
                work = _opening(house, kek)
                cells.append(await _cell(first, "open", sessions, callers, plan.seconds, work))
                tell()
    return cells


async def _calls(
    house: _House,
    profile: Profile,
    kek: KekSpec,
    spec: AgentSpec,
    plan: Plan,
    tell: Callable[[], None],
) -> list[Cell]:
    """Return each call alone, one after the other: what one of them takes."""

    async def seal() -> None:
        await house.pool.new_token(kek, SCOPE)

    async def check() -> None:
        await house.pool.check(kek)

    cells = []
    works = (
        ("open", _opening(house, kek)),
        ("seal", lambda _: seal()),
        ("check", lambda _: check()),
    )
    for call, work in works:
        cells.append(await _cell(profile, call, spec.dialect.sessions_max, 1, plan.seconds, work))
        tell()
    return cells


def _opening(house: _House, kek: KekSpec) -> Callable[[int], Awaitable[None]]:
    """Return an act that opens one of several tokens and looks whether the secret is right."""
    made: list[tuple[bytes, bytes]] = []

    async def open_one(turn: int) -> None:
        if len(made) < _SECRETS_CHECKED:
            made.append(await house.pool.new_token(kek, SCOPE))
            return
        token, secret = made[turn % len(made)]
        if await house.pool.secret(kek, SCOPE, token) != secret:
            raise Unavailable("the HSM gave another secret the second time", code="HY-2450")

    return open_one


async def _cell(
    profile: Profile,
    call: str,
    sessions: int,
    callers: int,
    seconds: float,
    work: Callable[[int], Awaitable[None]],
) -> Cell:
    """Let so many callers work for so long; an error is a failure and no operation."""
    took: list[float] = []
    failures = 0
    for turn in range(2 * _SECRETS_CHECKED):  # the first calls of all search the key
        await _quietly(work(turn))
    began = time.perf_counter()
    ends = began + seconds

    async def caller(first: int) -> None:
        nonlocal failures
        turn = first
        while (at := time.perf_counter()) < ends:
            if await _quietly(work(turn)):
                took.append(time.perf_counter() - at)
            else:
                failures += 1
            turn += callers

    await asyncio.gather(*(caller(first) for first in range(callers)))
    lasted = time.perf_counter() - began
    took.sort()
    return Cell(
        profile=profile.value,
        call=call,
        sessions=sessions,
        callers=callers,
        operations=len(took),
        seconds=round(lasted, 4),
        p50_ms=round(1000 * percentile(took, 0.5), 3),
        p99_ms=round(1000 * percentile(took, 0.99), 3),
        failures=failures,
    )


async def _quietly(act: Awaitable[None]) -> bool:
    try:
        await act
    except HyokError:
        return False
    return True


@asynccontextmanager
async def _key(house: _House, profile: Profile) -> AsyncIterator[tuple[KekSpec, str]]:
    """Give a key for the measurement, and say of what kind; it is gone afterwards."""
    tail = f"{profile.value}-{secrets.token_hex(4)}"
    name, kind = BENCH_PREFIX + tail, "session"
    try:
        kek = await house.pool.create_kek(name, profile.value)
    except HyokError:
        name, kind = PROVE_PREFIX + tail, "token"  # the module makes no keys of a session
        kek = await house.pool.create_kek(name, profile.value)
    try:
        yield kek, kind
    finally:
        answer = await house.lines.ask(Verb.DISCARD, (name.encode(),), 10.0)
        if answer.outcome is not Outcome.DONE:
            raise Unavailable(
                f"the key {name} was not destroyed",
                code="HY-2451",
                effect="It stands in the token and opens nothing.",
                next_step="destroy the key of this label with the vendor's tools",
            )


async def _about(house: _House) -> dict[str, str]:
    answer = await house.lines.ask(Verb.ABOUT, (), 10.0)
    if answer.outcome is not Outcome.DONE:
        return {}
    told: dict[str, str] = json.loads(answer.fields[0])
    return told


async def _mechanisms(house: _House, spec: AgentSpec) -> tuple[Mechanism, ...]:
    answer = await house.lines.ask(Verb.PROBE, (), 10.0)
    if answer.outcome is not Outcome.DONE:
        return ()
    packed, tested = answer.fields
    offered = set(struct.unpack(f">{len(packed) // 4}I", packed))
    how = dict(part.split(":") for part in tested.decode().split())
    return tuple(
        Mechanism(
            profile.value, use, number, number in offered, how.get(str(profile.value), "failed")
        )
        for profile in map(Profile, spec.dialect.profiles)
        for use, number in mechanisms_of(spec.dialect, profile).items()
    )


async def failover(specs: Sequence[AgentSpec], plan: Plan, tell: Callable[[], None]) -> Failover:
    """Kill our own agent of the first token and measure until the next answer, several times.

    The key is a KEK that stands in each token already; it is asked, and nothing of it changes.
    """
    if len(specs) < 2:
        return Failover(not_measured="the settings name one token")
    named = [plan.beside(spec) for spec in specs]
    with AgentSupervisor(named, pause_seconds_max=1.0) as supervisor:
        await asyncio.to_thread(supervisor.wait_ready, READY_SECONDS_MAX)
        kek = await _shared_kek(named)
        if kek is None:
            return Failover(not_measured="no KEK of profile 1 stands in every token")
        pool = HsmPool([TokenSpec(spec.name, spec.socket_path) for spec in named])
        gaps, backs = [], []
        try:
            for _ in range(plan.failovers):
                gap, back = await _one_failover(supervisor, pool, kek, named[0].name)
                gaps.append(round(1000 * gap, 1))
                backs.append(round(1000 * back, 1))
                tell()
        finally:
            await pool.close()
    return Failover(tuple(gaps), tuple(backs))


async def _shared_kek(specs: Sequence[AgentSpec]) -> KekSpec | None:
    """Return the first KEK that has the same name and check value in all tokens."""
    shared: list[KekSpec] | None = None
    for spec in specs:
        alone = HsmPool([TokenSpec(spec.name, spec.socket_path)])
        try:
            here = await alone.find_keks()
        finally:
            await alone.close()
        shared = list(here) if shared is None else [kek for kek in shared if kek in here]
    return shared[0] if shared else None


async def _one_failover(
    supervisor: AgentSupervisor, pool: HsmPool, kek: KekSpec, first: str
) -> tuple[float, float]:
    """Return seconds to the next answer, and to when the first token answers again."""
    deadline = time.monotonic() + FAILOVER_SECONDS_MAX
    token = secrets.token_bytes(32)
    wanted = await pool.secret(kek, SCOPE, token)
    (pid,) = [state.pid for state in supervisor.states() if state.name == first]
    os.kill(pid, signal.SIGKILL)
    killed = time.perf_counter()
    gap = 0.0
    while not gap:
        if await pool.secret(kek, SCOPE, token) != wanted:
            raise Unavailable("another token answers another secret", code="HY-2450")
        gap = time.perf_counter() - killed
    while True:
        health = {one.token: one for one in await pool.health()}
        if health[first].healthy and _has_new_agent(supervisor, first, pid):
            return gap, time.perf_counter() - killed
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the agent of token {first} does not come back after it was ended",
                code="HY-2452",
                next_step="hyok hsm status; the agent's log says why",
            )
        await pool.secret(kek, SCOPE, token)
        await asyncio.sleep(0.01)


def _has_new_agent(supervisor: AgentSupervisor, name: str, old: int) -> bool:
    return any(state.name == name and state.pid not in {0, old} for state in supervisor.states())
