"""Logs: one JSON object a line, a constant event name and fields.

They help operators; the audit log is evidence, and another stream.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
from collections import deque
from datetime import UTC, datetime
from json import JSONEncoder
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

SECRET_FIELDS = frozenset({"key", "secret", "pin", "password", "token", "object_key", "name"})
"""Fields that are never written: secrets, and names of objects, which may be personal data."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

WRITE_BYTES_MAX = 4096
"""Lines are written together up to this length, in ASCII: no pipe tears a write of so many bytes
that several workers share (PIPE_BUF)."""

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
    """Where lines of level info go that need none of the processors; ``stream`` None: nowhere.

    Lines that come in one turn of an event loop are written at its end, together: a system call for
    each request cost more than making its line.
    """

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self.chain: list[Any] = []
        # Other threads write it out too, before lines of theirs: what is added meanwhile stays in.
        self._lines: deque[str] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None  # whose turn ends with `flush`

    @property
    def serves(self) -> bool:
        """Is the chain still the one of `configure`?  Tests put another in its place."""
        return self.stream is not None and self.chain[-1] is _render

    def write(self, line: str) -> None:
        """Write a line; where a loop runs, at the end of its turn."""
        self._lines.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if self._loop is not loop:
            self._loop = loop
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what was gathered."""
        self._loop = None
        stream, told = self.stream, ""
        while self._lines:
            try:
                line = self._lines.popleft()
            except IndexError:  # another thread was first
                break
            if told and len(told) + len(line) > WRITE_BYTES_MAX and stream is not None:
                stream.write(told)
                told = ""
            told += line
        if told and stream is not None:
            stream.write(told)


class _InOrder:
    """The same stream for all other lines: what was gathered before them is written first."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.flush = stream.flush

    def write(self, text: str) -> int:
        _direct.flush()
        return self._stream.write(text)


_direct = _Direct()


@atexit.register
def _flush_at_exit() -> None:
    _direct.flush()


def tell(event: str, fields: dict[str, Any]) -> None:
    """Write a line of level info with fields that hold no secret, as the processors would write it.

    For what is written with every request: the processors one by one cost ten times as much.
    """
    if not _direct.serves:
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
    _direct.write(f'{told}"event": "{event}", "level": "info", "timestamp": "{now}Z"}}\n')


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
    _direct.flush()
    _direct.chain = chain
    _direct.stream = stream if LEVELS[level] <= LEVELS["info"] else None
    in_order = cast("TextIO", _InOrder(stream))
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=in_order),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=in_order)


def keep_off_standard_output() -> None:
    """Write lines of a command that people or programs read to standard error."""
    _direct.flush()
    _direct.stream = None
    structlog.configure(
        # Looked up for every line: a program that runs several commands may change its streams.
        logger_factory=lambda *_args: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
