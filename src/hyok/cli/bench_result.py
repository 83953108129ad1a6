"""Result files of `hyok bench`: one JSON document each, with the machine it was measured on."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hyok
from hyok.cli.screen import say
from hyok.errors import Malformed

KINDS = ("hyok-bench-hsm", "hyok-bench-gateway")
VERSION = 1
BYTES_MAX = 16 << 20


def machine() -> dict[str, Any]:
    """Return what a figure depends on beside the thing measured."""
    model = ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        model = platform.processor()
    return {
        "cpu": model or platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def head(kind: str, site: str) -> dict[str, Any]:
    """Return how every result begins."""
    return {
        "kind": kind,
        "version": VERSION,
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),  # noqa: TID251 - a shell
        "site": site,
        "hyok": hyok.__version__,
        "machine": machine(),
    }


def default_name(document: dict[str, Any]) -> Path:
    """Return a file name that says what and when."""
    moment = str(document["at"]).replace("-", "").replace(":", "")
    return Path(f"{document['kind']}-{moment}.json")


def give(document: dict[str, Any], output: Path | None, *, as_json: bool) -> None:
    """Print a result for programs, or write it and say where; both where a file is named."""
    if output is not None or not as_json:
        path = output or default_name(document)
        path.write_text(json.dumps(document, indent=1) + "\n")
        if not as_json:
            say(f"written to {path}")
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")


def read(path: Path) -> dict[str, Any]:
    """Return a result.

    Raises:
        Malformed: it is none of ours (code HY-2453).
    """
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(BYTES_MAX))
        known = document["kind"] in KINDS and document["version"] == VERSION
    except (OSError, ValueError, KeyError, TypeError):
        known, document = False, {}
    if not known:
        raise Malformed(
            f"{path} is no result of hyok bench",
            code="HY-2453",
            effect="Nothing was compared.",
            next_step="name files that `hyok bench hsm` or `hyok bench gateway` wrote",
        )
    return dict(document)
