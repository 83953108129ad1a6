"""Which URLs of a database are taken: none that keeps nothing, shows a password or trusts a net."""

from __future__ import annotations

import pytest

from hyok.database.engine import Database

SAFE = "?passfile=/etc/hyok/pgpass"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y"])
def test_a_url_that_cannot_keep_anything_stops_the_start(url: str) -> None:
    with pytest.raises(ValueError, match=r"database\.url"):
        Database(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://hyok@/hyok?host=/run/postgresql",
        f"postgresql+psycopg://hyok@127.0.0.1:5433/hyok{SAFE}",
        f"postgresql+psycopg://hyok@[::1]/hyok{SAFE}",
        f"postgresql+psycopg://hyok@localhost/hyok{SAFE}",
        f"postgresql+psycopg://hyok@db.gemeente.nl/hyok{SAFE}&sslmode=verify-full",
        f"postgresql+psycopg://hyok@/hyok{SAFE}&host=a.nl,b.nl&sslmode=verify-full",
    ],
)
def test_a_database_of_this_host_or_behind_verified_tls_is_taken(url: str) -> None:
    Database(url).close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql+psycopg://hyok:geheim@localhost/hyok", "passfile"),
        ("postgresql+psycopg://hyok@localhost/hyok?password=geheim", "passfile"),
        ("postgresql+psycopg://hyok@db.gemeente.nl/hyok", "verify-full"),
        ("postgresql+psycopg://hyok@db.gemeente.nl/hyok?sslmode=require", "verify-full"),
        ("postgresql+psycopg://hyok@192.0.2.1/hyok?sslmode=prefer", "verify-full"),
        ("postgresql+psycopg://hyok@/hyok?host=/run/postgresql,db.gemeente.nl", "verify-full"),
        ("postgresql+psycopg://hyok@localhost/hyok?hostaddr=192.0.2.1", "verify-full"),
        ("postgresql+psycopg://hyok@localhost/hyok?service=elsewhere", "service"),
        ("postgresql+psycopg://hyok@/hyok", "host"),
        ("postgresql+psycopg2://hyok@localhost/hyok", "psycopg"),
    ],
)
def test_a_database_that_shows_a_password_or_may_be_another_is_refused(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        Database(url)
    assert "geheim" not in str(caught.value)
