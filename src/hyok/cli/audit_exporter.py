"""The exporter's process: ``python -m hyok.cli.audit_exporter --config PATH``.

`hyok serve` starts it beside the audit writer when `[[audit.exports]]` names a receiver.  Each has
a thread of its own, so one that is slow holds up neither the writer nor another receiver.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from hyok import settings as settings_file
from hyok.errors import HyokError
from hyok.exports import build_forwarder

if TYPE_CHECKING:
    from hyok.audit.forwarder import Forwarder

STOP_SECONDS_MAX = 5.0


def main() -> int:
    """Export until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hyok.cli.audit_exporter")
    parser.add_argument("--config", type=Path, required=True)
    wanted = parser.parse_args()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        settings = settings_file.load(wanted.config)
        forwarders = [build_forwarder(settings, export, _log) for export in settings.audit.exports]
    except HyokError as error:
        sys.stderr.write(f"audit exporter: {error.explain()}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"audit exporter: {error.filename or ''} {error.strerror}\n")
        return 1
    return _run(forwarders, stopping)


def _run(forwarders: list[Forwarder], stopping: threading.Event) -> int:
    failed = threading.Event()

    def work(forwarder: Forwarder) -> None:
        try:
            forwarder.run(stopping)
        except BaseException:
            # One that ends by a defect of ours must not stay ended: the process is started again.
            failed.set()
            stopping.set()
            raise

    threads = [
        threading.Thread(target=work, args=(each,), name=f"export-{each.name}", daemon=True)
        for each in forwarders
    ]
    for thread in threads:
        thread.start()
    stopping.wait()
    for thread in threads:
        # One that waits for its receiver is left: what was not acknowledged is sent again.
        thread.join(STOP_SECONDS_MAX)
    return 1 if failed.is_set() else 0


def _log(event: str, **fields: object) -> None:
    # One write per line: other processes share this descriptor.
    os.write(2, (json.dumps({"event": event, **fields}) + "\n").encode())


if __name__ == "__main__":
    raise SystemExit(main())
