"""Find the lines of one request in the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.audit.file import parse_line
from hyok.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FOUND_MAX = 1_000


def find(path: Path, request_id: str) -> Sequence[Mapping[str, object]]:
    """Return the records of ``request_id``, in order, `FOUND_MAX` at most.

    Reads the whole file once; only lines that mention the id are parsed.

    Raises:
        NotFound: there is no log at ``path``.
    """
    wanted = request_id.encode()
    found: list[Mapping[str, object]] = []
    try:
        with path.open("rb") as log:
            for line in log:
                if wanted not in line:
                    continue
                fields = parse_line(line)
                if fields is not None and fields.get("request_id") == request_id:
                    found.append(fields)
                    if len(found) == FOUND_MAX:
                        break
    except FileNotFoundError as error:
        raise NotFound(f"there is no audit log at {path}", code="HY-5103") from error
    return found
