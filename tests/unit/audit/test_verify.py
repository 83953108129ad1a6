"""An auditor with the log and the public key finds every change, and says where it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.audit.test_keeper import KEY, ORIGIN, Signer, log, seal, write  # noqa: F401
from typer.testing import CliRunner

from hyok.audit.checkpoint import Checkpoint, PublicKey, parse_checkpoint
from hyok.audit.evidence import check, prove
from hyok.audit.file import canonical
from hyok.audit.keeper import TreeKeeper
from hyok.audit.tiles import HISTORY
from hyok.audit.verify import Report, find_log, verify
from hyok.cli.audit_verify import app
from hyok.errors import HyokError, Malformed, NotFound, Tampered


@pytest.fixture
def sealed(log: Path) -> Path:  # noqa: F811 - the fixture
    """A log of 1,000 records with checkpoints at 700, 900 and 1,000, and 5 records more."""
    for count in (0, 200, 100):
        write(log, count)
        seal(log)
    write(log, 5)
    return log


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def put(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(lines))


def renumbered(lines: list[bytes]) -> list[bytes]:
    return [canonical({**json.loads(line), "seq": at + 1}) for at, line in enumerate(lines)]


def the_problem(report: Report) -> tuple[str, int, int]:
    (problem,) = report.problems
    return problem.kind, problem.first, problem.last


def without_tiles(path: Path) -> None:
    for tile in (path.with_name(path.name + ".tree") / "tile").rglob("*"):
        if tile.is_file():
            tile.unlink()


def test_an_untouched_log_is_covered_up_to_its_last_checkpoint(sealed: Path) -> None:
    told: list[int] = []
    report = verify(sealed, [KEY], tell=told.append)
    assert report.good
    assert (report.records, report.covered, report.checkpoints) == (1_005, 1_000, 3)
    assert (report.origin, report.newest_ms) == (ORIGIN, 1_790_000_000_000)
    assert told[-1] == sealed.stat().st_size


@pytest.mark.parametrize("place", [1, 2, 256, 257, 699, 700, 701, 1_000])
def test_an_edited_record_is_named(sealed: Path, place: int) -> None:
    lines = lines_of(sealed)
    lines[place - 1] = lines[place - 1].replace(b'"action":"a"', b'"action":"b"')
    put(sealed, lines)
    report = verify(sealed, [KEY])
    assert the_problem(report) == ("changed", place, place)
    assert f"record {place} is not what was signed" in report.problems[0].said
    without_tiles(sealed)
    kind, first, last = the_problem(verify(sealed, [KEY]))
    assert kind == "changed"
    assert first <= place <= last
    assert (first, last) in ((1, 700), (701, 900), (901, 1_000))


def test_a_record_taken_out_is_named(sealed: Path) -> None:
    lines = lines_of(sealed)
    put(sealed, lines[:41] + lines[42:])
    assert the_problem(verify(sealed, [KEY])) == ("removed", 42, 42)


def test_a_record_taken_out_with_the_others_renumbered_is_found(sealed: Path) -> None:
    lines = lines_of(sealed)
    put(sealed, renumbered(lines[:41] + lines[42:]))
    assert the_problem(verify(sealed, [KEY])) == ("changed", 42, 700)
    without_tiles(sealed)
    assert the_problem(verify(sealed, [KEY])) == ("changed", 1, 700)


@pytest.mark.parametrize("honest_numbers", [True, False])
def test_an_inserted_record_is_found(sealed: Path, honest_numbers: bool) -> None:
    lines = lines_of(sealed)
    lines.insert(800, canonical({"action": "a", "n": "x", "seq": 801}))
    put(sealed, lines if honest_numbers else renumbered(lines))
    found = the_problem(verify(sealed, [KEY]))
    assert found == (("order", 802, 802) if honest_numbers else ("changed", 801, 900))


def test_two_records_exchanged_are_found(sealed: Path) -> None:
    lines = lines_of(sealed)
    lines[10], lines[11] = lines[11], lines[10]
    put(sealed, lines)
    assert the_problem(verify(sealed, [KEY])) == ("removed", 11, 11)
    put(sealed, renumbered(lines))
    assert the_problem(verify(sealed, [KEY])) == ("changed", 11, 12)


def test_a_tail_cut_below_a_checkpoint_is_found(sealed: Path) -> None:
    put(sealed, lines_of(sealed)[:950])
    assert the_problem(verify(sealed, [KEY])) == ("cut", 951, 1_000)


def test_a_tail_cut_with_its_checkpoints_is_found_by_a_checkpoint_kept_elsewhere(
    sealed: Path,
) -> None:
    kept = parse_checkpoint((sealed.with_name("audit.jsonl.tree") / "checkpoint").read_text())
    put(sealed, lines_of(sealed)[:900])
    history = sealed.with_name("audit.jsonl.tree") / HISTORY
    put(history, lines_of(history)[:2])
    assert verify(sealed, [KEY]).good  # by itself such a log looks well
    assert the_problem(verify(sealed, [KEY], [kept])) == ("cut", 901, 1_000)


def test_a_fork_shown_to_two_auditors_is_found_when_they_compare(
    sealed: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "audit.jsonl"
    other.parent.mkdir()
    put(other, lines_of(sealed)[:899])
    for line in ({"action": "forged", "seq": 900}, {"action": "a", "seq": 901}):
        with other.open("ab") as file:
            file.write(canonical(line))
    forked = seal(other)
    assert verify(other, [KEY]).good  # each alone looks well
    kind, first, last = the_problem(verify(sealed, [KEY], [forked]))
    assert (kind, first, last) == ("fork", 901, 901)
    ours = parse_checkpoint((sealed.with_name("audit.jsonl.tree") / "checkpoint").read_text())
    assert verify(sealed, [KEY], [ours]).good
    assert not verify(other, [KEY], [ours]).good
    # And without any log: two heads of one size cannot both be of one tree.
    assert not verify(other, [KEY], [forked, ours]).good


def test_a_checkpoint_of_another_key_vouches_for_nothing(sealed: Path) -> None:
    other = PublicKey(KEY.der[:-1] + bytes([KEY.der[-1] ^ 1]))
    report = verify(sealed, [other])
    assert report.covered == 0
    assert {each.kind for each in report.problems} == {"checkpoint"}


def test_a_forged_or_unreadable_checkpoint_beside_the_log_is_told(sealed: Path) -> None:
    history = sealed.with_name("audit.jsonl.tree") / HISTORY
    lines = lines_of(history)
    note = json.loads(lines[1])
    lines[1] = json.dumps(note.replace("\n900\n", "\n899\n")).encode() + b"\n"
    put(history, lines)
    assert the_problem(verify(sealed, [KEY])) == ("checkpoint", 899, 899)
    lines[1] = b"{}\n"
    put(history, lines)
    assert the_problem(verify(sealed, [KEY]))[0] == "checkpoint"
    put(history, [lines[2], lines[0]])
    assert the_problem(verify(sealed, [KEY]))[0] == "checkpoint"


def test_a_log_without_checkpoints_is_not_called_good(log: Path) -> None:  # noqa: F811
    assert the_problem(verify(log, [KEY]))[0] == "unsigned"
    with pytest.raises(NotFound):
        verify(log.with_name("none"), [KEY])


def test_a_torn_last_line_is_no_reproach(sealed: Path) -> None:
    with sealed.open("ab") as file:
        file.write(b'{"action":"a","se')
    report = verify(sealed, [KEY])
    assert report.good
    assert report.records == 1_005


def test_the_log_of_a_folder_is_found(sealed: Path, tmp_path: Path) -> None:
    assert find_log(sealed.parent) == sealed
    assert find_log(sealed) == sealed
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NotFound):
        find_log(empty)
    (empty / "a.jsonl").touch()
    (empty / "b.jsonl").touch()
    with pytest.raises(Malformed):
        find_log(empty)


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from hyok.audit.verify import verify\n"
        "verify(Path(sys.argv[1]), [])\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.partition('VmHWM:')[2].split()[0])"
    )
    peaks = []
    for count in (1_000, 40_000):
        path = tmp_path / f"{count}.jsonl"
        write(path, count)
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 4 << 10, peaks  # KiB; the log is 4 MB longer


# ── proofs ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [1, 256, 257, 999, 1_000])
def test_a_record_is_proven_and_the_proof_holds_without_the_log(sealed: Path, number: int) -> None:
    document = json.loads(json.dumps(prove(sealed, [number])))
    (proven,) = check(document, [KEY])
    assert proven["record"] == lines_of(sealed)[number - 1].decode().rstrip("\n")


def test_a_record_that_no_checkpoint_covers_is_not_proven(sealed: Path) -> None:
    with pytest.raises(NotFound):
        prove(sealed, [1_001])
    with pytest.raises(NotFound):
        prove(sealed, [0])


def test_a_changed_record_is_not_proven(sealed: Path) -> None:
    lines = lines_of(sealed)
    lines[4] = lines[4].replace(b'"action":"a"', b'"action":"b"')
    put(sealed, lines)
    with pytest.raises(Tampered):
        prove(sealed, [5])


def test_a_proof_that_was_changed_does_not_hold(sealed: Path) -> None:
    document = prove(sealed, [7, 8])
    good = json.dumps(document)
    row = document["records"][0]
    forged = [
        good.replace('\\"action\\":\\"a\\"', '\\"action\\":\\"b\\"'),
        good.replace('"index": 6', '"index": 5'),
        good.replace('"index": 6', '"index": -1'),
        good.replace(row["path"][0], row["path"][1]),
        good.replace("\\n1000\\n", "\\n1001\\n"),
        good.replace("hyok-audit-proof/1", "hyok-audit-proof/2"),
        good.replace('"index": 6', '"index": "6"'),
        good.replace(row["path"][0], "?"),
        json.dumps({**document, "records": []}),
        json.dumps({**document, "records": [3]}),
        json.dumps({**document, "checkpoint": 3}),
        "[]",
    ]
    for each in forged:
        assert each != good
        with pytest.raises(HyokError):
            check(json.loads(each), [KEY])


# ── commands ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_text(KEY.pem())
    return path


def test_verify_needs_nothing_but_the_log_and_the_key(sealed: Path, pem: Path) -> None:
    """An empty home, no settings, and neither HSM nor database code is even loaded."""
    home = sealed.parent / "home"
    home.mkdir()
    script = (
        "import sys; sys.argv[0] = 'hyok'\n"
        "from hyok.cli.entry import main\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code or 0\n"
        "heavy = ('hyok.hsm', 'hyok.database', 'hyok.settings', 'hyok.custody', 'hyok.gateway',\n"
        "         'hyok.wiring', 'sqlalchemy', 'cedarpy', 'botocore')\n"
        "loaded = [name for name in sys.modules if name.startswith(heavy)]\n"
        "assert not loaded, loaded\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", script, "audit", "verify", str(sealed.parent)]
    done = subprocess.run(
        [*command, "--key", str(pem)],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "records 1 to 1,000 are those that 3 checkpoints" in done.stdout
    assert "5 records after that" in done.stdout


def test_verify_says_what_is_wrong_and_ends_with_1(sealed: Path, pem: Path) -> None:
    put(sealed, lines_of(sealed)[:950])
    done = CliRunner().invoke(app, ["verify", str(sealed), "--key", str(pem)])
    assert done.exit_code == 1
    assert "records 951 to 1000 are missing from the end" in done.output
    done = CliRunner().invoke(app, ["verify", str(sealed), "--key", str(pem), "--json"])
    report = json.loads(done.stdout)
    assert (report["good"], report["problems"][0]["kind"]) == (False, "cut")


def test_a_checkpoint_kept_elsewhere_is_given_as_a_file(
    sealed: Path, pem: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.write_text((sealed.with_name("audit.jsonl.tree") / "checkpoint").read_text())
    command = ["verify", str(sealed), "--key", str(pem), "--against", str(kept)]
    assert CliRunner().invoke(app, command).exit_code == 0
    os.truncate(sealed.with_name("audit.jsonl.tree") / HISTORY, 0)
    put(sealed, lines_of(sealed)[:900])
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "records 901 to 1000 are missing from the end" in done.output


def test_a_proof_is_printed_and_checked_by_commands(
    sealed: Path, pem: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, ["prove", "17", "--log", str(sealed)])
    assert done.exit_code == 0, done.output
    file = tmp_path / "proof.json"
    file.write_text(done.stdout)
    done = CliRunner().invoke(app, ["check-proof", str(file), "--key", str(pem)])
    assert done.exit_code == 0, done.output
    assert '"seq":17' in done.output
    file.write_text(file.read_text().replace('"seq\\":17', '"seq\\":18'))
    done = CliRunner().invoke(app, ["check-proof", str(file), "--key", str(pem)])
    assert isinstance(done.exception, Tampered)


def test_a_development_keys_checkpoints_say_so(log: Path, pem: Path) -> None:  # noqa: F811
    class Soft(Signer):
        software = True

    keeper = TreeKeeper(log, ORIGIN)
    keeper.follow(log.stat().st_size)
    made: Checkpoint = keeper.make_checkpoint(Soft(), 1)
    assert "software key, not for production" in made.head.text()
    done = CliRunner().invoke(app, ["verify", str(log), "--key", str(pem)])
    assert "signed by a software key" in done.output
