"""What every client has to bring through every store: sizes around each boundary, and odd keys."""

from __future__ import annotations

import os
from hashlib import sha256

SIZES = (0, 1, 262_103, 262_104, 262_105, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 3)
SIZE_LARGE = 100 << 20

ODD_KEYS = (
    "gewoon.txt",
    "map/onder/bestand.pdf",
    "spatie in naam.txt",
    "plus+teken.txt",
    "procent%20teken%.txt",
    "ünïcödé/日本語/😀.bin",
    "dubbel//streep///hier",
    "/voor-aan",
    "achter/",
    "a&b=c;d,e:f@g!h$i'j(k)l*m",
    'haak[1]{2}"3"',
    "HOOFD/letters",
    "hoofd/letters",
    "a",
    "a/b",
    "tilde~punt..",
    "x" * 1000,
    "/".join(["lang" * 12] * 20),
)


def content(size: int, seed: int = 0) -> bytes:
    """Return bytes that no part of which repeats, the same for one seed."""
    if not size:
        return b""
    block = b"".join(sha256(f"{seed}:{i}".encode()).digest() for i in range(2048))
    whole = block * (size // len(block) + 1)
    stamp = os.fsencode(f"{seed}/{size}")
    return (stamp + whole)[:size]
