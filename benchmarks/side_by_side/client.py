"""Single requests, for what surrounds a measurement: making buckets, beginning uploads, proofs."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from typing import TYPE_CHECKING

from benchmarks.side_by_side.requests import signed

if TYPE_CHECKING:
    from benchmarks.side_by_side.requests import Ask
    from benchmarks.side_by_side.roads import Road

SECONDS_MAX = 120


class Answer:
    """An answer; ``cut`` where its body ended early."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.cut = cut


def send(road: Road, ask: Ask, pattern: bytes, *, wrong_signature: bool = False) -> Answer:
    """Send one request and return the answer, whatever it is."""
    head, *body = signed(ask, road.host, road.signer, pattern)
    assert isinstance(head, bytes)
    if wrong_signature:
        at = head.index(b"Signature=") + len(b"Signature=")
        digit = b"1" if head[at : at + 1] == b"0" else b"0"
        head = head[:at] + digit + head[at + 1 :]
    whole = b"".join(part if isinstance(part, bytes) else part.of(pattern) for part in body)
    return send_raw(road, head, whole)


def send_raw(road: Road, head: bytes, body: bytes) -> Answer:
    """Send a head and a body as they are."""
    if road.ca:
        context = ssl.create_default_context(cafile=road.ca)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", road.port, timeout=SECONDS_MAX, context=context
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", road.port, timeout=SECONDS_MAX)
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for line in lines:
            name, _, value = line.partition(": ")
            connection.putheader(name, value)
        # Refused before all of it was sent: the answer says why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(body or None)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        try:
            return Answer(answer.status, headers, answer.read(), cut=False)
        except (http.client.IncompleteRead, ConnectionResetError) as error:
            got = error.partial if isinstance(error, http.client.IncompleteRead) else b""
            return Answer(answer.status, headers, got, cut=True)
    finally:
        connection.close()
