"""What every client has to bring through every store: sizes around each boundary, and odd keys."""

from __future__ import annotations

import os
from functools import lru_cache
from random import Random  # noqa: TID251 - noise that is the same every time

SIZES = (0, 1, 262_103, 262_104, 262_105, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 3)
SIZE_LARGE = 100 << 20
SIZE_LARGE_OF_TOOLS = SIZE_LARGE if os.environ.get("HYOK_LONG") else 30 << 20

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


@lru_cache(maxsize=16)
def content(size: int, seed: int = 0) -> bytes:
    """Return noise, the same for one seed; no part of it comes twice."""
    return Random(f"{seed}/{size}").randbytes(size)


def ranges(size: int) -> list[tuple[int, int]]:
    """Return first and last bytes worth asking for: inside, over a boundary, at the end."""
    wanted = [
        (0, 0),
        (5, size - 3),
        (262_000, 262_200),
        (size // 2, size - 1),
        (size - 1, size - 1),
    ]
    return [(first, last) for first, last in wanted if 0 <= first <= last < size]


def is_path(key: str) -> bool:
    """Can a tool that copies folders have this key as a file, beside the others?"""
    segments = key.split("/")
    beside = any(other.startswith(key + "/") for other in ODD_KEYS)
    return not beside and "" not in segments and all(len(s.encode()) < 256 for s in segments)
