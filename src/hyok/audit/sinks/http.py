"""HttpSink: messages in batches by POST; an answer of 2xx acknowledges the batch."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hyok.errors import Unavailable
from hyok.http1.client import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hyok.http1.client import Response

AUTHORIZATION_CHARS_MAX = 16 << 10
SAID_CHARS_MAX = 200


class HttpSink:
    """Posts to ``url``, on a loop of its own.

    Args:
        url: https, or http on this host.
        context: verifies the receiver's certificate.
        render: makes one body of a batch's messages.
        content_type: of that body.
        authorization_file: holds the value of the authorization header; read for each batch, so
            that a new one needs no restart.
        seconds_max: for one batch and its answer.
    """

    def __init__(
        self,
        url: str,
        context: ssl.SSLContext | None,
        *,
        render: Callable[[Sequence[bytes]], bytes],
        content_type: str,
        authorization_file: Path | None = None,
        seconds_max: float = 30.0,
    ) -> None:
        parts = urlsplit(url)
        self._name = parts.netloc
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._url, self._context, self._seconds_max = url, context, seconds_max
        self._render, self._content_type = render, content_type
        self._authorization_file = authorization_file
        self._runner = asyncio.Runner()

    def send(self, messages: Sequence[bytes]) -> None:
        """Post a batch; see `Sink.send`."""
        try:
            answer = self._runner.run(self._post(self._render(messages)))
        except Unavailable as error:
            raise Unavailable(f"{self._name}: {_said(error.__cause__)}") from error
        if not 200 <= answer.status < 300:
            text = answer.body[:SAID_CHARS_MAX].decode("ascii", "replace")
            said = "".join(each if each.isprintable() else " " for each in text)
            raise Unavailable(f"{self._name} answers with status {answer.status}: {said}")

    async def _post(self, body: bytes) -> Response:
        headers = [
            ("host", self._name),
            ("content-type", self._content_type),
            ("accept", "*/*"),
            ("user-agent", "hyok"),
        ]
        if self._authorization_file is not None:
            headers.append(("authorization", _secret(self._authorization_file)))
        # A connection for each batch: a kept one that died would look like a refusal.
        pool = Pool(
            self._url, context=self._context, connections_max=1, seconds_max=self._seconds_max
        )
        try:
            return await pool.request("POST", self._target, headers, body, once=True)
        finally:
            await pool.close()

    def close(self) -> None:
        """End the loop."""
        self._runner.close()


def _secret(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable("") from error
    if not 1 <= len(text) <= AUTHORIZATION_CHARS_MAX or not text.isprintable():
        raise Unavailable("") from ValueError(f"{path} holds no value of a header")
    return text


def _said(cause: BaseException | None) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {cause.verify_message}"
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return str(cause) or type(cause).__name__ if cause is not None else "no answer"


def as_lines(messages: Sequence[bytes]) -> bytes:
    """Return JSON documents as lines (application/x-ndjson)."""
    return b"".join(message + b"\n" for message in messages)


def as_array(messages: Sequence[bytes]) -> bytes:
    """Return JSON documents as one JSON array."""
    return b"[" + b",".join(messages) + b"]"
