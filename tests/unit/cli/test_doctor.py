"""`hyok doctor`: each thing that can be wrong is told apart, said, and has a way out."""

from __future__ import annotations

import json
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from hyok import settings as settings_file
from hyok.audit_signing import build_audit_key
from hyok.backends.port import Stored
from hyok.cli.buckets import create_bucket
from hyok.cli.certificates import make_development_certificates
from hyok.cli.diagnosis import door, host
from hyok.cli.diagnosis.audit import audit_log
from hyok.cli.diagnosis.check import Check, Checklist
from hyok.cli.diagnosis.services import ask_all
from hyok.cli.keys import create_kek
from hyok.cli.main import app
from hyok.cli.session import services
from hyok.custody.quorum import Officer, Role
from hyok.database.rows import BACKUP_MADE, put_setting
from hyok.database.tables import keks, officers
from hyok.errors import Unavailable
from hyok.objects.registry import NewBucket
from hyok.vocabulary import ClassificationName
from hyok.wiring import clock_ms, open_core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hyok.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
DAY_MS = 86_400_000


def settings_of(home: Path, **more: str) -> Settings:
    home.mkdir(exist_ok=True)
    text = "\n".join(
        [
            f"[installation]\nmode = 'development'\nrun_directory = '{home}/run'",
            f"[gateway]\nport = 1\n{more.get('gateway', '')}",
            f"[management]\nport = 1\n[database]\nurl = 'sqlite:///{home}/hyok.db'",
            f"[audit]\nfile = '{home}/audit/audit.jsonl'",
            f"[policies]\ndirectory = '{more.get('policies', ROOT / 'policies')}'",
            f"[hsm]\nkind = 'software'\nsoftware_file = '{home}/soft.json'",
            f"[[stores]]\nkind = 'files'\nname = 'local'\npath = '{home}/store'",
            more.get("stores", ""),
        ]
    )
    (home / "hyok.toml").write_text(text)
    return settings_file.parse(text, "test")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys, one bucket and an audit log, to be copied."""
    import asyncio

    home = tmp_path_factory.mktemp("doctor") / "home"
    settings = settings_of(home)

    async def furnish() -> None:
        core = open_core(settings)
        try:
            for pair in (("system", "secrets"), ("t", "tenant"), ("t", "intern")):
                await create_kek(core, *pair)
            build_audit_key(settings).create()
            wanted = NewBucket("dossiers", "t", "local", ClassificationName("intern"))
            await create_bucket(core, wanted)
        finally:
            await core.close()

    with services(settings, home / "hyok.toml"):
        asyncio.run(furnish())
    return home


@pytest.fixture
def home(furnished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(furnished, tmp_path / "home", ignore=shutil.ignore_patterns("run")))


async def asked(home: Path, spoil: Callable[[Any], Any] = lambda _: None) -> dict[str, Check]:
    core = open_core(settings_of(home))
    try:
        ordered = spoil(core)
        if ordered is not None:
            await ordered
        checks = Checklist()
        await ask_all(core, checks, clock_ms())
    finally:
        await core.close()
    return {check.name: check for check in checks.found}


async def test_a_sound_installation_is_ok_but_for_backup_officers_and_their_policy(
    home: Path,
) -> None:
    found = await asked(home)
    order = [
        "tokens",
        "keys",
        "keys in use",
        "key age",
        "rotation",
        "stores",
        "buckets",
        "plaintext",
        "officers",
        "policy in force",
    ]
    order += ["policy exceptions", "policy in shadow", "backup", "restore drill", "audit log"]
    order += ["audit checkpoint"]
    assert list(found) == order
    unsettled = {name for name, check in found.items() if check.word != "ok"}
    assert unsettled == {"backup", "restore drill", "officers", "policy in force"}
    assert "vertrouwelijk" in found["backup"].means
    left = [path for path in (home / "store").rglob("*") if "probe" in path.name and path.is_file()]
    assert left == []


async def test_officers_are_there_and_an_edited_row_of_theirs_is_found(home: Path) -> None:
    async def found_two(core: Any) -> None:
        for person in ("anna", "bram"):
            officer = Officer(person, person, frozenset({Role.SECURITY}))
            await core.register.add(officer, frozenset({f"development:{person}"}))

    async def edit(core: Any) -> None:
        change = update(officers).where(officers.c.person == "anna").values(name="iemand anders")
        await core.database.run(lambda connection: connection.execute(change))

    assert (await asked(home, found_two))["officers"].word == "ok"
    found = (await asked(home, edit))["officers"]
    assert found.word == "FAIL"
    assert "not genuine" in found.said


@pytest.mark.parametrize(
    ("age_days", "mode", "word"),
    [
        (None, "development", "warn"),
        (None, "production", "FAIL"),
        (0.5, "production", "ok"),
        (3, "production", "FAIL"),
        (3, "development", "FAIL"),
    ],
)
async def test_shreddable_classifications_without_a_backup_fail(
    home: Path, age_days: float | None, mode: str, word: str
) -> None:
    def in_production(core: Any) -> None:
        if age_days is not None:
            made = str(int(clock_ms() - age_days * DAY_MS))
            core.database.run_sync(lambda c: put_setting(c, BACKUP_MADE, made, now_ms=1))
        installation = core.settings.installation.model_copy(update={"mode": mode})
        core.settings = core.settings.model_copy(update={"installation": installation})

    found = (await asked(home, in_production))["backup"]
    assert found.word == word
    if word != "ok":
        assert found.next_step.startswith("hyok backup")
        assert "zeer_vertrouwelijk" in found.means


def hsm_away(core: Any) -> None:
    async def away(_kek: object) -> None:
        raise Unavailable("no token answers", code="HY-2101")

    core.hsm.check = away


def of(name: str, **values: object) -> Callable[[Any], Any]:
    """Return what changes the row of a key."""

    def act(core: Any) -> Any:
        statement = update(keks).where(keks.c.kek_id == name).values(**values)
        return core.database.run(lambda connection: connection.execute(statement))

    return act


OLD_MS = 1_500_000_000_000


@pytest.mark.parametrize(
    ("spoil", "name", "word", "said"),
    [
        (hsm_away, "keys", "FAIL", "system/secrets/1: no token answers"),
        (of("t/intern/1", state="suspended"), "keys in use", "FAIL", "t/intern"),
        (of("t/tenant/1", state="deactivated"), "keys in use", "FAIL", "t/tenant"),
        (of("t/intern/1", created_ms=OLD_MS), "key age", "warn", "t/intern/1"),
        (of("t/intern/1", check_value=b"12345678"), "keys", "FAIL", "t/intern/1"),
        (of("t/intern/1", state="compromised"), "rotation", "FAIL", "compromised: t/intern/1"),
    ],
)
async def test_what_is_wrong_with_keys_is_named_with_a_way_out(
    home: Path, spoil: Callable[[Any], Any], name: str, word: str, said: str
) -> None:
    found = (await asked(home, spoil))[name]
    assert (found.word, said in found.said) == (word, True), found
    assert found.means
    assert found.next_step


async def test_a_bucket_that_is_gone_from_its_store_is_named(home: Path) -> None:
    def gone(core: Any) -> None:
        async def no_bucket(_name: str) -> bool:
            return False

        core.stores["local"].has_bucket = no_bucket

    found = (await asked(home, gone))["buckets"]
    assert found.word == "FAIL"
    assert "dossiers (not in local)" in found.said


async def test_a_bucket_that_holds_plaintext_of_before_is_named(home: Path) -> None:
    async def adopted(core: Any) -> None:
        await core.inventories.begin("dossiers", 1)
        await core.inventories.add("dossiers", [Stored("brief", "e", 3, 1)])
        await core.registry.set_adoption("dossiers", "read-through")

    found = (await asked(home, adopted))["plaintext"]
    assert (found.word, "dossiers (1 objects, mode read-through)") == ("warn", found.said)


async def test_a_store_that_gives_back_other_bytes_fails_its_probe(home: Path) -> None:
    def lies(core: Any) -> None:
        read = core.stores["local"].read_whole

        async def other(*arguments: Any, **named: Any) -> Any:
            stored, body = await read(*arguments, **named)
            return stored, bytes(len(body))

        core.stores["local"].read_whole = other

    found = (await asked(home, lies))["stores"]
    assert found.word == "FAIL"
    assert "other bytes" in found.said


async def test_a_log_that_is_not_signed_or_was_changed_is_told(home: Path) -> None:
    tree = home / "audit" / "audit.jsonl.tree"

    async def checkpoint(mode: str = "development", later_ms: int = 0) -> Check:
        def in_mode(core: Any) -> None:
            installation = core.settings.installation.model_copy(update={"mode": mode})
            core.settings = core.settings.model_copy(update={"installation": installation})

        core = open_core(settings_of(home))
        try:
            in_mode(core)
            return audit_log(core.settings, clock_ms() + later_ms)[-1]
        finally:
            await core.close()

    assert (await checkpoint(later_ms=DAY_MS)).word == "ok"  # nothing came since
    with (home / "audit" / "audit.jsonl").open("ab") as log:
        log.write(b'{"action":"a","seq":1000}\n')
    assert (await checkpoint()).word == "ok"
    assert (await checkpoint(later_ms=DAY_MS)).word == "warn"
    (tree / "problem.txt").write_text("HY-5107 the log's first 9 records are not …")
    assert (await checkpoint()).word == "FAIL"
    (tree / "problem.txt").unlink()
    (tree / "key-1.pem").unlink()
    assert (await checkpoint()).word == "warn"
    unsigned = await checkpoint("production")
    assert (unsigned.word, unsigned.next_step) == ("FAIL", "hyok audit key --create")


async def test_an_audit_log_that_is_missing_or_foreign_fails(home: Path) -> None:
    log = home / "audit" / "audit.jsonl"
    log.unlink()
    assert (await asked(home))["audit log"].word == "FAIL"
    with log.open("wb") as file:
        file.write(b"x\n" * 100)
        file.truncate(80 << 20)
    assert (await asked(home))["audit log"].word == "FAIL"


def test_demands_that_are_not_enforced_are_told_for_each_classification(tmp_path: Path) -> None:
    first, *rest = host.policies(settings_of(tmp_path / "h"))
    assert first.word == "ok"
    assert {check.word for check in rest} == {"warn"}
    told = {check.said.partition(":")[0]: check.said for check in rest}
    assert "gerubriceerd" not in told  # it is refused altogether
    for demand in ("copies over 2 suppliers, distinct parents", "bulk-read guard 500/h", "archive"):
        assert demand in told["vertrouwelijk"]
    assert "MFA" in told["geheim"]
    assert "country of the HSM" in told["openbaar"]


@pytest.mark.parametrize(
    ("mode", "word"), [(0o600, "ok"), (0o640, "warn"), (0o644, "FAIL"), (0o602, "FAIL")]
)
def test_secrets_are_for_their_owner(tmp_path: Path, mode: int, word: str) -> None:
    settings = settings_of(tmp_path / "h")
    secret = tmp_path / "h" / "soft.json"
    secret.write_text("{}")
    secret.chmod(mode)
    found = host.secret_files(settings)
    assert found.word == word
    if word != "ok":
        assert found.next_step == f"chmod 600 {secret}"


@pytest.mark.parametrize(("days", "word"), [(0, "ok"), (340, "warn"), (366, "FAIL"), (-1, "FAIL")])
def test_a_certificate_is_judged_by_its_days(tmp_path: Path, days: int, word: str) -> None:
    make_development_certificates(tmp_path)
    gateway = f"tls_certificate='{tmp_path}/gateway.pem'\ntls_key='{tmp_path}/gateway.key'"
    settings = settings_of(tmp_path / "h", gateway=gateway)
    assert host.certificate(settings, clock_ms() + days * DAY_MS).word == word


def test_a_key_of_another_certificate_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    make_development_certificates(tmp_path)
    make_development_certificates(tmp_path / "other")
    gateway = f"tls_certificate='{tmp_path}/gateway.pem'\ntls_key='{tmp_path}/other/gateway.key'"
    found = host.certificate(settings_of(tmp_path / "h", gateway=gateway), clock_ms())
    assert found.word == "FAIL"
    assert "do not go together" in found.said


@pytest.mark.parametrize(("left", "word"), [(2 << 30, "ok"), (1 << 29, "warn"), (1 << 20, "FAIL")])
def test_a_disk_is_judged_by_its_room(left: int, word: str) -> None:
    assert host._disk("audit log", left).word == word


class Peer(BaseHTTPRequestHandler):
    """A store whose clock is off."""

    def do_HEAD(self) -> None:
        self.send_response_only(403)
        offset = self.server.offset  # type: ignore[attr-defined]
        if offset is not None:
            at = datetime.fromtimestamp(time.time(), UTC) - timedelta(seconds=offset)
            self.send_header("Date", format_datetime(at, usegmt=True))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def peer() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Peer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("offset", "word"),
    [(0, "ok"), (60, "warn"), (-60, "warn"), (900, "FAIL"), (-900, "FAIL"), (None, "warn")],
)
def test_the_clock_is_compared_with_the_stores(
    tmp_path: Path, peer: HTTPServer, offset: int | None, word: str
) -> None:
    peer.offset = offset  # type: ignore[attr-defined]
    store = (
        f"[[stores]]\nkind='s3'\nname='s'\nendpoint='http://127.0.0.1:{peer.server_port}'\n"
        "jurisdiction='NL'\ncontrol='NL'"
    )
    (found,) = door.clock(settings_of(tmp_path / "h", stores=store))
    assert found.word == word, found
    if offset:
        assert abs(float(found.said.split()[0]) - offset) <= 2


def test_a_closed_door_and_a_store_that_is_away_are_said(tmp_path: Path) -> None:
    store = "[[stores]]\nkind='s3'\nname='s'\nendpoint='http://127.0.0.1:1'\n"
    settings = settings_of(tmp_path / "h", stores=store + "jurisdiction='NL'\ncontrol='NL'")
    assert [check.word for check in door.clock(settings)] == ["warn"]
    assert [check.word for check in door.door(settings)] == ["FAIL"]


def run_doctor(config: Path, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor", "--config", str(config), *more])
    return done.exit_code, done.stdout


def test_the_whole_command_orders_its_checks_and_exits_with_0(home: Path) -> None:
    settings_of(home)
    code, out = run_doctor(home / "hyok.toml", "--json")
    rows = json.loads(out)
    names = list(dict.fromkeys(row["check"] for row in rows))
    before = ["settings", "secret files", "policies", "not enforced", "hsm profile", "certificate"]
    assert names[:8] == [*before, "disk", "clock"]
    assert names[-1] == "door"
    assert code == 0
    assert {"check", "result", "said", "means", "next"} == set(rows[0])


def test_people_are_told_what_it_means_and_what_to_do(home: Path) -> None:
    settings_of(home)
    _, out = run_doctor(home / "hyok.toml")
    assert "warn  backup: the database was never backed up\n      Means: it holds" in out
    assert "      Next: hyok backup FILE, daily" in out
    assert out.count("not enforced") == 6
    assert out.count("does not see to it") == 1  # what is the same for several is said once


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lambda home: (home / "hyok.toml").write_text("[gateway]\nprot = 1"), "settings"),
        (lambda home: (home / "hyok.toml").unlink(), "settings"),
        (lambda home: settings_of(home, policies=str(home / "none")), "policies"),
        (lambda home: (home / "hyok.db").write_bytes(b"no database" * 100), "services"),
    ],
)
def test_what_must_be_mended_gives_exit_code_1(
    home: Path, spoil: Callable[[Path], object], check: str
) -> None:
    settings_of(home)
    spoil(home)
    code, out = run_doctor(home / "hyok.toml", "--json")
    failed = {row["check"] for row in json.loads(out) if row["result"] == "FAIL"}
    assert code == 1
    assert check in failed
