"""The Range header, and the one of a copied part, over the plaintext.

Source: RFC 9110 section 14 (one range only; S3 ignores several).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hyok.errors import Malformed

_ONE_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.ASCII).fullmatch
_COPY_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for, before the size is known."""

    first: int = 0
    last: int | None = None  # inclusive; None: to the end
    suffix: int | None = None  # the last so many bytes; then first and last do not count

    def resolve(self, size: int) -> tuple[int, int]:
        """Return the half-open plaintext range ``(start, stop)`` in an object of ``size`` bytes.

        Raises:
            Malformed: no byte of it exists (reason ``InvalidRange``).
        """
        if self.suffix is not None:
            start, stop = max(0, size - self.suffix), size
        else:
            start = self.first
            stop = size if self.last is None else min(self.last + 1, size)
        if start >= stop:
            raise Malformed("The requested range is not satisfiable", reason="InvalidRange")
        return start, stop


def parse(header: str | None) -> Asked | None:
    """Return the range asked for; None when there is none, several, or none that can be read."""
    if not header:
        return None
    found = _ONE_RANGE(header.strip().replace(" ", ""))
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if not first:
        return Asked(suffix=int(last))
    if last and int(last) < int(first):
        return None  # RFC 9110: an invalid range is ignored
    return Asked(int(first), int(last) if last else None)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the half-open plaintext range of an object of ``size`` bytes; None for the whole.

    Raises:
        Malformed: no byte of it exists (reason ``InvalidRange``).
    """
    asked = parse(header)
    return None if asked is None else asked.resolve(size)


def parse_copy_range(header: str | None, size: int) -> tuple[int, int]:
    """Return the half-open range of an ``x-amz-copy-source-range``; without one, the whole.

    Unlike Range it has to be there as it is said: both ends, and inside the object.

    Raises:
        Malformed: it is not (reason ``InvalidArgument``).
    """
    if header is None:
        return 0, size
    found = _COPY_RANGE(header.strip())
    if found is None or int(found[2]) < int(found[1]):
        raise Malformed(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first "
            "and last are the zero-based offsets of the first and last bytes to copy",
            reason="InvalidArgument",
        )
    first, last = int(found[1]), int(found[2])
    if last >= size:
        raise Malformed(
            f"Range specified is not valid for source object of size: {size}",
            reason="InvalidArgument",
        )
    return first, last + 1


def content_range(start: int, stop: int, size: int) -> str:
    """Return the Content-Range header of an answer with the bytes ``[start, stop)``."""
    return f"bytes {start}-{stop - 1}/{size}"
