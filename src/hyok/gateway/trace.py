"""The trace that a request belongs to: the caller's, or a new one.

Source: W3C Trace Context, section 3.2 (traceparent).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class Trace(NamedTuple):
    """``parent_span_id`` is the caller's span; empty where the trace begins with us."""

    trace_id: str
    parent_span_id: str = ""


def trace_of(traceparent: str | None, fresh: bytes) -> Trace:
    """Return the trace of a request; ``fresh`` are 16 random bytes for a new one.

    A header that is not well formed is passed over, as the specification wants it.
    """
    if traceparent is None:
        return Trace(fresh.hex())
    found = _PARENT.fullmatch(traceparent.strip())
    if found is None or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
        return Trace(fresh.hex())
    if traceparent.strip().startswith("00") and len(found[0]) > 55:
        return Trace(fresh.hex())  # version 00 has nothing behind its flags
    return Trace(found[1], found[2])
