"""A backup leaves out what the audit log's files have, and putting one back leaves it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from hyok.database.engine import Database
from hyok.database.rows_copy import fill, gather, is_empty
from hyok.database.tables import audit_log, tenants

if TYPE_CHECKING:
    from pathlib import Path


def test_an_older_copy_of_the_audit_rows_is_never_put_back(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/hyok.db")
    database.migrate()
    log = insert(audit_log).values(log=1, size=7, epoch=1, signed=7)
    database.run_sync(lambda connection: connection.execute(log))
    assert is_empty(database)  # of what a backup would replace
    tenant = insert(tenants).values(tenant="t", created_ms=1)
    database.run_sync(lambda connection: connection.execute(tenant))
    gather(database, tmp_path / "copy.db")
    longer = audit_log.update().values(size=9)
    database.run_sync(lambda connection: connection.execute(longer))
    fill(tmp_path / "copy.db", database, replace=True)
    found = database.read_sync(lambda c: c.scalars(select(audit_log.c.size)).all())
    assert found == [9]
    assert database.read_sync(lambda c: c.scalars(select(tenants.c.tenant)).all()) == ["t"]
    database.close()
    copied = Database(f"sqlite:///{tmp_path}/copy.db")
    assert copied.read_sync(lambda c: c.execute(select(audit_log)).all()) == []
    copied.close()
