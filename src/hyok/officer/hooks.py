"""Hooks: telling officers what happened, by a command or a webhook of the installation's own.

A hook never blocks an act and never undoes one: it runs beside it, for a bounded time, and a
failure is a line in the log.  What is told names no object, only ids.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from hyok.officer.config import OfficerSettings

log = structlog.get_logger("hyok.officer")

WAITING_MAX = 64
"""Events on their way.  More are dropped with a line in the log: the list of approvals has them."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.  ``text`` says it to people, by language (nl, en)."""

    event: str  # proposed approved refused withdrawn executed failed break-glass.* alarm
    at_ms: int
    proposal: str = ""
    act: str = ""
    classification: str = ""
    person: str = ""
    recipients: tuple[str, ...] = ()
    text: dict[str, str] = field(default_factory=dict)


class Hooks:
    """Made once in each process."""

    def __init__(self, settings: OfficerSettings) -> None:
        self._settings = settings
        self._running: set[asyncio.Task[None]] = set()

    def tell(self, event: Event) -> None:
        """Set off the hooks for one event; returns at once."""
        settings = self._settings
        body = json.dumps(asdict(event), ensure_ascii=False).encode()
        if settings.hook_command:
            self._start(event, self._command(body))
        if settings.hook_url:
            self._start(event, asyncio.to_thread(self._post, body))

    def _start(self, event: Event, work: object) -> None:
        assert asyncio.iscoroutine(work)
        if len(self._running) >= WAITING_MAX:
            work.close()
            log.warning("officer.hook_failed", told=event.event, cause="too many are waiting")
            return
        task = asyncio.get_running_loop().create_task(self._bounded(event, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _bounded(self, event: Event, work: object) -> None:
        assert asyncio.iscoroutine(work)
        try:
            async with asyncio.timeout(self._settings.hook_seconds_max):
                await work
        except TimeoutError:
            log.warning("officer.hook_failed", told=event.event, cause="took too long")
        except (OSError, ValueError, urllib.error.URLError) as error:
            log.warning("officer.hook_failed", told=event.event, cause=str(error))

    async def _command(self, body: bytes) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._settings.hook_command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await process.communicate(body)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise ValueError(f"the command ended with {process.returncode}")

    def _post(self, body: bytes) -> None:
        request = urllib.request.Request(  # noqa: S310 - the settings take https, or loopback
            self._settings.hook_url, data=body, headers={"Content-Type": "application/json"}
        )
        seconds = self._settings.hook_seconds_max
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 - as above
            answer.read(1)

    async def close(self) -> None:
        """Wait for what is on its way; bounded, since each hook is."""
        if self._running:
            await asyncio.wait(self._running)
