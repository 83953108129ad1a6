"""HungKeys: a KEK on which the module hangs, while it answers about others, is asked seldom.

Each such call costs an agent, and with it a second or so of everybody's calls.  So after the
second one the KEK is held back: its callers are told at once, and one of them tries after 2 s, 4 s,
up to 30 s.  Who notes a hang has seen the device answer about another key since.

Pure: the caller has the clock, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

HANGS_MIN = 2
HOLD_SECONDS_MIN = 2.0
HOLD_SECONDS_MAX = 30.0
_SAME_SECONDS = 1.0


@dataclass(slots=True)
class _Hang:
    count: int
    noted: float
    until: float = 0.0


class HungKeys:
    """Which KEKs are held back."""

    def __init__(self) -> None:
        self._hangs: dict[str, _Hang] = {}

    def is_held(self, kek_id: str, now: float) -> bool:
        """Return whether this KEK is held back; the first to ask after its time may try it."""
        hang = self._hangs.get(kek_id)
        if hang is None or hang.count < HANGS_MIN:
            return False
        if now < hang.until:
            return True
        hang.until = now + _hold_seconds(hang.count + 1)
        return False

    def note(self, kek_id: str, now: float) -> None:
        """Note that a call about it hung; calls that end with the same agent are one."""
        hang = self._hangs.setdefault(kek_id, _Hang(0, now - 2 * _SAME_SECONDS))
        if now - hang.noted >= _SAME_SECONDS:
            hang.count += 1
        hang.noted = now
        hang.until = now + _hold_seconds(hang.count)

    def forget(self, kek_id: str) -> None:
        """Note that a call about it was answered."""
        self._hangs.pop(kek_id, None)


def _hold_seconds(count: int) -> float:
    doubled: float = HOLD_SECONDS_MIN * 2 ** min(count - HANGS_MIN, 10)
    return min(HOLD_SECONDS_MAX, doubled)
