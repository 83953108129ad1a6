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

from typing import TYPE_CHECKING

from sqlalchemy import Engine, create_engine, event, make_url, text

from hyok.database.config import check_url

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

WRITE_LOCK = 0x68796F6B77
"""Advisory lock of the installation's writer: "hyokw" in ASCII."""

APART = "hyok_apart"
"""Execution option of transactions that need no order with others: `hyok.database.audit_rows`."""

CONNECT_SECONDS_MAX = 5
STATEMENT_MS_MAX = 10_000
GONE_SECONDS_MAX = 10
"""How long data may stay without an acknowledgement before the connection counts as broken."""


def conninfo(url: str, schema: str) -> str:
    """Return where PostgreSQL is, as libpq writes it, for a library that connects by itself.

    What has no schema in its name is looked for in ``schema``.
    """
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - where there is PostgreSQL only

    parts = make_url(check_url(url))
    named = parts.translate_connect_args(username="user", database="dbname")
    query = {
        name: ",".join(value) if not isinstance(value, str) else value
        for name, value in parts.query.items()
    }
    return make_conninfo(
        **{**named, **query},
        connect_timeout=CONNECT_SECONDS_MAX,
        tcp_user_timeout=GONE_SECONDS_MAX * 1000,
        keepalives_idle=GONE_SECONDS_MAX,
        application_name="hyok",
        options=f"-c search_path={schema} -c timezone=UTC",
    )


def engines(url: URL, threads: int, busy_seconds: int) -> tuple[Engine, Engine]:
    """Return the engine that writes and the one that reads, with ``threads`` connections in all.

    ``url`` has passed `hyok.database.config.check_url`.
    """
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
        options = connection.get_execution_options()
        if options.get("postgresql_readonly") or options.get(APART):
            return
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITE_LOCK})

    return writer, reader
