"""Pages from templates: every value escaped, every page in both languages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from hyok.officer.pages.words import LANGUAGES, language_of, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from hyok.officer.api.models import Problem

FOLDER = Path(__file__).parent
LANGUAGE_COOKIE = "hyok-language"

_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


def language(request: Request) -> str:
    """Return the language that a page is wanted in."""
    return language_of(
        request.query_params.get("lang", ""),
        request.cookies.get(LANGUAGE_COOKIE, ""),
        request.headers.get("accept-language", ""),
    )


def page(request: Request, template: str, status: int = 200, **values: object) -> Response:
    """Return a page."""
    chosen = language(request)
    blank: Mapping[str, object] = {
        "language": chosen,
        "other": LANGUAGES[1 - LANGUAGES.index(chosen)],
        "w": words(chosen),
        "person": "",
        "csrf": "",
        "refresh": "",
        "development": False,
    }
    text = _TEMPLATES.get_template(template).render({**blank, **values})
    answer = HTMLResponse(text, status)
    if request.query_params.get("lang") == chosen:
        answer.set_cookie(LANGUAGE_COOKIE, chosen, samesite="strict", secure=True, httponly=True)
    return answer


def problem_page(request: Request, problem: Problem) -> Response:
    """Return a problem as people read it."""
    word = words(language(request))
    return page(
        request,
        "message.html",
        problem.status,
        heading=word["refused_title"],
        text=f"{problem.code} {problem.detail}".strip(),
        effect=problem.effect,
        next_step=problem.next_step,
        go_on=word["back"],
    )
