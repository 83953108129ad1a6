"""`hyok keys`: key versions in the HSM."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.acting import (
    AsOption,
    KeyOption,
    Login,
    PassphraseOption,
    ReasonOption,
    propose,
)
from hyok.cli.minutes import MinutesOption, PresentOption, write_minutes
from hyok.cli.minutes import app as minutes_app
from hyok.cli.minutes import tell as tell_minutes
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.progress import steps
from hyok.cli.registrations import record
from hyok.cli.reseal import reseal
from hyok.cli.screen import mark, say, show
from hyok.cli.session import operator_ask, run
from hyok.cli.signed_files import check_free
from hyok.custody.kek import as_row
from hyok.custody.key_states import KeyState, check_transition
from hyok.custody.quorum import Act
from hyok.custody.rotation import FAILED_SHOWN, Rotated
from hyok.custody.secret_box import CLASSIFICATION as SECRETS
from hyok.custody.secret_box import TENANT as SYSTEM
from hyok.errors import HyokError, Malformed, NotFound
from hyok.officer.minutes import parse_present
from hyok.secret_rows import sealed_rows
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.custody.kek import Kek
    from hyok.vocabulary import Bucket
    from hyok.wiring import Core

app = typer.Typer(help="Keys in the HSM.", no_args_is_help=True)
app.command()(reseal)
app.add_typer(minutes_app, name="minutes")
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose keys.")]
KeyArgument = Annotated[str, typer.Argument(help="Its kek_id, as `hyok keys list` shows it.")]
WhyOption = Annotated[str, typer.Option("--reason", help="Why; it stands in the audit log.")]


@app.command()
def create(
    tenant: TenantOption,
    classification: Annotated[str, typer.Option("--classification", help="Of what it keeps.")],
    profile: Annotated[int, typer.Option(min=1, max=4, help="Format profile; 1 is HMAC.")] = 1,
    minutes: MinutesOption = None,
    present: PresentOption = None,
    config: ConfigOption = None,
) -> None:
    """Make the next version of a key; it is used for writing at once, older ones still open.

    With --minutes a signed record of the ceremony is written: who was there, what was run, and what
    the HSM says of itself and of the key.
    """
    persons = parse_present(present or []) if minutes is not None else []
    if minutes is not None:
        check_free(minutes)
    begun = clock_ms()

    async def act(core: Core) -> tuple[Kek, bool]:
        made = await create_kek(core, tenant, classification, profile)
        if minutes is None:
            return made, True
        return made, await write_minutes(core, minutes, persons, begun, made)

    made, signed = run(config, act)
    say(f"key {made.kek_id} made in the HSM, non-extractable, active")
    if minutes is not None:
        tell_minutes(minutes, signed=signed)


async def create_kek(core: Core, tenant: str, classification: str, profile: int = 1) -> Kek:
    """Make a key version, with its audit records."""
    ask = operator_ask("key:create", tenant)
    made = await core.keks.create(core.hsm, tenant, classification, profile, clock_ms())
    await core.custodian.conclude(ask, "done", kek_id=made.kek_id)
    return made


@app.command()
def rotate(
    tenant: TenantOption,
    classification: Annotated[str, typer.Option("--classification", help="Of what it keeps.")],
    profile: Annotated[
        int, typer.Option(min=0, max=4, help="Format profile of the new version; 0: as before.")
    ] = 0,
    new: Annotated[
        bool, typer.Option("--new", help="A new version also where records of before are left.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new version of a key and keep every keyring record under it; no object is touched.

    It may be stopped or killed at any moment and run again: what was begun is ended first, unless
    --new is given.  Records of a compromised version stay there: hyok keys reseal moves the data.
    Of system/secrets every sealed row, and every bucket's registration, is sealed anew.
    """

    async def act(core: Core) -> tuple[Rotated, bool]:
        with steps(f"rotating {tenant}/{classification}") as tell:
            return await rotate_key(core, tenant, classification, profile, tell, anew=new)

    done, is_new = run(config, act)
    if as_json:
        row = {"kek_id": done.kek_id, "new": is_new, "records": done.records}
        row |= {"mirrors": done.mirrors}
        if done.hsm_calls:  # of sealed rows they are not counted
            row |= {"hsm_calls": done.hsm_calls}
        row |= {"failed": done.failed, "failures": list(done.failures), "buried": done.buried}
        show([row], as_json=True, empty="")
    else:
        how = "made in the HSM, active" if is_new else "was made before; that rotation is ended now"
        say(f"key {done.kek_id} {how}")
        word = "ok" if done.whole else "FAIL"
        mark(word, f"{done.records:,} records and {done.mirrors:,} copies written anew under it")
        for failure in done.failures:
            mark("FAIL", failure)
        if done.buried:
            said = f"{done.buried:,} records were destroyed once; they stay behind"
            mark("warn", f"{said}, and end with the version that keeps them")
        if done.whole and not done.buried:
            say("Older versions keep no record any more: hyok keys destroy KEK-ID ends one")
    if not done.whole:
        sys.exit(1)


async def rotate_key(
    core: Core,
    tenant: str,
    classification: str,
    profile: int,
    tell: Callable[[int, int], None],
    *,
    anew: bool = False,
) -> tuple[Rotated, bool]:
    """Rotate a key, with its audit records."""
    name = f"{tenant}/{classification}"
    await record(core, "key:rotate", tenant, name, outcome="pending")
    try:
        kek, is_new = await _next_version(core, tenant, classification, profile, anew=anew)
        done = await _move(core, kek, tell)
    except HyokError as error:
        word = f"{type(error).__name__}:{error.code or error.reason}"
        await record(core, "key:rotate", tenant, name, word, outcome="failed")
        raise
    facts = (f"records {done.records}", f"copies {done.mirrors}", f"failed {done.failed}")
    outcome = "done" if done.whole else "failed"
    await record(core, "key:rotate", tenant, *facts, kek_id=kek.kek_id, outcome=outcome)
    return done, is_new


async def _next_version(
    core: Core, tenant: str, classification: str, profile: int, *, anew: bool
) -> tuple[Kek, bool]:
    """Return the version that shall keep everything, and whether it is a new one."""
    if (tenant, classification) == (SYSTEM, SECRETS) and not anew:
        versions = await core.keks.versions(tenant, classification)
        newest = versions[-1] if versions else None
        if newest is not None and newest.version > 1 and newest.state is KeyState.ACTIVE:
            counts = await sealed_rows(core).count()
            if any(name != newest.kek_id for name in counts):  # a rotation that was broken off
                return newest, False
    buckets = await _buckets(core, tenant)
    return await core.rotation.next_version(
        tenant, classification, profile, anew=anew, buckets=buckets
    )


async def _buckets(core: Core, tenant: str) -> Sequence[Bucket]:
    return [bucket for bucket in await core.registry.all() if bucket.tenant == tenant]


async def _move(core: Core, kek: Kek, tell: Callable[[int, int], None]) -> Rotated:
    """Keep every record of the key's classification under ``kek``."""
    tenant, classification = kek.tenant, kek.classification
    counts = await core.rotation.count_by_kek()
    versions = await core.keks.versions(tenant, classification)
    total = sum(counts.get(one.kek_id, 0) for one in versions if one.kek_id != kek.kek_id)
    if (tenant, classification) == (SYSTEM, SECRETS):
        renewed = await sealed_rows(core).renew(kek.kek_id, tell)
        return Rotated(
            kek.kek_id,
            records=renewed.values,
            failed=len(renewed.failures),
            failures=tuple(renewed.failures[:FAILED_SHOWN]),
        )
    buckets = await _buckets(core, tenant)
    return await core.rotation.move(kek, buckets, lambda records: tell(records, total))


@app.command()
def suspend(name: KeyArgument, reason: WhyOption = "", config: ConfigOption = None) -> None:
    """Stop every use of a key version, reading as well, until `resume`."""
    _change(config, name, KeyState.SUSPENDED, reason)


@app.command()
def resume(name: KeyArgument, reason: WhyOption = "", config: ConfigOption = None) -> None:
    """Let a suspended key version be used again: for writing, and older ones for reading alone."""

    async def act(core: Core) -> KeyState:
        kek = await _find(core, name)
        versions = await core.keks.versions(kek.tenant, kek.classification)
        newer = any(one.version > kek.version and one.state is KeyState.ACTIVE for one in versions)
        to = KeyState.DEACTIVATED if newer else KeyState.ACTIVE
        await _change_state(core, kek, to, reason)
        return to

    say(f"key {name} is {run(config, act)}")


@app.command()
def deactivate(name: KeyArgument, reason: WhyOption = "", config: ConfigOption = None) -> None:
    """Let a key version open what it wrapped, and wrap nothing more."""
    _change(config, name, KeyState.DEACTIVATED, reason)


@app.command()
def compromise(name: KeyArgument, reason: WhyOption = "", config: ConfigOption = None) -> None:
    """Say that others may have this key version: it still opens, and wraps nothing more, for ever.

    What it kept must be sealed anew with new keys: a rotation alone does not undo a leak.
    """
    _change(config, name, KeyState.COMPROMISED, reason)


@app.command()
def destroy(
    name: KeyArgument,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose to destroy a key version that keeps nothing any more, in every token."""
    login = Login(person, key, passphrase_file)
    propose(config, login, Act.DESTROY_KEY, {"key": name}, reason, as_json=as_json)


def _change(config: ConfigOption, name: str, to: KeyState, reason: str) -> None:
    async def act(core: Core) -> None:
        await _change_state(core, await _find(core, name), to, reason)

    run(config, act)
    say(f"key {name} is {to}; every gateway knows within five seconds")


async def _find(core: Core, name: str) -> Kek:
    kek = await core.keks.find(name)
    if kek is None:
        raise NotFound(f"There is no key {name}.", code="HY-2310", next_step="hyok keys list")
    return kek


async def _change_state(core: Core, kek: Kek, to: KeyState, reason: str) -> None:
    if not reason.strip():
        raise Malformed("a reason is wanted; it stands in the audit log", next_step="--reason TEXT")
    check_transition(kek.state, to)
    facts = (f"from {kek.state}", f"to {to}", f"reason {reason}")
    await record(core, "key:state", kek.tenant, *facts, kek_id=kek.kek_id, outcome="pending")
    await core.keks.change_state(kek.kek_id, to)
    await record(core, "key:state", kek.tenant, *facts, kek_id=kek.kek_id)


@app.command("list")
def list_keys(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List key versions.  Keep the JSON with the HSM's backup: recover and open may need it."""

    async def act(core: Core) -> tuple[list[Kek], dict[str, int]]:
        return list(await core.keks.all()), await core.rotation.count_by_kek()

    found, records = run(config, act)
    if as_json:
        rows = [as_row(kek) | {"records": records.get(kek.kek_id, 0)} for kek in found]
        show(rows, as_json=True, empty="")
        return
    rows = [
        {
            "kek_id": kek.kek_id,
            "state": str(kek.state),
            "records": records.get(kek.kek_id, 0),
            "profile": kek.spec.profile,
            "check_value": kek.spec.check_value.hex(),
            "made": moment(kek.created_ms),
        }
        for kek in found
    ]
    show(rows, as_json=False, empty="No keys yet.  Next: hyok keys create --tenant … …")
