"""Rows of a listing, held as one list for each thing that they tell.

A page has a thousand rows.  An object for each, made and taken apart again on every floor, costs
several times what reading and writing the documents costs; lists of one field each go through code
in C, a page at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, overload

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

R = TypeVar("R", bound=tuple[Any, ...])

_PICKED_MIN = 2  # one index alone would be given as what stands there, and no tuple of it


class Columns(Sequence[R], Generic[R]):
    """A sequence of rows, each made only when it is asked for.

    A kind of rows names its class in ``row``, a NamedTuple; the columns are its fields, in order.
    """

    __slots__ = ("columns",)

    row: ClassVar[Any]

    def __init__(self, *columns: Sequence[Any]) -> None:
        """``columns``: all of one length; none at all: no rows."""
        self.columns = columns or ((),) * len(self.row._fields)
        assert len(self.columns) == len(self.row._fields)
        assert len({len(column) for column in self.columns}) == 1

    @classmethod
    def of(cls, rows: Iterable[R]) -> Self:
        """Return these rows."""
        return cls(*zip(*rows, strict=True))

    @override
    def __len__(self) -> int:
        return len(self.columns[0])

    @override
    def __iter__(self) -> Iterator[R]:
        return map(self.row._make, zip(*self.columns, strict=True))

    @overload
    def __getitem__(self, at: int) -> R: ...

    @overload
    def __getitem__(self, at: slice) -> Self: ...

    @override
    def __getitem__(self, at: int | slice) -> R | Self:
        found = [column[at] for column in self.columns]
        if isinstance(at, slice):
            return type(self)(*found)
        row: R = self.row._make(found)
        return row

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of several, one behind the other."""
        if len(parts) == 1:
            return parts[0]
        columns = zip(*(part.columns for part in parts), strict=True)
        return cls(*(list(chain.from_iterable(column)) for column in columns))

    def picked(self, places: Sequence[int]) -> Self:
        """Return the rows at these places, in this order."""
        if len(places) < _PICKED_MIN:
            return type(self)(*([column[at] for at in places] for column in self.columns))
        pick = itemgetter(*places)
        return type(self)(*map(pick, self.columns))
