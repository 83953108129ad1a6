"""In whose name a door uses keys: the app of its settings, for as long as it is for that alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Refused
from hyok.identity.door_tokens import GRANT

if TYPE_CHECKING:
    from hyok.doors.port import Apps
    from hyok.vocabulary import Principal


async def principal_of(apps: Apps, name: str, *, code: str, effect: str) -> Principal:
    """Return the app in whose name a door uses keys.

    ``code`` and ``effect``: of the refusal, which are the door's own.

    Raises:
        Refused: it was revoked, or is for more than keys.
        Unavailable: the database has been away for too long.
    """
    app = await apps.serving_app(name)
    if app is None or app.state != "active" or app.grants != {GRANT}:
        raise Refused(
            f"{name} is no app whose only grant is {GRANT}.",
            code=code,
            effect=effect,
            next_step=f"hyok apps create {name} --grant {GRANT} …",
        )
    return app.principal
