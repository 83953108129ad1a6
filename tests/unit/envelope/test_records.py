"""Keyring records: the vector, every damage refused, and rotation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.envelope.vectors import load, unhex
from tests.unit.envelope.whole import SECRET, TOKEN

from hyok.envelope import profiles
from hyok.envelope.profiles import Profile
from hyok.envelope.records import open_record, parse_record, seal_record
from hyok.errors import Malformed, Tampered

IK = b"intermediate key" * 2
GOOD: dict[str, Any] = {
    "ik": IK,
    "ik_id": b"ik-id-of-16-byte",
    "salt": bytes(range(32)),
    "secret": SECRET,
    "profile": Profile.HMAC_SHA256,
    "kek_id": "t1/confidential/1",
    "scope": "subject:4711",
    "token": TOKEN,
}
RAW = seal_record(**GOOD)


def test_the_record_of_the_vector_opens_and_is_made_again() -> None:
    (vector,) = [v for v in load("objects.json") if "keyring_record" in v]
    raw = unhex(vector["keyring_record"])
    record = parse_record(raw)
    (kek,) = {
        v["kek"] for v in load("kek_profiles.json") if v["kek_id"] == record.kek_id and "kek" in v
    }
    secret = profiles.software_secret(
        record.profile, unhex(kek), record.kek_id, record.scope, record.token
    )
    ik = open_record(record, secret)
    assert ik == unhex(vector["ik"])
    again = seal_record(
        ik=ik,
        ik_id=record.ik_id,
        salt=record.salt,
        secret=secret,
        profile=record.profile,
        kek_id=record.kek_id,
        scope=record.scope,
        token=record.token,
    )
    assert again == raw


def test_what_was_sealed_is_what_is_opened() -> None:
    record = parse_record(RAW)
    assert open_record(record, SECRET) == IK
    for field in ("ik_id", "salt", "profile", "kek_id", "scope", "token"):
        assert getattr(record, field) == GOOD[field]


def test_rotation_keeps_the_key_and_its_name() -> None:
    rotated = seal_record(
        **{
            **GOOD,
            "secret": bytes(32),
            "salt": bytes(32),
            "profile": Profile.AES_KWP,
            "kek_id": "t1/confidential/2",
            "token": bytes(40),
        }
    )
    record = parse_record(rotated)
    assert open_record(record, bytes(32)) == IK
    assert record.ik_id == GOOD["ik_id"]
    with pytest.raises(Tampered):
        open_record(record, SECRET)


def test_every_flipped_bit_is_refused() -> None:
    for at in range(len(RAW)):
        for bit in range(8):
            damaged = RAW[:at] + bytes([RAW[at] ^ 1 << bit]) + RAW[at + 1 :]
            with pytest.raises((Malformed, Tampered)):
                open_record(parse_record(damaged), SECRET)


def test_every_cut_and_every_extension_is_refused() -> None:
    for stop in range(len(RAW)):
        with pytest.raises(Malformed):
            parse_record(RAW[:stop])
    with pytest.raises(Malformed, match="left over"):
        parse_record(RAW + b"\0")
    with pytest.raises(Malformed, match="too long"):
        parse_record(RAW + bytes(4_096))


@pytest.mark.parametrize(
    ("at", "new", "why"),
    [
        (0, b"HYR2", "no keyring record"),
        (4, b"\x00", "profile 0"),
        (4, b"\x05", "profile 5"),
        (4, b"\x03", "none of profile"),
        (5, b"\x01", "unknown field"),
        (94, b"\x00", "forbidden length"),
        (94, b"\x41", "forbidden length"),
    ],
)
def test_a_field_out_of_range_is_refused(at: int, new: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse_record(RAW[:at] + new + RAW[at + len(new) :])


@pytest.mark.parametrize(
    "change",
    [
        {"kek_id": "t1/public/1"},
        {"scope": "subject:4712"},
        {"token": bytes(32)},
        {"mac": bytes(32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_fields_of_two_records_do_not_mix(change: dict[str, Any]) -> None:
    with pytest.raises(Tampered, match="changed"):
        open_record(replace(parse_record(RAW), **change), SECRET)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ik": bytes(31)}, "intermediate key is 32"),
        ({"ik_id": bytes(15)}, "ik_id is 16"),
        ({"salt": bytes(16)}, "salt of a record is 32"),
        ({"kek_id": ""}, "1 to 64"),
        ({"scope": "s" * 129}, "0 to 128"),
        ({"token": bytes(16)}, "token"),
    ],
)
def test_a_writer_makes_no_record_that_a_reader_refuses(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Malformed, match=why):
        seal_record(**{**GOOD, **changes})


def test_the_longest_record_is_a_page() -> None:
    rsa = {**GOOD, "profile": Profile.RSA_OAEP_SHA256}
    longest = seal_record(**{**rsa, "token": bytes(32 + 4_096 - len(RAW))})
    assert len(longest) == 4_096
    assert open_record(parse_record(longest), SECRET) == IK
    with pytest.raises(Malformed, match="too long"):
        seal_record(**{**rsa, "token": bytes(33 + 4_096 - len(RAW))})
