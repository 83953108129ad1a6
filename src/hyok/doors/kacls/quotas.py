"""Quotas: how often one user may ask, and all of them together.  Pure: the clock is an argument."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from hyok.doors.kacls.faults import THROTTLED
from hyok.doors.shedding import Rate
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

USERS_MAX = 10_000
"""So many are remembered; whoever asked longest ago is forgotten, and begins anew."""


class Quotas:
    """One in each process; ``share`` is the part of the rates that is this process's."""

    def __init__(
        self, per_second: int, per_user: int, monotonic: Callable[[], float], share: float
    ) -> None:
        self._per_user = per_user * share
        self._monotonic = monotonic
        self._all = Rate(per_second * share, monotonic())
        self._users: OrderedDict[str, Rate] = OrderedDict()

    def take(self, user: str) -> None:
        """Count one call of a user whose token was good; empty: of Google itself.

        Raises:
            Unavailable: that is more than was agreed (code HY-2683).
        """
        now = self._monotonic()
        rate = self._users.pop(user, None) or Rate(self._per_user, now)
        self._users[user] = rate
        if len(self._users) > USERS_MAX:
            self._users.popitem(last=False)
        # Who asks too often does not use up what the others have.
        if (user and not rate.take(now)) or not self._all.take(now):
            raise Unavailable("More calls than were agreed.", reason=THROTTLED, code="HY-2683")
