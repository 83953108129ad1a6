"""Times as people write them on the command line: a moment in UTC, or how long ago."""

from __future__ import annotations

import time
from calendar import timegm

from hyok.errors import Malformed
from hyok.policy.classifications import parse_duration

FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def parse_time(option: str, text: str) -> int:
    """Return a moment, unix milliseconds.

    Raises:
        Malformed: it is none.
    """
    for form in FORMS:
        try:
            return timegm(time.strptime(text, form)) * 1000
        except ValueError:
            continue
    raise Malformed(f"{option} {text}: write a time in UTC as 2026-11-28 14:05")


def parse_ago(option: str, text: str) -> int:
    """Return a duration such as 90m, 12h or 30d in milliseconds.

    Raises:
        Malformed: it is none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Malformed(f"{option} {text}: {error}") from error


def parse_moment(option: str, text: str, now_ms: int) -> int:
    """Return a moment that is written as one, or as how long ago it was; unix milliseconds.

    Raises:
        Malformed: it is neither.
    """
    if text[:4].isdigit() and text[4:5] == "-":
        return parse_time(option, text)
    return now_ms - parse_ago(option, text)
