"""SplitSink: one object longer than a single PUT may be, as an upload in parts."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from hyok.errors import HyokError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from hyok.backends.port import (
        Condition,
        ObjectStore,
        PartSink,
        Stored,
        StoredFacts,
        StoredPart,
    )

T = TypeVar("T")


class SplitSink:
    """One object longer than a single PUT may be, as a multipart upload of the same bytes.

    A condition is decided by the store when the upload is completed.  ``part_bytes`` is the length
    of every part but the last (format.md §8, Sizes).
    Runs in a pump thread and asks the loop for each part's connection.
    """

    def __init__(
        self,
        store: ObjectStore,
        bucket: str,
        name: str,
        size: int,
        facts: StoredFacts,
        condition: Condition,
        part_bytes: int,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._name = name
        self._left = size
        self._facts = facts
        self._condition = condition
        self._part_bytes = part_bytes
        self._loop = asyncio.get_running_loop()
        self._guard = threading.Lock()  # of `_over` and of what `abort` has to end
        self._over = False
        self._upload_id = ""
        self._parts: list[StoredPart] = []
        self._part: PartSink | None = None
        self._part_left = 0

    def write(self, view: memoryview) -> None:
        while view:
            if self._part is None:
                self._begin_part()
            part = self._part
            if part is None:
                raise _given_up()
            piece = view[: self._part_left]
            part.write(piece)
            self._part_left -= len(piece)
            view = view[len(piece) :]
            if not self._part_left:
                self._parts.append(part.commit())
                self._part = None

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _begin_part(self) -> None:
        if not self._upload_id:
            upload_id = self._await(self._store.begin_upload(self._bucket, self._name, self._facts))
            with self._guard:
                self._upload_id = "" if self._over else upload_id
            if not self._upload_id:  # given up meanwhile: nobody else knows of it
                self._loop.call_soon_threadsafe(self._forget, upload_id)
                raise _given_up()
        size = min(self._left, self._part_bytes)
        part = self._await(
            self._store.put_part(
                self._bucket, self._name, self._upload_id, len(self._parts) + 1, size
            )
        )
        with self._guard:
            self._part = None if self._over else part
        if self._part is None:
            part.abort()
            raise _given_up()
        self._part_left = size
        self._left -= size

    def commit(self) -> Stored:
        assert not self._left
        assert self._part is None
        return self._await(
            self._store.complete_upload(
                self._bucket, self._name, self._upload_id, self._parts, self._condition
            )
        )

    def abort(self) -> None:
        with self._guard:
            self._over = True
            part, self._part = self._part, None
            upload_id, self._upload_id = self._upload_id, ""
        if part is not None:
            part.abort()
        if upload_id:
            self._loop.call_soon_threadsafe(self._forget, upload_id)

    def _forget(self, upload_id: str) -> None:
        async def forget() -> None:
            with suppress(HyokError):
                await self._store.abort_upload(self._bucket, self._name, upload_id)

        self._forgetting = self._loop.create_task(forget())


def _given_up() -> Unavailable:
    return Unavailable("the upload was given up", reason="ServiceUnavailable")
