"""`hyok audit`: the commands about the audit log, put together."""

from __future__ import annotations

from hyok.cli import audit_export, audit_key, audit_search, audit_subject

app = audit_key.app
app.add_typer(audit_export.app, name="export")
audit_search.register(app)
audit_subject.register(app)
