"""What has to be asked: HSM, keys, stores, backup, audit log."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from hyok.cli.diagnosis.audit import audit_log
from hyok.cli.diagnosis.audit_order import audit_order
from hyok.cli.diagnosis.check import Check
from hyok.cli.diagnosis.doors import dke, xks
from hyok.cli.diagnosis.ekm import ekm
from hyok.cli.diagnosis.kacls import kacls
from hyok.cli.diagnosis.kubernetes import kubernetes
from hyok.cli.diagnosis.payloads import payloads
from hyok.cli.diagnosis.policies import exceptions, in_force, in_shadow
from hyok.cli.diagnosis.transit import transit
from hyok.cli.options import moment
from hyok.custody.custodian import TENANT_CLASSIFICATION
from hyok.custody.key_states import KeyState
from hyok.custody.secret_box import CLASSIFICATION as SECRETS
from hyok.custody.secret_box import TENANT as SYSTEM
from hyok.database.rows import BACKUP_MADE, DRILL_PASSED, setting
from hyok.errors import HyokError, NotFound
from hyok.objects.probe import probe_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.cli.diagnosis.check import Checklist, Word
    from hyok.custody.kek import Kek
    from hyok.wiring import Core

BACKUP_DAYS_MAX = 2
DRILL_DAYS_MAX = 365
DAY_MS = 86_400_000
SHOWN_MAX = 5


async def ask_all(core: Core, checks: Checklist, now_ms: int) -> None:
    """Add what HSM, database, stores and audit log say, in this order."""
    await checks.ask("tokens", _tokens(core))
    await checks.ask("keys", _keys(core))
    await checks.ask("keys in use", _needed(core))
    await checks.ask("key age", _ages(core, now_ms))
    await checks.ask("rotation", _rotations(core))
    await checks.ask("stores", _stores(core))
    await checks.ask("buckets", _buckets(core))
    await checks.ask("plaintext", _plaintext(core))
    await checks.ask("door xks", xks(core, now_ms))
    await checks.ask("door dke", dke(core))
    await checks.ask("door transit", transit(core, now_ms))
    await checks.ask("door kubernetes", kubernetes(core))
    await checks.ask("door ekm", ekm(core))
    await checks.ask("door kacls", kacls(core))
    await checks.ask("door payloads", payloads(core, now_ms))
    await checks.ask("officers", _officers(core, now_ms))
    await checks.ask("policy in force", in_force(core))
    checks.look("policy exceptions", lambda: exceptions(core, now_ms))
    await checks.ask("policy in shadow", in_shadow(core, now_ms))
    await checks.ask("backup", _backup(core, now_ms))
    await checks.ask("restore drill", _drill(core, now_ms))
    checks.look("audit log", lambda: audit_log(core.settings, now_ms))
    if core.settings.audit.sequencer == "database":
        await checks.ask("audit order", audit_order(core.database, now_ms))


async def _tokens(core: Core) -> Sequence[Check]:
    """Which tokens answered their last real operation?"""
    await core.watch.look()
    health = await core.hsm.health()
    ill = [token for token in health if not token.healthy]
    if not ill:
        names = ", ".join(token.token for token in health) or "software keys"
        return [Check("tokens", "ok", f"{names}: they answer")]
    all_ill = len(ill) == len(health)
    means = (
        "nothing is sealed and nothing opened until one answers: 503"
        if all_ill
        else "the others serve; one more failure may be the last"
    )
    word: Word = "FAIL" if all_ill else "warn"
    return [
        Check(
            "tokens",
            word,
            f"{token.token} does not answer since {moment(token.since_ms)} UTC: {token.last_error}",
            means,
            "hyok hsm status; after a wrong PIN: hyok hsm reset-pin " + token.token,
        )
        for token in ill
    ]


async def _keys(core: Core) -> Check:
    """Do the HSM's keys answer the check values that we wrote down?"""
    keks = await core.keks.all()
    if not keks:
        step = f"hyok keys create --tenant {SYSTEM} --classification {SECRETS}"
        return Check("keys", "FAIL", "there are none", "nothing can be sealed", step)
    bad = []
    for kek in keks:
        gone = kek.state is KeyState.DESTROYED
        try:
            await core.hsm.check(kek.spec)
        except NotFound as error:
            if not gone:
                bad.append(f"{kek.kek_id}: {error.cause}")
        except HyokError as error:
            bad.append(f"{kek.kek_id}: {error.cause}")
        else:
            if gone:
                bad.append(f"{kek.kek_id}: it was destroyed, and the HSM has it again")
    if bad:
        means = "what is sealed under them does not open"
        return Check("keys", "FAIL", _some(bad), means, "hyok hsm status; restore the token's keys")
    return Check("keys", "ok", f"{len(keks)} keys are what was written down")


async def _needed(core: Core) -> Check:
    """Has every tenant and classification in use a key that may write?"""
    active = {
        (kek.tenant, kek.classification)
        for kek in await core.keks.all()
        if kek.state is KeyState.ACTIVE
    }
    wanted = {(SYSTEM, SECRETS)}
    for bucket in await core.registry.all():
        wanted |= {(bucket.tenant, TENANT_CLASSIFICATION), (bucket.tenant, bucket.classification)}
    missing = sorted(wanted - active)
    if not missing:
        return Check("keys in use", "ok", f"{len(wanted)} in use, each has an active version")
    tenant, classification = missing[0]
    return Check(
        "keys in use",
        "FAIL",
        "no active key: " + _some([f"{one}/{other}" for one, other in missing]),
        "writing there gets 503",
        f"hyok keys create --tenant {tenant} --classification {classification}",
    )


async def _ages(core: Core, now_ms: int) -> Check:
    """Is a key older than its classification allows?"""
    known = set(core.classifications.names())
    old = [
        kek
        for kek in await core.keks.all()
        if kek.state is KeyState.ACTIVE and kek.classification in known and kek.created_ms
        if now_ms - kek.created_ms
        > core.classifications.get(kek.classification).keys.rotate_every_ms
    ]
    if not old:
        return Check("key age", "ok", "no key is older than its classification allows")
    first: Kek = old[0]
    return Check(
        "key age",
        "warn",
        _some([f"{kek.kek_id}, {(now_ms - kek.created_ms) // DAY_MS} days" for kek in old]),
        "rotation is due",
        f"hyok keys rotate --tenant {first.tenant} --classification {first.classification}",
    )


async def _rotations(core: Core) -> Check:
    """Is every keyring record under the version that writes, and none under one that was lost?"""
    counts = await core.rotation.count_by_kek()
    everything = await core.keks.all()
    lost = [kek for kek in everything if kek.state is KeyState.COMPROMISED]
    if lost:
        said = _some([f"{kek.kek_id}: {counts.get(kek.kek_id, 0):,} records" for kek in lost])
        means = "whoever has this key can open what it kept; a rotation does not undo that"
        first = lost[0]
        step = f"hyok keys reseal {first.kek_id}; then hyok keys destroy {first.kek_id}"
        if first.classification not in core.classifications.names():  # it keeps no objects
            named = f"--tenant {first.tenant} --classification {first.classification}"
            step = f"hyok keys rotate {named}; then hyok keys destroy {first.kek_id}"
        return Check("rotation", "FAIL", f"compromised: {said}", means, step)
    behind = [
        kek for kek in everything if counts.get(kek.kek_id) and kek.state is not KeyState.ACTIVE
    ]
    if not behind:
        return Check("rotation", "ok", "every keyring record is under an active key")
    said = _some([f"{kek.kek_id}, {kek.state}: {counts[kek.kek_id]:,} records" for kek in behind])
    oldest = behind[0]
    step = f"hyok keys rotate --tenant {oldest.tenant} --classification {oldest.classification}"
    return Check("rotation", "warn", said, "these versions cannot be destroyed", step)


async def _stores(core: Core) -> Sequence[Check]:
    """Does each store take, give back and remove a few bytes?"""
    buckets = await core.registry.all()
    found = []
    for name, store in core.stores.items():
        here = [bucket.backend_name for bucket in buckets if bucket.store == name]
        try:
            if here:
                await probe_store(store, here[0], secrets.token_bytes)
                found.append(Check("stores", "ok", f"{name} writes, reads and deletes"))
            else:
                await store.list_buckets()
                found.append(Check("stores", "ok", f"{name} answers; it has no bucket yet"))
        except HyokError as error:
            means = error.effect or "objects there can be neither read nor written"
            step = error.next_step or "look at the store, the network and its credentials"
            found.append(Check("stores", "FAIL", f"{name}: {error.cause}", means, step))
    return found


async def _buckets(core: Core) -> Check:
    """Is every registered bucket in its store?"""
    buckets = await core.registry.all()
    missing = []
    for bucket in buckets:
        try:
            there = await core.places.store(bucket).has_bucket(bucket.backend_name)
        except HyokError as error:
            missing.append(f"{bucket.bucket_id} ({error.cause})")
            continue
        if not there:
            missing.append(f"{bucket.bucket_id} (not in {bucket.store})")
    if missing:
        means = "requests for them fail"
        step = "make it in the store again, or restore it there"
        return Check("buckets", "FAIL", _some(missing), means, step)
    return Check("buckets", "ok", f"{len(buckets)} buckets are where they should be")


async def _plaintext(core: Core) -> Check:
    """Does anything of before still stand in clear in an adopted bucket?"""
    found = []
    for bucket in await core.registry.all():
        if bucket.adoption:
            counted = await core.inventories.counted(bucket.bucket_id)
            found.append(f"{bucket.bucket_id} ({counted.left} objects, mode {bucket.adoption})")
    if found:
        means = "the store can read these objects, and nothing of them is proven"
        return Check(
            "plaintext", "warn", _some(found), means, "hyok buckets adopt NAME --mode seal"
        )
    return Check("plaintext", "ok", "no bucket is known to hold objects in clear")


async def _officers(core: Core, now_ms: int) -> Check:
    """Can several persons decide, are their rows genuine, is a break-glass review overdue?"""
    register = await core.register.read()
    late = [
        found.grant.grant_id
        for found in await core.break_glass.book.all()
        if found.review is None and now_ms > found.review_due_ms
    ]
    if not register.founded:
        means = "nothing can be approved: no export, no publishing, no break-glass"
        step = "hyok officers key, hyok officers add, for two persons at least"
        return Check("officers", "warn", "there are none who decide yet", means, step)
    if late:
        means = "an emergency reading was never judged"
        return Check(
            "officers", "warn", f"review overdue: {_some(late)}", means, "hyok break-glass list"
        )
    active = sum(officer.active for officer in register.officers.values())
    return Check("officers", "ok", f"{active} active, their rows are genuine")


async def _backup(core: Core, now_ms: int) -> Check:
    """A shreddable record has its only copy in the database."""
    rules = [core.classifications.get(name) for name in core.classifications.names()]
    names = [rule.classification for rule in rules if rule.keys.shreddable and not rule.denied]
    if not names:
        return Check("backup", "ok", "no classification keeps keys in the database alone")
    means = f"it holds the only keys of {', '.join(names)}: lost with it, they are lost for good"
    said_ms = await core.database.read(lambda connection: setting(connection, BACKUP_MADE))
    made = int(said_ms) if said_ms is not None else None
    if made is None:
        word: Word = "warn" if core.settings.installation.mode == "development" else "FAIL"
        said = "the database was never backed up"
        return Check("backup", word, said, means, "hyok backup FILE, daily")
    days = (now_ms - made) / DAY_MS
    said = f"the last one is {days:.1f} days old"
    if days < BACKUP_DAYS_MAX:
        return Check("backup", "ok", said)
    return Check("backup", "FAIL", said, means, "hyok backup FILE, daily")


async def _drill(core: Core, now_ms: int) -> Check:
    """A backup that nobody ever restored is a hope."""
    said_ms = await core.database.read(lambda connection: setting(connection, DRILL_PASSED))
    means = "nobody has seen for a year that a backup can be restored and its objects opened"
    step = "hyok drill restore BACKUP --report FILE"
    if said_ms is None:
        return Check("restore drill", "warn", "none was ever passed", means, step)
    days = (now_ms - int(said_ms)) / DAY_MS
    said = f"passed {days:.0f} days ago"
    if days <= DRILL_DAYS_MAX:
        return Check("restore drill", "ok", said)
    return Check("restore drill", "warn", said, means, step)


def _some(lines: Sequence[str]) -> str:
    more = f" and {len(lines) - SHOWN_MAX} more" if len(lines) > SHOWN_MAX else ""
    return ", ".join(lines[:SHOWN_MAX]) + more
