"""`hyok officers`: the persons who decide together."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.acting import (
    AsOption,
    KeyOption,
    Login,
    PassphraseOption,
    ReasonOption,
    passphrase,
    propose,
)
from hyok.cli.options import ConfigOption, JsonOption, load
from hyok.cli.registrations import record
from hyok.cli.remote import ApiOption, Remote
from hyok.cli.screen import mark, say, show
from hyok.cli.session import run
from hyok.custody.quorum import Act, Role
from hyok.custody.signing import DEVELOPMENT, OIDC, check_issuer, check_public, make_key
from hyok.errors import Conflict, Malformed
from hyok.officer.officer_acts import SYSTEM, officer_of

if TYPE_CHECKING:
    from hyok.custody.officers import Register
    from hyok.custody.proposal import Effect
    from hyok.wiring import Core

app = typer.Typer(help="The persons who decide together.", no_args_is_help=True)
PersonArgument = Annotated[str, typer.Argument(help="As hyok officers list shows it.")]
ROLES = ", ".join(Role)


@app.command()
def add(
    new: Annotated[str, typer.Argument(metavar="PERSON", help="One human being; in the log.")],
    name: Annotated[str, typer.Option("--name", help="As people know them.")],
    role: Annotated[list[str], typer.Option("--role", help=ROLES)],
    public_key: Annotated[
        list[str] | None,
        typer.Option("--public-key", help="As hyok officers key printed it; may be repeated."),
    ] = None,
    login: Annotated[
        list[str] | None,
        typer.Option("--login", help="At the identity provider: oidc:ISSUER#SUBJECT; repeatable."),
    ] = None,
    reason: ReasonOption = "a new officer",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register an officer: the first two directly, every further one as a proposal."""
    identities = [check_public(text) for text in public_key or ()]
    identities += [check_issuer(text) for text in login or ()]
    if not api and load(config)[0].installation.mode == "development":
        identities.append(f"{DEVELOPMENT}:{new}")
    effect: Effect = {
        "person": new,
        "name": name,
        "roles": sorted(set(role)),
        "identities": sorted(set(identities)),
    }
    officer_of(effect)

    async def found(core: Core) -> bool:
        if (await core.register.read()).founded:
            return False
        await found_officer(core, effect)
        return True

    if not api and run(config, found):
        if as_json:
            show([{"person": new, "state": "active"}], as_json=True, empty="")
        else:
            say(f"{new} is a founding officer: {', '.join(sorted(set(role)))}")
        return
    by = Login(person, key, passphrase_file, api)
    propose(config, by, Act.ADD_OFFICER, effect, reason, as_json=as_json)


@app.command("add-identity")
def add_identity(
    whose: Annotated[str, typer.Argument(metavar="PERSON", help="Whose it is, for ever.")],
    public_key: Annotated[
        str, typer.Option("--public-key", help="As hyok officers key printed it.")
    ] = "",
    login: Annotated[
        str, typer.Option("--login", help="At the identity provider: oidc:ISSUER#SUBJECT.")
    ] = "",
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose that an officer signs with one key more, or signs in at the identity provider.

    An authenticator is registered on the officers' page instead.
    """
    if bool(public_key) is bool(login):
        raise Malformed("give either --public-key or --login", effect="Nothing was proposed.")
    identity = check_public(public_key) if public_key else check_issuer(login)
    effect: Effect = {"person": whose, "identity": identity}
    by = Login(person, key, passphrase_file, api)
    propose(config, by, Act.ADD_IDENTITY, effect, reason, as_json=as_json)


@app.command("remove-identity")
def remove_identity(
    whose: PersonArgument,
    identity: Annotated[
        str, typer.Argument(help="As hyok officers list shows it: KIND:VALUE, whole.")
    ],
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose that a key, login or authenticator signs nothing any more; its person stays.

    Sessions that began with it end, and what was approved with it stops counting.
    """
    effect: Effect = {"person": whose, "identity": identity}
    by = Login(person, key, passphrase_file, api)
    propose(config, by, Act.REMOVE_IDENTITY, effect, reason, as_json=as_json)


async def found_officer(core: Core, effect: Effect) -> None:
    """Register one of the first officers, on the record; only until two who decide are there.

    Raises:
        Conflict: they are there.
    """
    if (await core.register.read()).founded:
        raise Conflict("The officers are there; one more takes a proposal.", code="HY-2505")
    officer, identities = officer_of(effect)
    if all(word.startswith(f"{OIDC}:") for word in identities):
        raise Malformed(
            "a founding officer needs a key: nobody could approve anything by a login alone",
            code="HY-2509",
            effect="Nothing was changed.",
            next_step="--public-key, as hyok officers key prints it",
        )
    await core.register.add(officer, identities)
    roles = [f"role:{role}" for role in sorted(officer.roles)]
    await record(core, "officer:found", SYSTEM, f"officer:{officer.person}", *roles)


@app.command()
def revoke(
    gone: Annotated[str, typer.Argument(metavar="PERSON", help="Who leaves.")],
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    api: ApiOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose that somebody decides no more; what they approved before stops counting."""
    login = Login(person, key, passphrase_file, api)
    propose(config, login, Act.REVOKE_OFFICER, {"person": gone}, reason, as_json=as_json)


@app.command("list")
def list_officers(
    api: ApiOption = "", config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List officers, those who left too."""
    if api:
        remote = Remote(api)
        held = [(one["person"], one["identity"]) for one in remote.all("/v1/identities")]
        rows = [
            {
                "person": one["person"],
                "name": one["name"],
                "roles": ",".join(one["roles"]),
                "state": "active" if one["active"] else "revoked",
                "signs in with": ",".join(word for who, word in held if who == one["person"]),
            }
            for one in remote.all("/v1/officers")
        ]
        show(rows, as_json=as_json, empty="No officers yet.")
        return

    async def look(core: Core) -> Register:
        return await core.register.read()

    register = run(config, look)
    rows = [
        {
            "person": found.person,
            "name": found.name,
            "roles": ",".join(sorted(found.roles)),
            "state": "active" if found.active else "revoked",
            "signs in with": ",".join(sorted(register.identities_of(found.person))),
        }
        for found in register.officers.values()
    ]
    show(rows, as_json=as_json, empty="No officers yet.  Next: hyok officers add PERSON …")


@app.command("key")
def new_key(
    file: Annotated[Path, typer.Argument(help="A new file; keep it with the officer alone.")],
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an officer's key, sealed with a passphrase, and print its public half."""
    pem, public = make_key(passphrase(passphrase_file, confirm=True))
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(pem)
    if as_json:
        show([{"file": str(file), "public_key": public}], as_json=True, empty="")
        return
    mark("ok", f"{file}, mode 0600, for one person")
    say(f"public key: {public}")
