"""The officers' door: the API, the pages beside it, and the guard around both."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hyok.officer.api.app import build_app
from hyok.officer.api.guard import Guard
from hyok.officer.pages.render import problem_page
from hyok.officer.pages.views import page_routes
from hyok.vocabulary import LOOPBACK

if TYPE_CHECKING:
    from hyok.officer.api.services import Services


def build_door(services: Services, *, body_bytes_max: int) -> Guard:
    """Return the door as it is served.

    Args:
        services: what it stands on.
        body_bytes_max: a longer body is not read.
    """
    parts = urlsplit(services.site.origin)
    # Not for localhost: browsers would hold to it for whatever else listens on this machine.
    https = parts.scheme == "https" and parts.hostname not in LOOPBACK
    app = build_app(services, page_routes(), problem_page)
    return Guard(app, body_bytes_max=body_bytes_max, https=https)
