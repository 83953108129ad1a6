"""Which of S3's operations is this request, and do we serve it?

A row of the table is found by method, by what is addressed (service, bucket or object), by the
query parameters that name it and perhaps by a header.  A write with a parameter that its row does
not know is refused: it may mean something (an append, a version) that we would ignore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed, Refused
from hyok.s3.api import Operation, Target
from hyok.s3.catalog import OPERATIONS, ROWS, Answer, Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.s3.request import S3Request

__all__ = ["OPERATIONS", "ROWS", "Answer", "Operation", "Row", "Target", "check_served", "identify"]


def _index() -> Mapping[tuple[str, Target], tuple[Row, ...]]:
    places: dict[tuple[str, Target], list[Row]] = {}
    for row in ROWS:
        places.setdefault((row.method, row.target), []).append(row)
    # The most specific row first: more parameters, then a header.
    return {
        place: tuple(sorted(rows, key=lambda row: (-len(row.names), not row.header)))
        for place, rows in places.items()
    }


_INDEX = _index()
_NO_QUERY: Mapping[tuple[str, Target], tuple[Row, ...]] = {
    place: tuple(row for row in rows if not row.names) for place, rows in _INDEX.items()
}
"""The rows that a request without any parameter may be."""


def identify(request: S3Request) -> Operation:
    """Return which operation this is, whether or not we serve it.

    Raises:
        Malformed: no operation of S3 has this form (reason ``MethodNotAllowed``).
        Refused: a write with a parameter that we do not know (reason ``NotImplemented``).
    """
    # A browser asks about a bucket the same way as about an object.
    asks = request.method == "OPTIONS"
    target = Target.OBJECT if request.key or asks else _above_objects(request)
    index = _INDEX if request.query else _NO_QUERY
    for row in index.get((request.method, target), ()):
        if _fits(row, request):
            if request.query and request.method not in ("GET", "HEAD"):
                _check_parameters(row, request)
            return row.operation
    raise Malformed(
        "The specified method is not allowed against this resource.", reason="MethodNotAllowed"
    )


def check_served(operation: Operation) -> None:
    """Return quietly if we carry the operation out.

    Raises:
        Refused: we do not; the sentence names it and says why (reason ``NotImplemented``).
    """
    row = OPERATIONS[operation]
    if row.reason:
        raise Refused(f"{operation.value} is refused: {row.reason}.", reason="NotImplemented")


def _fits(row: Row, request: S3Request) -> bool:
    if row.names and not request.query:
        return False
    if row.header and request.header(row.header) is None:
        return False
    for name in row.names:
        parameter, equals, value = name.partition("=")
        held = request.query.get(parameter)
        if held is None or (equals and held != value):
            return False
    return True


def _check_parameters(row: Row, request: S3Request) -> None:
    known = {name.partition("=")[0] for name in row.names} | row.also
    for name in request.query:
        # Parameters that begin with x- are the client's own notes (x-id) or its signature.
        if name not in known and name[:2].lower() != "x-":
            if not row.served:
                return
            raise Refused(
                f"The query parameter {name[:64]} is not served for {row.operation.value}.",
                reason="NotImplemented",
            )


def _above_objects(request: S3Request) -> Target:
    return Target.BUCKET if request.bucket else Target.SERVICE
