"""All commands of `hyok`, put together.  `entry` loads the one that is run, and not this."""

from __future__ import annotations

from hyok.cli.table import TABLE, build

app = build(TABLE)
