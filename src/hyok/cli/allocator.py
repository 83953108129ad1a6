"""Memory of ended requests is kept for the next ones, where the C library can do that.

A page that is touched for the first time costs more than sealing its bytes: with what glibc does by
itself a PUT of 1 MiB met some 400 new pages, over half of its CPU.

Source: glibc, mallopt(3).
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3

KEPT_BYTES_MAX = 64 << 20
"""Freed memory at the end of the heap beyond this goes back to the system."""

MAPPED_BYTES_MIN = 32 << 20  # the most that every version takes
GROWTH_BYTES = 4 << 20


def keep_freed_memory() -> bool:
    """Tell the C library, for this process; return whether it takes it (musl does not)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    wanted = (
        (_TRIM_THRESHOLD, KEPT_BYTES_MAX),
        (_TOP_PAD, GROWTH_BYTES),
        (_MMAP_THRESHOLD, MAPPED_BYTES_MIN),
    )
    return all(mallopt(name, value) == 1 for name, value in wanted)
