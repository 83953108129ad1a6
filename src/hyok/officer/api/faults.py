"""From our errors to this door's: problem details, one row for each kind.

Source: RFC 9457 (problem details); NL GOV REST API Design Rules (400 for what is invalid, all of
it at once).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hyok.errors import (
    Conflict,
    HyokError,
    Malformed,
    NotAuthenticated,
    NotFound,
    Refused,
    Tampered,
    Unavailable,
)
from hyok.officer.api.models import FieldProblem, Problem
from hyok.officer.api.who import TOO_MANY, note_denied

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

STATUS: Mapping[type[HyokError], int] = {
    Malformed: 400,
    NotAuthenticated: 401,
    Refused: 403,
    NotFound: 404,
    Conflict: 409,
    Tampered: 500,
    Unavailable: 503,
}
CODES = (400, 401, 403, 404, 405, 409, 413, 429, 500, 503)
"""Every status with a problem that this door answers."""

PROBLEM_JSON = "application/problem+json"
FIELDS_MAX = 50
API = "/v1/"
BROKEN = "This is a fault of hyok; its log says more."


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as an answer."""
    body = problem.model_dump_json(by_alias=True, exclude_defaults=False)
    return Response(body, problem.status, dict(headers or {}), PROBLEM_JSON)


def plain_problem(status: int, detail: str, **more: str) -> Problem:
    """Return a problem that HTTP has a name for."""
    return Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, **more)


def problem_of(error: HyokError) -> tuple[Problem, dict[str, str]]:
    """Return the problem of one of our errors, and the headers that go with it."""
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    if error.reason == TOO_MANY:
        status = 429
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="hyok officers"'
    elif status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["Retry-After"] = "5"
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=error.cause,
        code=error.code,
        effect=error.effect,
        next_step=error.next_step,
    )
    return problem, headers


def add_faults(app: FastAPI, page: Callable[[Request, Problem], Response]) -> None:
    """Have every failure of an app answered as a problem; ``page``: to whoever reads pages."""

    def told(
        request: Request, problem: Problem, headers: Mapping[str, str] | None = None
    ) -> Response:
        if request.url.path.startswith(API) or "text/html" not in request.headers.get("accept", ""):
            return problem_response(problem, headers)
        return page(request, problem)

    @app.exception_handler(HyokError)
    async def ours(request: Request, error: HyokError) -> Response:
        if isinstance(error, NotAuthenticated | Refused | Tampered):
            await note_denied(request, error)
        problem, headers = problem_of(error)
        return told(request, problem, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        found = [
            FieldProblem(
                location=".".join(str(part) for part in one["loc"])[:200], detail=str(one["msg"])
            )
            for one in error.errors()[:FIELDS_MAX]
        ]
        problem = Problem(
            title="Bad Request",
            status=400,
            detail="The request does not fit /v1/openapi.json.",
            effect="Nothing was changed.",
            errors=tuple(found),
        )
        return problem_response(problem)

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        details = {404: "There is nothing here.", 405: "This cannot be done here."}
        detail = details.get(error.status_code, str(error.detail))
        return told(request, plain_problem(error.status_code, detail), error.headers)

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> Response:
        del error  # the guard around us writes it down
        return problem_response(plain_problem(500, BROKEN))
