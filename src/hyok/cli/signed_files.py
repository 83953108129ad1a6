"""Signed documents as files: JSON, a page beside it, the signature, and the record on the log."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

from hyok.audit.signed import digest, head_of, wrapped
from hyok.audit_signing import build_audit_key
from hyok.cli.registrations import record
from hyok.errors import Conflict, NotFound
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hyok.wiring import Core


def page_of(file: Path) -> Path:
    """Return where the page for people stands."""
    return file.with_suffix(".html")


def check_free(file: Path) -> None:
    """Return quietly if neither the file nor its page is there.

    Raises:
        Conflict: one is.
    """
    if file == page_of(file):
        raise Conflict(f"{file}: the JSON and its page would be one file", next_step="name.json")
    for path in (file, page_of(file)):
        if path.exists():
            raise Conflict(f"{path} is there already", effect="Nothing was done or overwritten.")


async def sign_and_write(
    core: Core,
    file: Path,
    document: Mapping[str, object],
    render: Callable[[Mapping[str, object], str], str],
    action: str,
    reason: str,
    tenant: str = "system",
    outcome: str = "done",
) -> bool:
    """Sign a document, write it with its page, and have its digest on the audit log.

    Returns:
        False: there is no audit key yet, so nobody signed; the files say so.

    Raises:
        Unavailable: HSM or log do not answer.
    """
    now = clock_ms()
    try:
        key = build_audit_key(core.settings)
        public = await asyncio.to_thread(key.public_key)
        name = core.settings.installation.name
        head = head_of(document, name, now, software=key.software)
        whole = wrapped(document, head, await asyncio.to_thread(key.sign, head), public)
        signed_by = public.fingerprint
    except NotFound:  # the ceremony comes before the audit key's own
        whole, signed_by = wrapped(document, None, None), ""
    await record(core, action, tenant, reason + digest(document), outcome=outcome)
    write(file, whole, render(document, signed_by))
    return bool(signed_by)


def write(file: Path, whole: Mapping[str, object], page: str) -> None:
    """Write a document and its page, each whole or not at all: they may be the only ones."""
    _put(page_of(file), page)
    _put(file, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")


def _put(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(path)
