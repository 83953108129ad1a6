"""Run by Alembic: migrate over the connection that `hyok.database.migrate` hands over."""

from alembic import context

from hyok.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # One transaction for all: SQLite can roll back DDL, and our engine begins explicitly.
    transactional_ddl=True,
)
context.run_migrations()
