"""Logs: one JSON object a line, a constant event name and fields.

They help operators; the audit log is evidence, and another stream.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from json import JSONEncoder
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

SECRET_FIELDS = frozenset({"key", "secret", "pin", "password", "token", "object_key", "name"})
"""Fields that are never written: secrets, and names of objects, which may be personal data."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_encode = JSONEncoder().encode
_NUMBERS = frozenset({int, float})
_escape = encode_basestring_ascii
_render = structlog.processors.JSONRenderer()
_plain = structlog.get_logger("hyok")


def drop_secrets(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace the value of a field that must not be written."""
    for field in SECRET_FIELDS.intersection(event):
        event[field] = "(left out)"
    return event


class _Direct:
    """Where lines of level info go that need none of the processors; ``stream`` None: nowhere."""

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self.chain: list[Any] = []

    @property
    def serves(self) -> bool:
        """Is the chain still the one of `configure`?  Tests put another in its place."""
        return self.stream is not None and self.chain[-1] is _render


_direct = _Direct()


def tell(event: str, fields: dict[str, Any]) -> None:
    """Write a line of level info with fields that hold no secret, as the processors would write it.

    For what is written with every request: the processors one by one cost ten times as much.
    """
    stream = _direct.stream
    if stream is None or not _direct.serves:
        _plain.info(event, **fields)
        return
    told = "{"
    for name, value in fields.items():
        kind = value.__class__
        if kind is str:
            told += f'"{name}": {_escape(value)}, '
        else:
            told += f'"{name}": {value if kind in _NUMBERS else _encode(value)}, '
    now = datetime.now(UTC).isoformat()[:-6]  # noqa: TID251
    stream.write(f'{told}"event": "{event}", "level": "info", "timestamp": "{now}Z"}}\n')


def configure(level: str = "info", file: Path | None = None) -> None:
    """Write JSON lines to ``file``, else to standard error, from now on."""
    stream: TextIO = sys.stderr
    if file is not None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        stream = file.open("a", buffering=1)
    chain: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_secrets,
        structlog.processors.format_exc_info,
        _render,
    ]
    _direct.chain = chain
    _direct.stream = stream if LEVELS[level] <= LEVELS["info"] else None
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream)


def keep_off_standard_output() -> None:
    """Write lines of a command that people or programs read to standard error."""
    _direct.stream = None
    structlog.configure(
        # Looked up for every line: a program that runs several commands may change its streams.
        logger_factory=lambda *_args: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
