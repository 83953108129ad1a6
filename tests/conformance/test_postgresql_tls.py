"""PostgreSQL across a network: who answers is checked, by name and by CA, before all else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme
from sqlalchemy import text
from tests.peers.postgresql import PostgreSQL

from hyok.database.audit_rows import AuditRows
from hyok.database.engine import Database
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration
CA = trustme.CA()
NAME = "localhost"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    made = CA.issue_cert(NAME)
    chain = b"".join(each.bytes() for each in made.cert_chain_pems)
    with PostgreSQL(durable=False, certificate=(made.private_key_pem.bytes(), chain)) as running:
        yield running


def url(server: PostgreSQL, ca: Path, host: str = NAME) -> str:
    address = "&hostaddr=127.0.0.1" if host == NAME else ""
    return (
        f"postgresql+psycopg://hyok@{host}:{server.port}/postgres?passfile={server.passfile}"
        f"&sslmode=verify-full&sslrootcert={ca}{address}"
    )


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(path))
    return path


def test_the_right_server_is_spoken_to_over_tls(server: PostgreSQL, ca: Path) -> None:
    database = Database(url(server, ca))
    asked = text("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    try:
        is_tls, version = database.read_sync(lambda c: c.execute(asked).one())
    finally:
        database.close()
    assert is_tls
    assert version == "TLSv1.3"


@pytest.mark.parametrize("wrong", ["name", "ca"])
def test_another_name_and_another_ca_are_refused(
    server: PostgreSQL, ca: Path, tmp_path: Path, wrong: str
) -> None:
    if wrong == "ca":
        ca = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(ca))
    address = url(server, ca, "127.0.0.1" if wrong == "name" else NAME)
    database = Database(address)
    rows = AuditRows(address, (None, None, None, None), lambda: 0)  # type: ignore[arg-type]
    try:
        for ask in (lambda: database.read_sync(lambda c: c.execute(text("SELECT 1"))), rows.head):
            with pytest.raises(Unavailable) as caught:
                ask()
            said = str(caught.value.__cause__)
            assert "certificate" in said
            assert ("does not match" in said) == (wrong == "name")
    finally:
        database.close()
        rows.close()
