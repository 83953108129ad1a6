"""`hyok work`: a worker that shares the jobs of an installation with others, on PostgreSQL."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.bulk_work import build_runner
from hyok.cli.options import ConfigOption  # noqa: TC001 - typer reads it
from hyok.cli.screen import mark
from hyok.cli.session import operator_ask, run
from hyok.jobs.runner import PARALLEL
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from hyok.wiring import Core


def register(root: typer.Typer) -> None:
    """Add `hyok work`."""
    root.command()(work)


def work(
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=64, help="Shards at the same time.")
    ] = PARALLEL,
    once: Annotated[
        bool, typer.Option("--once", help="End when no job is open; else wait for the next one.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Work at the shards of every open job, beside other workers, until it is stopped.

    Needs PostgreSQL. A worker that dies loses nothing: another goes on with its shards after some
    seconds. Jobs are begun, paused and watched with `hyok jobs`.
    """
    # Half a second of imports that no other command needs.
    from hyok.jobs.queue import ShardQueue  # noqa: PLC0415

    async def act(core: Core) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        runner = build_runner(core, operator_ask("job:run", "").principal.id)
        queue = ShardQueue(core.settings.database.url, core.database, runner, clock_ms)
        await queue.work(stop, parallel=parallel, once=once)

    run(config, act)
    mark("ok", "no job is open" if once else "stopped")
