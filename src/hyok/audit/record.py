"""One line of the security audit log: who did what to what, from where, with what result.

The six facts of BIO2 8.15.01 (actie, object, resultaat, oorsprong, actor, tijdstempel) are always
there.  An object is an opaque id, never a name.
"""

from __future__ import annotations

from json.encoder import encode_basestring
from operator import itemgetter
from typing import NamedTuple


class AuditRecord(NamedTuple):
    """``phase``: intend (before a key is used) or conclude (before anyone is told).

    ``outcome``: pending, allowed, denied, done, failed.
    """

    at_ms: int
    phase: str
    action: str
    outcome: str
    actor: str
    tenant: str
    origin: str
    request_id: str
    trace_id: str = ""
    session: str = ""  # `access key:name`, where the actor came with a session
    object_id: str = ""  # hex; opaque
    bucket_id: str = ""
    classification: str = ""
    kek_id: str = ""
    scope: str = ""
    reasons: tuple[str, ...] = ()  # the rules that decided
    error: str = ""  # kind and code of a failure; no names
    size_bytes: int | None = None
    # For the logs of decisions and of processing (docs/audit-export.md).
    parent_span_id: str = ""  # the caller's span in the trace
    began_ms: int | None = None  # when the request began
    decided: str = ""  # permit or deny, on the one record of each decision
    actor_kind: str = ""
    policy: str = ""  # SHA-256 of the policies that decided
    activity: str = ""  # URI of the processing activity
    subject: str = ""  # whom it was about, encrypted
    subject_kind: str = ""


_NAMES = sorted(AuditRecord._fields)
_LABELS = tuple(f'"{name}":' for name in _NAMES)
_values = itemgetter(*map(AuditRecord._fields.index, _NAMES))


def render(record: AuditRecord) -> bytes:
    """Return the record as one canonical JSON line: sorted names, no blanks, UTF-8, LF."""
    # By hand: each request writes two, and `asdict` with `json` takes ten times as long.
    told = []
    for label, value in zip(_LABELS, _values(record), strict=True):
        if value.__class__ is str:
            if value:
                told.append(label + encode_basestring(value))
        elif value.__class__ is int:
            told.append(label + str(value))
        elif value:
            told.append(label + "[" + ",".join(map(encode_basestring, value)) + "]")
    return ("{" + ",".join(told) + "}\n").encode()
