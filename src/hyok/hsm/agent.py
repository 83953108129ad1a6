"""The agent: the process that holds one PKCS#11 module, one token and its PIN.

    python -m hyok.hsm.agent --socket … --module … --token … --dialect JSON --pin-file …

It answers on a Unix socket of mode 0600 to its own user alone, a thread for each connection.
It ends itself when a module call hangs or the device is lost; `hyok.hsm.supervise` starts another.
`hyok hsm reset-pin` (verb RESET) is how an operator lets it try a PIN again.

Source: docs/format.md, section 13.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import stat
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hyok.envelope.profiles import Profile
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.hsm.cryptoki import CryptokiError, Module
from hyok.hsm.dialect import Dialect
from hyok.hsm.gate import PinGate, gate_path
from hyok.hsm.pkcs11 import Pkcs11Token
from hyok.hsm.recovery import Step, name_of, step_after
from hyok.hsm.selftest import self_test
from hyok.hsm.sessions import Sessions, WorkerLost
from hyok.hsm.watch import EXIT_ANOTHER_RUNS, EXIT_DEVICE_LOST, EXIT_UNFIT, CallWatch
from hyok.hsm.wire import (
    DOOR_PREFIX,
    LENGTH,
    QUESTION_BYTES_MAX,
    Answer,
    Outcome,
    Question,
    Verb,
    body_bytes,
    decode_question,
    encode_answer,
)

CONNECTIONS_MAX = 128
PIN_BYTES_MAX = 1024
_PR_SET_DUMPABLE = 4


@dataclass(slots=True)
class Counters:
    """What STATUS tells."""

    calls: int = 0


class Agent:
    """Answers questions about one token."""

    def __init__(self, token: Pkcs11Token, gate: PinGate, label: str) -> None:
        self._token, self._gate, self._label = token, gate, label
        self._ready = False
        self._start_lock = threading.Lock()
        self._instance = int.from_bytes(os.urandom(6), "big") << 16
        self.counters = Counters()
        self.tested = ""

    def start(self) -> None:
        """Log in, unless the PIN was refused before or is now: then wait for the operator.

        Raises:
            CryptokiError: no such token, or the device does not answer.
        """
        with self._start_lock:
            try:
                self._token.sessions.start()
                self._ready = True
            except Unavailable as error:
                if error.reason != "PinRefused":
                    raise
                _log("hsm.agent.pin_refused", token=self._label, cause=self._gate.cause)

    def answer(self, question: Question) -> Answer:
        """Return the answer to one question.

        Raises:
            WorkerLost: this process must be replaced.
        """
        self.counters.calls += 1
        try:
            fields = self._do(question)
        except HyokError as error:
            return self._failed(question, _outcome_of(error), str(error), error.reason)
        except CryptokiError as error:
            return self._failed(question, Outcome.REFUSED, str(error), name_of(error.rv))
        return Answer(question.number, Outcome.DONE, self.generation, fields)

    @property
    def generation(self) -> int:
        """A number that no other process and no earlier login of this one has."""
        return self._instance + (self._token.sessions.generation & 0xFFFF)

    def _failed(self, question: Question, outcome: Outcome, cause: str, word: str) -> Answer:
        fields = (cause.encode()[:500], word.encode())
        return Answer(question.number, outcome, self.generation, fields)

    def _do(self, question: Question) -> tuple[bytes, ...]:
        if question.verb is Verb.STATUS:
            return self._status()
        if question.verb is Verb.RESET:
            return self._reset()
        if not self._ready:
            raise Unavailable("the HSM refused the PIN", reason="PinRefused")
        return self._use(question)

    def _use(self, question: Question) -> tuple[bytes, ...]:
        token = self._token
        if question.verb >= Verb.DOOR_CREATE:
            return self._serve_door(question)
        match question.verb, question.fields:
            case Verb.HMAC, (kek_id, scope, bytes_):
                return (token.hmac(_kek(kek_id), _text(scope), bytes_),)
            case Verb.HMAC_CHECK, (kek_id,):
                return (token.hmac_check(_kek(kek_id)),)
            case (Verb.OPEN | Verb.OPEN_TRUSTED) as verb, (profile, kek_id, scope, bytes_):
                trusted = verb is Verb.OPEN_TRUSTED
                number = _profile(profile)
                seed = token.open(number, _kek(kek_id), _text(scope), bytes_, trusted=trusted)
                return (seed,)
            case Verb.SEAL, (profile, kek_id, scope):
                seed, iv = os.urandom(32), os.urandom(12)
                sealed = token.seal(_profile(profile), _kek(kek_id), _text(scope), seed, iv)
                return (sealed, seed)
            case _:
                return self._keep(question)

    def _keep(self, question: Question) -> tuple[bytes, ...]:
        token = self._token
        match question.verb, question.fields:
            case Verb.CREATE, (profile, kek_id):
                return token.create(_profile(profile), _text(kek_id))
            case Verb.PROBE, ():
                numbers = sorted(token.mechanisms())
                return (struct.pack(f">{len(numbers)}I", *numbers), self.tested.encode())
            case Verb.ABOUT, ():
                return (json.dumps(token.about()).encode(),)
            case Verb.DISCARD, (kek_id,):
                token.discard(_text(kek_id))
                return ()
            case Verb.DESTROY, (kek_id,):
                token.destroy(_text(kek_id))
                return ()
            case Verb.SAME_KEY, (profile, kek_id, other):
                same = token.is_same_key(_profile(profile), _kek(kek_id), _kek(other))
                return (bytes([same]),)
            case Verb.DESCRIBE, (name,):
                return (token.describe(_text(name), self.tested),)
            case Verb.FIND, ():
                return tuple(
                    part for name, value in token.find() for part in (name.encode(), value)
                )
            case _:
                return self._sign(question)

    def _sign(self, question: Question) -> tuple[bytes, ...]:
        keys = self._token.signing
        match question.verb, question.fields:
            case Verb.CREATE_SIGNING, (name,):
                return (keys.create(_text(name)),)
            case Verb.SIGNING_KEY, (name,):
                return (keys.public_point(_text(name)),)
            case Verb.SIGN_CHECKPOINT, (name, origin, size, root, *more):
                lines = tuple(_text(line) for line in more)
                return (keys.sign(_text(name), _text(origin), size, root, lines),)
            case _:
                raise Malformed("the question has fields that its verb does not know")

    def _serve_door(self, question: Question) -> tuple[bytes, ...]:
        keys = self._token.doors
        match question.verb, question.fields:
            case Verb.DOOR_SEAL, (name, plain, data):
                return keys.seal(_text(name), plain, data)
            case Verb.DOOR_OPEN, (name, iv, sealed, data):
                return (keys.open(_text(name), iv, sealed, data),)
            case Verb.DOOR_CHECK, (name, token):
                return (keys.check(_text(name), token),)
            case Verb.DOOR_CREATE, (name,):
                return (keys.create(_text(name)),)
            case Verb.DOOR_PROBE, ():
                return (keys.probe().encode(),)
            case _:
                raise Malformed("the question has fields that its verb does not know")

    def _status(self) -> tuple[bytes, ...]:
        cause = self._gate.cause
        state = f"pin-refused {cause}" if cause else "ready" if self._ready else "starting"
        return (
            state.encode(),
            self._label.encode(),
            str(self.counters.calls).encode(),
            self._token.dialect.family.encode(),
            str(os.getpid()).encode(),
        )

    def _reset(self) -> tuple[bytes, ...]:
        was_shut = self._gate.is_shut()
        self._gate.clear()
        if self._ready and not was_shut:
            return (b"ready",)
        # A new process reads the PIN anew, from where the operator put the right one.
        raise WorkerLost("an operator asked to try the PIN again")


def _outcome_of(error: HyokError) -> Outcome:
    match error:
        case Unavailable(reason="PinRefused"):
            return Outcome.PIN_REFUSED
        case NotFound():
            return Outcome.NOT_FOUND
        case Conflict():
            return Outcome.CONFLICT
        case Tampered():
            return Outcome.BAD_BYTES
        case Malformed():
            return Outcome.MALFORMED
        case Refused():
            return Outcome.REFUSED
        case _:
            return Outcome.UNAVAILABLE


def _text(field: bytes) -> str:
    try:
        return field.decode()
    except UnicodeDecodeError as error:
        raise Malformed("a name is not UTF-8") from error


def _kek(field: bytes) -> str:
    """Return the name of a KEK; a door's key is put to nothing that a KEK is for."""
    name = _text(field)
    if name.startswith(DOOR_PREFIX):
        raise Malformed("a door's key opens and seals nothing of ours")
    return name


def _profile(field: bytes) -> int:
    try:
        return Profile(field[0] if len(field) == 1 else -1)
    except ValueError as error:
        raise Malformed("no profile has this number") from error


# ── the socket ──────────────────────────────────────────────────────────────────────────────────


def serve(agent: Agent, listener: socket.socket) -> None:
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


def _converse(agent: Agent, connection: socket.socket, room: threading.BoundedSemaphore) -> None:
    try:
        with connection:
            while (body := _read_frame(connection)) is not None:
                question = decode_question(body)
                try:
                    answer = agent.answer(question)
                except WorkerLost as error:
                    _leave(agent, connection, question, str(error))
                connection.sendall(encode_answer(answer))
    except (OSError, Malformed):
        pass  # a peer that went away, or talks nonsense: the connection is all it loses
    finally:
        room.release()


def _leave(agent: Agent, connection: socket.socket, question: Question, cause: str) -> NoReturn:
    """Say why, then end the process: whoever else waits sees the connection break and repeats."""
    try:
        _log("hsm.agent.lost", cause=cause)
        fields = (cause.encode()[:500], b"WorkerLost")
        connection.sendall(
            encode_answer(Answer(question.number, Outcome.UNAVAILABLE, agent.generation, fields))
        )
    finally:
        os._exit(EXIT_DEVICE_LOST)


def _read_frame(connection: socket.socket) -> bytes | None:
    head = _read_exactly(connection, LENGTH.size)
    return None if not head else _read_exactly(connection, body_bytes(head, QUESTION_BYTES_MAX))


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    pieces = connection.recv(size)
    while pieces and len(pieces) < size:
        more = connection.recv(size - len(pieces))
        if not more:
            raise Malformed("the connection ended within a frame")
        pieces += more
    return pieces


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


# ── the process ─────────────────────────────────────────────────────────────────────────────────


def read_pin(path: str | None, descriptor: int | None) -> bytes:
    """Return the PIN from a file, or from a descriptor that is read to its end and closed.

    Raises:
        Malformed: empty, too long, or in a file that everyone may read.
    """
    if descriptor is None:
        assert path is not None
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if os.fstat(descriptor).st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise Malformed("the PIN file can be read by everyone; take that right away")
    with os.fdopen(descriptor, "rb") as file:
        pin = file.read(PIN_BYTES_MAX + 1).rstrip(b"\r\n")
    if not 0 < len(pin) <= PIN_BYTES_MAX:
        raise Malformed("the PIN is empty or too long")
    return pin


def _try_for_doors(token: Pkcs11Token, watch: CallWatch) -> None:
    """Learn whether the module does AES-GCM; what needs no door is served without it."""
    try:
        with watch(2):
            token.doors.probe()
    except Refused as error:
        _log("hsm.agent.no_doors", cause=str(error))


def _guard_process() -> None:
    """No core dump, no debugger of the same user: this process knows the PIN."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    # The supervisor decides when we end; a Ctrl-C in its terminal reaches us too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_with(descriptor: int) -> None:
    """End this process once the other end of the pipe is closed: its supervisor is gone."""

    def wait() -> None:
        while os.read(descriptor, 64):
            pass
        os._exit(0)

    threading.Thread(target=wait, name="hsm-supervisor-watch", daemon=True).start()


def _only_one(path: str) -> int:
    descriptor = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        _log("hsm.agent.another_runs", socket=path)
        raise SystemExit(EXIT_ANOTHER_RUNS) from None
    return descriptor


def _log(event: str, **fields: str) -> None:
    # One write per line: other processes share this descriptor.
    os.write(2, (json.dumps({"event": event, **fields}) + "\n").encode())


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hyok.hsm.agent", description="Holds one HSM token.")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--module", required=True)
    parser.add_argument("--token", required=True, help="the token's label")
    parser.add_argument("--dialect", required=True, help="JSON of hyok.hsm.dialect")
    parser.add_argument("--deadline-seconds", type=float, default=5.0)
    parser.add_argument("--life-fd", type=int, help="end when this pipe is closed")
    pin = parser.add_mutually_exclusive_group(required=True)
    pin.add_argument("--pin-file")
    pin.add_argument("--pin-fd", type=int)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the agent until it is ended."""
    chosen = _arguments(arguments)
    _guard_process()
    if chosen.life_fd is not None:
        _end_with(chosen.life_fd)
    lock = _only_one(chosen.socket)
    dialect = Dialect.from_json(chosen.dialect)
    gate = PinGate(gate_path(chosen.socket))
    watch = CallWatch(chosen.deadline_seconds)
    watch.start()
    try:
        gate.prepare()
        pin = read_pin(chosen.pin_file, chosen.pin_fd)
        with watch(2):
            module = Module(chosen.module)
            module.initialize(dialect.parameters)
        sessions = Sessions(module, chosen.token, dialect.sessions_max, pin, gate, watch)
        token = Pkcs11Token(module, chosen.token, dialect, sessions)
        agent = Agent(token, gate, chosen.token)
        agent.start()
        if not gate.is_shut():
            with watch(2):
                passed = self_test(token, dialect)
            agent.tested = " ".join(f"{profile.value}:{how}" for profile, how in passed.items())
            _try_for_doors(token, watch)
    except (HyokError, OSError, CryptokiError) as error:
        _log("hsm.agent.unfit", token=chosen.token, cause=str(error))
        lost = isinstance(error, CryptokiError) and step_after(error.rv) is Step.REPLACE
        os._exit(EXIT_DEVICE_LOST if lost else EXIT_UNFIT)
    listener = listen(chosen.socket)
    _log("hsm.agent.ready", token=chosen.token, threads="many" if module.threads else "one")
    with os.fdopen(lock):  # one agent for each socket, as long as the process lives
        serve(agent, listener)


if __name__ == "__main__":
    main()
