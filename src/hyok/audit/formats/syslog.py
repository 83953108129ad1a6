"""A record as an RFC 5424 syslog message.

The message is the line of the log, byte for byte, so that a copy in a SIEM can be held against the
Merkle tree.  What people search for stands in structured data as well.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.audit.file import GAP

if TYPE_CHECKING:
    from hyok.audit.follow import Entry

FACILITY = 13  # log audit
CRITICAL, WARNING, NOTICE, INFORMATIONAL = 2, 4, 5, 6
SHOWN = (
    "seq",
    "phase",
    "action",
    "outcome",
    "actor",
    "tenant",
    "origin",
    "request_id",
    "trace_id",
    "bucket_id",
    "object_id",
    "classification",
    "error",
)
_ESCAPED = str.maketrans({'"': '\\"', "\\": "\\\\", "]": "\\]"})


@dataclass(frozen=True, slots=True)
class SyslogFormat:
    """Renders records of the host ``hostname``.

    ``enterprise``: the IANA enterprise number that the structured data is named under.
    """

    hostname: str
    enterprise: int

    def render(self, entry: Entry) -> bytes:
        """Return one message, without a frame."""
        fields = entry.fields
        at_ms = entry.place.at_ms
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms // 1000))
        priority = FACILITY * 8 + severity(fields)
        head = " ".join(
            (
                f"<{priority}>1",
                f"{moment}.{at_ms % 1000:03d}Z",
                printable(self.hostname, 255),
                "hyok",
                "-",
                printable(str(fields.get("action", "")), 32),
            )
        )
        shown = "".join(
            f' {name}="{str(fields[name]).translate(_ESCAPED)}"' for name in SHOWN if name in fields
        )
        return f"{head} [hyok@{self.enterprise}{shown}] ".encode() + entry.line


def severity(fields: dict[str, object]) -> int:
    """Return how loud a record is, by RFC 5424's scale."""
    if fields.get("action") == GAP:
        return CRITICAL
    outcome = fields.get("outcome")
    if outcome in {"denied", "failed"}:
        return WARNING
    return INFORMATIONAL if fields.get("phase") == "intend" else NOTICE


def printable(text: str, length: int) -> str:
    """Return ``text`` as a field of the header: printable ASCII without blanks, or a dash."""
    kept = "".join(each if "!" <= each <= "~" else "_" for each in text)
    return kept[:length] or "-"
