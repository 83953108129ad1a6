"""KnownAbilities: what each bucket of an S3 store was seen to do, and what follows for writes."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial, reduce
from operator import and_
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeVar

from hyok.backends.own_objects import erase_deleted
from hyok.backends.port import ALWAYS
from hyok.backends.s3_findings import (
    AGE_SECONDS_MAX,
    PAUSE_SECONDS,
    Finding,
    Findings,
    tried,
    unfinished,
)
from hyok.backends.s3_keeping import Keeping, probe_keeping, probe_tags
from hyok.backends.s3_names import ALL_NAMES, PLAIN_NAMES, NameRules, probe_names
from hyok.backends.s3_probe import (
    PROBE_PREFIX,
    probe_complete,
    probe_copy,
    probe_delete,
    probe_put,
    probe_rare,
    probe_trailers,
)
from hyok.errors import HyokError, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.backends.port import Condition, StoreFeatures
    from hyok.backends.s3 import S3Store
    from hyok.backends.s3_endpoint import Endpoint

    Decided: TypeAlias = Literal["put", "rare", "copy", "complete", "delete"]

T = TypeVar("T")
RESERVED = ".hyok/"
TRIALS: Mapping[Decided, Callable[[Endpoint, str], Awaitable[bool]]] = {
    "put": probe_put,
    "rare": probe_rare,
    "copy": probe_copy,
    "complete": probe_complete,
    "delete": probe_delete,
}
ALONE: Mapping[Decided, Callable[[Endpoint, str], Awaitable[bool]]] = {
    "put": partial(probe_put, alone=True),
    "copy": partial(probe_copy, alone=True),
    "complete": partial(probe_complete, alone=True),
}
"""The kinds whose trial is a race, each with what one writer can see of it alone."""


def _everywhere(findings: Findings[bool]) -> bool:
    return bool(findings.values()) and all(findings.values())


class Races(Protocol):
    """Keeps what races showed for the next bucket and the next process."""

    def known(self, key: str) -> Finding[bool] | None: ...

    def keep(self, key: str, decides: bool) -> None: ...  # noqa: FBT001 - it is the value


class KnownAbilities:
    """Tries each bucket once a day.

    Versions, locks, names and trailers before the first write, tags before the first change of
    them, each kind of condition before it is first relied on, since that takes a race.

    In a bucket that locks every new object nothing is tried, since it could not be taken away
    again: what every other bucket of the store showed is taken to hold there too, and without one
    nothing out of the ordinary.

    ``rules`` and ``features`` say what holds in every bucket tried; buckets of one endpoint may
    differ (versions, object lock, a proxy for some of them).

    Args:
        store: for what is asked of it by its port.
        endpoint: for the trials themselves.
        features: what holds whatever the trials show.
        races: where what races showed is kept; None: nowhere.
        clock: unix time, seconds.
    """

    def __init__(
        self,
        store: S3Store,
        endpoint: Endpoint,
        features: StoreFeatures,
        *,
        races: Races | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._endpoint = endpoint
        self._races = races
        self._clock = clock
        self._names: Findings[NameRules] = Findings(clock)
        self._trailers: Findings[bool] = Findings(clock)
        self._tags: Findings[bool] = Findings(clock)
        self._decides: dict[Decided, Findings[bool]] = {kind: Findings(clock) for kind in TRIALS}
        self._kept: dict[str, Keeping] = {}
        self.rules: NameRules = ALL_NAMES
        self.features = features

    async def _find(
        self,
        findings: Findings[T],
        bucket: str,
        kept: Keeping,
        trial: Callable[[], Awaitable[T | Finding[T]]],
    ) -> T:
        """Return a finding about a bucket; what a trial leaves behind is taken away."""

        async def run() -> Finding[T]:
            try:
                found = await trial()
            finally:
                if kept.versions:
                    await erase_deleted(self._store, bucket, PROBE_PREFIX)
            if isinstance(found, Finding):
                return found
            return Finding(found, self._clock() + AGE_SECONDS_MAX)

        value = await findings.of(bucket, self._endpoint.server, run)
        self._sum_up()
        return value

    async def _keeping_of(self, bucket: str) -> Keeping:
        """Ask before a trial what the bucket keeps by now: a lock may be new, or versions."""
        kept = self._kept.get(bucket)
        if kept is None or not kept.locks_all:
            try:
                kept = self._kept[bucket] = await probe_keeping(self._store, bucket)
            except HyokError as error:
                raise unfinished(error, PAUSE_SECONDS) from error
        return kept

    async def _names_in(self, bucket: str) -> NameRules:
        known = self._names.known(bucket, self._endpoint.server)
        if known is not None:
            return known
        self._names.check_pause(bucket, self._endpoint.server)
        kept = await self._keeping_of(bucket)
        if kept.locks_all:
            return self.rules if self._names.values() else PLAIN_NAMES
        return await self._find(self._names, bucket, kept, lambda: probe_names(self._store, bucket))

    async def _try_trailers(self, bucket: str) -> None:
        """Find out about trailers; until that succeeds bodies go without one."""
        if self.locks_all(bucket):
            return
        with suppress(HyokError):
            await self._can(
                self._trailers, bucket, lambda _kept: tried(probe_trailers(self._endpoint, bucket))
            )

    async def _check_name(self, bucket: str, name: str) -> None:
        """Return quietly if the store can hold this name.

        One that every store holds need not wait for a store that is too busy to be tried.
        """
        try:
            rules = await self._names_in(bucket)
        except Unavailable:
            if not PLAIN_NAMES.holds(name):
                raise
            return
        if self._trailers.known(bucket, self._endpoint.server) is None:
            await self._try_trailers(bucket)
        rules.check(name)

    def locks_all(self, bucket: str) -> bool:
        """Is the bucket known to lock every new object?"""
        return bucket in self._kept and self._kept[bucket].locks_all

    def takes_trailers(self, bucket: str) -> bool:
        """Is the store known to check a checksum behind a body in this bucket?"""
        if self.locks_all(bucket):
            return self.features.trailing_checksum
        return bool(self._trailers.known(bucket, self._endpoint.server))

    async def decides(self, bucket: str, kind: Decided) -> bool:
        """Does the store decide conditions of this kind in this bucket?

        Raises:
            Unavailable: it does not answer, or is busy.
        """
        return await self._can(
            self._decides[kind], bucket, lambda kept: self._try(bucket, kind, kept)
        )

    async def changes_tags(self, bucket: str) -> bool:
        """Can tags of a version change in this bucket?

        Raises:
            Unavailable: the store does not answer, or is busy.
        """
        return await self._can(
            self._tags, bucket, lambda _kept: tried(probe_tags(self._endpoint, bucket))
        )

    async def _can(
        self,
        findings: Findings[bool],
        bucket: str,
        trial: Callable[[Keeping], Awaitable[bool | Finding[bool]]],
    ) -> bool:
        known = findings.known(bucket, self._endpoint.server)
        if known is not None:
            return known
        findings.check_pause(bucket, self._endpoint.server)
        kept = await self._keeping_of(bucket)
        if kept.locks_all:
            return _everywhere(findings)
        return await self._find(findings, bucket, kept, lambda: trial(kept))

    async def _try(self, bucket: str, kind: Decided, kept: Keeping) -> Finding[bool]:
        """Try one kind of condition; the race itself only where none of late is known."""
        until = self._clock() + AGE_SECONDS_MAX
        if self._races is None or kind not in ALONE:
            return Finding(await tried(TRIALS[kind](self._endpoint, bucket)), until)
        key = f"{kind} {kept.kind} {self._endpoint.server}"
        raced = self._races.known(key)
        if raced is None:
            decides = await tried(TRIALS[kind](self._endpoint, bucket))
            self._races.keep(key, decides)
            return Finding(decides, until)
        decides = raced.value and await tried(ALONE[kind](self._endpoint, bucket))
        return Finding(decides, raced.until)

    def _sum_up(self) -> None:
        self.rules = reduce(and_, self._names.values(), ALL_NAMES)
        self.features = replace(
            self.features,
            conditional_put=_everywhere(self._decides["put"]),
            conditional_copy=_everywhere(self._decides["copy"]),
            conditional_delete=_everywhere(self._decides["delete"]),
            conditional_complete=_everywhere(self._decides["complete"]),
            rare_conditions=_everywhere(self._decides["rare"]),
            trailing_checksum=_everywhere(self._trailers),
            tags=_everywhere(self._tags),
            versioning=bool(self._kept) and all(k.versioning for k in self._kept.values()),
            object_lock=bool(self._kept) and all(k.object_lock for k in self._kept.values()),
        )

    async def features_of(self, bucket: str) -> StoreFeatures:
        """Return what holds in one bucket; all of it is tried that was not yet."""
        await self._names_in(bucket)
        await self._try_trailers(bucket)
        tags = await self.changes_tags(bucket)
        put, rare, copy, delete, complete = [
            await self.decides(bucket, kind)
            for kind in ("put", "rare", "copy", "delete", "complete")
        ]
        return replace(
            self.features,
            conditional_put=put,
            conditional_copy=copy,
            conditional_delete=delete,
            conditional_complete=complete,
            rare_conditions=put and rare,
            trailing_checksum=self.takes_trailers(bucket),
            tags=tags,
            versioning=self._kept[bucket].versioning,
            object_lock=self._kept[bucket].object_lock,
        )

    async def prepare(
        self, bucket: str, name: str, condition: Condition = ALWAYS, kind: Decided = "put"
    ) -> None:
        """Return quietly if this may be written.

        Raises:
            Refused: the store cannot hold the name, or does not decide this condition.
            Unavailable: it did not let us find out (reason ``SlowDown``).
        """
        if name.startswith(PROBE_PREFIX):
            return
        if not name.startswith(RESERVED):
            await self._check_name(bucket, name)
        if condition != ALWAYS and not await self._heeds(bucket, condition, kind):
            raise Refused(
                f"The store behind this bucket does not decide the condition of a {kind}.",
                reason="NotImplemented",
            )

    async def _heeds(self, bucket: str, condition: Condition, kind: Decided) -> bool:
        if condition.rare and (kind != "put" or not await self.decides(bucket, "rare")):
            return False
        return await self.decides(bucket, kind)
