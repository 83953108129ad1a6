"""A progress line on a terminal; nothing elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hyok.cli.screen import err

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def counting(word: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what to call with the objects and bytes so far."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:
        task = shown.add_task(word)

        def tell(objects: int, size_bytes: int) -> None:
            counted = f"  {objects:,} objects" if objects else ""
            shown.update(task, description=f"{word}{counted}  {size_bytes / 1e6:,.1f} MB")

        yield tell


@contextmanager
def reading(word: str) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the bytes read so far."""
    with counting(word) as tell:
        yield lambda size_bytes: tell(0, size_bytes)


@contextmanager
def share(word: str) -> Iterator[Callable[[int, int, int], None]]:
    """Yield what to call with the objects gone through, all there are, and the bytes so far."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}  {task.fields[size]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:
        task = shown.add_task(word, total=1, size="")

        def tell(objects: int, total: int, size_bytes: int) -> None:
            shown.update(
                task, completed=objects, total=max(total, 1), size=f"{size_bytes / 1e6:,.1f} MB"
            )

        yield tell


@contextmanager
def steps(word: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what to call with the things done, and all there are."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:
        task = shown.add_task(word, total=1)
        yield lambda done, total: shown.update(task, completed=done, total=max(total, 1))


@contextmanager
def bar(word: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the bytes read so far, out of a total that is known."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:
        task = shown.add_task(word, total=total_bytes)
        yield lambda size_bytes: shown.update(task, completed=size_bytes)
