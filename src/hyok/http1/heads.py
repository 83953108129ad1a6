"""Heads of requests and answers: parsed by httptools, after our own stricter look at the bytes.

Two readers of one request must never see two requests: bare line feeds, folded lines, lengths that
contradict each other and codings that we do not know are refused (RFC 9112 sections 2.2, 5.2, 6.3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import httptools

from hyok.errors import Malformed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

END = b"\r\n\r\n"
_HOST = re.compile(rb"[A-Za-z0-9.\-_~!$&'()*+,;=%:\[\]]{0,512}").fullmatch
_DIGITS = re.compile(rb"[0-9]{1,19}").fullmatch


class RequestHead(NamedTuple):
    """A request as it came: raw target, header names in lower case, in order."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    peer: str
    tls: bool
    peer_certificate: bytes | None
    keep_alive: bool
    content_length: int | None
    chunked: bool
    expects_continue: bool
    takes_chunks: bool  # false for HTTP/1.0, which knows no chunked coding


class ResponseHead(NamedTuple):
    """An answer's head."""

    status: int
    headers: dict[str, str]
    keep_alive: bool
    content_length: int | None
    chunked: bool


class _Collector:
    """What httptools calls; and what decides how a message goes on, by header."""

    __slots__ = ("chosen", "done", "headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.chosen: dict[bytes, list[bytes]] = {}
        self.done = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers.append((name, value))
        if name in _DECISIVE:
            self.chosen.setdefault(name, []).append(value)

    def on_headers_complete(self) -> None:
        self.done = True

    def framing(self) -> tuple[int | None, bool]:
        """Return content length and whether the body is chunked.

        Raises:
            Malformed: they contradict each other, or are not known.
        """
        lengths = self.chosen.get(b"content-length")
        codings = b",".join(self.chosen.get(b"transfer-encoding", ())).strip().lower()
        if codings:
            if lengths:
                raise _refuse("Content-Length and Transfer-Encoding exclude each other.")
            if codings != b"chunked":
                raise _refuse("The only transfer coding served is chunked.")
            return None, True
        if not lengths:
            return None, False
        if len(lengths) > 1 or not _DIGITS(lengths[0]):
            raise _refuse("The request needs one Content-Length, a number.")
        return int(lengths[0]), False

    def words(self, name: bytes) -> bytes:
        """Return all values of a header as one, in lower case."""
        values = self.chosen.get(name)
        return b",".join(values).lower() if values else b""


_DECISIVE = frozenset({b"host", b"connection", b"expect", b"content-length", b"transfer-encoding"})


def _refuse(cause: str) -> Malformed:
    return Malformed(cause, reason="InvalidRequest")


def _check_lines(raw: bytes) -> None:
    """Refuse line ends other than CR LF, lines that go on in the next one, and zero bytes."""
    ends = raw.count(b"\r\n")
    if raw.count(b"\n") != ends or raw.count(b"\r") != ends or b"\0" in raw:
        raise _refuse("The request's head has a line that does not end as HTTP says.")
    if b"\r\n " in raw or b"\r\n\t" in raw:
        raise _refuse("The request's head has a line that goes on in the next one.")


def parse_request(
    raw: bytes, *, peer: str, tls: bool, certificate: bytes | None, header_count_max: int
) -> RequestHead:
    """Return the head; ``raw`` ends with its empty line.

    Raises:
        Malformed: it breaks a rule.
    """
    _check_lines(raw)
    seen = _Collector()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        raise _refuse("This server changes to no other protocol.") from None
    except httptools.HttpParserError as error:
        raise _refuse("The request's head is not HTTP/1.1.") from error
    if not seen.done:
        raise _refuse("The request's head is not HTTP/1.1.")
    if len(seen.headers) > header_count_max:
        raise _refuse("The request has too many headers.")
    modern = parser.get_http_version() == "1.1"
    hosts = seen.chosen.get(b"host", ())
    if len(hosts) > 1 or (modern and not hosts) or (hosts and not _HOST(hosts[0])):
        raise _refuse("The request needs one Host header.")
    length, chunked = seen.framing()
    connection = seen.words(b"connection")
    expects = seen.words(b"expect")
    if expects not in {b"", b"100-continue"}:
        raise _refuse("The only expectation served is 100-continue.")
    return RequestHead(
        method=parser.get_method().decode("ascii"),
        target=seen.target,
        headers=seen.headers,
        peer=peer,
        tls=tls,
        peer_certificate=certificate,
        keep_alive=b"close" not in connection and (modern or b"keep-alive" in connection),
        content_length=length,
        chunked=chunked,
        expects_continue=bool(expects) and modern,
        takes_chunks=modern,
    )


def parse_response(raw: bytes) -> ResponseHead:
    """Return an answer's head.

    Raises:
        Unavailable: it is not HTTP.
    """
    seen = _Collector()
    parser = httptools.HttpResponseParser(seen)
    try:
        parser.feed_data(raw)
        length, chunked = seen.framing()
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, Malformed) as error:
        raise Unavailable(
            "The peer's answer is not HTTP/1.1.", reason="ServiceUnavailable"
        ) from error
    headers: dict[str, str] = {}
    for name, value in seen.headers:
        key, text = name.decode("latin-1"), value.decode("utf-8", "surrogateescape")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return ResponseHead(
        parser.get_status_code(),
        headers,
        b"close" not in seen.words(b"connection") and parser.get_http_version() == "1.1",
        length,
        chunked,
    )


def render_response(status: int, reason: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the bytes of an answer's head."""
    return _render(f"HTTP/1.1 {status} {reason}", headers)


def render_request(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the bytes of a request's head."""
    if " " in target:
        raise ValueError("the target holds a blank")
    return _render(f"{method} {target} HTTP/1.1", headers)


def _render(first: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [first]
    lines += [f"{name}: {value}" for name, value in headers]
    text = "\r\n".join(lines)
    ends = len(lines) - 1
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
        raise ValueError("a line of the head holds a line end or a zero byte")
    return (text + "\r\n\r\n").encode("utf-8", "surrogateescape")
