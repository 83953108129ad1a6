"""The job that removes what a bucket's lifecycle rules say has had its time.

Two shards: what stands in the bucket, and uploads that were not completed.  The rules are read anew
for every step, so that one which was taken away stops.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from hyok.errors import Conflict, Tampered
from hyok.jobs.catalog import STEP_OBJECTS, Planned, Shard, Step
from hyok.jobs.steps import Item, go_through
from hyok.objects.expiring import due_of
from hyok.objects.walk import walk_keys
from hyok.s3.expiry import common_prefix, is_enabled
from hyok.s3.lifecycle import KIND, from_kept
from hyok.vocabulary import Did

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from hyok.backends.port import StoredVersion
    from hyok.objects.expiring import Clock, Expirer
    from hyok.objects.multipart import MultipartVault
    from hyok.objects.places import Places
    from hyok.objects.uploads import Upload
    from hyok.s3.lifecycle import Rule
    from hyok.vocabulary import Bucket

STEP_KEYS = 1_000
"""After so many keys the cursor is saved, even where nothing was to do."""

UPLOADS = "uploads"
"""Where the shard of uploads starts; the other one has no such word."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a job would do now."""

    objects: int = 0
    size_bytes: int = 0
    kept: int = 0
    looked_at: int = 0
    failures: tuple[tuple[str, str, str], ...] = ()  # name, cause and text


class ExpireBucket:
    """Fills `Work`.

    Args:
        bucket: returns the bucket as it is now, with its rules.
        places: where objects stand.
        multipart: knows of open uploads.
        expirer: removes one.
        clock: returns the moment that counts.
        counted: a plan says how much there is to go through, which takes a look at all of it.
    """

    def __init__(
        self,
        bucket: Callable[[], Awaitable[Bucket]],
        places: Places,
        multipart: MultipartVault,
        expirer: Expirer,
        clock: Callable[[], Clock],
        *,
        counted: bool = True,
    ) -> None:
        self._bucket = bucket
        self._places = places
        self._multipart = multipart
        self._expirer = expirer
        self._clock = clock
        self._counted = counted

    async def plan(self) -> Planned:
        """See `Work`."""
        bucket, rules = await self._now()
        if not is_enabled(rules):
            raise Conflict(
                f"bucket {bucket.bucket_id} has no lifecycle rule that is enabled",
                code="HY-3603",
                effect="Nothing was begun.",
                next_step="set one over S3: PutBucketLifecycleConfiguration",
            )
        objects = size = 0
        if self._counted:
            async for _, versions in self._groups(bucket, rules, ""):
                objects += 1
                size += sum(version.size for version in versions)
            objects += len(await self._uploads(bucket, rules))
        return Planned(objects, size, [("", UPLOADS), (UPLOADS, "")])

    async def step(self, shard: Shard) -> Step:
        """See `Work`."""
        bucket, rules = await self._now()
        if shard.start == UPLOADS:
            return await self._step_uploads(shard, bucket, rules)
        clock = self._clock()
        items: list[Item] = []
        keys = found = 0
        last, before = True, shard.cursor
        async with aclosing(self._groups(bucket, rules, shard.cursor)) as groups:
            async for key, versions in groups:
                if keys >= STEP_KEYS or found >= STEP_OBJECTS:
                    last = False
                    break
                keys += 1
                name = versions[0].name
                due = [] if key is None else list(due_of(rules, key, versions, clock))
                found += len(due)
                mine = [
                    Item(
                        cursor=before,  # the key is done once all of it is
                        size_bytes=one.size,
                        act=partial(self._expirer.expire, rules, one, clock),
                        name=partial(_encoded, name),
                    )
                    for one in reversed(due)  # the oldest first, as they came to be
                ] or [Item(name, 0, _nothing, partial(_encoded, name))]
                items += [*mine[:-1], replace(mine[-1], cursor=name)]
                before = name
        return await go_through(shard, items, last=last)

    async def _step_uploads(self, shard: Shard, bucket: Bucket, rules: Sequence[Rule]) -> Step:
        uploads = [
            upload
            for upload in await self._uploads(bucket, rules)
            if upload.upload_id > shard.cursor
        ]
        clock = self._clock()
        items = [
            Item(
                cursor=upload.upload_id,
                size_bytes=0,
                act=partial(self._expirer.give_up, rules, upload, clock),
                name=partial(_encoded, f"upload {upload.upload_id}"),
            )
            for upload in uploads[:STEP_KEYS]
        ]
        return await go_through(shard, items, last=len(uploads) <= STEP_KEYS)

    async def finish(self) -> str:
        """See `Work`."""
        return ""

    async def describe(self, item: bytes) -> str:
        """See `Work`."""
        name = item.decode()
        name_key = await self._places.name_key(await self._bucket())
        try:
            return name if name_key is None else name_key.open(name)
        except Tampered:
            return name

    async def preview(self, tell: Callable[[int], None] = lambda _keys: None) -> Preview:
        """Go through all of it and return what came of it, in no job; for an expirer that is dry.

        Raises:
            Conflict: no rule is enabled (code HY-3603); Unavailable.
        """
        planned = await self.plan()
        told = Preview()
        for number, (start, stop) in enumerate(planned.shards):
            shard = Shard("", number, start, stop)
            while not shard.finished:
                step = await self.step(shard)
                shard = replace(shard, cursor=step.cursor, finished=step.finished)
                failures = [
                    (await self.describe(one.item), one.cause, one.text) for one in step.failures
                ]
                told = Preview(
                    objects=told.objects + step.objects,
                    size_bytes=told.size_bytes + step.size_bytes,
                    kept=told.kept + step.kept,
                    looked_at=told.looked_at
                    + step.objects
                    + step.skipped
                    + step.kept
                    + len(failures),
                    failures=(*told.failures, *failures),
                )
                tell(told.looked_at)
        return told

    async def _now(self) -> tuple[Bucket, Sequence[Rule]]:
        bucket = await self._bucket()
        return bucket, from_kept(bucket.documents.get(KIND, "")).rules

    async def _uploads(self, bucket: Bucket, rules: Sequence[Rule]) -> Sequence[Upload]:
        if not any(rule.enabled and rule.abort_days is not None for rule in rules):
            return []
        found = await self._multipart.open_uploads(bucket, common_prefix(rules))
        return sorted(found, key=lambda upload: upload.upload_id)

    async def _groups(
        self, bucket: Bucket, rules: Sequence[Rule], after: str
    ) -> AsyncGenerator[tuple[str | None, Sequence[StoredVersion]], None]:
        """Yield each key that a rule may be about, with its versions, newest first."""
        if not any(rule.enabled and (rule.destroys or rule.expired_marker) for rule in rules):
            return
        store, backend = self._places.store(bucket), bucket.backend_name
        name_key = await self._places.name_key(bucket)
        prefix = common_prefix(rules)
        found = walk_keys(store, backend, name_key, prefix, after)
        async with aclosing(found):
            async for key, versions in found:
                yield key, versions


async def _nothing() -> Did:
    return Did.NOTHING


async def _encoded(name: str) -> bytes:
    return name.encode()
