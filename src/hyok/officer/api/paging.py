"""Lists in pages.

Source: NL GOV REST API Design Rules (pagination); RFC 8288 (Link).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import Query

from hyok.officer.api.models import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import Response

T = TypeVar("T")
PAGE_SIZE_MAX = 200
PageNumber = Annotated[int, Query(ge=1, le=1_000_000, description="From 1.")]
PageSize = Annotated[int, Query(alias="pageSize", ge=1, le=PAGE_SIZE_MAX)]


def page_of(items: Sequence[T], page: int, page_size: int, response: Response) -> Page[T]:
    """Return one page of a list, and name its neighbours in the Link header."""
    begin = (page - 1) * page_size
    links = []
    if begin + page_size < len(items):
        links.append(f'<?page={page + 1}&pageSize={page_size}>; rel="next"')
    if page > 1:
        links.append(f'<?page={page - 1}&pageSize={page_size}>; rel="prev"')
    if links:
        response.headers["Link"] = ", ".join(links)
    shown = tuple(items[begin : begin + page_size])
    return Page(items=shown, page=page, page_size=page_size, total=len(items))
