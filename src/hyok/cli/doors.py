"""`hyok doors`: keys for clouds and SaaS, and what their other side is told."""

from __future__ import annotations

import json
import os
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from hyok.cli import transit_tokens
from hyok.cli.acting import (
    AsOption,
    KeyOption,
    Login,
    PassphraseOption,
    ReasonOption,
    propose,
)
from hyok.cli.options import ConfigOption, JsonOption, moment
from hyok.cli.registrations import record
from hyok.cli.screen import say, show
from hyok.cli.session import run
from hyok.custody.door_key import AES, PAIR, USES_MAX
from hyok.custody.key_states import KeyState, check_transition
from hyok.custody.quorum import Act
from hyok.errors import Conflict, Malformed, NotFound
from hyok.officer.door_acts import NEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.door_key import DoorKey
    from hyok.doors.xks.config import XksStoreSettings
    from hyok.identity.access_keys import IssuedAccessKey
    from hyok.wiring import Core

app = typer.Typer(help="Doors through which clouds and SaaS use your keys.", no_args_is_help=True)
keys = typer.Typer(help="Keys that doors use for others.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(transit_tokens.app, name="transit-token")

TenantOption = Annotated[str, typer.Option("--tenant", help="Whose key.")]
NameArgument = Annotated[str, typer.Argument(help="Its name: letters, digits and hyphens.")]
WhyOption = Annotated[str, typer.Option("--reason", help="Why; it stands in the audit log.")]


@keys.command()
def create(
    name: NameArgument,
    tenant: TenantOption,
    classification: Annotated[str, typer.Option("--classification", help="Of what it keeps.")],
    serves: Annotated[
        list[str], typer.Option("--app", help="The app that may use it; may be given again.")
    ],
    usage: Annotated[
        list[str] | None,
        typer.Option(
            "--usage",
            help="encrypt or decrypt, where it is for one alone; hmac, sign, wrap, private or bsn.",
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind", help="aes-256; or rsa-2048, rsa-3072 or rsa-4096, to which others encrypt."
        ),
    ] = AES,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose to make a key that a door uses for others; it never leaves the HSM."""
    effect: dict[str, str | int | list[str]] = {
        "tenant": tenant,
        "key": name,
        "version": 1,
        "classification": classification,
        "apps": serves,
        "usage": usage or [],
        "kind": kind,
    }
    login = Login(person, key, passphrase_file)
    propose(config, login, Act.CREATE_DOOR_KEY, effect, reason, as_json=as_json)


@keys.command()
def rotate(
    name: NameArgument,
    tenant: TenantOption,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose the next version of a key: it encrypts from then on, older ones still decrypt."""
    effect: dict[str, str | int | list[str]] = {"tenant": tenant, "key": name, "version": NEXT}
    login = Login(person, key, passphrase_file)
    propose(config, login, Act.CREATE_DOOR_KEY, effect, reason, as_json=as_json)


@keys.command()
def destroy(
    name: NameArgument,
    tenant: TenantOption,
    version: Annotated[
        int, typer.Option("--version", min=0, help="This older version alone; 0: the whole key.")
    ] = 0,
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose to destroy a key in every token: nothing that it encrypted opens afterwards.

    The whole key must be suspended or deactivated, and not frozen.
    """
    effect: dict[str, str | int | list[str]] = {"tenant": tenant, "key": name, "version": version}
    login = Login(person, key, passphrase_file)
    propose(config, login, Act.DESTROY_DOOR_KEY, effect, reason, as_json=as_json)


@keys.command("list")
def list_keys(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the keys of doors, with their versions and how much of each one's life is used."""

    async def act(core: Core) -> Sequence[DoorKey]:
        return await core.doors.catalog.all()

    show(
        [_row(one) for one in run(config, act)],
        as_json=as_json,
        empty="No keys of doors yet.  Next: hyok doors keys create NAME …",
    )


def _row(key: DoorKey) -> dict[str, object]:
    return {
        "key": f"{key.tenant}/{key.name}",
        "kind": key.kind,
        "state": str(key.state),
        "classification": key.classification,
        "apps": ",".join(sorted(key.apps)),
        "usage": ",".join(sorted(map(str, key.usage))),
        "versions": ",".join(f"{one.number}:{one.state}" for one in key.versions),
        "uses_percent": round(100 * key.newest.uses / USES_MAX, 2) if key.versions else 0,
        "made": moment(key.created_ms),
    }


@keys.command()
def suspend(
    name: NameArgument,
    tenant: TenantOption,
    reason: WhyOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop every use of a key through every door, until `resume`."""
    _change(config, tenant, name, KeyState.SUSPENDED, reason, as_json=as_json)


@keys.command()
def resume(
    name: NameArgument,
    tenant: TenantOption,
    reason: WhyOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a suspended key be used again."""
    _change(config, tenant, name, KeyState.ACTIVE, reason, as_json=as_json)


@keys.command()
def deactivate(
    name: NameArgument,
    tenant: TenantOption,
    reason: WhyOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a key decrypt what it encrypted, and encrypt nothing more, for ever."""
    _change(config, tenant, name, KeyState.DEACTIVATED, reason, as_json=as_json)


def _change(
    config: ConfigOption, tenant: str, name: str, to: KeyState, reason: str, *, as_json: bool
) -> None:
    if not reason.strip():
        raise Malformed("a reason is wanted; it stands in the audit log", next_step="--reason TEXT")

    async def act(core: Core) -> None:
        found = await core.doors.catalog.named(tenant, name)
        check_transition(found.state, to)
        facts = (f"key:{tenant}/{name}", f"from {found.state}", f"to {to}", f"reason {reason}")
        await record(core, "door-key:state", tenant, *facts, outcome="pending")
        await core.doors.catalog.change_state(tenant, name, to)
        await record(core, "door-key:state", tenant, *facts)

    run(config, act)
    if as_json:
        show([{"key": f"{tenant}/{name}", "state": str(to)}], as_json=True, empty="")
        return
    say(f"key {tenant}/{name} is {to}; every door knows within five seconds")


@app.command("dke-labels")
def dke_labels(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List what Purview is told for each sensitivity label: the address of its key here."""

    async def act(core: Core) -> list[dict[str, object]]:
        settings = core.settings.doors.dke
        keys = [key for key in await core.doors.catalog.all() if key.sort is PAIR]
        known = {key.name: key for key in keys if settings.app in key.apps}
        return [
            {
                "label": one.label,
                "address": f"{settings.public_url}/{one.name}",
                "classification": one.classification,
                "key": f"{known[one.name].kind} {known[one.name].state}"
                if one.name in known
                else "not made yet",
                "key_id": known[one.name].newest.key_id if one.name in known else "",
            }
            for one in settings.keys
        ]

    show(run(config, act), as_json=as_json, empty="No labels.  Next: [[doors.dke.keys]]")


@app.command("xks-file")
def xks_file(
    prefix: Annotated[str, typer.Argument(help="Of the key store, as the settings have it.")],
    output: Annotated[Path, typer.Option("--output", help="Where to write it, mode 0600.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an access key for an AWS key store and write the file that AWS's console takes.

    A store has two live keys at most, so that the old one serves until AWS has the new one.
    """
    file = _new_file(output)  # first: the secret of a key that was made is shown nowhere else

    async def act(core: Core) -> tuple[XksStoreSettings, IssuedAccessKey]:
        store = core.settings.doors.xks.store_of(prefix)
        if store is None:
            raise NotFound(
                f"doors.xks.stores names no store of the prefix {prefix!r}.",
                code="HY-2612",
                effect="No access key was made.",
            )
        found = await core.access_keys.find_app(store.app)
        if found is None:
            raise NotFound(f"there is no app {store.app}", next_step="hyok apps create …")
        issued = await core.access_keys.create_key(store.app)
        facts = (f"app:{store.app}", f"access-key:{issued.access_key}")
        await record(core, "access-key:create", found.tenant, *facts)
        return store, issued

    try:
        store, issued = run(config, act)
        told = {
            "XksProxyUriPath": f"{store.prefix}/kms/xks/v1",
            "XksProxyAuthenticationCredential": {
                "AccessKeyId": issued.access_key,
                "RawSecretAccessKey": issued.secret.get_secret_value(),
            },
        }
        json.dump(told, file)
        file.write("\n")
    except BaseException:
        output.unlink()
        raise
    finally:
        file.close()
    row = {"file": str(output), "access_key": issued.access_key, "app": issued.app_id}
    if as_json:
        show([row], as_json=True, empty="")
        return
    say(f"{output} has the access key {issued.access_key} of {issued.app_id} and its secret")
    say("Next: give it to AWS (docs/keyservices/xks.md), then delete the file")


def _new_file(path: Path) -> TextIO:
    """Open a file for a secret.

    Raises:
        Conflict: it is there already.
        Malformed: it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(f"{path} is there already.", effect="No access key was made.") from error
    except OSError as error:
        raise Malformed(
            f"{path} cannot be written: {error.strerror}.",
            effect="No access key was made.",
            next_step="name a file in a folder that is there",
        ) from error
    return os.fdopen(descriptor, "w")
