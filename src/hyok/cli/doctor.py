"""`hyok doctor`: is everything we need there and sane?  Ordered checks, and what to do."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from hyok.cli.options import ConfigOption, JsonOption, load
from hyok.cli.screen import mark, say, show
from hyok.cli.session import is_running, services
from hyok.connections import agent_specs
from hyok.errors import HyokError
from hyok.wiring import build_engine, clock_ms, load_classifications, open_core

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import typer

    from hyok.settings import Settings
    from hyok.wiring import Core

CERTIFICATE_DAYS_WARN = 30
CLOCK_YEAR_MIN = 2026
DISK_FREE_BYTES_WARN = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One line.  ``word``: ok, warn or FAIL."""

    name: str
    word: str
    said: str
    next_step: str = ""


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(doctor)


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check settings, policies, HSM, keys, database, audit log, stores and door, in this order."""
    checks: list[Check] = []
    settings = _settings(config, checks)
    if settings is not None:
        found, path = settings
        _static(found, checks)
        if not any(check.word == "FAIL" for check in checks):
            _live(found, path, checks)
    if as_json:
        rows = [
            {"check": c.name, "result": c.word, "said": c.said, "next": c.next_step} for c in checks
        ]
        show(rows, as_json=True, empty="")
    else:
        for check in checks:
            mark(check.word, f"{check.name}: {check.said}")
            if check.next_step and check.word != "ok":
                say(f"      Next: {check.next_step}")
    if any(check.word == "FAIL" for check in checks):
        sys.exit(1)


def _settings(config: Path | None, checks: list[Check]) -> tuple[Settings, Path] | None:
    try:
        settings, path = load(config)
    except HyokError as error:
        checks.append(Check("settings", "FAIL", error.cause, error.next_step))
        return None
    checks.append(Check("settings", "ok", f"{path}, mode {settings.installation.mode}"))
    return settings, path


def _try(checks: list[Check], name: str, act: Callable[[], Check]) -> None:
    try:
        checks.append(act())
    except HyokError as error:
        checks.append(Check(name, "FAIL", error.cause, error.next_step))
    except OSError as error:
        checks.append(Check(name, "FAIL", f"{error.filename}: {error.strerror}"))


def _static(settings: Settings, checks: list[Check]) -> None:
    """What can be judged without asking anybody."""
    _try(checks, "policies", lambda: _policies(settings))
    _try(checks, "hsm profile", lambda: _profile(settings))
    _try(checks, "certificate", lambda: _certificate(settings))
    _try(checks, "disk", lambda: _disk(settings))
    if time.gmtime().tm_year < CLOCK_YEAR_MIN:
        checks.append(Check("clock", "FAIL", "the clock is wrong", "set the time; use NTP"))


def _policies(settings: Settings) -> Check:
    classes = load_classifications(settings.policies.directory)
    build_engine(settings.policies.directory, classes)
    open_demands = classes.not_enforced()
    said = f"{len(classes.names())} classifications, rules fit the schema"
    if open_demands:
        return Check(
            "policies", "warn", f"{said}; demanded and not enforced yet: {'; '.join(open_demands)}"
        )
    return Check("policies", "ok", said)


def _profile(settings: Settings) -> Check:
    specs = agent_specs(settings)
    if not specs:
        return Check("hsm profile", "warn", "software keys: nothing is protected by an HSM")
    word = "warn" if settings.hsm.profile == "softhsm" else "ok"
    return Check(
        "hsm profile",
        word,
        f"{settings.hsm.profile}, {len(specs)} token(s), module {specs[0].module}"
        + (" (a software token: for development and tests)" if word == "warn" else ""),
    )


def _certificate(settings: Settings) -> Check:
    path = settings.gateway.tls_certificate
    if path is None:
        return Check("certificate", "warn", "none: the door speaks plain http on loopback")
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    days = int((certificate.not_valid_after_utc.timestamp() - time.time()) / 86_400)
    word = "FAIL" if days < 0 else "warn" if days < CERTIFICATE_DAYS_WARN else "ok"
    return Check("certificate", word, f"{path}, {days} days left", "renew it, then restart")


def _disk(settings: Settings) -> Check:
    folder = settings.audit.file.parent
    while not folder.exists():
        folder = folder.parent
    free = os.statvfs(folder)
    left = free.f_bavail * free.f_frsize
    word = "warn" if left < DISK_FREE_BYTES_WARN else "ok"
    return Check("disk", word, f"{left >> 20} MiB free for log and database", "make room")


def _live(settings: Settings, path: Path, checks: list[Check]) -> None:
    """What has to be asked: HSM, database, stores, door."""
    running = is_running(settings)
    try:
        with services(settings, path):
            asyncio.run(_ask(settings, checks))
    except HyokError as error:
        checks.append(Check("services", "FAIL", error.cause, error.next_step))
    if running:
        checks.append(_door(settings))
    else:
        checks.append(Check("door", "warn", "no gateway runs on this host", "hyok serve gateway"))


async def _ask(settings: Settings, checks: list[Check]) -> None:
    core = open_core(settings)
    try:
        await _hsm(core, checks)
        await _stores(core, checks)
        checks.append(await _shreddable(core))
    finally:
        await core.close()


async def _hsm(core: Core, checks: list[Check]) -> None:
    keks = await core.keks.all()
    if not keks:
        checks.append(Check("keys", "FAIL", "there are none", "hyok keys create"))
        return
    bad = []
    for kek in keks:
        try:
            await core.hsm.check(kek.spec)
        except HyokError as error:
            bad.append(f"{kek.kek_id}: {error.cause}")
    if bad:
        checks.append(Check("keys", "FAIL", "; ".join(bad), "hyok hsm status"))
    else:
        checks.append(Check("keys", "ok", f"{len(keks)} keys answer their check values"))


async def _stores(core: Core, checks: list[Check]) -> None:
    buckets = await core.registry.all()
    for bucket in buckets:
        try:
            there = await core.places.store(bucket).has_bucket(bucket.backend_name)
        except HyokError as error:
            checks.append(Check("stores", "FAIL", f"{bucket.store}: {error.cause}"))
            return
        if not there:
            checks.append(
                Check(
                    "stores",
                    "FAIL",
                    f"bucket {bucket.bucket_id} is missing in store {bucket.store}",
                    "make it there, or restore it",
                )
            )
            return
    checks.append(Check("stores", "ok", f"{len(buckets)} buckets are where they should be"))


async def _shreddable(core: Core) -> Check:
    """A shreddable record has its only copy in the database."""
    rules = [core.classifications.get(name) for name in core.classifications.names()]
    names = [rule.classification for rule in rules if rule.keys.shreddable and not rule.denied]
    keep = core.settings.database.url.removeprefix("sqlite:///") + ".backup-made"
    try:
        with open(keep, encoding="utf-8") as made:  # noqa: PTH123, ASYNC230 - one short line
            age_days = (clock_ms() - int(made.read())) / 86_400_000
    except (OSError, ValueError):
        word = "warn" if core.settings.installation.mode == "development" else "FAIL"
        return Check(
            "backup",
            word,
            f"the database was never backed up, and holds the only keys of {', '.join(names)}",
            "hyok backup FILE",
        )
    word = "ok" if age_days < 2 else "FAIL"
    return Check("backup", word, f"the last one is {age_days:.1f} days old", "hyok backup FILE")


def _door(settings: Settings) -> Check:
    host, port = settings.gateway.host, settings.gateway.port
    try:
        with socket.create_connection((host, port), timeout=3):
            return Check("door", "ok", f"{host}:{port} takes connections")
    except OSError as error:
        return Check("door", "FAIL", f"{host}:{port}: {error.strerror}", "see the gateway's log")
