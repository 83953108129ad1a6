"""How fast a KEK is rotated over many keyring records, beside the HSM's own speed in the same run.

Takes the settings of an installation that nobody serves, such as that of a stopped `hyok dev`.  It
adds records under scopes that no object has; use a home that you throw away.

Run: python benchmarks/bench_rotation.py --config HOME/hyok.toml [--records 10000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert

from hyok.cli.options import load
from hyok.cli.session import services
from hyok.database.tables import keyring
from hyok.envelope.profiles import Profile
from hyok.envelope.records import seal_record
from hyok.telemetry.logs import configure
from hyok.wiring import open_core

if TYPE_CHECKING:
    from hyok.wiring import Core

TENANT, CLASSIFICATION = "gemeente", "vertrouwelijk"
PARALLEL = 8
RAW_SECONDS = 3.0
ROWS = 1000
SAMPLE = 200


async def add(core: Core, count: int) -> list[tuple[bytes, str]]:
    """Make that many records, of scopes that are nobody's; return id and scope of some.

    As custody makes them, one HSM call each; but a thousand rows in a transaction.
    """
    kek = await core.keks.active(TENANT, CLASSIFICATION)
    gate = asyncio.Semaphore(PARALLEL)
    sample: list[tuple[bytes, str]] = []

    async def one() -> dict[str, object]:
        scope, ik_id = f"subject:{secrets.token_hex(16)}", secrets.token_bytes(16)
        async with gate:
            token, secret = await core.hsm.new_token(kek.spec, scope)
        raw = seal_record(
            ik=secrets.token_bytes(32),
            ik_id=ik_id,
            salt=secrets.token_bytes(32),
            secret=secret,
            profile=Profile(kek.spec.profile),
            kek_id=kek.kek_id,
            scope=scope,
            token=token,
        )
        return {
            "ik_id": ik_id,
            "tenant": TENANT,
            "classification": CLASSIFICATION,
            "scope": scope,
            "kek_id": kek.kek_id,
            "record": raw,
            "created_ms": kek.created_ms,
            "writes": 0,
            "current": True,
        }

    began = time.monotonic()
    for begin in range(0, count, ROWS):
        rows = await asyncio.gather(*(one() for _ in range(min(ROWS, count - begin))))
        await core.database.run(lambda c, rows=rows: c.execute(insert(keyring), rows))
        if begin * SAMPLE // count != (begin + ROWS) * SAMPLE // count:
            sample.append((rows[0]["ik_id"], rows[0]["scope"]))
    print(f"{count:,} records made in {time.monotonic() - began:,.0f} s", flush=True)
    return sample


async def raw_calls(core: Core) -> float:
    """Return secrets a second that the HSM gives to as many callers as a rotation has."""
    kek = await core.keks.active(TENANT, CLASSIFICATION)
    until = time.monotonic() + RAW_SECONDS
    counts = [0] * PARALLEL

    async def caller(turn: int) -> None:
        while time.monotonic() < until:
            await core.hsm.secret(kek.spec, "subject:0", secrets.token_bytes(32))
            counts[turn] += 1

    await asyncio.gather(*(caller(turn) for turn in range(PARALLEL)))
    return sum(counts) / RAW_SECONDS


async def run(core: Core, records: int, rounds: int) -> dict[str, object]:
    sample = await add(core, records)
    figures = []
    for _ in range(rounds):
        raw = await raw_calls(core)
        kek, _ = await core.rotation.next_version(TENANT, CLASSIFICATION)
        began = time.monotonic()
        done = await core.rotation.move(kek, [])
        seconds = time.monotonic() - began
        assert done.whole, done.failures
        figures.append((done.records, done.hsm_calls, seconds, raw))
        print(
            f"{done.records:,} records, {done.hsm_calls:,} HSM calls, {seconds:.1f} s, "
            f"{done.hsm_calls / seconds:,.0f} calls/s; the HSM alone {raw:,.0f}/s",
            flush=True,
        )
    core.keyring.forget()
    for ik_id, scope in sample:
        await core.keyring.recover(ik_id, TENANT, scope, None, lambda _kek: 0)
    return {
        "records": figures[-1][0],
        "hsm_calls": figures[-1][1],
        "seconds": round(statistics.median(row[2] for row in figures), 2),
        "share_of_hsm": round(statistics.median(row[1] / row[2] / row[3] for row in figures), 2),
        "read_again": len(sample),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    configure("warning")
    settings, path = load(wanted.config)

    async def measure() -> dict[str, object]:
        core = open_core(settings)
        try:
            return await run(core, wanted.records, wanted.rounds)
        finally:
            await core.close()

    with services(settings, path):
        print(json.dumps(asyncio.run(measure())))


if __name__ == "__main__":
    main()
