"""The officers' door: the API under /v1 and the pages beside it.

Source: NL GOV REST API Design Rules 2.1.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse

from hyok.officer.api import grants, inventory, people, proposals
from hyok.officer.api.faults import CODES, PROBLEM_JSON, add_faults, problem_response
from hyok.officer.api.guard import API_VERSION
from hyok.officer.api.models import Problem
from hyok.officer.api.who import COOKIE, CSRF_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from hyok.officer.api.services import Services

OPENAPI = "/v1/openapi.json"
DESCRIPTION = (
    "What officers of an installation of hyok do together: proposals, approvals, break-glass. "
    "The same acts as the commands of hyok, through the same code."
)
PROBLEMS: dict[int | str, dict[str, Any]] = {code: {"description": ""} for code in CODES}
VERSION = {"API-Version": {"schema": {"type": "string"}, "description": "Semantic version."}}


def build_app(
    services: Services | None,
    pages: Sequence[BaseRoute] = (),
    page: Callable[[Request, Problem], Response] = lambda _, problem: problem_response(problem),
) -> FastAPI:
    """Return the application; without services it only describes itself.

    Args:
        services: what it stands on.
        pages: routes for people, beside the API.
        page: how a problem is told to people.
    """
    app = FastAPI(
        title="hyok officer API",
        version=API_VERSION,
        description=DESCRIPTION,
        contact={"name": "The operator of this installation"},
        license_info={"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=PROBLEMS,
    )
    app.state.services = services
    add_faults(app, page)
    app.router.routes.extend(pages)
    for router in (
        *(people.public, people.router, proposals.router, grants.router, inventory.router),
    ):
        app.include_router(router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI has it replaced so

    async def show_openapi(request: Request) -> Response:
        del request
        # Whoever wants to build a client may read it, from any page (API-51).
        return JSONResponse(app.openapi(), headers={"Access-Control-Allow-Origin": "*"})

    app.add_route(OPENAPI, show_openapi, methods=["GET"], include_in_schema=False)
    return app


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        contact=app.contact,
        license_info=app.license_info,
        routes=app.routes,
        tags=[
            {"name": name}
            for name in ("sign-in", "officers", "proposals", "break-glass", "inventory")
        ],
    )
    document["servers"] = [{"url": "/"}]
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= Problem.model_json_schema(
        by_alias=True, mode="serialization", ref_template="#/components/schemas/{model}"
    ).pop("$defs")
    schemas["Problem"] = _problem_schema()
    document["components"]["responses"] = {str(code): _problem(code) for code in CODES}
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token of OIDC."},
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        "csrf": {"type": "apiKey", "in": "header", "name": CSRF_HEADER},
    }
    for path, item in document["paths"].items():
        for operation in item.values():
            # What is invalid is 400 here; 422 is FastAPI's own word for it.
            operation["responses"].pop("422", None)
            _finish(operation, public=path == "/v1/sign-in")
    app.openapi_schema = document
    return document


def _problem_schema() -> dict[str, Any]:
    schema = Problem.model_json_schema(
        by_alias=True, mode="serialization", ref_template="#/components/schemas/{model}"
    )
    schema.pop("$defs")
    return schema


def _finish(operation: dict[str, Any], *, public: bool) -> None:
    operation["security"] = [] if public else [{"bearer": []}, {"session": [], "csrf": []}]
    for status, response in operation["responses"].items():
        if int(status) in CODES:
            operation["responses"][status] = {"$ref": f"#/components/responses/{status}"}
        else:
            response["headers"] = dict(VERSION)


def _problem(code: int) -> dict[str, Any]:
    headers: dict[str, Any] = dict(VERSION)
    if code == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    return {
        "description": HTTPStatus(code).phrase,
        "headers": headers,
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
