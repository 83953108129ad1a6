"""Ways to a receiver: what counts as acknowledged, and which receivers are refused."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING

import pytest
import trustme

from hyok.audit.sinks.http import HttpSink, as_array, as_lines
from hyok.audit.sinks.syslog import SyslogSink, framed
from hyok.errors import Unavailable
from hyok.http1.tls import client_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MESSAGES = [b"<110>1 one", "<110>1 twee é".encode()]
WIRE = b"10 <110>1 one14 <110>1 twee \xc3\xa9"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


class Receiver:
    """Takes connections one after another, in a thread; ``act`` does what it does with each."""

    def __init__(
        self, act: Callable[[socket.socket], None], context: ssl.SSLContext | None
    ) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.act, self.context = act, context
        self.got: list[bytes] = []
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                line = connection
                if self.context is not None:
                    line = self.context.wrap_socket(connection, server_side=True)
                with line:
                    line.settimeout(5)
                    self.act(line)

    def read_to_end(self, line: socket.socket) -> None:
        whole = b""
        while piece := line.recv(1 << 16):
            whole += piece
        self.got.append(whole)

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(act: str, context: ssl.SSLContext | None = None) -> Receiver:
        receiver = Receiver(lambda line: ACTS[act](receiver, line), context)
        made.append(receiver)
        return receiver

    yield make
    for each in made:
        each.close()


def in_order(receiver: Receiver, line: socket.socket) -> None:
    receiver.read_to_end(line)
    if isinstance(line, ssl.SSLSocket):
        line.unwrap().close()


def killed(receiver: Receiver, line: socket.socket) -> None:
    """Reads all of it, then is gone before its TLS says anything."""
    receiver.read_to_end(line)
    if isinstance(line, ssl.SSLSocket):
        socket.socket(fileno=line.detach()).close()


def reset(receiver: Receiver, line: socket.socket) -> None:
    line.recv(1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def refusing(receiver: Receiver, line: socket.socket) -> None:
    """Ends TLS in order without reading, as some do whom our certificate does not please."""
    assert isinstance(line, ssl.SSLSocket)
    line.setblocking(False)
    with contextlib.suppress(OSError):
        line.unwrap()


def refusing_later(receiver: Receiver, line: socket.socket) -> None:
    threading.Event().wait(0.2)
    refusing(receiver, line)


def silent(receiver: Receiver, line: socket.socket) -> None:
    receiver.read_to_end(line)
    threading.Event().wait(1.5)


ACTS = {
    "in order": in_order,
    "killed": killed,
    "reset": reset,
    "silent": silent,
    "refusing": refusing,
    "refusing later": refusing_later,
}


def server_of(ca: trustme.CA, *names: str, client_ca: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    if client_ca is not None:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_a_batch_is_acknowledged_by_the_receivers_close_notify(
    ca: trustme.CA, ca_file: Path, serve: Callable[..., Receiver]
) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = server_of(ca, "127.0.0.1")
        context.maximum_version = version
        receiver = serve("in order", context)
        sink = SyslogSink("127.0.0.1", receiver.port, client_context(ca_file))
        sink.send(MESSAGES)
        sink.send([b"<110>1 " + b"x" * 300_000])
        assert receiver.got == [WIRE, framed(b"<110>1 " + b"x" * 300_000)]
        sink.close()


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("killed", "broke off"),
        ("reset", "broke off"),
        ("silent", "no answer"),
        ("refusing", "broke off"),
        ("refusing later", "broke off"),
    ],
)
def test_a_receiver_that_ends_otherwise_did_not_acknowledge(
    act: str, said: str, ca: trustme.CA, ca_file: Path, serve: Callable[..., Receiver]
) -> None:
    receiver = serve(act, server_of(ca, "127.0.0.1"))
    sink = SyslogSink("127.0.0.1", receiver.port, client_context(ca_file), seconds_max=1.0)
    with pytest.raises(Unavailable, match=said):
        sink.send(MESSAGES)


def ending_late(line: socket.socket, context: ssl.SSLContext, end: str) -> bytes:
    """Hold back all of TLS that follows the handshake until the client ended; return its bytes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            line.sendall(outgoing.read())
            incoming.write(line.recv(1 << 16))
    got = b""
    while len(got) < len(WIRE):
        try:
            got += tls.read(len(WIRE) - len(got))
        except ssl.SSLWantReadError:
            incoming.write(line.recv(1 << 16))
    ended = incoming.pending or incoming.write(line.recv(1 << 16))
    assert ended
    if end == "alert":
        incoming.read()
        incoming.write(b"\x17\x03\x03\x00\x20" + bytes(32))  # no record of this connection
        with contextlib.suppress(ssl.SSLError):
            tls.read(1)
    elif end == "in order":
        tls.unwrap()
    line.sendall(outgoing.read())
    threading.Event().wait(0.1)
    return got


@pytest.mark.parametrize("end", ["in order", "killed", "alert"])
def test_session_tickets_and_alerts_that_come_late_are_no_acknowledgement(
    ca: trustme.CA, ca_file: Path, end: str
) -> None:
    context, got = server_of(ca, "127.0.0.1"), []
    receiver = Receiver(lambda line: got.append(ending_late(line, context, end)), None)
    sink = SyslogSink("127.0.0.1", receiver.port, client_context(ca_file), seconds_max=3.0)
    try:
        if end == "in order":
            sink.send(MESSAGES)
        else:
            with pytest.raises(Unavailable):
                sink.send(MESSAGES)
    finally:
        receiver.close()
    assert got == [WIRE]


def test_bytes_that_the_host_has_can_be_enough(
    ca: trustme.CA, ca_file: Path, serve: Callable[..., Receiver]
) -> None:
    receiver = serve("killed", server_of(ca, "127.0.0.1"))
    trusting = client_context(ca_file)
    SyslogSink("127.0.0.1", receiver.port, trusting, wait_for_close=False).send(MESSAGES)


def test_plain_tcp_waits_for_the_end_as_well(serve: Callable[..., Receiver]) -> None:
    receiver = serve("in order")
    SyslogSink("127.0.0.1", receiver.port, None).send(MESSAGES)
    assert receiver.got == [WIRE]
    with pytest.raises(Unavailable):
        SyslogSink("127.0.0.1", serve("reset").port, None, seconds_max=1.0).send(MESSAGES)


def test_wrong_certificates_are_refused_before_a_byte_is_sent(
    ca: trustme.CA, ca_file: Path, serve: Callable[..., Receiver]
) -> None:
    for context, said in (
        (server_of(trustme.CA(), "127.0.0.1"), "certificate is refused"),
        (server_of(ca, "siem.example"), "certificate is refused"),
    ):
        receiver = serve("in order", context)
        sink = SyslogSink("127.0.0.1", receiver.port, client_context(ca_file), seconds_max=5)
        with pytest.raises(Unavailable, match=said):
            sink.send(MESSAGES)
        assert receiver.got == []
        url = f"https://127.0.0.1:{receiver.port}/"
        post = HttpSink(url, client_context(ca_file), render=as_lines, content_type="x/y")
        with pytest.raises(Unavailable, match=said):
            post.send([b"{}"])
        post.close()
        assert receiver.got == []


def test_old_tls_is_refused(ca: trustme.CA, ca_file: Path, serve: Callable[..., Receiver]) -> None:
    context = server_of(ca, "127.0.0.1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    receiver = serve("in order", context)
    with pytest.raises(Unavailable, match=r"TLS|broke off"):
        SyslogSink("127.0.0.1", receiver.port, client_context(ca_file)).send(MESSAGES)
    assert receiver.got == []


def test_a_receiver_that_wants_to_know_us_gets_our_certificate_or_nothing_counts(
    ca: trustme.CA, ca_file: Path, serve: Callable[..., Receiver]
) -> None:
    context = server_of(ca, "127.0.0.1", client_ca=ca)
    context.num_tickets = 0
    receiver = serve("in order", context)
    unknown = client_context(ca_file)
    with pytest.raises(Unavailable):
        SyslogSink("127.0.0.1", receiver.port, unknown, seconds_max=5).send(MESSAGES)
    assert receiver.got == []
    known = client_context(ca_file)
    ca.issue_cert("gateway.example").configure_cert(known)
    SyslogSink("127.0.0.1", receiver.port, known, seconds_max=5).send(MESSAGES)
    assert receiver.got == [WIRE]


def answer(line: socket.socket, receiver: Receiver, status: str) -> None:
    whole = b""
    while b"\r\n\r\n" not in whole:
        whole += line.recv(1 << 16)
    head, _, body = whole.partition(b"\r\n\r\n")
    length = next(
        int(each.split(b":")[1])
        for each in head.lower().split(b"\r\n")
        if b"content-length" in each
    )
    while len(body) < length:
        body += line.recv(1 << 16)
    receiver.got.append(head + b"\r\n\r\n" + body)
    line.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\nsaid".encode())


ACTS["200"] = lambda receiver, line: answer(line, receiver, "200 OK")
ACTS["400"] = lambda receiver, line: answer(line, receiver, "400 Bad Request")


def test_a_post_is_acknowledged_by_its_answer(
    ca: trustme.CA, ca_file: Path, tmp_path: Path, serve: Callable[..., Receiver]
) -> None:
    receiver = serve("200", server_of(ca, "127.0.0.1"))
    secret = tmp_path / "token"
    secret.write_text("Splunk abc\n")
    sink = HttpSink(
        f"https://127.0.0.1:{receiver.port}/in?a=b",
        client_context(ca_file),
        render=as_lines,
        content_type="application/x-ndjson",
        authorization_file=secret,
    )
    sink.send([b'{"a":1}', b'{"a":2}'])
    secret.write_text("Splunk def")
    sink.send([b'{"a":3}'])
    first, second = receiver.got
    assert first.startswith(b"POST /in?a=b HTTP/1.1\r\n")
    assert b"authorization: Splunk abc\r\n" in first
    assert first.endswith(b'\r\n\r\n{"a":1}\n{"a":2}\n')
    assert b"authorization: Splunk def\r\n" in second
    secret.unlink()
    with pytest.raises(Unavailable, match="token"):
        sink.send([b"{}"])
    assert len(receiver.got) == 2
    sink.close()


@pytest.mark.parametrize(
    ("act", "said"),
    [("400", "status 400: said"), ("reset", "127.0.0.1"), ("in order", r"no answer|127.0.0.1")],
)
def test_a_post_that_was_not_answered_well_is_not_acknowledged(
    act: str, said: str, serve: Callable[..., Receiver]
) -> None:
    receiver = serve(act)
    url = f"http://127.0.0.1:{receiver.port}"
    sink = HttpSink(url, None, render=as_array, content_type="application/json", seconds_max=1.0)
    with pytest.raises(Unavailable, match=said):
        sink.send([b"1", b"2"])
    sink.close()
    if act == "400":
        assert receiver.got[0].endswith(b"\r\n\r\n[1,2]")
