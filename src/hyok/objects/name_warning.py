"""A word to the officer where the name of an object may be somebody's BSN, in clear at the store.

A warning and no refusal: one number in eleven passes the test by chance (`hyok.policy.elfproef`).
The line has the bucket and the object's opaque id, never the name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from hyok.policy.elfproef import holds_bsn

if TYPE_CHECKING:
    from hyok.vocabulary import Ask

log = structlog.get_logger("hyok.objects")


def warn_of_name(ask: Ask, object_id: bytes) -> None:
    """Write the line if an object that was just made has such a name in a bucket of clear names."""
    bucket = ask.bucket
    assert bucket is not None
    if bucket.names == "clear" and holds_bsn(ask.key):
        log.warning(
            "object.name_may_hold_bsn",
            bucket=bucket.bucket_id,
            object_id=object_id.hex(),
            app=ask.principal.id,
            request_id=ask.request_id,
            next_step="use a bucket of sealed names, or names that mean nothing",
        )
