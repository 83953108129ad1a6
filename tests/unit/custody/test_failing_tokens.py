"""A hostile store does not keep the HSM busy with tokens that do not open."""

from __future__ import annotations

import pytest
from tests.fakes.memory_hsm import MemoryHsm

from hyok.custody.failing_tokens import BUCKETS_MAX, FAILURES_MAX, WINDOW_MS, FailingTokens
from hyok.errors import Tampered, Unavailable
from hyok.hsm.port import KekSpec

KEK = KekSpec("t/intern/1", 2, bytes(8))


class CountingHsm(MemoryHsm):
    """Opens tokens of ones only."""

    calls = 0

    async def secret(self, kek: KekSpec, scope: str, token: bytes) -> bytes:
        del kek, scope
        self.calls += 1
        if token != b"1":
            raise Tampered("no")
        return bytes(32)


async def test_twenty_bad_tokens_in_a_minute_are_enough_for_one_bucket() -> None:
    now = [1_000_000]
    hsm = CountingHsm()
    tokens = FailingTokens(hsm, lambda: now[0])
    for _ in range(FAILURES_MAX):
        assert await tokens.secret("een", KEK, "s", b"1") == bytes(32)
        with pytest.raises(Tampered):
            await tokens.secret("een", KEK, "s", b"0")
    asked = hsm.calls
    with pytest.raises(Unavailable) as caught:
        await tokens.secret("een", KEK, "s", b"1")
    assert (caught.value.reason, hsm.calls) == ("SlowDown", asked)
    assert await tokens.secret("twee", KEK, "s", b"1") == bytes(32)
    now[0] += WINDOW_MS
    assert await tokens.secret("een", KEK, "s", b"1") == bytes(32)


async def test_what_is_remembered_has_a_bound() -> None:
    tokens = FailingTokens(CountingHsm(), lambda: 1)
    for number in range(BUCKETS_MAX + 5):
        with pytest.raises(Tampered):
            await tokens.secret(str(number), KEK, "s", b"0")
    assert len(tokens._failures) == BUCKETS_MAX
