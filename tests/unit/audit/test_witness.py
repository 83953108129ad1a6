"""A witness signs a log that only grew, and never two histories."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.audit.test_keeper import KEY, log, seal, write  # noqa: F401 - a fixture
from typer.testing import CliRunner

from hyok.audit.checkpoint import Checkpoint, NoteSignature, PublicKey, sign_line
from hyok.audit.signed import head_of
from hyok.audit.witness import Witness, prove_growth
from hyok.cli.audit_verify import app
from hyok.errors import Conflict, HyokError, Malformed, Refused, Tampered
from hyok.vocabulary import TreeHead

NAME = "audit.example/witness"
PRIVATE = ec.derive_private_key(9, ec.SECP256R1())
OWN = PublicKey(PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def sign(head: TreeHead) -> NoteSignature:
    return sign_line(NAME, OWN, PRIVATE.sign(head.text().encode(), ec.ECDSA(SHA256())))


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path / "witnessed", sign)


def grow(log: Path, count: int, old: int) -> dict[str, object]:  # noqa: F811
    write(log, count)
    seal(log)
    return json.loads(json.dumps(prove_growth(log, old)))


def test_a_log_that_grows_is_signed_again_and_again(log: Path, witness: Witness) -> None:  # noqa: F811
    size = 0
    for count in (0, 1, 255, 300):
        made = witness.cosign(grow(log, count, size), [KEY])
        assert made.verify([KEY]) == KEY
        assert made.verify([OWN], NAME) == OWN
        size = made.head.size
    assert size == 1_256
    again = witness.cosign(prove_growth(log, size), [KEY])  # the same head once more
    assert len(again.signatures) == 2


def test_another_history_is_not_signed(log: Path, witness: Witness, tmp_path: Path) -> None:  # noqa: F811
    forked = tmp_path / "forked" / "audit.jsonl"
    forked.parent.mkdir()
    shutil.copy(log, forked)
    witness.cosign(grow(log, 10, 0), [KEY])
    write(forked, 5)
    write(forked, 20)
    seal(forked)
    lines = forked.read_bytes().splitlines(keepends=True)
    assert lines[705] != log.read_bytes().splitlines(keepends=True)[705]
    with pytest.raises(Tampered):
        witness.cosign(prove_growth(forked, 710), [KEY])
    with pytest.raises(Conflict) as told:
        witness.cosign(prove_growth(forked, 0), [KEY])
    assert "prove-growth 710" in told.value.next_step
    witness.cosign(grow(log, 30, 710), [KEY])  # the true one goes on


def test_a_log_that_shrank_is_not_signed(log: Path, witness: Witness) -> None:  # noqa: F811
    short = {**prove_growth_after(log), "old": 710}
    witness.cosign(grow(log, 10, 0), [KEY])
    with pytest.raises(Tampered):
        witness.cosign(short, [KEY])


def prove_growth_after(log: Path) -> dict[str, object]:  # noqa: F811
    seal(log)
    return prove_growth(log, 0)


def test_a_witness_that_lost_its_memory_does_not_sign(
    log: Path,  # noqa: F811
    witness: Witness,
    tmp_path: Path,
) -> None:
    witness.cosign(grow(log, 10, 0), [KEY])
    (kept,) = (tmp_path / "witnessed").iterdir()
    kept.write_text("{")
    with pytest.raises(Tampered):
        witness.cosign(grow(log, 10, 710), [KEY])


def test_what_was_signed_is_kept_before_the_signature_leaves(
    log: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    def away(_: TreeHead) -> NoteSignature:
        raise OSError("killed")

    document = grow(log, 10, 0)
    with pytest.raises(OSError, match="killed"):
        Witness(tmp_path / "w", away).cosign(document, [KEY])
    with pytest.raises(Conflict):
        Witness(tmp_path / "w", sign).cosign(document, [KEY])


def test_a_checkpoint_of_another_key_or_no_document_is_not_signed(
    log: Path,  # noqa: F811
    witness: Witness,
) -> None:
    document = grow(log, 10, 0)
    with pytest.raises(Tampered):
        witness.cosign(document, [OWN])
    for bad in ({}, [], {**document, "old": "0"}, {**document, "path": ["?"]}):
        with pytest.raises(Malformed):
            witness.cosign(bad, [KEY])


def test_an_auditor_asks_for_the_witness_signature(
    log: Path,  # noqa: F811
    witness: Witness,
    tmp_path: Path,
) -> None:
    pem, own = tmp_path / "key.pem", tmp_path / "own.pem"
    pem.write_text(KEY.pem())
    own.write_text(OWN.pem())
    kept = tmp_path / "cosigned"
    kept.write_text(witness.cosign(grow(log, 10, 0), [KEY]).note())
    command = ["verify", str(log), "--key", str(pem), "--witness", f"{NAME}={own}", "--against"]
    assert CliRunner().invoke(app, [*command, str(kept)]).exit_code == 0
    plain = log.with_name("audit.jsonl.tree") / "checkpoint"
    refused = CliRunner().invoke(app, [*command, str(plain)]).exception
    assert isinstance(refused, HyokError)
    assert "did not sign" in str(refused)


def test_no_document_is_signed_for_somebody_else(witness: Witness) -> None:
    """A log of this origin could have any document's digest for its root hash."""
    document = {"format": "hyok-minutes/1", "said": "what we never said"}
    head = head_of(document, "our-installation", 1, software=False)
    signature = PRIVATE.sign(head.text().encode(), ec.ECDSA(SHA256()))
    note = Checkpoint(head, (sign_line(head.origin, OWN, signature),)).note()
    growth = {"format": "hyok-audit-growth/1", "old": 0, "checkpoint": note, "path": []}
    with pytest.raises(Refused):
        witness.cosign(growth, [OWN])
