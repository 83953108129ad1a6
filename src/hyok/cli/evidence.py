"""`hyok evidence`: which measures of a norm the live state supports, and what is encrypted how."""

from __future__ import annotations

import json
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from hyok import __version__
from hyok.audit.checkpoint import parse_public_key
from hyok.audit.segments import segments_of
from hyok.audit.statistics import count
from hyok.audit.tiles import pinned_key
from hyok.audit.verify import verify
from hyok.audit_signing import audit_key_name
from hyok.cli.doctor import look_at_everything
from hyok.cli.options import ConfigOption, JsonOption, load
from hyok.cli.progress import bar
from hyok.cli.screen import mark, say, show
from hyok.cli.session import run
from hyok.connections import tls_suites
from hyok.custody.door_key import PAIRS
from hyok.envelope.profiles import Profile
from hyok.errors import HyokError, NotFound
from hyok.officer.crypto_inventory import inventory
from hyok.officer.evidence import ASPECTS, Fact, as_rows, judge, parse_norm
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hyok.cli.diagnosis.check import Word
    from hyok.custody.door_key import DoorKey
    from hyok.custody.kek import Kek
    from hyok.settings import Settings
    from hyok.wiring import Core

app = typer.Typer(help="What auditors ask for, from the live state.", no_args_is_help=True)

DAY_MS = 86_400_000
DaysOption = Annotated[
    int, typer.Option("--days", min=1, max=3_660, help="How far back the audit log is read.")
]
_RESULTS: Mapping[str, Word] = {"ok": "ok", "warn": "warn", "FAIL": "FAIL"}
_WORDS: Mapping[str, Word] = {"shown": "ok", "partly": "warn", "not shown": "FAIL"}


@app.command()
def norm(
    name: Annotated[str, typer.Argument(help="Of a file in policies/norms.")] = "bio2",
    days: DaysOption = 365,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say for each measure of a norm what supports it: design, existence and working.

    hyok supports measures; whether the norm is met others judge.
    """
    settings, _ = load(config)
    file = settings.policies.directory / "norms" / f"{name}.yaml"
    if not file.is_file():
        known = sorted(path.stem for path in file.parent.glob("*.yaml"))
        raise NotFound(
            f"There is no norm {name}: {file}",
            code="HY-2340",
            next_step=f"one of: {', '.join(known)}" if known else "put its file there",
        )
    wanted = parse_norm(file.read_text(encoding="utf-8"))
    judged = judge(wanted, gather(config, settings, days))
    if as_json:
        show(as_rows(judged), as_json=True, empty="")
        return
    say(f"{wanted.norm} {wanted.version}, of the last {days} days of the audit log")
    for one in judged:
        say(f"{one.measure.id}  {one.measure.title.nl} / {one.measure.title.en}")
        for aspect, finding in one.findings.items():
            dutch, _english = ASPECTS[aspect]
            facts = "; ".join(f"{fact.name}: {fact.said}" for fact in finding.facts) or "-"
            missing = f"  (missing: {', '.join(finding.missing)})" if finding.missing else ""
            mark(_WORDS[finding.word], f"{dutch}: {facts}{missing}")
        if one.measure.people is not None:
            say(f"      {one.measure.people.nl} / {one.measure.people.en}")


@app.command()
def facts(days: DaysOption = 365, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the facts that a norm's file may name, as they are now."""
    settings, _ = load(config)
    found = gather(config, settings, days)
    if as_json:
        rows: list[dict[str, object]] = [
            {"fact": fact.name, "result": fact.result, "said": fact.said} for fact in found.values()
        ]
        show(rows, as_json=True, empty="")
        return
    for fact in found.values():  # in lines: names are to be copied into a norm's file whole
        mark(_RESULTS.get(fact.result, "warn"), f"{fact.name}: {fact.said}")


@app.command()
def crypto(config: ConfigOption = None) -> None:
    """Print the cryptographic inventory as a CycloneDX CBOM (JSON)."""
    settings, _ = load(config)

    async def act(core: Core) -> tuple[list[Kek], Mapping[str, int], Sequence[DoorKey]]:
        keks, records = list(await core.keks.all()), await core.rotation.count_by_kek()
        return keks, records, await core.doors.catalog.all()

    keks, records, doors = run(config, act)
    name = audit_key_name(settings)
    pinned = pinned_key(settings.audit.file, name)
    software = settings.hsm.kind == "software"
    document = inventory(
        installation=settings.installation.name,
        version=__version__,
        serial=str(uuid.uuid4()),
        made=datetime.fromtimestamp(clock_ms() // 1000, UTC).isoformat(),
        keks=keks,
        records=records,
        signing={name: pinned.read_text()} if pinned.exists() else {},
        ciphers=tls_suites(),
        token="Software (development)" if software else f"HSM, {settings.hsm.profile}",
        doors=doors,
    )
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def gather(config: Path | None, settings: Settings, days: int) -> dict[str, Fact]:
    """Return every fact: what `hyok doctor` sees, the keys, and what the audit log has."""
    found = {
        check.name: Fact(check.name, check.word, check.said)
        for check in look_at_everything(config).found
        if check.name != "not enforced"
    }
    for fact in (*_of_core(config), *_of_log(settings, days)):
        found[fact.name] = fact
    return found


def _of_core(config: Path | None) -> list[Fact]:
    try:
        return [run(config, _algorithms)]
    except HyokError as error:
        return [Fact("algorithms", "FAIL", error.cause)]


async def _algorithms(core: Core) -> Fact:
    keks = await core.keks.all()
    public = [kek.kek_id for kek in keks if kek.spec.profile == Profile.RSA_OAEP_SHA256]
    doors = await core.doors.catalog.all()
    public += [f"{key.tenant}/{key.name}" for key in doors if key.kind in PAIRS and key.living]
    if public:
        said = f"RSA, which a quantum computer would break, in {len(public)} keys: {public[0]}"
        return Fact("algorithms", "warn", said)
    return Fact("algorithms", "ok", f"AES-256 and HMAC-SHA-256 for {len(keks)} keys")


def _of_log(settings: Settings, days: int) -> Iterator[Fact]:
    log = settings.audit.file
    if not log.exists():
        return
    total = sum(segment.path.stat().st_size for segment in segments_of(log))
    with bar("reading the audit log", total) as tell:
        seen = count(log, clock_ms() - days * DAY_MS, tell)
    named = "action, outcome, origin, actor or time"
    lacking = f"{seen.incomplete:,} of {seen.records:,} records lack {named}"
    whole = f"{seen.records:,} records have action, outcome, origin, actor and time"
    incomplete = bool(seen.incomplete)
    yield Fact("log fields", "FAIL" if incomplete else "ok", lacking if incomplete else whole)
    gaps = f"{seen.gaps} times the writer before did not end by itself"
    yield Fact("log gaps", "warn" if seen.gaps else "ok", gaps if seen.gaps else "none")
    decided = sum(seen.done.values())
    yield _counted("log decisions", decided, f"{decided:,} acts were recorded as done")
    yield _counted("log refusals", seen.denied, f"{seen.denied:,} were refused")
    approved = seen.done["approval:execute"]
    persons = f"{approved} acts by {len(seen.actors)} officers"
    yield _counted("log approvals", approved, persons)
    yield _counted("log exports", seen.done["object:export"], "exports were made")
    shredded = seen.done["shred:statement"]
    yield _counted("log destructions", shredded, f"{shredded} statements of destruction")
    yield _verified(settings, log)


def _counted(name: str, number: int, said: str) -> Fact:
    return Fact(name, "ok", said) if number else Fact(name, "warn", "none in this period")


def _verified(settings: Settings, log: Path) -> Fact:
    """Is the log what was signed, as its public key says that the writer first saw?"""
    pinned = pinned_key(log, audit_key_name(settings))
    if not pinned.exists():
        return Fact("log verified", "FAIL", "it is not signed")
    total = sum(segment.path.stat().st_size for segment in segments_of(log))
    with bar("verifying the audit log", total) as tell:
        report = verify(log, [parse_public_key(pinned.read_bytes())], [], tell)
    if report.problems:
        return Fact("log verified", "FAIL", report.problems[0].said)
    return Fact("log verified", "ok", f"{report.covered:,} records are what was signed")
