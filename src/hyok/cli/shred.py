"""`hyok shred`: destroy for good, and the statement of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.audit.checkpoint import parse_public_key
from hyok.audit.evidence import FORM as PROOF_FORM
from hyok.audit.evidence import check, prove
from hyok.audit.search import find
from hyok.cli.acting import (
    AsOption,
    KeyOption,
    Login,
    PassphraseOption,
    ReasonOption,
    propose,
)
from hyok.cli.documents import read_json
from hyok.cli.options import ConfigOption, JsonOption, load, moment
from hyok.cli.screen import mark
from hyok.cli.session import run
from hyok.custody.quorum import Act
from hyok.errors import Malformed, NotFound, Tampered
from hyok.officer.statement import ACTION as STATEMENT_ACTION
from hyok.officer.statement import REASON, digest
from hyok.officer.statement_page import render_page
from hyok.officer.statement_rows import StatementBook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.officer.statement_rows import Kept
    from hyok.wiring import Core

app = typer.Typer(
    help="Destroy a case, bucket, object or classification for good.", no_args_is_help=True
)

FORM = "hyok-destruction/1"

SelectionOption = Annotated[
    str, typer.Option("--selection", help="Ground: a category of the selection list.")
]
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose.")]


@app.command()
def case(
    number: Annotated[
        str, typer.Argument(help="The case or person, as objects are tagged; -: asked for.")
    ],
    tenant: TenantOption,
    selection: SelectionOption = "",
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose to destroy the keys and all objects of one case or person, in every bucket.

    The archivist approves where the classification asks for it.  Objects under a retention or legal
    hold stop it.  Nothing of it can be brought back.  With - the number is asked for, so that it
    stands in no history and in no list of processes.
    """
    if number == "-":
        number = typer.prompt("Case or person", hide_input=sys.stdin.isatty())
    login = Login(person, key, passphrase_file)
    effect: dict[str, str | int | list[str]] = {"tenant": tenant, "case": number}
    propose(config, login, Act.SHRED, effect | {"selection": selection}, reason, as_json=as_json)


@app.command()
def bucket(
    name: Annotated[str, typer.Argument(help="The bucket; it stays, empty.")],
    tenant: TenantOption,
    selection: SelectionOption = "",
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose to destroy everything in a bucket, with every key that keeps nothing else.

    Objects of a case that has objects elsewhere, and those whose key only the KEK keeps, are
    deleted; the statement says which.  Stop the applications first: hyok freeze bucket.
    """
    login = Login(person, key, passphrase_file)
    effect: dict[str, str | int | list[str]] = {"tenant": tenant, "bucket": name}
    propose(config, login, Act.SHRED, effect | {"selection": selection}, reason, as_json=as_json)


@app.command("object")
def one_object(
    address: Annotated[str, typer.Argument(help="s3://bucket/key; -: asked for.")],
    tenant: TenantOption,
    selection: SelectionOption = "",
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose to destroy one object in every version, with its key where that keeps nothing else.

    Mostly a key keeps other objects of the same case and hour as well: then the object is deleted,
    and the statement says so.  Whole cases and buckets can be shredded.
    """
    if address == "-":
        address = typer.prompt("Object, s3://bucket/key", hide_input=sys.stdin.isatty())
    name, _, named = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not name or not named:
        raise Malformed("an object is written s3://bucket/key", effect="Nothing was proposed.")
    login = Login(person, key, passphrase_file)
    effect: dict[str, str | int | list[str]] = {"tenant": tenant, "bucket": name, "key": named}
    propose(config, login, Act.SHRED, effect | {"selection": selection}, reason, as_json=as_json)


@app.command()
def classification(
    name: Annotated[str, typer.Argument(help="The classification; it stays, with a new key.")],
    tenant: TenantOption,
    selection: SelectionOption = "",
    reason: ReasonOption = "",
    person: AsOption = "",
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose to destroy everything of a classification, in every bucket, with its keys in the HSM.

    Also of geheim, whose objects have no key but that one.  A new key version is made for what is
    written from then on.  Stop the applications first: hyok freeze tenant.
    """
    login = Login(person, key, passphrase_file)
    effect: dict[str, str | int | list[str]] = {"tenant": tenant, "all_of": name}
    propose(config, login, Act.SHRED, effect | {"selection": selection}, reason, as_json=as_json)


@app.command()
def statement(
    proposal: Annotated[str, typer.Argument(help="The proposal that was executed.")],
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page for people to this file as well.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Print the statement of destruction with its proof, as JSON; --html: a page to keep as well.

    The proof leads from the statement's digest to a checkpoint of the audit log, signed in the HSM.
    """
    settings, _ = load(config)

    async def act(core: Core) -> Kept:
        return await StatementBook(core.database).get(proposal)

    kept = run(config, act)
    log = settings.audit.file
    sha256 = digest(kept.document)
    proof = _proof(log, proposal, sha256)
    document = {"format": FORM, "statement": kept.document, "sha256": sha256, "proof": proof}
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if html is not None:
        note = str(proof["checkpoint"]).splitlines() if proof else []
        named = f"{note[0]}, {note[1]} records" if note else ""
        html.write_text(render_page(kept.document, moment, named), encoding="utf-8")
    if proof is None:
        mark("warn", "no checkpoint covers it yet: ask again in a minute")
        sys.exit(1)


def _proof(log: Path, proposal: str, sha256: str) -> dict[str, object] | None:
    """Return the proof that the log has this digest; None: no checkpoint covers it yet."""
    for fields in find(log, proposal):
        seq = fields.get("seq")
        if _states(fields, sha256) and isinstance(seq, int):
            try:
                return prove(log, [seq])
            except NotFound:
                return None
    raise Tampered(
        f"The audit log has no record of this statement, {sha256}.",
        code="HY-2323",
        next_step="the row in the database may have been changed; look at a backup",
    )


@app.command("check-statement")
def check_statement(
    file: Annotated[Path, typer.Argument(help="What `hyok shred statement` printed.")],
    key: Annotated[Path, typer.Option("--key", help="The public key of the audit log, PEM.")],
) -> None:
    """Check a statement of destruction: nothing but the file and the public key is needed."""
    statement_of(read_json(file), key.read_bytes())
    mark("ok", f"{file} is what the audit log has, under a checkpoint signed with this key")


def statement_of(document: object, public_key: bytes) -> Mapping[str, object]:
    """Return a statement whose digest stands in a proven record.

    Raises:
        Malformed: it is no such document, or has no proof.
        Tampered: the proof is of something else.
    """
    if not isinstance(document, dict) or document.get("format") != FORM:
        raise Malformed(f"the document is not of the form {FORM}")
    stated, proof = document.get("statement"), document.get("proof")
    if not isinstance(stated, dict) or not isinstance(proof, dict):
        raise Malformed(f"the document has no statement, or no proof of the form {PROOF_FORM}")
    wanted = digest(stated)
    proven = check(proof, [parse_public_key(public_key)])
    records = [json.loads(str(row["record"])) for row in proven]
    if not any(_states(record, wanted) for record in records):
        raise Tampered("the records that are proven say nothing of this statement")
    return stated


def _states(record: Mapping[str, object], sha256: str) -> bool:
    """Is it the record of this statement?  Reasons of other acts hold words that people chose."""
    reasons = record.get("reasons")
    mine = record.get("action") == STATEMENT_ACTION
    return mine and isinstance(reasons, list) and REASON + sha256 in reasons
