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
import os
import resource
import signal
import stat
import threading
from dataclasses import dataclass

from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.hsm.agent_socket import listen, serve
from hyok.hsm.cryptoki import CryptokiError, Module
from hyok.hsm.dialect import Dialect
from hyok.hsm.door_questions import OF_DOORS
from hyok.hsm.gate import PinGate, gate_path
from hyok.hsm.pkcs11 import Pkcs11Token
from hyok.hsm.questions import of_keys
from hyok.hsm.recovery import Step, name_of, step_after
from hyok.hsm.selftest import self_test
from hyok.hsm.sessions import Sessions, WorkerLost
from hyok.hsm.watch import EXIT_ANOTHER_RUNS, EXIT_DEVICE_LOST, EXIT_UNFIT, CallWatch, tell
from hyok.hsm.wire import Answer, Outcome, Question, Verb

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
        self._asked = {**of_keys(lambda: self.tested), **OF_DOORS}

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
                tell("hsm.agent.pin_refused", token=self._label, cause=self._gate.cause)

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
        asked = self._asked.get(question.verb)
        if asked is None:
            raise Malformed("this verb is not for the token")
        return asked.answered(self._token, question.fields)

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
    """Learn whether the module does what doors need; what needs no door is served without."""
    for keys in (token.doors, token.macs, token.signers, token.wraps):
        try:
            with watch(2):
                keys.probe()
        except Refused as error:
            tell("hsm.agent.no_doors", cause=str(error))


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
        tell("hsm.agent.another_runs", socket=path)
        raise SystemExit(EXIT_ANOTHER_RUNS) from None
    return descriptor


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
        tell("hsm.agent.unfit", token=chosen.token, cause=str(error))
        lost = isinstance(error, CryptokiError) and step_after(error.rv) is Step.REPLACE
        os._exit(EXIT_DEVICE_LOST if lost else EXIT_UNFIT)
    listener = listen(chosen.socket)
    tell("hsm.agent.ready", token=chosen.token, threads="many" if module.threads else "one")
    with os.fdopen(lock):  # one agent for each socket, as long as the process lives
        serve(agent, listener)


if __name__ == "__main__":
    main()
