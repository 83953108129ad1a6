"""The agent's Unix socket: a thread for each connection of this user, frame by frame.

Source: docs/format.md, section 13.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

from hyok.errors import Malformed
from hyok.hsm.sessions import WorkerLost
from hyok.hsm.watch import EXIT_DEVICE_LOST, tell
from hyok.hsm.wire import (
    LENGTH,
    QUESTION_BYTES_MAX,
    Answer,
    Outcome,
    Question,
    body_bytes,
    decode_question,
    encode_answer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS_MAX = 128
_READ_BYTES = LENGTH.size + QUESTION_BYTES_MAX


class Answers(Protocol):
    """Whoever answers questions; `generation` as in `hyok.hsm.wire`."""

    @property
    def generation(self) -> int: ...

    def answer(self, question: Question) -> Answer:
        """Return the answer to one question.

        Raises:
            WorkerLost: this process must be replaced.
        """


def serve(agent: Answers, listener: socket.socket) -> None:
    """Accept connections for ever, one thread each."""
    room = threading.BoundedSemaphore(CONNECTIONS_MAX)
    while True:
        connection, _ = listener.accept()
        if not _is_same_user(connection) or not room.acquire(blocking=False):
            connection.close()
            continue
        threading.Thread(
            target=_converse, args=(agent, connection, room), name="hsm-connection", daemon=True
        ).start()


def _is_same_user(connection: socket.socket) -> bool:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.geteuid())


def _converse(agent: Answers, connection: socket.socket, room: threading.BoundedSemaphore) -> None:
    try:
        with connection:
            for question in _questions(connection):
                try:
                    answer = agent.answer(question)
                except WorkerLost as error:
                    _leave(agent, connection, question, str(error))
                connection.sendall(encode_answer(answer))
    except (OSError, Malformed):
        pass  # a peer that went away, or talks nonsense: the connection is all it loses
    finally:
        room.release()


def _leave(agent: Answers, connection: socket.socket, question: Question, cause: str) -> NoReturn:
    """Say why, then end the process: whoever else waits sees the connection break and repeats."""
    try:
        tell("hsm.agent.lost", cause=cause)
        fields = (cause.encode()[:500], b"WorkerLost")
        connection.sendall(
            encode_answer(Answer(question.number, Outcome.UNAVAILABLE, agent.generation, fields))
        )
    finally:
        os._exit(EXIT_DEVICE_LOST)


def _questions(connection: socket.socket) -> Iterator[Question]:
    """Yield what is asked, until the peer goes away.

    Raises:
        Malformed: it went within a frame, or talks nonsense.
    """
    held = b""
    # A frame has its length in front, but nearly always it comes whole, in one reading.
    while more := connection.recv(_READ_BYTES):
        held = held + more if held else more
        while len(held) >= LENGTH.size:
            stop = LENGTH.size + body_bytes(held[: LENGTH.size], QUESTION_BYTES_MAX)
            if len(held) < stop:
                break
            question, held = decode_question(held[LENGTH.size : stop]), held[stop:]
            yield question
    if held:
        raise Malformed("the connection ended within a frame")


def listen(path: str) -> socket.socket:
    """Return a listening socket of mode 0600, in place of one that a dead agent left."""
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(CONNECTIONS_MAX)
    return listener
