"""Every kind of failure has a row, and none of them tells a client more than it should."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hyok import s3
from hyok.errors import KINDS as ALL_KINDS
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Tampered, Unavailable
from hyok.gateway.faults import KINDS, fault_of
from hyok.s3.codes import CODES


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_kind_has_a_row_with_a_code_of_s3(kind: type[HyokError]) -> None:
    assert KINDS[kind] in CODES
    fault = fault_of(kind("A sentence."))
    assert fault.code == KINDS[kind]
    assert fault.status == CODES[fault.code].status


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_reason_that_is_a_code_of_s3_is_used(code: str) -> None:
    assert fault_of(Malformed("x", reason=code)).code == code


def test_every_code_that_the_reading_of_requests_names_is_a_code_of_s3() -> None:
    """One that is missing from the table would reach the client as its kind's."""
    named = {
        found[1]
        for path in Path(s3.__path__[0]).glob("*.py")
        if path.name != "sts.py"  # a door with codes of its own
        for found in re.finditer(r'reason="([^"]+)"', path.read_text())
    }
    assert len(named) > 20
    assert named - set(CODES) == set()


def test_a_reason_that_is_none_leaves_it_to_the_kind() -> None:
    assert fault_of(NotFound("x", reason="NoSuchThing")).code == "NoSuchKey"
    assert fault_of(Conflict("x")).status == 409


def test_tampering_is_never_the_clients_mistake_and_tells_nothing() -> None:
    fault = fault_of(Tampered("tag of segment 7", reason="NoSuchKey", code="HY-3101"))
    assert (fault.code, fault.status) == ("InternalError", 500)
    assert "segment" not in fault.message


def test_what_may_be_tried_again_says_when() -> None:
    fault = fault_of(Unavailable("The HSM did not answer.", code="HY-2103"))
    assert fault.status == 503
    assert dict(fault.headers)["retry-after"] == "1"
    assert "HY-2103" in fault.message
    assert fault_of(Unavailable("", reason="SlowDown")).code == "SlowDown"
