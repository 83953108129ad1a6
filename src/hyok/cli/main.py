"""The commands of `hyok`, put together.  Each is a few lines around the floors below."""

from __future__ import annotations

import typer

from hyok.cli import (
    approvals,
    apps,
    audit_export,
    audit_key,
    audit_search,
    audit_subject,
    backup,
    bench,
    break_glass,
    buckets,
    custodian,
    dev,
    doctor,
    drill,
    evidence,
    explain,
    export,
    freezes,
    hsm,
    init,
    jobs,
    keys,
    login,
    objects,
    officers,
    peek,
    policy,
    recover,
    serve,
    shred,
)
from hyok.cli import open as open_command
from hyok.cli.telling import run_told

app = typer.Typer(
    name="hyok",
    help="Hold-your-own-key gateway: seals objects before they leave, with keys in your own HSM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
dev.register(app)
serve.register(app)
init.register(app)
doctor.register(app)
peek.register(app)
explain.register(app)
export.register(app)
open_command.register(app)
recover.register(app)
backup.register(app)
freezes.register(app)
login.register(app)
app.add_typer(hsm.app, name="hsm")
app.add_typer(bench.app, name="bench")
app.add_typer(audit_key.app, name="audit")
audit_key.app.add_typer(audit_export.app, name="export")
audit_search.register(audit_key.app)
audit_subject.register(audit_key.app)
app.add_typer(keys.app, name="keys")
app.add_typer(custodian.app, name="custodian")
app.add_typer(drill.app, name="drill")
app.add_typer(apps.app, name="apps")
app.add_typer(buckets.app, name="buckets")
app.add_typer(jobs.app, name="jobs")
app.add_typer(objects.app, name="objects")
app.add_typer(officers.app, name="officers")
app.add_typer(approvals.app, name="approvals")
app.add_typer(policy.app, name="policy")
app.add_typer(evidence.app, name="evidence")
app.add_typer(shred.app, name="shred")
app.add_typer(break_glass.app, name="break-glass")


def main() -> None:
    """Run a command; an expected failure is one line with code, cause, effect and next step."""
    run_told(app, "hyok")
