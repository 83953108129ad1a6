"""What each token of the group says of a key that it holds, for the minutes of a ceremony."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = 10.0


def facts_of_key(sockets: Mapping[str, str], kek_id: str) -> list[dict[str, object]]:
    """Return, for each token by its name, module, token and the key's attributes.  Blocking.

    A token that does not hold the key (yet), or does not answer, is told with its reason.
    """
    return [_of_token(name, socket, kek_id) for name, socket in sockets.items()]


def _of_token(name: str, socket: str, kek_id: str) -> dict[str, object]:
    from hyok.hsm.supervise import ask  # noqa: PLC0415 - software keys need no agent
    from hyok.hsm.wire import Outcome, Verb  # noqa: PLC0415 - as above

    try:
        answer = ask(socket, Verb.DESCRIBE, SECONDS, (kek_id.encode(),))
    except Unavailable as error:
        return {"token": name, "error": error.cause}
    if answer.outcome is not Outcome.DONE:
        cause = answer.fields[0].decode("utf-8", "replace") if answer.fields else "no cause"
        return {"token": name, "error": cause}
    found: dict[str, object] = json.loads(answer.fields[0])
    return {"token": name, **found}
