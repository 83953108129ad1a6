"""The envelope: strict on the way in, and nothing of it believed before the mac holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.envelope.vectors import SUITES
from tests.unit.envelope.whole import CONTEXT, EXAMPLES, KEK_ID, SCOPE, SECRET, TOKEN

from hyok.envelope import block
from hyok.envelope.block import Envelope, Mode, Profile
from hyok.envelope.keys import DataKey, object_context
from hyok.envelope.layout import HYOK1, HYOK1_TEST
from hyok.envelope.parts import part_header
from hyok.errors import Malformed, Tampered

DEK = DataKey(bytes(range(32)))
HEADER = part_header(bytes(32), bytes(7))
META = bytes(48)
GOOD: dict[str, Any] = {
    "data_key": DEK,
    "secret": SECRET,
    "context": CONTEXT,
    "suite": HYOK1,
    "multipart": False,
    "profile": Profile.HMAC_SHA256,
    "mode": Mode.EMBEDDED,
    "object_id": b"object-id-16-byt",
    "plain_size": 1_000,
    "wrap_salt": bytes(range(32)),
    "kek_id": KEK_ID,
    "scope": SCOPE,
    "token": TOKEN,
    "metadata_block": META,
    "part_header": HEADER,
}
MULTIPART = {"multipart": True, "plain_size": None, "part_header": b""}


def sealed(**changes: Any) -> bytes:
    return block.seal_envelope(**{**GOOD, **changes})


RAW = sealed()


def put(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]


def test_an_envelope_opens_with_its_secret_and_context() -> None:
    envelope = block.parse(RAW)
    assert block.open_envelope(envelope, SECRET, CONTEXT) == DEK
    assert block.render(envelope) == RAW
    assert (envelope.kek_id, envelope.scope, envelope.token) == (KEK_ID, SCOPE, TOKEN)
    assert (envelope.plain_size, envelope.metadata_block) == (1_000, META)
    assert envelope.part_header == HEADER


def test_a_multipart_envelope_leaves_the_length_open() -> None:
    envelope = block.parse(sealed(**MULTIPART))
    assert envelope.multipart
    assert envelope.plain_size is None
    assert envelope.part_header == b""
    assert block.open_envelope(envelope, SECRET, CONTEXT) == DEK


@pytest.mark.parametrize("shape", [{}, MULTIPART, {"metadata_block": b""}])
def test_every_flipped_bit_of_an_envelope_is_refused(shape: dict[str, Any]) -> None:
    raw = sealed(**shape)
    for at in range(len(raw)):
        for bit in range(8):
            damaged = put(raw, at, bytes([raw[at] ^ 1 << bit]))
            with pytest.raises((Malformed, Tampered)):
                block.open_envelope(block.parse(damaged, suites=SUITES), SECRET, CONTEXT)


def test_every_cut_and_every_extension_is_refused() -> None:
    for stop in range(len(RAW)):
        with pytest.raises(Malformed):
            block.parse(RAW[:stop])
    for more in (b"\0", b"\xff" * 32):
        with pytest.raises(Malformed, match="left over"):
            block.parse(RAW + more)


@pytest.mark.parametrize(
    ("at", "new", "why"),
    [
        (0, b"HYK2", "no envelope"),
        (4, b"\x02", "suite 2"),
        (4, b"\x7f", "suite 127"),
        (5, b"\x06", "unknown flags"),
        (5, b"\x82", "unknown flags"),
        (5, b"\x00", "metadata flag"),
        (6, b"\x00", "profile 0"),
        (6, b"\x05", "profile 5"),
        (6, b"\x03", "none of profile"),
        (7, b"\x03", "mode 3"),
        (7, b"\x02", "ik_id"),
        (24, b"\xff" * 8, "leave the length open"),
        (24, b"\x7f" + b"\xff" * 7, "bytes long"),
        (24, (2**62 + 1).to_bytes(8, "big"), "bytes long"),
        (104, b"\x00", "forbidden length"),
        (104, b"\x41", "forbidden length"),
        (105, b"\xff", "not UTF-8"),
        (105 + len(KEK_ID), b"\x81", "forbidden length"),
        (-72, b"\x29", "part header"),
    ],
)
def test_a_field_out_of_range_is_refused(at: int, new: bytes, why: str) -> None:
    where = at if at >= 0 else len(RAW) + at
    with pytest.raises(Malformed, match=why):
        block.parse(put(RAW, where, new))


def test_a_metadata_block_shorter_than_its_salt_and_tag_is_refused() -> None:
    with pytest.raises(Malformed, match="too short"):
        sealed(metadata_block=bytes(31))
    assert block.parse(sealed(metadata_block=bytes(32))).metadata_block == bytes(32)


def test_an_envelope_beyond_a_sealed_files_block_is_refused() -> None:
    with pytest.raises(Malformed, match="too long"):
        block.parse(b"HYK1" + bytes(block.ENVELOPE_BYTES_MAX))


def test_another_secret_or_object_does_not_open_it() -> None:
    envelope = block.parse(RAW)
    for secret, context in [
        (SECRET[::-1], CONTEXT),
        (SECRET, object_context("t2", "personnel", "2026/payroll.csv")),
        (SECRET, object_context("t1", "archive", "2026/payroll.csv")),
        (SECRET, object_context("t1", "personnel", "2026/payroll.csv ")),
    ]:
        with pytest.raises(Tampered, match="does not open"):
            block.open_envelope(envelope, secret, context)


@pytest.mark.parametrize(
    "change",
    [
        {"kek_id": "t1/public/1"},
        {"scope": "subject:4711"},
        {"token": bytes(32)},
        {"metadata_block": b""},
        {"metadata_block": bytes(64)},
        {"plain_size": 999},
        {"object_id": bytes(16)},
        {"part_header": part_header(bytes(32), b"another")},
        {"mac": bytes(32)},
        {"mode": Mode.DIRECT},
        {"suite_id": HYOK1_TEST.id},
    ],
    ids=lambda change: next(iter(change)),
)
def test_fields_of_two_envelopes_do_not_mix(change: dict[str, Any]) -> None:
    with pytest.raises(Tampered, match="changed"):
        block.open_envelope(block.parse(RAW)._replace(**change), SECRET, CONTEXT)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"plain_size": None}, "leave the length open"),
        ({"plain_size": -1}, "bytes long"),
        ({"multipart": True}, "no part header"),
        ({"part_header": b""}, "part header"),
        ({"part_header": HEADER + b"\0"}, "part header"),
        ({"object_id": b""}, "object_id is 16"),
        ({"wrap_salt": bytes(16)}, "wrap_salt is 32"),
        ({"kek_id": ""}, "1 to 64"),
        ({"kek_id": "k" * 65}, "1 to 64"),
        ({"scope": "s" * 129}, "0 to 128"),
        ({"token": bytes(31)}, "token"),
        ({"mode": Mode.KEYRING}, "ik_id"),
        ({"profile": Profile.RSA_OAEP_SHA256, "token": bytes(0x10000)}, "too long"),
        ({"metadata_block": bytes(0x10000)}, "too long"),
        ({"metadata_block": bytes(0xFFFF)}, "too long to be sealed"),
    ],
)
def test_a_writer_makes_no_envelope_that_a_reader_refuses(
    changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(Malformed, match=why):
        sealed(**changes)


@pytest.mark.parametrize(
    ("kek_id", "scope"), [("k", ""), ("k" * 64, "s" * 128), ("é" * 32, "é" * 64)]
)
def test_the_shortest_and_the_longest_texts_are_taken(kek_id: str, scope: str) -> None:
    envelope = block.parse(sealed(kek_id=kek_id, scope=scope))
    assert (envelope.kek_id, envelope.scope) == (kek_id, scope)
    assert block.open_envelope(envelope, SECRET, CONTEXT) == DEK


def test_render_demands_a_whole_mac() -> None:
    with pytest.raises(Malformed, match="mac is 32"):
        block.render(block.parse(RAW)._replace(mac=b""))


def test_metadata_that_no_store_could_hold_is_refused_by_its_name() -> None:
    room = block.WRITTEN_BYTES_MAX - len(sealed(metadata_block=b""))
    fits = sealed(metadata_block=bytes(room))
    text = block.encode_text(fits)
    assert len(block.FIELD_NAME) + len(text) <= block.FIELD_BYTES_MAX
    with pytest.raises(Malformed, match="1 bytes too long") as caught:
        sealed(metadata_block=bytes(room + 1))
    assert caught.value.reason == "MetadataTooLarge"


@EXAMPLES
@given(raw=st.binary(max_size=200))
def test_the_text_of_an_envelope_is_reversible(raw: bytes) -> None:
    text = block.encode_text(raw)
    assert "=" not in text
    assert block.decode_text(text) == raw


@EXAMPLES
@given(text=st.text(alphabet="ABab01-_=+/ \n\u00e9", max_size=24))
def test_bytes_have_one_text_only(text: str) -> None:
    try:
        raw = block.decode_text(text)
    except Malformed:
        return
    assert block.encode_text(raw) == text


@pytest.mark.parametrize(
    "text", ["A", "AAAAA", "AB", "AAB", "AA==", "A+", "A/", "AA\n", " AA", "é"]
)
def test_other_spellings_of_the_text_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        block.decode_text(text)


def test_a_text_too_long_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(Malformed):
        block.decode_text("A" * 5_452)
    longest = bytes(block.ENVELOPE_BYTES_MAX)
    assert block.decode_text(block.encode_text(longest)) == longest


def rewrapped(envelope: Envelope, **changes: Any) -> Envelope:
    arguments: dict[str, Any] = {
        "secret": SECRET[::-1],
        "context": CONTEXT,
        "profile": Profile.AES_KWP,
        "mode": Mode.DIRECT,
        "wrap_salt": bytes(32),
        "kek_id": "t1/confidential/2",
        "scope": "object",
        "token": bytes(40),
        **changes,
    }
    return block.parse(block.rewrap(envelope, DEK, **arguments))


def test_a_rewrap_keeps_the_data_and_changes_the_key() -> None:
    old = block.parse(RAW)
    new = rewrapped(old)
    assert block.open_envelope(new, SECRET[::-1], CONTEXT) == DEK
    for kept in ("object_id", "plain_size", "metadata_block", "part_header", "suite_id"):
        assert getattr(new, kept) == getattr(old, kept)
    assert (new.kek_id, new.scope, new.mode) == ("t1/confidential/2", "object", Mode.DIRECT)
    with pytest.raises(Tampered):
        block.open_envelope(new, SECRET, CONTEXT)


def test_a_rewrap_may_fill_in_a_length_that_was_open_and_change_none() -> None:
    multipart = block.parse(sealed(**MULTIPART))
    filled = rewrapped(multipart, plain_size=77)
    assert filled.plain_size == 77
    assert block.open_envelope(filled, SECRET[::-1], CONTEXT) == DEK
    assert rewrapped(multipart).plain_size is None
    assert rewrapped(block.parse(RAW), plain_size=1_000).plain_size == 1_000
    with pytest.raises(Malformed, match="does not change"):
        rewrapped(block.parse(RAW), plain_size=1_001)


def test_a_rewrap_may_replace_the_metadata() -> None:
    assert rewrapped(block.parse(RAW), metadata_block=bytes(40)).metadata_block == bytes(40)
    assert rewrapped(block.parse(RAW), metadata_block=b"").metadata_block == b""


def test_a_rewrap_that_the_store_could_not_hold_is_refused() -> None:
    with pytest.raises(Malformed) as caught:
        rewrapped(
            block.parse(sealed(metadata_block=bytes(1_000))),
            profile=Profile.RSA_OAEP_SHA256,
            token=bytes(512),
        )
    assert caught.value.reason == "MetadataTooLarge"


@pytest.mark.parametrize(
    ("scope", "fits"),
    [
        ("bucket:personnel", True),
        ("subject:4711", True),
        ("object", True),
        ("", True),
        ("bucket:public", False),
        ("bucket:", False),
        ("bucket:personnel2", False),
        ("names:personnel", False),
        ("names:", False),
    ],
)
def test_a_scope_belongs_to_the_objects_of_its_bucket(scope: str, fits: bool) -> None:
    if fits:
        block.check_scope(scope, "personnel")
    else:
        with pytest.raises(Tampered, match="scope"):
            block.check_scope(scope, "personnel")
