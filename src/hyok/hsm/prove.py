"""Proofs: what `hyok hsm prove` runs on a module before a profile file is believed.

An agent of its own is started on the token, so production agents on the same host go on.  The keys
it makes have names under ``hyok-prove/`` and are destroyed at the end.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import struct
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hyok.envelope.profiles import Profile
from hyok.errors import HyokError, Tampered
from hyok.hsm.line import AgentLines, LineBroken, LinesBusy, LineSlow, LineUnreachable
from hyok.hsm.pool import HsmPool, TokenSpec
from hyok.hsm.supervise import AgentSpec, AgentSupervisor
from hyok.hsm.wire import PROVE_PREFIX, Outcome, Verb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hyok.hsm.dialect import Dialect
    from hyok.hsm.port import KekSpec

SCOPE = "bucket:prove"
READY_SECONDS_MAX = 60.0
_HAMMERED_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Finding:
    """One proof: ``figure`` is its number, if it has one, with ``unit``."""

    name: str
    ok: bool
    detail: str = ""
    figure: float = 0.0
    unit: str = ""


def _held(name: str, took_ms: float) -> Finding:
    return Finding(name, ok=True, figure=took_ms, unit="ms")


def _failed(name: str, detail: str) -> Finding:
    return Finding(name, ok=False, detail=detail)


@dataclass(frozen=True, slots=True)
class _Bench:
    spec: AgentSpec
    supervisor: AgentSupervisor
    pool: HsmPool
    lines: AgentLines


async def prove(spec: AgentSpec, *, callers: int = 8, operations: int = 2000) -> list[Finding]:
    """Return what the token of ``spec`` showed, for each profile of its dialect.

    Args:
        spec: the token; its socket path gets a suffix of its own.
        callers: how many call at the same time in the hammer.
        operations: how many calls the hammer makes in all; every answer is compared.
    """
    spec = replace(spec, socket_path=f"{spec.socket_path}.prove")
    findings: list[Finding] = []
    began = time.monotonic()
    try:
        async with _bench(spec, callers) as bench:
            took_ms = 1000 * (time.monotonic() - began)
            findings.append(_held("agent ready, logged in", took_ms))
            findings += await _offered(bench)
            for profile in map(Profile, spec.dialect.profiles):
                findings += await _profile(bench, profile, callers, operations)
    except HyokError as error:
        findings.append(_failed("agent ready, logged in", error.explain()))
    return findings


@asynccontextmanager
async def _bench(spec: AgentSpec, callers: int) -> AsyncIterator[_Bench]:
    with AgentSupervisor([spec], pause_seconds_max=1.0) as supervisor:
        await asyncio.to_thread(supervisor.wait_ready, READY_SECONDS_MAX)
        pool = HsmPool([TokenSpec(spec.name, spec.socket_path)], lines_max=callers)
        lines = AgentLines(spec.socket_path, 1)
        try:
            yield _Bench(spec, supervisor, pool, lines)
        finally:
            lines.close()
            await pool.close()


def mechanisms_of(dialect: Dialect, profile: Profile) -> dict[str, int]:
    """Return the mechanisms that a profile needs, by what they are for."""
    match profile:
        case Profile.HMAC_SHA256:
            return {"generate": dialect.hmac_generation, "HMAC": dialect.hmac_mechanism}
        case Profile.AES_GCM:
            return {"generate": dialect.aes_generation, "AES-GCM": dialect.gcm_mechanism}
        case Profile.AES_KWP:
            return {"generate": dialect.aes_generation, "RFC 5649": dialect.kwp_mechanism}
        case Profile.RSA_OAEP_SHA256:
            return {"generate": dialect.rsa_generation, "RSA-OAEP": dialect.oaep_mechanism}


async def _offered(bench: _Bench) -> list[Finding]:
    try:
        answer = await bench.lines.ask(Verb.PROBE, (), bench.spec.deadline_seconds)
    except (LineBroken, LinesBusy, LineSlow, LineUnreachable) as error:
        return [_failed("mechanisms", str(error))]
    if answer.outcome is not Outcome.DONE:
        return [_failed("mechanisms", answer.fields[0].decode("utf-8", "replace"))]
    packed, tested = answer.fields
    offered = set(struct.unpack(f">{len(packed) // 4}I", packed))
    how = dict(part.split(":") for part in tested.decode().split())
    findings = []
    for profile in map(Profile, bench.spec.dialect.profiles):
        for use, number in mechanisms_of(bench.spec.dialect, profile).items():
            name = f"profile {profile.value}: mechanism for {use}"
            findings.append(Finding(name, number in offered, f"0x{number:08X}"))
        shown = how.get(str(profile.value), "not run")
        detail = (
            "official vector under an imported session key"
            if shown == "known-answer"
            else "no known key was brought in; check values stand in for it"
        )
        findings.append(Finding(f"profile {profile.value}: {shown}", shown != "not run", detail))
    return findings


async def _profile(bench: _Bench, profile: Profile, callers: int, operations: int) -> list[Finding]:
    number = profile.value
    name = f"{PROVE_PREFIX}{number}-{secrets.token_hex(4)}"
    findings: list[Finding] = []
    try:
        began = time.monotonic()
        kek = await bench.pool.create_kek(name, number)
        took_ms = 1000 * (time.monotonic() - began)
        findings.append(_held(f"profile {number}: KEK made, guarded", took_ms))
        for title, proof in (
            ("check value", _check_value),
            ("round trip", _round_trip),
            ("another check value is refused", _other_check_value),
            ("a flipped bit does not open", _flipped),
            ("a new process answers the same", _reconnect),
        ):
            findings.append(await _tried(f"profile {number}: {title}", proof, bench, kek))
        if profile is Profile.RSA_OAEP_SHA256:
            operations = max(callers, operations // 20)  # some 30 times as slow
        findings.append(await _hammer(bench, kek, callers, operations))
    except HyokError as error:
        findings.append(_failed(f"profile {number}: usable", error.explain()))
    finally:
        findings.append(await _discard(bench, name))
    return findings


async def _tried(
    title: str,
    proof: Callable[[_Bench, KekSpec], Awaitable[str]],
    bench: _Bench,
    kek: KekSpec,
) -> Finding:
    try:
        wrong = await proof(bench, kek)
    except HyokError as error:
        wrong = error.explain()
    return Finding(title, not wrong, wrong)


async def _check_value(bench: _Bench, kek: KekSpec) -> str:
    await bench.pool.check(kek)
    return ""


async def _round_trip(bench: _Bench, kek: KekSpec) -> str:
    token, secret = await bench.pool.new_token(kek, SCOPE)
    again = await bench.pool.secret(kek, SCOPE, token)
    return "" if again == secret else "the secret was another the second time"


async def _other_check_value(bench: _Bench, kek: KekSpec) -> str:
    other = bytes(byte ^ 1 for byte in kek.check_value)
    try:
        await bench.pool.check(replace(kek, check_value=other))
    except Tampered:
        return ""
    return "a wrong check value was taken for right"


async def _flipped(bench: _Bench, kek: KekSpec) -> str:
    token, secret = await bench.pool.new_token(kek, SCOPE)
    bad = token[:-1] + bytes([token[-1] ^ 1])
    try:
        other = await bench.pool.secret(kek, SCOPE, bad)
    except Tampered:
        return ""
    if kek.profile == Profile.HMAC_SHA256 and other != secret:
        return ""  # an HMAC answers any token, with another secret
    return "a token with a flipped bit opened"


async def _reconnect(bench: _Bench, kek: KekSpec) -> str:
    token, secret = await bench.pool.new_token(kek, SCOPE)
    (state,) = bench.supervisor.states()
    os.kill(state.pid, signal.SIGKILL)
    again = await bench.pool.secret(kek, SCOPE, token)
    return "" if again == secret else "the secret was another after a restart"


async def _hammer(bench: _Bench, kek: KekSpec, callers: int, operations: int) -> Finding:
    made = [await bench.pool.new_token(kek, f"{SCOPE}/{i}") for i in range(_HAMMERED_TOKENS)]
    wrong = 0

    async def caller(first: int) -> None:
        nonlocal wrong
        for step in range(operations // callers):
            at = (first * 7 + step) % len(made)
            token, secret = made[at]
            wrong += await bench.pool.secret(kek, f"{SCOPE}/{at}", token) != secret

    began = time.monotonic()
    await asyncio.gather(*(caller(first) for first in range(callers)))
    rate = operations / (time.monotonic() - began)
    (health,) = await bench.pool.health()
    detail = f"{callers} callers, {wrong} wrong answers, p99 {health.p99_ms:.1f} ms"
    return Finding(f"profile {kek.profile}: hammer", wrong == 0, detail, rate, "operations/s")


async def _discard(bench: _Bench, name: str) -> Finding:
    title = f"{name} destroyed"
    try:
        answer = await bench.lines.ask(Verb.DISCARD, (name.encode(),), bench.spec.deadline_seconds)
    except (LineBroken, LinesBusy, LineSlow, LineUnreachable) as error:
        return _failed(title, f"{error}; destroy the key of this label by hand")
    done = answer.outcome is Outcome.DONE
    return Finding(title, done, "" if done else "destroy the key of this label by hand")
