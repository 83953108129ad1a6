"""`hyok peek`: what the supplier sees of an object, beside what its owner sees."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer reads them
from hyok.cli.screen import say, show
from hyok.cli.session import operator_ask, run
from hyok.errors import Malformed
from hyok.objects.peek import Peeked, peek_object

if TYPE_CHECKING:
    from hyok.wiring import Core

SHOWN_BYTES = 256
_PRINTABLE = frozenset(string.printable.encode()) - frozenset(b"\t\n\r\x0b\x0c")


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(peek)


def split_address(address: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``.

    Raises:
        Malformed: it has another form.
    """
    bucket, slash, key = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not bucket or not slash:
        raise Malformed(f"{address} is no object: write s3://bucket/key")
    return bucket, key


def peek(
    address: Annotated[str, typer.Argument(help="s3://bucket/key")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the supplier has of an object, beside what it says to its owner."""
    bucket_id, key = split_address(address)

    async def act(core: Core) -> Peeked:
        bucket = await core.registry.get(bucket_id)
        ask = operator_ask("object:get", bucket.tenant, bucket, key)
        if core.settings.installation.mode == "development":
            # A look at demo data; in production nobody reads alone, also not from here.
            ask = replace(ask, approval="development")
        return await peek_object(core.vault, ask, SHOWN_BYTES)

    seen = run(config, act)
    if as_json:
        show([seen.as_row()], as_json=True, empty="")
        return
    say(f"bucket {bucket_id}, classification {seen.classification}, key {seen.kek_id}")
    say("")
    say(f"What the supplier has  ({seen.stored_size} bytes, as {seen.stored_name!r})")
    for line in _dump(seen.stored):
        say("  " + line)
    say("")
    say(f"What the owner has     ({seen.plain_size} bytes, as {key!r})")
    for name, value in seen.headers.items():
        say(f"  {name}: {value}")
    for name, value in seen.tags.items():
        say(f"  tag {name}: {value}")
    for line in _dump(seen.plain):
        say("  " + line)


def _dump(raw: bytes) -> list[str]:
    lines = []
    for at in range(0, len(raw), 16):
        row = raw[at : at + 16]
        text = "".join(chr(byte) if byte in _PRINTABLE else "." for byte in row)
        lines.append(f"{at:06x}  {row.hex(' '):<47}  {text}")
    return lines
