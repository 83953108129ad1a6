"""PostgreSQL, for more than one gateway host: one writer at a time, bounded waits, TLS verified.

A transaction that may write takes an advisory lock first, so that acts on rows mean the same here
as on SQLite; ours are short (one to three statements).  It is held through the commit, which bounds
an installation to one commit's time after another; data does not pass here, only what is told about
it.  Readers run beside it in transactions that cannot write.

Every wait ends: connecting, the lock, a statement, a peer that is gone.  A connection that died is
noticed when it is taken from the pool, so a server that comes back is used at once.

Source: PostgreSQL's manual, 13.3.5 "Advisory Locks", 34.1 "Database Connection Control Functions".
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from sqlalchemy import Engine, create_engine, event, text

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

WRITE_LOCK = 0x68796F6B77
"""Advisory lock of the installation's writer: "hyokw" in ASCII."""

CONNECT_SECONDS_MAX = 5
STATEMENT_MS_MAX = 10_000
GONE_SECONDS_MAX = 10
"""How long data may stay without an acknowledgement before the connection counts as broken."""

VERIFYING = frozenset({"verify-full", "verify-ca"})


def engines(url: URL, threads: int, busy_seconds: int) -> tuple[Engine, Engine]:
    """Return the engine that writes and the one that reads, with ``threads`` connections in all.

    Raises:
        ValueError: a password stands in the URL, or the network would be crossed in the clear.
    """
    check_url(url)
    options = (
        f"-c lock_timeout={max(1, 1000 * busy_seconds)}"
        f" -c statement_timeout={STATEMENT_MS_MAX}"
        f" -c idle_in_transaction_session_timeout={2 * STATEMENT_MS_MAX} -c timezone=UTC"
    )
    writer = create_engine(
        url,
        pool_size=threads,
        max_overflow=0,
        pool_timeout=busy_seconds,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS_MAX,
            "tcp_user_timeout": GONE_SECONDS_MAX * 1000,
            "keepalives_idle": GONE_SECONDS_MAX,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "application_name": "hyok",
            "options": options,
        },
    )
    reader = writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @event.listens_for(writer, "begin")
    def begun(connection: Connection) -> None:
        if connection.get_execution_options().get("postgresql_readonly"):
            return
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITE_LOCK})

    return writer, reader


def check_url(url: URL) -> None:
    """Return quietly if it shows no password, and crosses a network only under verified TLS.

    Raises:
        ValueError: it does not; the cause says what to write instead.
    """
    if url.password is not None or "password" in url.query:
        raise ValueError(
            "database.url holds a password; name a file that holds it: ...?passfile=/path/of/pgpass"
        )
    if "service" in url.query:
        raise ValueError("database.url names a service file; name host and database themselves")
    hosts = [url.host or "", *_many(url.query.get("host")), *_many(url.query.get("hostaddr"))]
    if not any(hosts):
        raise ValueError("database.url names no host, nor the folder of a socket: ?host=/run/...")
    if url.query.get("sslmode") not in VERIFYING and not all(_is_here(host) for host in hosts):
        raise ValueError(
            "database.url crosses a network without checking who answers; add ?sslmode=verify-full"
        )


def _many(value: str | tuple[str, ...] | None) -> list[str]:
    """Return what a parameter names; it may stand several times, and hold a list."""
    several = (value,) if isinstance(value, str) else value or ()
    return [host for one in several for host in one.split(",")]


def _is_here(host: str) -> bool:
    """Return whether a host is this machine: a socket's folder, or loopback."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
