"""Running one command against an installation: settings found, services at hand, all closed."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import secrets
import socket
from typing import TYPE_CHECKING, TypeVar

from hyok.cli.options import load
from hyok.cli.supervisor import Supervisor, forbid_core_dumps
from hyok.errors import HyokError
from hyok.sockets import journal_socket
from hyok.telemetry.logs import keep_off_standard_output
from hyok.vocabulary import Ask, Principal
from hyok.wiring import clock_ms, open_core

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from hyok.settings import Settings
    from hyok.vocabulary import Bucket
    from hyok.wiring import Core

T = TypeVar("T")


@contextlib.contextmanager
def services(settings: Settings, path: Path) -> Iterator[None]:
    """Have agents and audit writer at hand: the running gateway's, else ones for this command."""
    if is_running(settings):
        yield
        return
    supervisor = Supervisor(settings, path)
    supervisor.start_services()
    try:
        yield
    finally:
        supervisor.close()


def is_running(settings: Settings) -> bool:
    """Does a gateway of this installation run on this host?

    Its audit writer says so.  An agent may be away with its token, and starting a second writer
    then would cut the gateway off from its log.
    """
    return is_answering_socket(journal_socket(settings))


def is_answering_socket(path: Path) -> bool:
    """Does a process listen there?"""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def run(config: Path | None, act: Callable[[Core], Awaitable[T]]) -> T:
    """Run ``act`` with the installation's services."""
    forbid_core_dumps()
    keep_off_standard_output()
    settings, path = load(config)
    with services(settings, path):
        return asyncio.run(with_core(settings, act))


async def with_core(settings: Settings, act: Callable[[Core], Awaitable[T]]) -> T:
    """Run ``act`` with a core that decides by the policy in force, where it can be taken."""
    core = open_core(settings)
    try:
        with contextlib.suppress(HyokError):  # a decision asks again, and says what is wrong
            await core.policy.look()
        return await act(core)
    finally:
        await core.close()


def operator_ask(action: str, tenant: str, bucket: Bucket | None = None, key: str = "") -> Ask:
    """Return the question of the person at the keyboard of this host.

    Officers with approvals come with the officer API; until then whoever may read the settings and
    the PIN acts here, and the audit log has the name of the account.
    """
    return Ask(
        principal=Principal(
            id=f"operator:{getpass.getuser()}", tenant=tenant, kind="officer", clearance=100
        ),
        action=action,
        bucket=bucket,
        key=key,
        request_id=secrets.token_hex(8).upper(),
        origin="local",
        at_ms=clock_ms(),
    )
