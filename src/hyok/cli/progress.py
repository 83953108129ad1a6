"""A progress line on a terminal; nothing elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

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
            said = f"{word}  {objects:,} objects  {size_bytes / 1e6:,.1f} MB"
            shown.update(task, description=said)

        yield tell
