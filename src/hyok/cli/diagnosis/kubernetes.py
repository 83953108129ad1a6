"""The door for API servers: is its socket safe, and does the key of the settings serve?"""

from __future__ import annotations

import socket
import stat
from typing import TYPE_CHECKING

from hyok.cli.diagnosis.check import Check
from hyok.cli.diagnosis.doors import PROBE_SECONDS, SECONDS_MAX, check_keys, takes_connections
from hyok.custody.door_key import AES, CIPHER
from hyok.custody.key_states import KeyState
from hyok.doors.kubernetes.place import SOCKET_MODE, check_folder
from hyok.errors import HyokError
from hyok.officer.door_acts import GRANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.door_key import DoorKey
    from hyok.doors.kubernetes.config import KubernetesSettings
    from hyok.settings import Settings
    from hyok.wiring import Core

NAME = "door kubernetes"
PAGE = "docs/keyservices/kubernetes.md"
_MEANS = "the API server reads and writes no secret that it has not in memory"


def folder(settings: Settings) -> Sequence[Check]:
    """May nobody else put a socket there?"""
    door = settings.doors.kubernetes
    if not door.enabled:
        return []
    name = f"{NAME} folder"
    # Whoever asks may be root: hyok's user is whose run directory it is.
    own = settings.installation.run_directory
    owner = own.stat().st_uid if own.exists() else None
    try:
        path = check_folder(door.socket, owner)
    except HyokError as error:
        return [Check(name, "FAIL", error.cause, error.effect, error.next_step)]
    return [Check(name, "ok", str(path.parent))]


def listening(settings: Settings) -> Check:
    """Does the socket take connections, of its owner and group alone?"""
    path = settings.doors.kubernetes.socket
    found = takes_connections("kubernetes", str(path), lambda: _connect(str(path)))
    if found.word == "ok" and stat.S_IMODE(path.stat().st_mode) & ~SOCKET_MODE:
        means = "others than the API server may have secrets decrypted"
        said = f"{path} has another mode than {SOCKET_MODE:o}"
        return Check(found.name, "FAIL", said, means, "restart the gateway")
    return found


def _connect(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    try:
        made.settimeout(SECONDS_MAX)
        made.connect(path)
    except OSError:
        made.close()
        raise
    return made


async def kubernetes(core: Core) -> Sequence[Check]:
    """Is the app there, and is its key of the class, for both directions, and in the token?"""
    settings = core.settings.doors.kubernetes
    if not settings.enabled:
        return []
    app = await core.access_keys.find_app(settings.app)
    if app is None or app.state != "active" or app.grants != {GRANT}:
        said = f"{settings.app} is no app whose only grant is {GRANT}"
        step = f"hyok apps create {settings.app} --grant {GRANT} …"
        return [Check(NAME, "FAIL", said, _MEANS, step)]
    held = await core.doors.catalog.find(app.principal.tenant, settings.key)
    if (wrong := _key(settings, held)) is not None:
        return [wrong]
    assert held is not None
    found = await check_keys(core, [held], NAME)
    failing = {name: said for name, said in (await core.doors.probe(PROBE_SECONDS)).items() if said}
    if failing:
        said = "; ".join(f"{name}: {cause}" for name, cause in failing.items())
        means = "these tokens encrypt and decrypt nothing for a door"
        found.append(Check(NAME, "FAIL", said, means, "hyok hsm status; hyok hsm prove"))
    number = held.newest.number
    return found or [Check(NAME, "ok", f"{held.tenant}/{held.name}, version {number}")]


def _key(settings: KubernetesSettings, held: DoorKey | None) -> Check | None:
    """Return what is wrong with the key of the settings."""
    step = f"hyok doors keys create {settings.key} --app {settings.app} …"
    if held is None or settings.app not in held.apps or held.kind != AES:
        return Check(NAME, "FAIL", f"no key {settings.key} serves {settings.app}", _MEANS, step)
    if held.usage != CIPHER:
        said = f"{settings.key} was made for one direction, or for something else"
        return Check(NAME, "FAIL", said, _MEANS, step)
    if held.classification != settings.classification:
        said = f"{settings.classification} in the settings, the key is for {held.classification}"
        return Check(NAME, "FAIL", said, _MEANS, "correct classification in [doors.kubernetes]")
    if held.state is not KeyState.ACTIVE:
        return Check(NAME, "FAIL", f"the key is {held.state}", _MEANS, "hyok doors keys list")
    return None
