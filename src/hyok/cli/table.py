"""Which module has which command of `hyok`, so that a command loads what it needs and no more.

Loading all of them takes longer than most of them work.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from hyok import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Entry:
    """A module under `hyok.cli` and the first words that it answers to.

    ``group``: the module's own ``app`` stands under the one word; else it has a ``register``.
    """

    module: str
    words: tuple[str, ...]
    group: bool = False


def _group(module: str, word: str = "") -> Entry:
    return Entry(module, (word or module,), group=True)


HELP = "Hold-your-own-key gateway: seals objects before they leave, with keys in your own HSM."

TABLE = (
    Entry("dev", ("dev",)),
    Entry("serve", ("serve",)),
    Entry("init", ("init",)),
    Entry("doctor", ("doctor",)),
    Entry("peek", ("peek",)),
    Entry("explain", ("explain",)),
    Entry("export", ("export",)),
    Entry("open", ("open",)),
    Entry("recover", ("recover",)),
    Entry("backup", ("backup", "restore")),
    Entry("freezes", ("freeze", "thaw", "freezes")),
    Entry("login", ("login", "logout")),
    _group("hsm"),
    _group("bench"),
    _group("audit"),
    _group("keys"),
    _group("doors"),
    _group("custodian"),
    _group("drill"),
    _group("apps"),
    _group("buckets"),
    _group("jobs"),
    Entry("work", ("work",)),
    _group("objects"),
    _group("officers"),
    _group("approvals"),
    _group("policy"),
    _group("evidence"),
    _group("shred"),
    _group("break_glass", "break-glass"),
)


def entry_of(word: str) -> Entry | None:
    """Return where a command is; None: there is no such command."""
    return next((entry for entry in TABLE if word in entry.words), None)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hyok {__version__}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_tell_version),
    ] = False,
) -> None:
    """Without a callback a single command would have no name."""


def root_app() -> typer.Typer:
    """Return `hyok` without commands."""
    root = typer.Typer(
        name="hyok",
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    root.callback(help=HELP)(_root)
    return root


def build(entries: Sequence[Entry]) -> typer.Typer:
    """Return `hyok` with the commands of these modules."""
    root = root_app()
    for entry in entries:
        module = import_module(f"hyok.cli.{entry.module}")
        if entry.group:
            root.add_typer(module.app, name=entry.words[0])
        else:
            module.register(root)
    return root
