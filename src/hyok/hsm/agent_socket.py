"""The agent's Unix socket: connections of this user, each with many questions under way.

A thread reads each connection and hands the questions to threads that all connections share: as
many as there are questions at once, since each of them waits for the module.  What several of them
have to answer on one connection goes out together.

Source: docs/format.md, section 13; docs/adr/0043.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from pathlib import Path
from queue import SimpleQueue
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
THREADS_MAX = 128
"""Questions under way in all; those of a gateway's worker are few at once (`hyok.hsm.pool`)."""

UNDER_WAY_MAX = 64
"""Questions of one connection that are not answered yet; beyond it no more is read from it."""

_READ_BYTES = 64 << 10


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
    """Accept connections for ever, a thread for each that reads."""
    room = threading.BoundedSemaphore(CONNECTIONS_MAX)
    threads = Threads(agent)
    while True:
        connection, _ = listener.accept()
        if not _is_same_user(connection) or not room.acquire(blocking=False):
            connection.close()
            continue
        threading.Thread(
            target=converse, args=(connection, room, threads), name="hsm-connection", daemon=True
        ).start()


def _is_same_user(connection: socket.socket) -> bool:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.geteuid())


class Threads:
    """The threads that answer, made as they are needed."""

    def __init__(self, agent: Answers) -> None:
        self._agent = agent
        self._questions: SimpleQueue[tuple[_Line, Question]] = SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        self._free = 0  # less the questions that wait for one

    def take(self, line: _Line, question: Question) -> None:
        """Have a question answered."""
        with self._lock:
            self._free -= 1
            if self._free < 0 and self._count < THREADS_MAX:
                self._count += 1
                self._free += 1
                threading.Thread(target=self._run, name="hsm-question", daemon=True).start()
        self._questions.put((line, question))

    def _run(self) -> None:
        while True:
            line, question = self._questions.get()
            try:
                line.answer(encode_answer(self._agent.answer(question)))
            except WorkerLost as error:
                _leave(self._agent, line, question, str(error))
            except BaseException:
                # A mistake of ours: whoever asked must not wait until its time is up.
                line.break_off()
                with self._lock:
                    self._count -= 1
                raise
            with self._lock:
                self._free += 1


class _Line:
    """One connection, read by one thread and answered by many; the last to use it closes it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(UNDER_WAY_MAX)
        self._users = 1  # the reader, and each question under way
        self._unsent: list[bytes] = []
        self._is_sending = False

    def questions(self) -> Iterator[Question]:
        """Yield what is asked, until the peer goes away.

        Raises:
            OSError, Malformed: it went within a frame, or talks nonsense.
        """
        held = b""
        while more := self._connection.recv(_READ_BYTES):
            held = held + more if held else more
            at = 0
            while len(held) - at >= LENGTH.size:
                start = at + LENGTH.size
                stop = start + body_bytes(held[at:start], QUESTION_BYTES_MAX)
                if stop > len(held):
                    break
                yield decode_question(held[start:stop])
                at = stop
            held = held[at:]

    def begin(self) -> None:
        """Note that a question is under way, once there is room for one."""
        self._room.acquire()
        with self._lock:
            self._users += 1

    def answer(self, frame: bytes) -> None:
        """Send an answer, unless the peer has gone, and those that come meanwhile with it."""
        self.send(frame)
        self._room.release()
        self.leave()

    def send(self, frame: bytes) -> None:
        """Send a frame, now or with the one that is being sent."""
        with self._lock:
            self._unsent.append(frame)
            if self._is_sending:
                return  # whoever is at it sends this too
            self._is_sending = True
        while True:
            with self._lock:
                frames, self._unsent = self._unsent, []
                if not frames:
                    self._is_sending = False
                    return
            with contextlib.suppress(OSError):  # a peer that went away loses its answers
                self._connection.sendall(b"".join(frames))

    def break_off(self) -> None:
        """Let the peer see that a question is not answered."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self.leave()

    def leave(self) -> None:
        """Note that the reader, or a question, is done with the connection."""
        with self._lock:
            self._users -= 1
            if not self._users:
                self._connection.close()


def converse(connection: socket.socket, room: threading.BoundedSemaphore, threads: Threads) -> None:
    """Read one connection to its end."""
    line = _Line(connection)
    try:
        for question in line.questions():
            line.begin()
            threads.take(line, question)
    except (OSError, Malformed):
        pass  # a peer that went away, or talks nonsense: the connection is all it loses
    finally:
        line.leave()
        room.release()


def _leave(agent: Answers, line: _Line, question: Question, cause: str) -> NoReturn:
    """Say why, then end the process: whoever else waits sees the connection break and repeats."""
    try:
        tell("hsm.agent.lost", cause=cause)
        fields = (cause.encode()[:500], b"WorkerLost")
        line.send(
            encode_answer(Answer(question.number, Outcome.UNAVAILABLE, agent.generation, fields))
        )
    finally:
        os._exit(EXIT_DEVICE_LOST)


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
