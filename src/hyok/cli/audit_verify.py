"""`hyok audit verify | prove | check-proof`: for an auditor, with the log and the public key alone.

It loads no settings, database, HSM or gateway, and a test keeps it so.  `python -m
hyok.cli.audit_verify` is the same commands by themselves.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.audit.checkpoint import parse_checkpoint, parse_public_key
from hyok.audit.evidence import check, prove
from hyok.audit.search import find
from hyok.audit.segments import segments_of
from hyok.audit.verify import find_log, verify
from hyok.audit.witness import prove_growth
from hyok.cli.documents import read_json
from hyok.cli.progress import bar
from hyok.cli.screen import mark, moment, say
from hyok.errors import HyokError, Malformed, NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.audit.checkpoint import Checkpoint
    from hyok.audit.verify import Report

app = typer.Typer(help="The security audit log: verify it, prove records.", no_args_is_help=True)

KeyOption = Annotated[
    list[Path],
    typer.Option("--key", help="The public key, PEM, as you got it from the log's owner; repeat."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
LogOption = Annotated[
    Path | None, typer.Option("--log", help="The log or its folder; else the settings say.")
]


@app.command("verify")
def verify_log(
    log: Annotated[Path, typer.Argument(help="The log, or its folder.")],
    key: KeyOption,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", help="A checkpoint that you kept elsewhere; may be repeated."),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option("--witness", help="NAME=PEM of who must have co-signed each --against."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find out whether the log is what was signed: nothing but log and public key is needed.

    Exit code 1 when anything was changed, removed, inserted, reordered, cut off or forked.
    """
    found = find_log(log)
    keys = [parse_public_key(each.read_bytes()) for each in key]
    kept = [parse_checkpoint(each.read_text(encoding="utf-8")) for each in against or ()]
    for each in witness or ():
        _check_witness(each, kept)
    total = sum(segment.path.stat().st_size for segment in segments_of(found))
    with bar("verifying", total) as tell:
        report = verify(found, keys, kept, tell)
    if as_json:
        sys.stdout.write(json.dumps(asdict(report) | {"good": report.good}, indent=2) + "\n")
    else:
        _tell(found, report)
    if not report.good:
        sys.exit(1)


def _check_witness(named: str, kept: Sequence[Checkpoint]) -> None:
    """Return quietly if the witness signed all checkpoints that were kept.

    Raises:
        Malformed: the option is not NAME=PEM, or there is no checkpoint to look at.
        Tampered: it did not sign one of them.
    """
    name, sign, file = named.partition("=")
    if not sign or not kept:
        raise Malformed("--witness is NAME=PEM, and looks at what --against names")
    for checkpoint in kept:
        try:
            checkpoint.verify([parse_public_key(Path(file).read_bytes())], name)
        except Tampered as error:
            said = (
                f"the witness {name} did not sign the checkpoint of {checkpoint.head.size} records"
            )
            raise Tampered(said) from error


def _tell(log: Path, report: Report) -> None:
    for problem in report.problems:
        mark("FAIL", problem.said)
    if report.covered:
        until = f", signed {moment(report.newest_ms)} UTC" if report.newest_ms is not None else ""
        mark(
            "ok",
            f"records 1 to {report.covered:,} are those that {report.checkpoints:,} checkpoints of "
            f"{report.origin} vouch for{until}",
        )
    elif not report.problems:
        mark("FAIL", f"{log}: nothing is proven")
    later = report.records - report.covered
    if later and report.good:
        mark("warn", f"{later:,} records after that are not covered by a checkpoint yet")
    if report.software:
        mark("warn", "signed by a software key: for development only, it proves little")
    if report.problems:
        say("      Keep the log and its folder as they are; docs/operate.md says what comes next.")


@app.command("prove")
def prove_records(
    record: Annotated[str, typer.Argument(help="A sequence number, or a request id.")],
    log: LogOption = None,
) -> None:
    """Print a proof, as JSON, that records stand in the log that the newest checkpoint signed."""
    found = find_log(log) if log is not None else _log_of_settings()
    if record.isascii() and record.isdigit() and len(record) < len("0123456789ABCDEF"):
        numbers = {int(record)}
    else:
        records = find(found, record.strip().upper())
        numbers = {each["seq"] for each in records if isinstance(each["seq"], int)}
        if not numbers:
            raise NotFound(f"request {record} is not in {found}", code="HY-5103")
    total = sum(segment.path.stat().st_size for segment in segments_of(found))
    with bar("reading", total) as tell:
        document = prove(found, numbers, tell)
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


@app.command("prove-growth")
def prove_growth_since(
    old: Annotated[
        int, typer.Argument(min=0, help="Records when the witness signed last; 0: never.")
    ],
    log: LogOption = None,
) -> None:
    """Print a proof for a witness, as JSON: the log of that many records only grew since."""
    found = find_log(log) if log is not None else _log_of_settings()
    sys.stdout.write(json.dumps(prove_growth(found, old), indent=2, ensure_ascii=False) + "\n")


def _log_of_settings() -> Path:
    from hyok.cli.options import load  # noqa: PLC0415 - an auditor with --log needs no settings

    return load(None)[0].audit.file


@app.command("check-proof")
def check_proof(
    file: Annotated[Path, typer.Argument(help="What `hyok audit prove` printed.")],
    key: KeyOption,
    as_json: AsJson = False,
) -> None:
    """Check a proof: its records stood in the log when the checkpoint was signed."""
    document = read_json(file)
    proven = check(document, [parse_public_key(each.read_bytes()) for each in key])
    if as_json:
        sys.stdout.write(json.dumps(list(proven), indent=2, ensure_ascii=False) + "\n")
        return
    assert isinstance(document, dict)  # else it proved nothing
    head = parse_checkpoint(document["checkpoint"]).head
    mark("ok", f"in the log {head.origin}, of {head.size:,} records, stand:")
    for row in proven:
        say(f"      {row['record']}")


def main() -> None:
    """Run these commands by themselves, as `hyok audit …`."""
    try:
        app(prog_name="hyok audit")
    except HyokError as error:
        sys.stderr.write(error.explain() + "\n")
        sys.exit(1)
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{error} Next: look at the path and at who may read it\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
