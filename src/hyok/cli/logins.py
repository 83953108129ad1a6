"""The login of `hyok login`, kept in the user's own state folder and refreshed while it can be."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from hyok.errors import NotAuthenticated

SOON_SECONDS = 30.0
"""A token that ends so soon is refreshed before it is shown."""


@dataclass(frozen=True, slots=True)
class StoredLogin:
    """What one person holds for one officer API."""

    api: str
    issuer: str
    client_id: str
    scopes: tuple[str, ...]
    id_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_s: float  # of the ID token, unix time
    ca_file: str = ""

    @property
    def ends_soon(self) -> bool:
        """Is the token over, or nearly?"""
        return time.time() > self.expires_s - SOON_SECONDS


def path_of(api: str) -> Path:
    """Return where the login of an API is kept."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "hyok" / f"login-{sha256(api.encode()).hexdigest()[:16]}.json"


def store(login: StoredLogin) -> Path:
    """Keep a login, readable by this user alone; whole or not at all."""
    path = path_of(login.api)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(asdict(login), out)
    beside.rename(path)
    return path


def load(api: str) -> StoredLogin:
    """Return the login of an API.

    Raises:
        NotAuthenticated: there is none (code HY-2517).
    """
    try:
        found = json.loads(path_of(api).read_text())
        return StoredLogin(**(found | {"scopes": tuple(found["scopes"])}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NotAuthenticated(
            f"You are not signed in at {api}.",
            code="HY-2517",
            effect="Nothing was changed.",
            next_step=f"hyok login --api {api}",
        ) from error


def forget(api: str) -> None:
    """Keep it no longer."""
    path_of(api).unlink(missing_ok=True)
