"""Settings of the database: `[database]`, and which URLs are taken.

None that shows a password, keeps nothing, or may reach another server.  Nothing of SQLAlchemy here:
settings are read where there is no database.

Source: PostgreSQL's manual, 34.1 "Database Connection Control Functions".
"""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BaseModel, Field

VERIFYING = frozenset({"verify-full", "verify-ca"})


def check_url(url: str) -> str:
    """Return the URL.

    Raises:
        ValueError: it is none that is taken; the cause says what to write instead, and never the
            URL, in which a password may stand.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = url.removeprefix("sqlite:///")
        if path == url or not path or path.startswith((":memory:", "file:")):
            raise ValueError("database.url must name a file: sqlite:////absolute/path/hyok.db")
        return url
    if parts.scheme != "postgresql+psycopg":
        raise ValueError("database.url must begin with sqlite:/// or postgresql+psycopg://")
    query = parse_qs(parts.query, keep_blank_values=True)
    if parts.password is not None or "password" in query:
        raise ValueError(
            "database.url holds a password; name a file that holds it: ...?passfile=/path/of/pgpass"
        )
    if "service" in query:
        raise ValueError("database.url names a service file; name host and database themselves")
    several = [*query.get("host", ()), *query.get("hostaddr", ())]
    hosts = [parts.hostname or "", *(host for one in several for host in one.split(","))]
    if not any(hosts):
        raise ValueError("database.url names no host, nor the folder of a socket: ?host=/run/...")
    mode = query.get("sslmode", [""])[-1]
    if mode not in VERIFYING and not all(_is_here(host) for host in hosts):
        raise ValueError(
            "database.url crosses a network without checking who answers; add ?sslmode=verify-full"
        )
    return url


def _is_here(host: str) -> bool:
    """Return whether a host is this machine: a socket's folder, or loopback."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class DatabaseSettings(BaseModel, extra="forbid", frozen=True):
    url: Annotated[str, AfterValidator(check_url)] = "sqlite:////var/lib/hyok/hyok.db"
    backups_kept_days: Annotated[int, Field(ge=1, le=36_500)] = 35
