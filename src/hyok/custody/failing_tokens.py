"""FailingTokens: a store that sends bad tokens gets no more of the HSM's time than this.

In profiles 2 to 4 a token that does not open costs the HSM a call and looks like a fault of the
device.  After twenty such in a minute for one bucket, its tokens wait; other buckets do not.

Source: docs/format.md, section 13, rule 5.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from hyok.errors import Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.hsm.port import Hsm, KekSpec

FAILURES_MAX = 20
WINDOW_MS = 60_000
BUCKETS_MAX = 10_000


class FailingTokens:
    """The only road from a stored token to the HSM."""

    def __init__(self, hsm: Hsm, clock_ms: Callable[[], int]) -> None:
        self._hsm = hsm
        self._clock_ms = clock_ms
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()

    async def secret(self, bucket_id: str, kek: KekSpec, scope: str, token: bytes) -> bytes:
        """Return the secret of a token that a store handed over.

        Raises:
            Unavailable: too many tokens of this bucket failed (reason ``SlowDown``), or the HSM
                does not answer.
            Tampered: the token does not open.
        """
        self._check(bucket_id)
        try:
            return await self._hsm.secret(kek, scope, token)
        except Tampered:
            self._note(bucket_id)
            raise

    def _check(self, bucket_id: str) -> None:
        known = self._failures.get(bucket_id)
        if known is None:
            return
        while known and known[0] <= self._clock_ms() - WINDOW_MS:
            known.popleft()
        if len(known) >= FAILURES_MAX:
            raise Unavailable(
                "Too many stored keys of this bucket do not open.",
                reason="SlowDown",
                code="HY-2307",
                effect="The HSM is not asked for this bucket for up to a minute.",
                next_step="look at the store: it may have been changed",
            )

    def _note(self, bucket_id: str) -> None:
        known = self._failures.setdefault(bucket_id, deque(maxlen=FAILURES_MAX))
        known.append(self._clock_ms())
        self._failures.move_to_end(bucket_id)
        while len(self._failures) > BUCKETS_MAX:
            self._failures.popitem(last=False)
