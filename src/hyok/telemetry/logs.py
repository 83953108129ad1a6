"""Logs: one JSON object a line, a constant event name and fields.

They help operators; the audit log is evidence, and another stream.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

SECRET_FIELDS = frozenset({"key", "secret", "pin", "password", "token", "object_key", "name"})
"""Fields that are never written: secrets, and names of objects, which may be personal data."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def drop_secrets(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace the value of a field that must not be written."""
    for field in SECRET_FIELDS.intersection(event):
        event[field] = "(left out)"
    return event


def configure(level: str = "info", file: Path | None = None) -> None:
    """Write JSON lines to ``file``, else to standard error, from now on."""
    stream: TextIO = sys.stderr
    if file is not None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        stream = file.open("a", buffering=1)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            drop_secrets,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream)


def keep_off_standard_output() -> None:
    """Write lines of a command that people or programs read to standard error."""
    structlog.configure(
        # Looked up for every line: a program that runs several commands may change its streams.
        logger_factory=lambda *_args: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
