"""Running one command against an installation: settings found, services at hand, all closed."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import secrets
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hyok import settings as settings_file
from hyok.cli.supervisor import Supervisor, forbid_core_dumps
from hyok.errors import Malformed
from hyok.hsm.supervise import is_answering
from hyok.vocabulary import Ask, Principal
from hyok.wiring import agent_socket, clock_ms, journal_socket, open_core

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from hyok.settings import Settings
    from hyok.vocabulary import Bucket
    from hyok.wiring import Core

DEV_CONFIG = Path(".hyok/hyok.toml")
SYSTEM_CONFIG = Path("/etc/hyok/hyok.toml")

T = TypeVar("T")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file; else $HYOK_CONFIG, ./.hyok or /etc/hyok."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def find_config(config: Path | None) -> Path:
    """Return the settings file: the one given, the environment's, a development one, the system's.

    Raises:
        Malformed: there is none (code HY-1002).
    """
    named = config or (Path(os.environ["HYOK_CONFIG"]) if "HYOK_CONFIG" in os.environ else None)
    if named is not None:
        return named
    for candidate in (DEV_CONFIG, SYSTEM_CONFIG):
        if candidate.exists():
            return candidate.resolve()
    raise Malformed(
        "no settings file was found",
        code="HY-1002",
        next_step="start with `hyok dev`, or name one with --config",
    )


def load(config: Path | None) -> tuple[Settings, Path]:
    """Return the settings and where they stand."""
    path = find_config(config)
    return settings_file.load(path), path


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
    """Does a gateway of this installation run on this host?"""
    if not journal_socket(settings).exists() or not is_answering_socket(journal_socket(settings)):
        return False
    return all(
        is_answering(str(agent_socket(settings, token.name)), 1.0) for token in settings.hsm.tokens
    )


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
    settings, path = load(config)
    with services(settings, path):
        return asyncio.run(_run(settings, act))


async def _run(settings: Settings, act: Callable[[Core], Awaitable[T]]) -> T:
    core = open_core(settings)
    try:
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


def moment(at_ms: int) -> str:
    """Return a time for people, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ms / 1000))
