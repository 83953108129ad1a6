"""`hyok init`: settings for production, from six questions or a file of answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hyok
from hyok import settings as settings_file
from hyok.cli.answers import QUESTIONS, check_answer, read_answers, render_settings
from hyok.cli.options import SYSTEM_CONFIG
from hyok.cli.screen import mark, say
from hyok.errors import Conflict, HyokError, Malformed

if TYPE_CHECKING:
    from hyok.cli.answers import Question
    from hyok.settings import Settings

SHARES = (Path("/usr/share/hyok"), Path(hyok.__file__).resolve().parents[2])
"""Where profiles and policies may be: of a package, and of a checkout."""


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(init)


def init(
    to: Annotated[Path, typer.Option("--to", help="The settings file to write.")] = SYSTEM_CONFIG,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="TOML with the answers, instead of questions."),
    ] = None,
) -> None:
    """Write settings for production: six questions, or a file with the answers to them.

    It refuses keys for development and never overwrites a file.
    """
    to = to.absolute()
    if to.exists():
        raise Conflict(
            f"{to} is there already",
            effect="Nothing was changed.",
            next_step="edit it, or name another file with --to",
        )
    share = _share()
    families = frozenset(path.stem for path in (share / "hsm" / "profiles").glob("*.toml"))
    if answers is not None:
        given = read_answers(_text(answers), families)
    else:
        given = {question.name: _ask(question, families) for question in QUESTIONS}
    text = render_settings(given, share)
    settings = settings_file.parse(text, str(to))
    _write(to, text)
    mark("ok", f"{to}")
    _tell(settings, to)


def _share() -> Path:
    for folder in SHARES:
        if (folder / "hsm" / "profiles").is_dir() and (folder / "policies").is_dir():
            return folder
    raise Malformed(
        "the HSM profiles and policies of hyok are not installed",
        next_step=f"put its folders hsm and policies into {SHARES[0]}",
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"the answers in {path} cannot be read: {error}", code="HY-1006") from error


def _ask(question: Question, families: frozenset[str]) -> str:
    def checked(text: str) -> str:
        try:
            return check_answer(question.name, text, families)
        except HyokError as error:
            raise typer.BadParameter(error.explain()) from error

    why = question.why.replace("{families}", ", ".join(sorted(families - {"softhsm", "nss"})))
    say(f"  ({why})")
    try:
        answer: str = typer.prompt(
            question.text, default=question.proposed or None, value_proc=checked
        )
    except typer.Abort as error:
        raise Malformed(
            "the questions were not answered",
            effect="Nothing was written.",
            next_step="answer them at a terminal, or give a file with --answers",
        ) from error
    return answer


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(f"{path} is there already", effect="Nothing was changed.") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _tell(settings: Settings, to: Path) -> None:
    """Say what is still missing, and what comes next, in order."""
    named = [settings.gateway.tls_certificate, settings.gateway.tls_key]
    named += [token.pin_file for token in settings.hsm.tokens]
    named += [store.credentials_file for store in settings.stores if store.kind == "s3"]
    for path in named:
        if path is not None and not path.exists():
            mark("warn", f"{path} is not there yet")
    config = "" if to == SYSTEM_CONFIG else f" --config {to}"
    say("Next, in this order:")
    say(f"  hyok hsm prove --profile {settings.hsm.profile}{config}")
    for tenant, classification in (
        ("system", "secrets"),
        ("TENANT", "tenant"),
        ("TENANT", "CLASS"),
    ):
        say(f"  hyok keys create --tenant {tenant} --classification {classification}{config}")
    say(f"  hyok backup FILE{config}")
    say(f"  hyok doctor{config}")
