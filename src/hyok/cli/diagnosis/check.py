"""One line of `hyok doctor`, and the list that it stands in."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hyok.errors import HyokError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

Word = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, what that means, and what mends it."""

    name: str
    word: Word
    said: str
    means: str = ""
    next_step: str = ""

    def as_row(self) -> dict[str, str]:
        """Return it for programs."""
        return {
            "check": self.name,
            "result": self.word,
            "said": self.said,
            "means": self.means,
            "next": self.next_step,
        }


@dataclass(slots=True)
class Checklist:
    """Checks in their order.  A failure that a check did not expect is its FAIL."""

    found: list[Check] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether anything must be mended."""
        return any(check.word == "FAIL" for check in self.found)

    def look(self, name: str, act: Callable[[], Check | Sequence[Check]]) -> None:
        """Add what ``act`` finds."""
        with self._failing(name):
            self._add(act())

    async def ask(self, name: str, act: Awaitable[Check | Sequence[Check]]) -> None:
        """Add what ``act`` finds."""
        with self._failing(name):
            self._add(await act)

    def _add(self, seen: Check | Sequence[Check]) -> None:
        self.found.extend([seen] if isinstance(seen, Check) else seen)

    @contextmanager
    def _failing(self, name: str) -> Iterator[None]:
        try:
            yield
        except HyokError as error:
            self.found.append(Check(name, "FAIL", error.cause, error.effect, error.next_step))
        except OSError as error:
            said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            self.found.append(Check(name, "FAIL", said))
