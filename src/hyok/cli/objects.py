"""`hyok peek` and `hyok explain`: what the supplier sees, and what happened."""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.audit.search import find
from hyok.cli.options import ConfigOption, JsonOption, load, moment
from hyok.cli.screen import say, show
from hyok.cli.session import operator_ask, run
from hyok.errors import Malformed, NotFound
from hyok.objects.peek import Peeked, peek_object

if TYPE_CHECKING:
    from hyok.wiring import Core

SHOWN_BYTES = 256
_PRINTABLE = frozenset(string.printable.encode()) - frozenset(b"\t\n\r\x0b\x0c")


def register(root: typer.Typer) -> None:
    """Add these commands."""
    root.command()(peek)
    root.command()(explain)


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
    for line in _dump(seen.plain):
        say("  " + line)


def _dump(raw: bytes) -> list[str]:
    lines = []
    for at in range(0, len(raw), 16):
        row = raw[at : at + 16]
        text = "".join(chr(byte) if byte in _PRINTABLE else "." for byte in row)
        lines.append(f"{at:06x}  {row.hex(' '):<47}  {text}")
    return lines


def explain(request_id: str, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say what happened to a request: who asked, what was decided by which rule, which key."""
    settings, _ = load(config)
    records = find(settings.audit.file, request_id)
    logged = []
    if settings.log.file is not None and settings.log.file.exists():
        with settings.log.file.open() as lines:
            logged = [json.loads(line) for line in lines if request_id in line]
    if not records and not logged:
        raise NotFound(
            f"no request {request_id} is on record",
            next_step="the id stands in the answer's x-amz-request-id header",
        )
    if as_json:
        show([*records, *logged], as_json=True, empty="")
        return
    for record in records:
        at = record.get("at_ms")
        when = moment(at) if isinstance(at, int) else ""
        said = f"{when}  {record.get('phase')}  {record.get('action')}  {record.get('outcome')}"
        say(said)
        for name in (
            "actor",
            "tenant",
            "origin",
            "bucket_id",
            "classification",
            "object_id",
            "kek_id",
            "scope",
            "reasons",
            "error",
            "size_bytes",
        ):
            if name in record:
                value = record[name]
                text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                say(f"    {name}: {text}")
    for line in logged:
        say(f"answered {line.get('status')} in {line.get('duration_ms')} ms")
