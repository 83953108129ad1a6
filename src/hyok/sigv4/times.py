"""The time of a request, as its signature has it: ``yyyymmddThhmmssZ``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from hyok.errors import Malformed, NotAuthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z").fullmatch


def header_time(fields: Mapping[str, bytes]) -> str:
    """Return the time that the headers of a request tell.

    Raises:
        NotAuthenticated: they tell none (reason ``AccessDenied``).
    """
    given = fields.get("x-amz-date")
    if given is not None:
        return given.decode("latin-1")
    date = fields.get("date", b"").decode("latin-1")
    if _TIME(date):
        return date
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:  # "-0000": UTC, and never the zone of this machine
            moment = moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotAuthenticated(
            "AWS authentication requires a valid Date or x-amz-date header.",
            reason="AccessDenied",
        ) from None
    return moment.strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=64)  # one value per second; many requests share it
def parse_time_ms(amz_date: str, wrong: str) -> int:
    """Return ``yyyymmddThhmmssZ`` as unix milliseconds; ``wrong``: the code if it is none."""
    if _TIME(amz_date):
        try:
            moment = datetime(
                int(amz_date[:4]),
                int(amz_date[4:6]),
                int(amz_date[6:8]),
                int(amz_date[9:11]),
                int(amz_date[11:13]),
                int(amz_date[13:15]),
                tzinfo=UTC,
            )
            return int(moment.timestamp()) * 1000
        except ValueError:
            pass
    raise Malformed('The date must be in the form "yyyymmddThhmmssZ".', reason=wrong)
