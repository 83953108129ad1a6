"""The pieces that documents for clients are made of, and how texts and times stand in them.

Source: Amazon S3 API Reference; XML 1.0 section 2.2 (characters).
"""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hyok.s3.checksums import Algorithm

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
OWNER_NAME = "hyok"

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SPECIAL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff&<>\"'\t\n\r]")
_PLAIN = (string.ascii_letters + string.digits + "/*._~-").encode()
"""What stands in XML, and in an address, as it is."""

ESCAPED_BYTES_MAX = 16  # different ones; with more, to escape name by name is as fast

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def escape(text: str) -> str:
    """Return text as XML character data; control characters as references, as S3 writes them."""
    return text if _SPECIAL.search(text) is None else _SPECIAL.sub(_reference, text)


def _reference(found: re.Match[str]) -> str:
    return _ENTITIES.get(found[0]) or f"&#x{ord(found[0]):x};"


def timestamp(ms: int) -> str:
    """Return unix milliseconds as S3 writes times in XML."""
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


def timestamps(times_ms: Sequence[int]) -> Sequence[str]:
    """Return many of them; a page of a listing has few different ones."""
    known = {ms: timestamp(ms) for ms in set(times_ms)}
    return [known[ms] for ms in times_ms]


@lru_cache(maxsize=1024)  # a page of a listing has many of the same second
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def shown(name: str, *, encode_url: bool) -> str:
    """Return a key as ``encoding-type=url`` has it, or as it is."""
    return quote(name, safe="/*") if encode_url else name


def all_shown(names: Sequence[str], *, encode_url: bool = False) -> Sequence[str]:
    """Return keys or ETags in the same way, each as XML character data.

    A thousand are looked at as one text: hardly a page has one that is not the same in every form.
    """
    whole = "".join(names)
    if not whole.encode().translate(None, _PLAIN):
        return names
    if not encode_url:
        return names if _SPECIAL.search(whole) is None else list(map(escape, names))
    # Neither percent escapes nor what `shown` leaves as it is need one of XML's.
    return _all_quoted(names)


def _all_quoted(names: Sequence[str]) -> Sequence[str]:
    """Return many names as `shown` does, where a few different bytes of a page are escaped."""
    whole = "\0".join(names).encode()
    escaped = set(whole.translate(None, _PLAIN + b"\0%"))
    # Each byte is one run through all names; and a name may hold the mark between them itself.
    if len(escaped) > ESCAPED_BYTES_MAX or whole.count(b"\0") >= len(names):
        return [shown(name, encode_url=True) for name in names]
    whole = whole.replace(b"%", b"%25")
    for byte in escaped:
        whole = whole.replace(bytes((byte,)), b"%%%02X" % byte)
    return whole.decode("ascii").split("\0")


def leaf(name: str, text: str | int) -> str:
    """Return an element that holds text."""
    return f"<{name}>{escape(text) if isinstance(text, str) else text}</{name}>"


def optional(name: str, text: str) -> str:
    """Return an element that holds text, or nothing where the text is empty."""
    return leaf(name, text) if text else ""


def flag(name: str, *, on: bool) -> str:
    """Return an element that holds true or false."""
    return f"<{name}>{'true' if on else 'false'}</{name}>"


def document(root: str, pieces: Iterable[str]) -> bytes:
    """Return a whole document of S3's namespace."""
    begin = f'{DECLARATION}<{root} xmlns="{NAMESPACE}">'
    return "".join([begin, *pieces, f"</{root}>"]).encode()


def owner_element(name: str, identity: str) -> str:
    """Return an owner, an initiator or a grantee."""
    return f"<{name}>{leaf('ID', identity)}{leaf('DisplayName', OWNER_NAME)}</{name}>"


def quoted(etag: str) -> str:
    """Return an ETag as it stands nearly everywhere."""
    return f'"{etag}"'


def checksum_elements(values: Mapping[Algorithm, str]) -> str:
    """Return the element of every checksum; values in base64."""
    return "".join([leaf(algorithm.element, text) for algorithm, text in values.items()])
