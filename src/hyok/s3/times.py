"""Times as clients write them in documents and policies.

Source: Amazon S3 API Reference (dates are ISO 8601, XML Schema's ``dateTime`` with a zone).
"""

from __future__ import annotations

import re
from datetime import datetime

_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
).fullmatch


def parse_date(text: str) -> int | None:
    """Return an ISO 8601 time as unix milliseconds; None when it is none."""
    text = text.strip()
    if not _DATE(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
