"""TrialFile: what races at a store showed, kept for all workers of a host and past a restart.

It holds no secret, and nothing rests on it that a trial could not show again: a file that is
missing, cut, of another form, too old or from the future is as good as none.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import structlog

from hyok.backends.s3_findings import AGE_SECONDS_MAX, Finding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VERSION = 1
ENTRIES_MAX = 256
log = structlog.get_logger("hyok.backends")


class TrialFile:
    """One store's file.  Workers that write at once lose an entry, which costs one more trial.

    Args:
        path: the file; its folder is made when missing.
        endpoint: whose findings they are; those of another one do not count.
        clock: unix time, seconds.
    """

    def __init__(self, path: Path, endpoint: str, clock: Callable[[], float]) -> None:
        self._path = path
        self._endpoint = endpoint
        self._clock = clock

    def known(self, key: str) -> Finding[bool] | None:
        """Return what was found under a key, where it is young enough to be believed."""
        return self._read().get(key)

    def keep(self, key: str, decides: bool) -> None:  # noqa: FBT001 - it is the value
        """Keep a finding; where the file cannot be written the log says so."""
        now = self._clock()
        found = {name: (entry.value, entry.until) for name, entry in self._read().items()}
        found[key] = decides, now + AGE_SECONDS_MAX
        youngest = sorted(found.items(), key=lambda item: item[1][1])[-ENTRIES_MAX:]
        text = json.dumps(
            {
                "version": VERSION,
                "endpoint": self._endpoint,
                "found": {
                    name: {"decides": value, "until": until} for name, (value, until) in youngest
                },
            },
            indent=1,
        )
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside.write_text(text)
            beside.replace(self._path)
        except OSError as error:
            log.warning("store.trials_not_kept", path=str(self._path), error=str(error))

    def _read(self) -> dict[str, Finding[bool]]:
        try:
            document = json.loads(self._path.read_text())
            if (document["version"], document["endpoint"]) != (VERSION, self._endpoint):
                return {}
            found = {
                str(name): Finding(_flag(entry["decides"]), float(entry["until"]))
                for name, entry in document["found"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        now = self._clock()
        return {
            name: entry
            for name, entry in found.items()
            if 0 <= entry.until - now <= AGE_SECONDS_MAX
        }


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value
