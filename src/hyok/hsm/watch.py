"""CallWatch: a call into the module that does not return ends the process.

Nothing can cancel such a call, so two things watch, each for what the other cannot see.  A thread
looks at when each call began.  And should some library hold the interpreter lock, that thread
cannot run: then faulthandler's own timer, a C thread that the first one keeps putting off, exits.
"""

from __future__ import annotations

import faulthandler
import json
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

# How an agent's process ends, for its supervisor and for people.
EXIT_HUNG = 70
EXIT_DEVICE_LOST = 71
EXIT_UNFIT = 72
EXIT_ANOTHER_RUNS = 73


def tell(event: str, **fields: str) -> None:
    """Write a line for the supervisor, in one write: other processes share this descriptor."""
    os.write(2, (json.dumps({"event": event, **fields}) + "\n").encode())


class CallWatch:
    """Deadlines of the calls under way.

    Args:
        deadline_seconds: how long one use of the module may take.
        on_late: what to do about one that takes longer; it does not return.
    """

    def __init__(self, deadline_seconds: float, on_late: Callable[[], None] | None = None) -> None:
        self._deadline_seconds = deadline_seconds
        self._on_late = on_late or _exit_hung
        self._until: dict[int, float] = {}
        self._tick_seconds = min(0.25, deadline_seconds / 10)

    def __call__(self, times: int = 1) -> AbstractContextManager[None]:
        """Watch what happens inside, in this thread; it may take ``times`` the deadline."""
        return _Watched(self._until, times * self._deadline_seconds)

    def start(self, *, timer: bool = True) -> None:
        """Begin to watch; ``timer`` also arms the one that needs no interpreter lock."""
        threading.Thread(
            target=self._look, args=(timer,), name="hsm-call-watch", daemon=True
        ).start()

    def _look(self, timer: bool) -> None:  # noqa: FBT001 - a thread's target
        while True:
            if timer:
                faulthandler.dump_traceback_later(2 * self._deadline_seconds, exit=True)
            now = time.monotonic()
            if any(until < now for until in list(self._until.values())):
                self._on_late()
                return
            time.sleep(self._tick_seconds)


class _Watched:
    """One use of the module.  Not a generator: each call of each request is inside of one."""

    __slots__ = ("_outer", "_seconds", "_thread", "_until")

    def __init__(self, until: dict[int, float], seconds: float) -> None:
        self._until, self._seconds = until, seconds

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        self._outer = self._until.get(self._thread)
        self._until[self._thread] = time.monotonic() + self._seconds

    def __exit__(self, *_: object) -> None:
        if self._outer is None:
            del self._until[self._thread]
        else:
            self._until[self._thread] = self._outer


def _exit_hung() -> None:
    os.write(2, b'{"event":"hsm.agent.hung"}\n')
    os._exit(EXIT_HUNG)
