"""What can be judged on this host without asking anybody: files, policies, certificate, disk."""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from typing import TYPE_CHECKING

from cryptography import x509

from hyok.cli.diagnosis.check import Check
from hyok.database.copy import file_of
from hyok.errors import Refused
from hyok.policy.bundle import failing, load
from hyok.sockets import agent_specs
from hyok.wiring import policy_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hyok.cli.diagnosis.check import Word
    from hyok.settings import Settings

CERTIFICATE_DAYS_WARN = 30
DISK_FREE_BYTES_WARN = 1 << 30
DISK_FREE_BYTES_FAIL = 64 << 20
DAY_SECONDS = 86_400


def secret_files(settings: Settings) -> Check:
    """Who may read PINs, private keys and credentials?"""
    wide, open_to_group, count = [], [], 0
    for path in _secrets(settings):
        mode = path.stat().st_mode
        count += 1
        if mode & stat.S_IRWXO:
            wide.append(str(path))
        elif mode & stat.S_IRWXG:
            open_to_group.append(str(path))
    mend = "chmod 600 " + " ".join(wide + open_to_group)
    if wide:
        means = "every account on this host can read what unlocks your keys"
        return Check("secret files", "FAIL", f"readable by all: {', '.join(wide)}", means, mend)
    if open_to_group:
        means = "fine only where the group is that of the service alone"
        said = f"readable by a group: {', '.join(open_to_group)}"
        return Check("secret files", "warn", said, means, mend)
    return Check("secret files", "ok", f"{count} files, for their owner only")


def _secrets(settings: Settings) -> Iterator[Path]:
    yield from (token.pin_file for token in settings.hsm.tokens)
    if settings.gateway.tls_key is not None:
        yield settings.gateway.tls_key
    for store in settings.stores:
        if store.kind == "s3" and store.credentials_file is not None:
            yield store.credentials_file
    for export in settings.audit.exports:
        yield from filter(None, (export.client_key, export.authorization_file))
    software = settings.hsm.software_file
    if settings.hsm.kind == "software" and software is not None and software.exists():
        yield software


def policies(settings: Settings) -> Sequence[Check]:
    """Do classifications and rules stand, and is what they demand enforced?"""
    policy = load(policy_files(settings.policies.directory))
    classes = policy.classifications
    if wrong := failing(policy):
        means = "the policy does not decide as its own cases demand"
        return [Check("policies", "FAIL", wrong[0], means, "hyok policy test FOLDER")]
    said = f"{len(classes.names())} classifications, rules fit the schema"
    found = [Check("policies", "ok", said)]
    demands: dict[str, list[str]] = {}
    for line in classes.not_enforced():
        name, _, demand = line.partition(": ")
        demands.setdefault(name, []).append(demand)
    found += [
        Check(
            "not enforced",
            "warn",
            f"{name}: {'; '.join(each)}",
            "the classification demands it and this version does not see to it",
            "see to it by other means, or take it out of the classification",
        )
        for name, each in demands.items()
    ]
    return found


def hsm_profile(settings: Settings) -> Check:
    """Which HSM, and can its module be loaded?"""
    specs = agent_specs(settings)
    if not specs:
        return Check(
            "hsm profile",
            "warn",
            "software keys",
            "nothing is protected by an HSM: for a look only",
            "hyok init, with an HSM",
        )
    said = f"{settings.hsm.profile}, {len(specs)} token(s), module {specs[0].module}"
    if settings.hsm.profile == "softhsm":
        means = "its keys are files of this host: for development and tests"
        return Check("hsm profile", "warn", f"{said}, a software token", means, "use a real HSM")
    return Check("hsm profile", "ok", said)


def certificate(settings: Settings, now_ms: int) -> Check:
    """Is the door's certificate valid, and does the key belong to it?"""
    gateway = settings.gateway
    return judge_certificate("certificate", gateway.tls_certificate, gateway.tls_key, now_ms)


def judge_certificate(name: str, path: Path | None, key: Path | None, now_ms: int) -> Check:
    """Is a door's certificate valid, and does the key belong to it?"""
    if path is None or key is None:
        means = "whoever is on this host can read what applications send"
        return Check(name, "warn", "none: plain http on loopback", means)
    try:
        leaf = x509.load_pem_x509_certificate(path.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, key)
    except (ValueError, ssl.SSLError) as error:
        return Check(
            name,
            "FAIL",
            f"{path} and {key} do not go together: {getattr(error, 'reason', None) or error}",
            "the door does not open",
            "put certificate and key of one order there",
        )
    now = now_ms / 1000
    days = int((leaf.not_valid_after_utc.timestamp() - now) / DAY_SECONDS)
    if leaf.not_valid_before_utc.timestamp() > now:
        said = f"{path} is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only"
        return Check(name, "FAIL", said, "clients refuse it", "look at the clock")
    if days < CERTIFICATE_DAYS_WARN:
        return Check(
            name,
            "FAIL" if leaf.not_valid_after_utc.timestamp() < now else "warn",
            f"{path}, {days} days left",
            "clients refuse it from then on",
            "renew it, then restart the gateway",
        )
    return Check(name, "ok", f"{path}, {days} days left")


def disks(settings: Settings) -> Sequence[Check]:
    """Is there room where we write?"""
    places = {"audit log": settings.audit.file.parent}
    with contextlib.suppress(Refused):  # PostgreSQL: another server's disk
        places["database"] = file_of(settings.database.url).parent
    places |= {f"store {one.name}": one.path for one in settings.stores if one.kind == "files"}
    names: dict[int, list[str]] = {}
    free: dict[int, int] = {}
    for name, wanted in places.items():
        folder = wanted
        while not folder.exists():
            folder = folder.parent
        device = folder.stat().st_dev
        room = os.statvfs(folder)
        names.setdefault(device, []).append(name)
        free[device] = room.f_bavail * room.f_frsize
    return [_disk(", ".join(names[device]), free[device]) for device in names]


def _disk(names: str, left: int) -> Check:
    said = f"{left >> 20:,} MiB free for {names}"
    if left >= DISK_FREE_BYTES_WARN:
        return Check("disk", "ok", said)
    means = "without room nothing is recorded, and what cannot be recorded is not done"
    word: Word = "FAIL" if left < DISK_FREE_BYTES_FAIL else "warn"
    return Check("disk", word, said, means, "make room")
