"""The audit writer's process: ``python -m hyok.cli.audit_writer --socket PATH --file PATH …``.

`hyok serve` starts it.  It gets by argument what it needs, since reading all settings takes longer
than everything else that it does before it takes the first record.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from hyok.audit.sealing import CheckpointRules
from hyok.audit.tiles import pinned_key
from hyok.audit.writer import now_ms, serve
from hyok.errors import HyokError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.audit.port import CheckpointSigner

EXIT_DISK = 74


def main() -> int:
    """Run the writer; return its exit code."""
    wanted = _arguments()
    rules = CheckpointRules(wanted.origin, wanted.checkpoint_records, wanted.checkpoint_seconds)
    try:
        uvloop.run(_serve(wanted, rules))
    except HyokError as error:
        sys.stderr.write(f"audit writer: {error.explain()}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"audit writer: {error.strerror}\n")
        return EXIT_DISK
    return 0


async def _serve(wanted: argparse.Namespace, rules: CheckpointRules) -> None:
    if not wanted.database:
        await serve(wanted.socket, wanted.file, rules, _signer(wanted))
        return
    # SQLAlchemy takes half a second to load, which a host with a log of its own does not need.
    from hyok.audit.rows import Batch, Chunk  # noqa: PLC0415
    from hyok.audit.shared import Head, Registered  # noqa: PLC0415
    from hyok.audit.shared_writer import Named, serve_shared  # noqa: PLC0415
    from hyok.database.audit_rows import AuditRows  # noqa: PLC0415

    rows = AuditRows(wanted.database, (Batch, Chunk, Head, Registered), now_ms)
    named = Named(wanted.installation, wanted.host)
    signer = partial(_load_signer, wanted)
    await serve_shared(wanted.socket, wanted.file, rules, signer, rows, named)


def _signer(wanted: argparse.Namespace) -> Callable[[], CheckpointSigner] | None:
    if not wanted.key:
        return None
    return partial(_load_signer, wanted)


def _load_signer(wanted: argparse.Namespace) -> CheckpointSigner:
    from hyok.custody.audit_key import hsm_key, software_key  # noqa: PLC0415 - later, in a thread

    pinned = pinned_key(wanted.file, wanted.key)
    if wanted.software_file is not None:
        return software_key(wanted.software_file, wanted.key, pinned)
    return hsm_key(wanted.agent, wanted.key, pinned)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hyok.cli.audit_writer")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--origin", default="hyok-audit")
    parser.add_argument("--checkpoint-records", type=int, default=1000)
    parser.add_argument("--checkpoint-seconds", type=float, default=60.0)
    parser.add_argument("--key", default="", help="the signing key's name; empty: none signs")
    parser.add_argument("--agent", action="append", default=[], help="socket of a token's agent")
    parser.add_argument("--software-file", type=Path)
    parser.add_argument("--database", default="", help="URL; the log is one of several hosts")
    parser.add_argument("--installation", default="hyok")
    parser.add_argument("--host", default="", help="this host's name")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
