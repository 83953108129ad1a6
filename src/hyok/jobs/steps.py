"""One step over some objects: what failed is noted and passed by, what passes is left for later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hyok.errors import HyokError, Unavailable
from hyok.jobs.catalog import Failure, Step
from hyok.vocabulary import Did

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.jobs.catalog import Shard


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a step.

    Args:
        cursor: where the shard stands once this object is done.
        size_bytes: told when it was changed.
        act: does it, and says what came of it.
        name: what the kind's `describe` can read.
    """

    cursor: str
    size_bytes: int
    act: Callable[[], Awaitable[Did]]
    name: Callable[[], Awaitable[bytes]]


async def go_through(shard: Shard, items: Sequence[Item], *, last: bool) -> Step:
    """Do these objects in order and return what came of it; ``last``: the shard ends with them.

    Raises:
        Unavailable: already the first one met something that passes; try again later.
    """
    step = Step(shard.cursor, finished=last)
    failures: list[Failure] = []
    for item in items:
        try:
            did = await item.act()
        except HyokError as error:
            if _passes(error):
                if step.cursor == shard.cursor:
                    raise _later(error) from error
                # What was done is kept; the next step meets the same trouble and rests.
                return replace(step, failures=failures, finished=False)
            cause = f"{type(error).__name__} {error.code or error.reason}".strip()
            failures.append(Failure(await item.name(), cause, error.explain()))
        else:
            changed = did is Did.CHANGED
            step = replace(
                step,
                objects=step.objects + changed,
                size_bytes=step.size_bytes + (item.size_bytes if changed else 0),
                skipped=step.skipped + (did is Did.NOTHING),
                kept=step.kept + (did is Did.KEPT),
            )
        step = replace(step, cursor=item.cursor)
    return replace(step, failures=failures)


def _passes(error: HyokError) -> bool:
    """Is it worth trying again: something is away, or another holds this very object?"""
    lasting = isinstance(error, Unavailable) and error.lasting
    return (error.retryable and not lasting) or error.reason == "OperationAborted"


def _later(error: HyokError) -> Unavailable:
    if isinstance(error, Unavailable):
        return error
    return Unavailable(error.cause, reason="ServiceUnavailable", code=error.code)
