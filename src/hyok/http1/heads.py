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
    from collections.abc import Sequence

END = b"\r\n\r\n"
_HOST = re.compile(rb"[A-Za-z0-9.\-_~!$&'()*+,;=%:\[\]]{0,512}").fullmatch
_DIGITS = re.compile(rb"[0-9]{1,19}").fullmatch


_LIST = b"LIST "
"""A method of Vault's clients that the parser does not know; framed as GET is."""


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
    client_name: str = ""  # of the certificate that the client showed, in lower case


class ResponseHead(NamedTuple):
    """An answer's head."""

    status: int
    headers: dict[str, str]
    keep_alive: bool
    content_length: int | None
    chunked: bool


class _Asked:
    """What httptools tells of a request.

    ``decisive``: the headers that say how the message goes on, by name; those that came twice are
    one value with a comma in it, which is no length and no host.
    """

    __slots__ = ("decisive", "done", "headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.decisive: dict[bytes, bytes] = {}
        self.done = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers.append((name, value))
        if name in _DECISIVE:
            before = self.decisive.get(name)
            self.decisive[name] = value if before is None else b"%b, %b" % (before, value)

    def on_headers_complete(self) -> None:
        self.done = True


class _Answered:
    """What httptools tells of an answer; a header that came twice is one, with a comma in it."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.lower().decode("latin-1"), value.decode("utf-8", "surrogateescape")
        before = self.headers.get(key)
        self.headers[key] = text if before is None else f"{before}, {text}"


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
    raw: bytes,
    *,
    peer: str,
    tls: bool,
    certificate: bytes | None,
    header_count_max: int,
    client_name: str = "",
) -> RequestHead:
    """Return the head; ``raw`` ends with its empty line.

    Raises:
        Malformed: it breaks a rule.
    """
    _check_lines(raw)
    seen = _Asked()
    parser = httptools.HttpRequestParser(seen)
    listing = raw.startswith(_LIST)
    try:
        parser.feed_data(b"GET " + raw[len(_LIST) :] if listing else raw)
    except httptools.HttpParserUpgrade:
        raise _refuse("This server changes to no other protocol.") from None
    except httptools.HttpParserError as error:
        raise _refuse("The request's head is not HTTP/1.1.") from error
    if not seen.done:
        raise _refuse("The request's head is not HTTP/1.1.")
    if len(seen.headers) > header_count_max:
        raise _refuse("The request has too many headers.")
    modern = parser.get_http_version() == "1.1"
    decisive = seen.decisive
    host = decisive.get(b"host")
    if (modern and host is None) or (host and not _HOST(host)):
        raise _refuse("The request needs one Host header.")
    length, chunked = _framing(
        decisive.get(b"content-length"), decisive.get(b"transfer-encoding", b"")
    )
    connection = decisive.get(b"connection", b"").lower()
    expects = decisive.get(b"expect", b"").lower()
    if expects not in {b"", b"100-continue"}:
        raise _refuse("The only expectation served is 100-continue.")
    return RequestHead(
        method="LIST" if listing else parser.get_method().decode("ascii"),
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
        client_name=client_name,
    )


def parse_response(raw: bytes) -> ResponseHead:
    """Return an answer's head.

    Raises:
        Unavailable: it is not HTTP.
    """
    seen = _Answered()
    headers = seen.headers
    parser = httptools.HttpResponseParser(seen)
    try:
        parser.feed_data(raw)
        told = headers.get("content-length")
        length, chunked = _framing(
            None if told is None else told.encode("utf-8", "surrogateescape"),
            headers.get("transfer-encoding", "").encode("utf-8", "surrogateescape"),
        )
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, Malformed) as error:
        raise Unavailable(
            "The peer's answer is not HTTP/1.1.", reason="ServiceUnavailable"
        ) from error
    return ResponseHead(
        parser.get_status_code(),
        headers,
        "close" not in headers.get("connection", "").lower() and parser.get_http_version() == "1.1",
        length,
        chunked,
    )


def _framing(length: bytes | None, codings: bytes) -> tuple[int | None, bool]:
    """Return content length and whether the body is chunked.

    Raises:
        Malformed: they contradict each other, or are not known.
    """
    codings = codings.strip().lower()
    if codings:
        if length is not None:
            raise _refuse("Content-Length and Transfer-Encoding exclude each other.")
        if codings != b"chunked":
            raise _refuse("The only transfer coding served is chunked.")
        return None, True
    if length is None:
        return None, False
    if not _DIGITS(length):
        raise _refuse("The request needs one Content-Length, a number.")
    return int(length), False


def render_response(status: int, reason: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Return the bytes of an answer's head."""
    return _render(f"HTTP/1.1 {status} {reason}", headers)


def render_request(method: str, target: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Return the bytes of a request's head."""
    if "\r" in target or "\n" in target or " " in target or "\x00" in target:
        raise ValueError("the target holds a blank or a line end")
    return _render(f"{method} {target} HTTP/1.1", headers)


def _render(first: str, headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [first]
    for name, value in headers:
        if "\r" in value or "\n" in value or "\x00" in value:
            raise ValueError(f"header {name} holds a line end")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
