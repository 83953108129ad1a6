"""Heads of requests and answers: parsed by httptools, after our own stricter look at the bytes.

Two readers of one request must never see two requests: bare line feeds, folded lines, lengths that
contradict each other and codings that we do not know are refused (RFC 9112 sections 2.2, 5.2, 6.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import httptools

from hyok.errors import Malformed, Unavailable

END = b"\r\n\r\n"
_BARE_LF = re.compile(rb"(?<!\r)\n|\r(?!\n)|\x00").search
_FOLD = re.compile(rb"\r\n[ \t]").search
_HOST = re.compile(rb"[A-Za-z0-9.\-_~!$&'()*+,;=%:\[\]]{0,512}").fullmatch
_DIGITS = re.compile(rb"[0-9]{1,19}").fullmatch


@dataclass(frozen=True, slots=True)
class RequestHead:
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


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """An answer's head."""

    status: int
    headers: dict[str, str]
    keep_alive: bool
    content_length: int | None
    chunked: bool


class _Collector:
    """What httptools calls."""

    __slots__ = ("done", "headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.done = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.done = True


def _refuse(cause: str) -> Malformed:
    return Malformed(cause, reason="InvalidRequest")


def parse_request(
    raw: bytes, *, peer: str, tls: bool, certificate: bytes | None, header_count_max: int
) -> RequestHead:
    """Return the head; ``raw`` ends with its empty line.

    Raises:
        Malformed: it breaks a rule.
    """
    if _BARE_LF(raw) or _FOLD(raw):
        raise _refuse("The request's head has a line that does not end as HTTP says.")
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
    version = parser.get_http_version()
    hosts = [value for name, value in seen.headers if name == b"host"]
    if len(hosts) > 1 or (version == "1.1" and not hosts) or (hosts and not _HOST(hosts[0])):
        raise _refuse("The request needs one Host header.")
    length, chunked = _framing(seen.headers)
    connection = _value(seen.headers, b"connection").lower()
    expects = _value(seen.headers, b"expect").lower()
    if expects not in {b"", b"100-continue"}:
        raise _refuse("The only expectation served is 100-continue.")
    keep = b"close" not in connection and (version == "1.1" or b"keep-alive" in connection)
    return RequestHead(
        method=parser.get_method().decode("ascii"),
        target=seen.target,
        headers=seen.headers,
        peer=peer,
        tls=tls,
        peer_certificate=certificate,
        keep_alive=keep,
        content_length=length,
        chunked=chunked,
        expects_continue=bool(expects) and version == "1.1",
        takes_chunks=version == "1.1",
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
        length, chunked = _framing(seen.headers)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, Malformed) as error:
        raise Unavailable(
            "The peer's answer is not HTTP/1.1.", reason="ServiceUnavailable"
        ) from error
    headers: dict[str, str] = {}
    for name, value in seen.headers:
        text = value.decode("utf-8", "surrogateescape")
        key = name.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    keep = "close" not in headers.get("connection", "").lower()
    return ResponseHead(
        parser.get_status_code(),
        headers,
        keep and parser.get_http_version() == "1.1",
        length,
        chunked,
    )


def _value(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    return b",".join(value for name, value in headers if name == wanted)


def _framing(headers: list[tuple[bytes, bytes]]) -> tuple[int | None, bool]:
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = _value(headers, b"transfer-encoding").strip().lower()
    if codings and lengths:
        raise _refuse("Content-Length and Transfer-Encoding exclude each other.")
    if codings and codings != b"chunked":
        raise _refuse("The only transfer coding served is chunked.")
    if len(lengths) > 1 or (lengths and not _DIGITS(lengths[0])):
        raise _refuse("The request needs one Content-Length, a number.")
    return (int(lengths[0]) if lengths else None), bool(codings)


def render_response(status: int, reason: str, headers: list[tuple[str, str]]) -> bytes:
    """Return the bytes of an answer's head."""
    lines = [f"HTTP/1.1 {status} {reason}"]
    for name, value in headers:
        if "\r" in value or "\n" in value or "\x00" in value:
            raise ValueError(f"header {name} holds a line end")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def render_request(method: str, target: str, headers: list[tuple[str, str]]) -> bytes:
    """Return the bytes of a request's head."""
    if any(mark in target for mark in "\r\n \x00"):
        raise ValueError("the target holds a blank or a line end")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers:
        if "\r" in value or "\n" in value or "\x00" in value:
            raise ValueError(f"header {name} holds a line end")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
