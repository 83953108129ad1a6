"""Expiring one version of an object, one delete marker or one upload, as lifecycle rules say.

What a listing tells picks who may have had its time.  Before anything goes, the object itself is
looked at: its tags and its classification are proven by the envelope, and it must still be what was
listed.  The delete is one like any other: decided by policy, conditional where the store decides
that, recorded, and with object lock in the store's own hands.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hyok.backends.port import ALWAYS, Condition
from hyok.envelope.layout import LAYOUT
from hyok.errors import Conflict, HyokError, Malformed, NotFound
from hyok.s3.expiry import (
    expiry_of,
    marker_expiry_of,
    noncurrent_expiry_of,
    upload_expiry_of,
    wants_tags,
)
from hyok.s3.names import etag_out
from hyok.vocabulary import ClassificationName, Did

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hyok.backends.port import StoredVersion
    from hyok.objects.facts import ObjectFacts
    from hyok.objects.multipart import MultipartVault
    from hyok.objects.places import Place
    from hyok.objects.uploads import Upload
    from hyok.objects.vault import ObjectVault
    from hyok.s3.expiry import Expiry
    from hyok.s3.lifecycle import Rule
    from hyok.vocabulary import Ask

LOOK, OBJECT, MARKER, UPLOAD = "object:head", "object:expire", "marker:expire", "upload:expire"

_IN_CLEAR = frozenset({"HY-3501", "HY-3511", "HY-3514", "HY-3515"})
"""What is said of objects that nobody sealed here: they are not ours to remove."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The moment that counts, and how long a day is."""

    now_ms: int
    day_ms: int


@dataclass(frozen=True, slots=True)
class Due:
    """A version whose time may have come, or a delete marker."""

    key: str
    version: StoredVersion
    since_ms: int | None = None  # when it stopped to be current; None: it is current
    newer: int = 0  # how many noncurrent versions are newer

    @property
    def size(self) -> int:
        """Its plaintext length in bytes, as the stored one says."""
        with suppress(Malformed):
            return LAYOUT.object_plain_size(self.version.size)
        return self.version.size

    def expiry(
        self, rules: Sequence[Rule], size: int, tags: Mapping[str, str] | None, day_ms: int
    ) -> Expiry | None:
        """Return when it goes; ``tags`` None: not known yet."""
        if self.since_ms is not None:
            return noncurrent_expiry_of(
                rules, self.key, size, self.since_ms, self.newer, tags, day_ms
            )
        return expiry_of(rules, self.key, size, self.version.modified_ms, tags, day_ms)


def due_of(
    rules: Sequence[Rule], key: str, versions: Sequence[StoredVersion], clock: Clock
) -> Iterator[Due]:
    """Yield what of a key may have had its time.  Pure.

    ``versions``: all of them, newest first.
    """
    newer = 0
    for turn, version in enumerate(versions):
        above = versions[turn - 1].modified_ms if turn else None
        due = Due(key, version, above, newer)
        newer += turn > 0 and not version.marker
        if version.marker:
            found = _marker_expiry(rules, due, clock, alone=len(versions) == 1)
        else:
            found = due.expiry(rules, due.size, None, clock.day_ms)
        if found is not None and found.at_ms <= clock.now_ms:
            yield due


def _marker_expiry(rules: Sequence[Rule], due: Due, clock: Clock, *, alone: bool) -> Expiry | None:
    if due.since_ms is None:
        if not alone:
            return None
        return marker_expiry_of(rules, due.key, due.version.modified_ms, clock.day_ms)
    # A marker has neither tags nor a size, so a rule about them is not about markers.
    about = [rule for rule in rules if not (rule.filter.by_tags or rule.filter.by_size)]
    return due.expiry(about, 0, {}, clock.day_ms)


class Expirer:
    """Removes what has had its time.

    Args:
        vault: sealed objects.
        multipart: uploads.
        ask: returns the question of the lifecycle's own principal, about the bucket, as of now.
        dry: nothing is removed; the answer is what would have been.
    """

    def __init__(
        self,
        vault: ObjectVault,
        multipart: MultipartVault,
        ask: Callable[[str, str], Ask],
        *,
        dry: bool = False,
    ) -> None:
        self._vault = vault
        self._multipart = multipart
        self._ask = ask
        self._dry = dry

    async def expire(self, rules: Sequence[Rule], due: Due, clock: Clock) -> Did:
        """Remove a version or a marker, if it is still what was listed and its time has come.

        Raises:
            Refused, Tampered, Unavailable: as looking at it and deleting say.
        """
        if due.version.marker:
            return await self._expire_marker(due)
        try:
            facts = await self._vault.head(
                self._ask(LOOK, due.key),
                tags=wants_tags(rules, due.key),
                version_id=due.version.version_id if due.since_ms is not None else "",
            )
        except NotFound:
            return Did.NOTHING
        except HyokError as error:
            if error.code in _IN_CLEAR:
                return Did.KEPT
            raise
        if facts.etag != etag_out(due.version.etag):
            return Did.NOTHING  # another one by now; it has a time of its own
        expiry = due.expiry(rules, facts.size, facts.tags, clock.day_ms)
        if expiry is None or expiry.at_ms > clock.now_ms:
            return Did.NOTHING
        if self._is_kept(facts, due, clock):
            return Did.KEPT
        return await self._remove(due, ClassificationName(facts.classification))

    def _is_kept(self, facts: ObjectFacts, due: Due, clock: Clock) -> bool:
        if not facts.sealed:
            return True
        if not self._vault.classifications.get(facts.classification).retention.by_rules:
            return True
        if due.since_ms is None:
            return False  # a marker over a locked version takes nothing away
        retention = facts.lock.retention
        held = retention is not None and retention.until_ms > clock.now_ms
        return held or bool(facts.lock.legal_hold)

    async def _remove(self, due: Due, classification: ClassificationName) -> Did:
        ask = self._ask(OBJECT, due.key)
        assert ask.bucket is not None
        place = await self._vault.places.of(ask.bucket, due.key)
        condition, version_id = ALWAYS, ""
        if due.since_ms is not None:
            version_id = due.version.version_id
            if await _is_current(place, version_id):
                return Did.NOTHING  # what stood above it was removed: it is the object again
        elif (await place.store.features_of(place.bucket)).conditional_delete:
            condition = Condition(if_match=due.version.etag)
        if self._dry:
            return Did.CHANGED
        try:
            await self._vault.delete(
                replace(ask, classification=classification), condition, version_id=version_id
            )
        except NotFound:
            return Did.NOTHING
        except Conflict as error:
            if error.reason not in {"PreconditionFailed", "ConditionalRequestConflict"}:
                raise
            return Did.NOTHING
        return Did.CHANGED

    async def _expire_marker(self, due: Due) -> Did:
        ask, version = self._ask(MARKER, due.key), due.version
        if version.version_id in {"", "null"}:
            return Did.KEPT  # a write takes its place under the same id, and would be taken for it
        if not self._dry:
            with suppress(NotFound):
                await self._vault.delete(ask, version_id=version.version_id)
        return Did.CHANGED

    async def give_up(self, rules: Sequence[Rule], upload: Upload, clock: Clock) -> Did:
        """Abort an upload that was not completed in its time.

        Raises:
            Refused, Unavailable: as aborting says.
        """
        expiry = upload_expiry_of(rules, upload.key, upload.begun_ms, clock.day_ms)
        if expiry is None or expiry.at_ms > clock.now_ms:
            return Did.NOTHING
        if not self._dry:
            ask = self._ask(UPLOAD, upload.key)
            ask = replace(ask, classification=ClassificationName(upload.classification))
            try:
                await self._multipart.abort(ask, upload.upload_id)
            except NotFound:  # completed or aborted meanwhile
                return Did.NOTHING
        return Did.CHANGED


async def _is_current(place: Place, version_id: str) -> bool:
    """Say whether a version is what stands under its name now."""
    try:
        stored = await place.store.head(place.bucket, place.name)
    except NotFound:  # a delete marker stands over it
        return False
    return (stored.version_id or "null") == version_id
