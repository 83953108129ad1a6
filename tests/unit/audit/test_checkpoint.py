"""Checkpoints are signed notes: what was not signed, or not as it stands, is refused."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from hyok.audit.checkpoint import (
    Checkpoint,
    PublicKey,
    parse_checkpoint,
    parse_public_key,
    sign_line,
    time_of,
)
from hyok.errors import HyokError, Malformed, Tampered
from hyok.vocabulary import TreeHead

PRIVATE = ec.derive_private_key(7, ec.SECP256R1())
OTHER = ec.derive_private_key(8, ec.SECP256R1())
ROOT = bytes(range(32))
HEAD = TreeHead("audit.example/hyok", 1234, ROOT, ("time 1790000000000",))

# The example of C2SP tlog-checkpoint.
EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/"
    "Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)


def public(private: ec.EllipticCurvePrivateKey) -> PublicKey:
    raw = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return parse_public_key(raw)


def signed(head: TreeHead, private: ec.EllipticCurvePrivateKey = PRIVATE, name: str = "") -> str:
    signature = private.sign(head.text().encode(), ec.ECDSA(SHA256()))
    line = sign_line(name or head.origin, public(private), signature)
    return Checkpoint(head, (line,)).note()


def test_a_checkpoint_survives_its_note_and_its_key_signed_it() -> None:
    note = signed(HEAD)
    parsed = parse_checkpoint(note)
    assert parsed.head == HEAD
    assert parsed.note() == note
    assert parsed.verify([public(OTHER), public(PRIVATE)]) == public(PRIVATE)
    assert time_of(parsed.head) == 1_790_000_000_000


def test_the_example_of_the_specification_is_read_and_written_the_same() -> None:
    parsed = parse_checkpoint(EXAMPLE)
    assert (parsed.head.origin, parsed.head.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert parsed.note() == EXAMPLE
    assert time_of(parsed.head) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1234", "1235"),
        ("audit.example/hyok\n1", "audit.example/hyoc\n1"),
        ("time 1790000000000", "time 1790000000001"),
        ("time 1790000000000\n", ""),
    ],
)
def test_a_text_that_was_changed_is_not_signed(old: str, new: str) -> None:
    changed = signed(HEAD).replace(old, new, 1)
    with pytest.raises(Tampered):
        parse_checkpoint(changed).verify([public(PRIVATE)])


def test_another_key_under_the_right_name_is_refused() -> None:
    with pytest.raises(Tampered):
        parse_checkpoint(signed(HEAD, OTHER)).verify([public(PRIVATE)])


def test_the_right_key_under_another_name_does_not_count() -> None:
    note = parse_checkpoint(signed(HEAD, name="witness.example"))
    with pytest.raises(Tampered):
        note.verify([public(PRIVATE)])
    assert note.verify([public(PRIVATE)], "witness.example") == public(PRIVATE)


def test_lines_of_unknown_keys_are_passed_over_and_a_false_line_of_a_known_one_is_not() -> None:
    good = parse_checkpoint(signed(HEAD))
    stranger = parse_checkpoint(signed(HEAD, OTHER, "witness.example")).signatures
    both = parse_checkpoint(Checkpoint(HEAD, (*stranger, *good.signatures)).note())
    assert both.verify([public(PRIVATE)]) == public(PRIVATE)
    false = sign_line(HEAD.origin, public(PRIVATE), b"0" * 70)
    with pytest.raises(Tampered):
        Checkpoint(HEAD, (*good.signatures, false)).verify([public(PRIVATE)])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "a\n1\n",
        HEAD.text(),
        HEAD.text() + "\n",
        EXAMPLE[:-1],
        EXAMPLE.replace("20852163", "020852163"),
        EXAMPLE.replace("20852163", "-1"),
        EXAMPLE.replace("20852163", "1" * 20),
        EXAMPLE.replace("CsUY", "CsU"),
        EXAMPLE.replace("q2I=", "q2J="),
        EXAMPLE.replace("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", "AAAA"),
        EXAMPLE.replace("\u2014 ", "- "),
        EXAMPLE.replace("sofa Az", "so+fa Az"),
        EXAMPLE.replace("Az3g", "\u00e9z3g"),
        EXAMPLE.replace("sofa\n", "so\tfa\n", 1),
        EXAMPLE + EXAMPLE.splitlines()[-1] * 70_000,
        EXAMPLE + (EXAMPLE.splitlines()[-1] + "\n") * 64,
        EXAMPLE.rpartition("sofa ")[0] + "sofa AAAA\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    with pytest.raises(Malformed):
        parse_checkpoint(note)


@settings(deadline=None)
@given(text=st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    for note in (text, f"{text}\n\n\u2014 a {text}\n", f"o\n1\n{text}\n\n\u2014 a AAAAAAA=\n"):
        try:
            parse_checkpoint(note)
        except HyokError:
            continue


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_public_key_is_refused(pem: bytes) -> None:
    with pytest.raises(Malformed):
        parse_public_key(pem)


def test_a_key_of_another_curve_is_refused() -> None:
    key = ec.derive_private_key(7, ec.SECP384R1()).public_key()
    with pytest.raises(Malformed):
        parse_public_key(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_a_key_is_told_by_its_fingerprint_and_written_as_pem() -> None:
    key = public(PRIVATE)
    assert parse_public_key(key.pem().encode()) == key
    assert key.fingerprint.startswith(key.key_id.hex())
