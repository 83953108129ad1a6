"""Sessions: one login for the life of the process, and sessions for several threads.

What to do after an error is `hyok.hsm.recovery`'s to say; here it is done.

Source: docs/format.md, section 13, rules 1, 3, 4 and 5.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from hyok.errors import Tampered, Unavailable
from hyok.hsm.cryptoki import CryptokiError, slot_of_token
from hyok.hsm.recovery import Step, name_of, step_after

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from hyok.hsm.cryptoki import Module

T = TypeVar("T")


class WorkerLost(Exception):
    """The device or its library is in a state that only a new process mends."""


class Gate(Protocol):
    """Whether the PIN may be used."""

    def is_shut(self) -> bool: ...

    def shut(self, cause: str) -> None: ...


class Watch(Protocol):
    """Ends this process when a use of the module outlasts its deadline."""

    def __call__(self, times: int = 1) -> AbstractContextManager[None]:
        """Watch what happens inside; it may take ``times`` the deadline."""
        ...


@dataclass(slots=True)
class Session:
    """An open session and the keys found on it."""

    handle: int
    generation: int
    keys: dict[str, tuple[int, float]] = field(default_factory=dict)


class Sessions:
    """The sessions of one token behind an initialised module.

    Args:
        module: initialised already.
        label: the token's CKA_LABEL.
        sessions_max: at most so many are open beside the one that keeps the login.
        pin: kept for the process' life, since a token that was reset wants it again.
        gate: shut after a refused PIN; only an operator opens it.
        watch: entered around every use of the module, for the deadline.
        wait_seconds: how long a call may wait for a free session.
    """

    def __init__(
        self,
        module: Module,
        label: str,
        sessions_max: int,
        pin: bytes,
        gate: Gate,
        watch: Watch,
        *,
        wait_seconds: float = 2.0,
    ) -> None:
        self._module, self._label = module, label
        self._pin, self._gate, self._watch = pin, gate, watch
        self._wait_seconds = wait_seconds
        self.slot = -1
        self._keeper = 0
        self.generation = 0
        self._idle: list[Session] = []
        self._open_count = 0
        # A module that cannot lock is called by one thread at a time: one session says the same.
        self._open_max = sessions_max if module.threads else 1
        self._free = threading.Condition()
        self._login_lock = threading.Lock()

    def start(self) -> None:
        """Find the token and log in, once.

        Raises:
            Unavailable: the gate is shut, or the PIN was refused now (reason ``PinRefused``).
            CryptokiError: no such token, or the device does not answer.
        """
        with self._watch():
            self.slot = slot_of_token(self._module, self._label)
            self._log_in()

    def _log_in(self) -> None:
        if self._gate.is_shut():
            raise _pin_refused()
        keeper = self._module.open_session(self.slot)
        try:
            self._module.login(keeper, self._pin)
        except CryptokiError as error:
            name = name_of(error.rv)
            if name == "USER_ALREADY_LOGGED_IN":
                pass  # another session of ours held on to the login
            elif step_after(error.rv) is Step.OPERATOR:
                self._gate.shut(name)
                raise _pin_refused() from error
            else:
                raise
        # The keeper stays open: the login ends with the last session of the process.
        before, self._keeper = self._keeper, keeper
        self.generation += 1
        if before:
            with contextlib.suppress(CryptokiError):  # most likely it is what was lost
                self._module.close_session(before)

    def run(
        self,
        work: Callable[[Session], T],
        step_of: Callable[[int], Step] = step_after,
        *,
        times: int = 1,
    ) -> T:
        """Return what ``work`` returns, repeated once on a new session where that helps.

        Raises:
            Unavailable: no session is free, or the PIN was refused (reason ``PinRefused``).
            Tampered: the bytes do not open, as far as the module's word goes.
            WorkerLost: this process must be replaced.
            CryptokiError: the module cannot do what was asked.
        """
        for last in (False, True):
            session = self._take()
            try:
                with self._watch(times):
                    result = work(session)
            except CryptokiError as error:
                # The module may have left an operation active in it.
                self._discard(session)
                self._decide(error, step_of(error.rv), session.generation, last=last)
            except BaseException:
                self._discard(session)
                raise
            else:
                self._give(session)
                return result
        raise AssertionError("the second round returns or raises")

    def _decide(self, error: CryptokiError, step: Step, generation: int, *, last: bool) -> None:
        """Return if the work may be repeated once; raise what the error comes to."""
        if step is Step.DATA:
            raise Tampered("the KEK's token does not open", reason=name_of(error.rv)) from error
        if step is Step.REFUSE:
            raise error
        if step is Step.OPERATOR:
            self._gate.shut(name_of(error.rv))
            raise _pin_refused() from error
        if step is Step.REPLACE or (last and step is Step.NEW_SESSION):
            raise WorkerLost(str(error)) from error
        if step is Step.FEWER_SESSIONS:
            with self._free:
                self._open_max = max(1, self._open_count)
            if last:
                raise _busy() from error
            return
        self._renew(generation)

    def _renew(self, generation: int) -> None:
        """Log in anew, unless another thread has done so since ``generation``."""
        with self._login_lock:
            if self.generation != generation:
                return
            with self._free:
                stale, self._idle = self._idle, []
            for session in stale:
                self._discard(session)
            try:
                with self._watch():
                    self._log_in()
            except CryptokiError as error:
                raise WorkerLost(str(error)) from error

    def _take(self) -> Session:
        deadline = time.monotonic() + self._wait_seconds
        with self._free:
            while not self._idle and self._open_count >= self._open_max:
                if not self._free.wait(deadline - time.monotonic()):
                    raise _busy()
            if self._idle:
                return self._idle.pop()
            self._open_count += 1
        try:
            with self._watch():
                return Session(self._module.open_session(self.slot), self.generation)
        except CryptokiError as error:
            with self._free:
                self._open_count -= 1
                self._free.notify()
            if step_after(error.rv) is Step.FEWER_SESSIONS and self._open_count > 0:
                with self._free:
                    self._open_max = max(1, self._open_count)
                return self._take()
            raise WorkerLost(str(error)) from error

    def _give(self, session: Session) -> None:
        with self._free:
            if session.generation == self.generation:
                self._idle.append(session)
                self._free.notify()
                return
        self._discard(session)

    def _discard(self, session: Session) -> None:
        try:
            with self._watch():
                self._module.close_session(session.handle)
        except CryptokiError:
            pass  # it was closed already, which is what we wanted
        with self._free:
            self._open_count -= 1
            self._free.notify()


def _busy() -> Unavailable:
    return Unavailable("no session of the HSM became free in time", reason="Busy", code="HY-2101")


def _pin_refused() -> Unavailable:
    return Unavailable(
        "the HSM refused the PIN",
        reason="PinRefused",
        code="HY-2102",
        effect="It is not tried again by itself, since a token locks after a few attempts.",
        next_step="Put the right PIN in place, then run: hyok hsm reset-pin",
    )
