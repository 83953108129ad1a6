"""AgentSupervisor: keeps one agent running for each token of this host.

`hyok serve` runs one; its workers reach the agents by their sockets.  Agents are fresh processes
of the interpreter, never forks of this one.  One that ends is started again after a pause that
grows from 0.1 s, with jitter: to 30 s where the device or the settings failed, to 2 s where an
agent that had logged in was lost.  One that does not answer is killed first.

Source: docs/format.md, section 13, rules 2 and 5.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from hyok.errors import Malformed, Unavailable
from hyok.hsm.gate import PinGate, gate_path
from hyok.hsm.watch import EXIT_ANOTHER_RUNS, EXIT_DEVICE_LOST, EXIT_UNFIT
from hyok.hsm.wire import (
    ANSWER_BYTES_MAX,
    LENGTH,
    Answer,
    Outcome,
    Question,
    Verb,
    body_bytes,
    decode_answer,
    encode_question,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.hsm.dialect import Dialect

PAUSE_SECONDS_MIN = 0.1
PAUSE_SECONDS_MAX = 30.0
READY_PAUSE_SECONDS_MAX = 2.0
"""For an agent that worked until it was lost: waiting longer spares the HSM nothing."""

STEADY_SECONDS = 10.0
OTHERS_SECONDS = 3.0
"""How long a group that has one answering token waits for its others at the start."""

_TICK_SECONDS = 0.02
_PING_EVERY_SECONDS = 1.0
_PING_NEW_EVERY_SECONDS = 0.1
_NOT_LOST = frozenset({EXIT_UNFIT, EXIT_ANOTHER_RUNS, EXIT_DEVICE_LOST})
_ENV_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "PYTHONPATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """How to start the agent of one token.

    Exactly one of ``pin_file`` and ``pin``; the second is handed over by a pipe.  ``environment``
    holds what the vendor's library wants (SOFTHSM2_CONF, …); little else of ours is passed on.
    """

    name: str
    socket_path: str
    module: str
    token_label: str
    dialect: Dialect
    pin_file: str = ""
    pin: str = field(default="", repr=False)
    environment: Mapping[str, str] = field(default_factory=dict)
    deadline_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class AgentState:
    """What the supervisor knows of one agent."""

    name: str
    pid: int  # 0 while none runs
    starts: int
    kills: int
    last_exit: int | None
    pin_refused: str  # PKCS#11's name for the refusal, or empty


class AgentSupervisor:
    """Runs the agents from `start` to `stop`; a context manager does both."""

    def __init__(
        self, specs: Sequence[AgentSpec], *, pause_seconds_max: float = PAUSE_SECONDS_MAX
    ) -> None:
        self._keepers = [_Keeper(spec, pause_seconds_max) for spec in specs]

    def start(self) -> None:
        """Start every agent; does not wait for them to be ready."""
        for keeper in self._keepers:
            keeper.thread.start()

    def stop(self) -> None:
        """End every agent and wait for it."""
        for keeper in self._keepers:
            keeper.stopping.set()
        for keeper in self._keepers:
            if keeper.thread.is_alive():
                keeper.thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def states(self) -> list[AgentState]:
        """Return what is known of each agent now."""
        return [keeper.state() for keeper in self._keepers]

    def wait_ready(self, timeout_seconds: float = 10.0) -> list[str]:
        """Return when every agent answers, whatever its state; or one does, and others had time.

        Returns:
            The names of the tokens whose agents do not answer yet; each is tried on and on.

        Raises:
            Unavailable: none did within the time, or one found its module or settings unfit.
        """
        began = time.monotonic()
        waiting = self._keepers
        while waiting := [
            keeper for keeper in waiting if not is_answering(keeper.spec.socket_path, 1.0)
        ]:
            waited = time.monotonic() - began
            # An agent that is unfit will be so again: its settings are wrong.
            unfit = [keeper for keeper in waiting if keeper.state().last_exit == EXIT_UNFIT]
            others = len(waiting) < len(self._keepers)
            if not unfit and others and waited > min(OTHERS_SECONDS, timeout_seconds):
                break
            if unfit or waited > timeout_seconds:
                raise Unavailable(
                    f"the agent of HSM token {(unfit or waiting)[0].spec.name} does not answer",
                    code="HY-2101",
                    next_step="Its log says why; hyok hsm status shows every token.",
                )
            time.sleep(0.02)
        return [keeper.spec.name for keeper in waiting]


def next_pause(
    pause: float, lived_seconds: float, exit_code: int, *, was_ready: bool, longest: float
) -> float:
    """Return how many seconds to wait, jitter apart, before an agent is started again.

    ``pause`` is what was waited before the agent that ended now, 0 before the first; ``exit_code``
    is negative for a signal; ``longest`` is the most that may be waited for whatever reason.
    """
    if lived_seconds > STEADY_SECONDS:
        pause = 0.0
    lost = was_ready and exit_code not in _NOT_LOST
    most = min(longest, READY_PAUSE_SECONDS_MAX) if lost else longest
    return min(max(2 * pause, PAUSE_SECONDS_MIN), most)


class _Keeper:
    """One agent and the thread that watches it."""

    def __init__(self, spec: AgentSpec, pause_seconds_max: float) -> None:
        if bool(spec.pin) == bool(spec.pin_file):
            raise Malformed(f"HSM token {spec.name}: give either a PIN file or a PIN")
        self.spec = spec
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._keep, name=f"hsm-keep-{spec.name}", daemon=True)
        self._pause_seconds_max = pause_seconds_max
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = self._kills = 0
        self._last_exit: int | None = None
        self._was_ready = False

    def state(self) -> AgentState:
        process = self._process
        return AgentState(
            self.spec.name,
            process.pid if process is not None else 0,
            self._starts,
            self._kills,
            self._last_exit,
            PinGate(gate_path(self.spec.socket_path)).cause,
        )

    def _keep(self) -> None:
        pause = 0.0
        while not self.stopping.is_set():
            began = time.monotonic()
            exit_code = self._run_once()
            pause = next_pause(
                pause,
                time.monotonic() - began,
                exit_code,
                was_ready=self._was_ready,
                longest=self._pause_seconds_max,
            )
            # Jitter: the agents of many hosts must not all log in to the HSM at one moment.
            self.stopping.wait(pause * (0.5 + secrets.randbelow(1000) / 1000))

    def _run_once(self) -> int:
        self._was_ready = False
        life_read, life_write = os.pipe()
        try:
            process = self._spawn(life_read)
        finally:
            os.close(life_read)
        self._process = process
        self._starts += 1
        try:
            self._watch(process)
        finally:
            os.close(life_write)
            if process.poll() is None:
                process.kill()
            exit_code = self._last_exit = process.wait()
            self._process = None
        return exit_code

    def _spawn(self, life_read: int) -> subprocess.Popen[bytes]:
        spec = self.spec
        arguments = [sys.executable, "-m", "hyok.hsm.agent"]
        arguments += ["--socket", spec.socket_path, "--module", spec.module]
        arguments += ["--token", spec.token_label, "--dialect", spec.dialect.to_json()]
        arguments += ["--deadline-seconds", str(spec.deadline_seconds), "--life-fd", str(life_read)]
        environment = {name: os.environ[name] for name in _ENV_KEPT if name in os.environ}
        environment |= spec.environment
        passed, pin_read = [life_read], -1
        if spec.pin:
            pin_read, pin_write = os.pipe()
            os.write(pin_write, spec.pin.encode())  # below PIPE_BUF, so it cannot block
            os.close(pin_write)
            passed.append(pin_read)
            arguments += ["--pin-fd", str(pin_read)]
        else:
            arguments += ["--pin-file", spec.pin_file]
        try:
            return subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                arguments, env=environment, pass_fds=passed, stdin=subprocess.DEVNULL
            )
        finally:
            if pin_read >= 0:
                os.close(pin_read)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Return when the agent has ended, must be killed, or we stop."""
        # It has twice the deadline for the module to start, and as long again for the login.
        answered = time.monotonic() + 3 * self.spec.deadline_seconds
        asked = 0.0
        while process.poll() is None and not self.stopping.wait(_TICK_SECONDS):
            now = time.monotonic()
            pause = _PING_EVERY_SECONDS if self._was_ready else _PING_NEW_EVERY_SECONDS
            if now - asked < pause:
                continue
            asked = now
            state = _state(self.spec.socket_path, self.spec.deadline_seconds)
            self._was_ready = self._was_ready or state == b"ready"
            if state:
                answered = time.monotonic()
            elif time.monotonic() - answered > 2 * self.spec.deadline_seconds:
                self._kills += 1
                return


def ask(
    socket_path: str, verb: Verb, timeout_seconds: float, fields: tuple[bytes, ...] = ()
) -> Answer:
    """Return an agent's answer to a question; blocking, for what is asked now and then.

    Raises:
        Unavailable: nothing answers there.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_seconds)
            connection.connect(socket_path)
            connection.sendall(encode_question(Question(1, verb, fields)))
            with connection.makefile("rb") as file:
                head = file.read(LENGTH.size)
                if len(head) < LENGTH.size:
                    raise Unavailable("the HSM agent closed the connection", code="HY-2101")
                return decode_answer(file.read(body_bytes(head, ANSWER_BYTES_MAX)))
    except (OSError, Malformed) as error:
        raise Unavailable("the HSM agent does not answer", code="HY-2101") from error


def is_answering(socket_path: str, timeout_seconds: float) -> bool:
    return bool(_state(socket_path, timeout_seconds))


def _state(socket_path: str, timeout_seconds: float) -> bytes:
    """Return what the agent says of itself (`ready`, `starting`, …), empty if it says nothing."""
    try:
        answer = ask(socket_path, Verb.STATUS, timeout_seconds)
    except Unavailable:
        return b""
    return answer.fields[0] if answer.outcome is Outcome.DONE and answer.fields else b""


def reset_pin(socket_path: str) -> None:
    """Let the agent at this socket try its PIN once more.  An operator's act, never automatic."""
    PinGate(gate_path(socket_path)).clear()
    try:
        ask(socket_path, Verb.RESET, 5.0)
    except Unavailable:
        return  # no agent runs: the next one starts with the gate open
