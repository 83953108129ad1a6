"""Memory in a worker: freed memory is kept for the next requests, and garbage is seldom looked for.

A page that is touched for the first time costs more than sealing its bytes: with what glibc does by
itself a PUT of 1 MiB met some 400 new pages, over half of its CPU.

Source: glibc, mallopt(3).
"""

from __future__ import annotations

import ctypes
import gc

from hyok.cli.entry import OBJECTS_BETWEEN_LOOKS

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8

KEPT_BYTES_MAX = 64 << 20
"""Freed memory at the end of the heap beyond this goes back to the system."""

MAPPED_BYTES_MIN = 32 << 20  # the most that every version takes
GROWTH_BYTES = 4 << 20

ARENAS_MAX = 2
"""Heaps that threads share.  By itself each pump thread gets its own and keeps what a body needed:
64 streams of 4 MB had 264 MB in a worker, 218 with this."""


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
        (_ARENA_MAX, ARENAS_MAX),
    )
    return all(mallopt(name, value) == 1 for name, value in wanted)


def collect_rarely() -> None:
    """Look for cycles of garbage after 50,000 new objects, not 700, and never among what is loaded.

    Few requests leave cycles behind, but many objects live while 64 clients are served, and the
    search took a sixth of a worker's time (PUT of 1 KiB: 1.7 ms of CPU with it, 1.4 without).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS, 20, 100)
