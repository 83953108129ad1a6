"""`hyok open`: plaintext from an export or a copied bucket, with the HSM alone.

It loads no gateway, no database and no policies: of the settings it needs [hsm], and [[stores]]
for a copied bucket.  `python -m hyok.cli.open` is the same command by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.options import ConfigOption, JsonOption, load
from hyok.cli.progress import counting
from hyok.cli.screen import mark, show
from hyok.connections import build_hsm, build_store
from hyok.custody.kek import parse_rows
from hyok.custody.lone_keys import find_keks
from hyok.errors import Conflict, HyokError, Malformed
from hyok.hsm.supervise import AgentSupervisor, is_answering
from hyok.objects.opening import Opener
from hyok.sockets import agent_socket, agent_specs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hyok.custody.kek import Kek
    from hyok.objects.opening import OpenReport
    from hyok.settings import Settings

KeysOption = Annotated[
    Path | None,
    typer.Option("--keys", help="What `hyok keys list --json` printed; for profiles 2 to 4."),
]


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("open")(open_sealed)


def open_sealed(
    source: Annotated[str, typer.Argument(help="An export folder, or STORE:BUCKET of a copy.")],
    to: Annotated[Path, typer.Option("--to", help="A new folder for the plaintext.")],
    prefix: Annotated[str, typer.Option(help="Only keys that begin so.")] = "",
    keys: KeysOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decrypt without gateway and database: the sealed files and the HSM are enough."""
    settings, _ = load(config)
    to = to.absolute()
    if to.exists() and any(to.iterdir()):
        raise Conflict(f"{to} is not empty", effect="Nothing was written.")
    named = parse_rows(keys.read_text()) if keys is not None else ()
    with agents(settings):
        report = asyncio.run(_open(settings, source, to, prefix, named))
    if as_json:
        show([asdict(report)], as_json=True, empty="")
    else:
        mark("ok", f"{report.objects} objects, {report.plain_bytes} bytes in {to}")
        for key, cause in report.failed:
            mark("FAIL", f"{key}: {cause}")
        if not report.complete:
            mark("FAIL", "the export was broken off: its manifest has no last page")
    if report.failed or not report.complete:
        sys.exit(1)


async def _open(
    settings: Settings, source: str, to: Path, prefix: str, named: Sequence[Kek]
) -> OpenReport:
    hsm = build_hsm(settings)
    try:
        known = await find_keks(hsm, named)
        with counting("opening") as tell:
            opener = Opener(hsm, known, to, tell)
            folder = Path(source)
            if (folder / "export.json").exists():
                return await opener.export(folder, prefix)
            name, colon, backend = source.partition(":")
            found = [store for store in settings.stores if store.name == name]
            if not (colon and backend and found):
                raise Malformed(
                    f"{source} is neither an export folder nor STORE:BUCKET of the settings"
                )
            store = build_store(found[0])
            try:
                return await opener.copied(store, backend, prefix)
            finally:
                await store.close()
    finally:
        await hsm.close()


@contextlib.contextmanager
def agents(settings: Settings) -> Iterator[None]:
    """Have the HSM's agents at hand: those that run on this host, else some for this command."""
    sockets = [str(agent_socket(settings, token.name)) for token in settings.hsm.tokens]
    if all(is_answering(path, 1.0) for path in sockets):
        yield
        return
    settings.installation.run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with AgentSupervisor(agent_specs(settings)) as supervisor:
        supervisor.wait_ready(20.0)
        yield


def main() -> None:
    """Run the command by itself."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(open_sealed)
    try:
        app()
    except HyokError as error:
        sys.stderr.write(error.explain() + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
