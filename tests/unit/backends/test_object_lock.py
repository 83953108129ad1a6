"""The rules of retention and legal hold, as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.backends.object_lock import changed, check_asked, check_free, first
from hyok.backends.port import DefaultLock, Lock
from hyok.errors import Malformed, Refused

NOW = 1_800_000_000_000
AHEAD, PAST = NOW + 60_000, NOW - 60_000
GOVERNANCE, COMPLIANCE = Lock("GOVERNANCE", AHEAD), Lock("COMPLIANCE", AHEAD)


@pytest.mark.parametrize(
    ("lock", "bypass", "free"),
    [
        (Lock(), False, True),
        (Lock(hold=False), False, True),
        (Lock(hold=True), True, False),
        (GOVERNANCE, False, False),
        (GOVERNANCE, True, True),
        (COMPLIANCE, True, False),
        (Lock("GOVERNANCE", PAST), False, True),
        (Lock("COMPLIANCE", NOW), False, True),
        (Lock("COMPLIANCE", NOW + 1), True, False),
        (Lock("COMPLIANCE", PAST, hold=True), True, False),
    ],
)
def test_a_version_is_free_or_protected(lock: Lock, bypass: bool, free: bool) -> None:
    if free:
        check_free(lock, NOW, bypass=bypass)
        return
    with pytest.raises(Refused) as caught:
        check_free(lock, NOW, bypass=bypass)
    assert caught.value.reason == "AccessDenied"


@pytest.mark.parametrize(
    "lock",
    [
        Lock("GOVERNANCE"),
        Lock("", AHEAD),
        Lock("governance", AHEAD),
        Lock("COMPLIANCE", NOW),
        Lock("GOVERNANCE", PAST),
    ],
)
def test_a_lock_that_nobody_may_ask_for(lock: Lock) -> None:
    with pytest.raises(Malformed):
        check_asked(lock, NOW)


def test_what_the_writer_asks_wins_over_the_default() -> None:
    default = DefaultLock("GOVERNANCE", days=1)
    asked = Lock("COMPLIANCE", AHEAD)
    assert first(asked, default, NOW) == asked
    assert first(Lock(hold=True), default, NOW) == Lock("GOVERNANCE", NOW + 86_400_000, hold=True)
    assert first(Lock(), DefaultLock(), NOW) == Lock()
    assert first(Lock(), None, NOW) == Lock()
    years = first(Lock(), DefaultLock("COMPLIANCE", years=2), NOW)
    assert years == Lock("COMPLIANCE", NOW + 730 * 86_400_000)
    with pytest.raises(Malformed):
        first(Lock(hold=False), None, NOW)


_LOCKS = st.builds(
    Lock,
    st.sampled_from(["", "GOVERNANCE", "COMPLIANCE"]),
    st.integers(PAST // 1000, AHEAD // 1000).map(lambda second: second * 1000),
    st.sampled_from([None, True, False]),
)


@given(_LOCKS, _LOCKS)
def test_no_change_without_a_bypass_frees_a_version_sooner(old: Lock, new: Lock) -> None:
    try:
        now = changed(old, new, NOW)
    except Refused:
        return
    if old.mode and old.until_ms > NOW:
        assert now.mode == old.mode
        assert now.until_ms >= old.until_ms


@given(_LOCKS, _LOCKS)
def test_no_bypass_weakens_a_compliance_retention(old: Lock, new: Lock) -> None:
    try:
        now = changed(old, new, NOW, bypass=True)
    except Refused:
        return
    if old.mode == "COMPLIANCE" and old.until_ms > NOW:
        assert now.mode == "COMPLIANCE"
        assert now.until_ms >= old.until_ms


@given(_LOCKS, _LOCKS)
def test_what_a_change_leaves_out_stays(old: Lock, new: Lock) -> None:
    now = changed(old, Lock(hold=new.hold), NOW)
    assert (now.mode, now.until_ms) == (old.mode, old.until_ms)
    assert now.hold == (old.hold if new.hold is None else new.hold)
