"""`hyok doctor`: is everything we need there and sane?  Ordered checks, and what to do."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING

from hyok.cli.diagnosis import door, doors, ekm, host, kacls, kubernetes, payloads, transit
from hyok.cli.diagnosis.check import Check, Checklist
from hyok.cli.diagnosis.services import ask_all
from hyok.cli.options import ConfigOption, JsonOption, load
from hyok.cli.screen import mark, say, show
from hyok.cli.session import is_running, services, with_core
from hyok.doors.listener import ListenerSettings
from hyok.errors import HyokError
from hyok.telemetry.logs import keep_off_standard_output
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from hyok.settings import Settings


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(doctor)


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check settings, policies, HSM, keys, stores, backup, audit log and door, in this order.

    Exit code 1 when a check says FAIL.  A warning is for you to judge.
    """
    checks = look_at_everything(config)
    if as_json:
        show([check.as_row() for check in checks.found], as_json=True, empty="")
    else:
        for check, following in zip_longest(checks.found, checks.found[1:]):
            _tell(check, told_below=following is not None and following.means == check.means)
    if checks.failed:
        sys.exit(1)


def look_at_everything(config: Path | None) -> Checklist:
    """Return what every check found, in order."""
    keep_off_standard_output()
    checks = Checklist()
    _examine(config, checks)
    return checks


def _tell(check: Check, *, told_below: bool) -> None:
    mark(check.word, f"{check.name}: {check.said}")
    if check.word == "ok" or told_below:
        return
    if check.means:
        say(f"      Means: {check.means}")
    if check.next_step:
        say(f"      Next: {check.next_step}")


def _examine(config: Path | None, checks: Checklist) -> None:
    try:
        settings, path = load(config)
    except HyokError as error:
        checks.found.append(
            Check("settings", "FAIL", error.cause, "nothing starts", error.next_step)
        )
        return
    checks.found.append(Check("settings", "ok", f"{path}, mode {settings.installation.mode}"))
    checks.look("secret files", lambda: host.secret_files(settings))
    checks.look("policies", lambda: host.policies(settings))
    checks.look("hsm profile", lambda: host.hsm_profile(settings))
    checks.look("certificate", lambda: host.certificate(settings, clock_ms()))
    checks.look("door xks certificate", lambda: doors.certificate(settings, clock_ms()))
    checks.look("door dke certificate", lambda: doors.dke_certificate(settings, clock_ms()))
    checks.look("door transit certificate", lambda: transit.certificate(settings, clock_ms()))
    checks.look("door kubernetes folder", lambda: kubernetes.folder(settings))
    checks.look("door ekm certificate", lambda: ekm.certificate(settings, clock_ms()))
    checks.look("door kacls certificate", lambda: kacls.certificate(settings, clock_ms()))
    checks.look("door payloads certificate", lambda: payloads.certificate(settings, clock_ms()))
    checks.look("disk", lambda: host.disks(settings))
    checks.look("clock", lambda: door.clock(settings))
    unfit = [c.name for c in checks.found if c.word == "FAIL" and c.name in NEEDED]
    if unfit:
        said = f"HSM, keys, stores and door were not asked, because of: {', '.join(unfit)}"
        checks.found.append(Check("services", "FAIL", said, "", "mend that first, and look again"))
        return
    _ask(settings, path, checks)


NEEDED = frozenset({"policies", "hsm profile"})
"""Without these nothing can be asked."""


def _ask(settings: Settings, path: Path, checks: Checklist) -> None:
    """Ask what runs, or what is started for this."""
    running = is_running(settings)
    try:
        with services(settings, path):
            asyncio.run(with_core(settings, lambda core: ask_all(core, checks, clock_ms())))
    except HyokError as error:
        checks.found.append(Check("services", "FAIL", error.cause, error.effect, error.next_step))
    if running:
        checks.look("door", lambda: door.door(settings))
        for name, one in settings.doors.each.items():
            if one.enabled and isinstance(one, ListenerSettings):
                checks.look(f"door {name} port", partial(doors.listening, settings, name))
        if settings.doors.kubernetes.enabled:
            checks.look("door kubernetes port", lambda: kubernetes.listening(settings))
    else:
        checks.found.append(
            Check(
                "door",
                "warn",
                "no gateway runs on this host",
                "applications get no answer here",
                "hyok serve gateway, or systemctl start hyok-gateway",
            )
        )
