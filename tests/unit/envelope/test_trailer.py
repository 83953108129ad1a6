"""The trailer: written by the rules, and refused for every one that it breaks."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.envelope.whole import EXAMPLES

from hyok.envelope.keys import DataKey
from hyok.envelope.layout import HYOK1, HYOK1_TEST, Layout
from hyok.envelope.parts import part_header, part_id
from hyok.envelope.trailer import (
    Entry,
    Footer,
    Trailer,
    open_trailer,
    parse_footer,
    seal_trailer,
)
from hyok.errors import Malformed, Tampered

DEK = DataKey(bytes(range(32)))
SALT = bytes(range(16))
HEADER = part_header(bytes(32), bytes(7))
ID = part_id(HEADER)
LAYOUT = Layout(HYOK1_TEST)
OBJECT_ID = b"object-id-16-byt"

SINGLE = Trailer(
    suite_id=HYOK1_TEST.id,
    multipart=False,
    entries=(Entry(1, 300, ID),),
    plain_size=300,
    object_id=OBJECT_ID,
    md5=b"md5-of-the-plain",
    checksum_algorithm=2,
    checksum_type=0,
    checksum=b"crc!",
    created_ms=1_795_500_000_000,
)
MULTI = SINGLE._replace(
    multipart=True,
    entries=(Entry(2, 1_024, ID), Entry(5, 2_000, ID[::-1]), Entry(9, 7, b"x" * 16)),
    plain_size=3_031,
    checksum_algorithm=3,
    checksum_type=1,
    checksum=b"crc64nvm",
)
BOTH = pytest.mark.parametrize("trailer", [SINGLE, MULTI], ids=["single", "multipart"])


def opened(raw: bytes, like: Trailer, **changes: Any) -> Trailer:
    arguments: dict[str, Any] = {
        "sealed_size": LAYOUT.object_sealed_size(like.plain_size),
        "object_id": OBJECT_ID,
        "multipart": like.multipart,
        "suite": HYOK1_TEST,
        **changes,
    }
    return open_trailer(raw, DEK, **arguments)


def forge(raw: bytes, at: int, new: bytes, footer: bytes | None = None) -> bytes:
    """Return a trailer with a changed body under a right tag, as a faulty writer would make it."""
    key, nonce = AESGCM(DEK.trailer_key(raw[:16])), bytes(12)
    body = key.decrypt(nonce, raw[16:-16], b"HYOK1 trailer" + raw[-16:])
    at = at if at >= 0 else len(body) + at
    body = body[:at] + new + body[at + len(new) :]
    footer = footer or raw[-16:]
    return raw[:16] + key.encrypt(nonce, body, b"HYOK1 trailer" + footer) + footer


@BOTH
def test_what_was_sealed_is_what_is_opened(trailer: Trailer) -> None:
    raw = seal_trailer(trailer, DEK, SALT)
    assert opened(raw, trailer) == trailer
    sizes = [entry.plain_size for entry in trailer.entries]
    assert len(raw) == LAYOUT.trailer_size(trailer.plain_size, sizes)
    footer = parse_footer(raw[-16:], LAYOUT.object_sealed_size(trailer.plain_size), HYOK1_TEST)
    assert footer == Footer(len(sizes), len(raw), HYOK1_TEST.id)


def test_unbound_entries_are_said_to_be_unbound() -> None:
    entries = (MULTI.entries[0], MULTI.entries[1]._replace(part_id=bytes(16)), MULTI.entries[2])
    trailer = MULTI._replace(entries=entries)
    again = opened(seal_trailer(trailer, DEK, SALT), trailer)
    assert [entry.bound for entry in again.entries] == [True, False, True]
    assert not again.bound
    assert MULTI.bound


def test_the_entry_of_a_single_upload_names_the_header_of_the_envelope() -> None:
    raw = seal_trailer(SINGLE, DEK, SALT)
    assert opened(raw, SINGLE, part_header=HEADER) == SINGLE
    with pytest.raises(Tampered, match="another attempt"):
        opened(raw, SINGLE, part_header=part_header(bytes(32), b"another"))


@BOTH
def test_every_flipped_byte_of_a_trailer_is_refused(trailer: Trailer) -> None:
    raw = seal_trailer(trailer, DEK, SALT)
    for at in range(len(raw)):
        for mask in (0x01, 0x80):
            damaged = raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]
            with pytest.raises(Tampered):
                opened(damaged, trailer)


@BOTH
def test_every_cut_and_every_extension_is_refused(trailer: Trailer) -> None:
    raw = seal_trailer(trailer, DEK, SALT)
    for stop in range(len(raw)):
        with pytest.raises(Tampered):
            opened(raw[:stop], trailer)
        with pytest.raises(Tampered):
            opened(raw[stop + 1 :], trailer)
    with pytest.raises(Tampered):
        opened(raw + b"\0", trailer)


@pytest.mark.parametrize(
    "question",
    [
        {"object_id": bytes(16)},
        {"multipart": True},
        {"sealed_size": LAYOUT.object_sealed_size(299)},
        {"sealed_size": LAYOUT.object_sealed_size(301)},
        {"sealed_size": 0},
        {"suite": HYOK1},
    ],
    ids=str,
)
def test_a_trailer_belongs_to_one_object(question: dict[str, Any]) -> None:
    with pytest.raises(Tampered):
        opened(seal_trailer(SINGLE, DEK, SALT), SINGLE, **question)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(Tampered, match="authentication"):
        open_trailer(
            seal_trailer(SINGLE, DEK, SALT),
            DataKey(bytes(32)),
            sealed_size=LAYOUT.object_sealed_size(300),
            object_id=OBJECT_ID,
            multipart=False,
            suite=HYOK1_TEST,
        )


@pytest.mark.parametrize(
    ("trailer", "at", "new", "why"),
    [
        (SINGLE, 0, b"\x02", "reserved"),  # version
        (SINGLE, 1, b"\x03", "another object"),  # says multipart
        (SINGLE, 1, b"\x00", "flags"),  # says unbound
        (SINGLE, 1, b"\x06", "flags"),
        (SINGLE, 2, b"\x07", "kind"),
        (SINGLE, 3, b"\x02", "kind"),
        (SINGLE, 4, b"\x05", "wrong length"),
        (SINGLE, 4, b"\x03", "left over"),
        (SINGLE, 4, b"\xff", "wrong length"),
        (SINGLE, 5, b"\x01", "reserved"),
        (SINGLE, 8, (301).to_bytes(8, "big"), "add up"),
        (SINGLE, 16, bytes(16), "another object"),
        (SINGLE, 48 + 4, b"\x01", "left over"),
        (SINGLE, 120, b"\x00\x02", "part 1 alone"),
        (SINGLE, 120, b"\x00\x00", "ascend"),
        (SINGLE, 122, b"\x01", "reserved"),
        (SINGLE, 127, b"\x01", "reserved"),
        (SINGLE, 136, bytes(16), "flags"),
        (MULTI, -1, b"\x01", "reserved"),  # the padding
        (MULTI, 120 + 32, b"\x00\x02", "ascend"),
        (MULTI, 120 + 64, b"\x27\x11", "ascend"),  # 10001
        (MULTI, 120 + 8, (1_023).to_bytes(8, "big"), "too small"),
        (MULTI, 120 + 64 + 8, (8).to_bytes(8, "big"), "add up"),
    ],
)
def test_a_right_tag_does_not_excuse_a_broken_rule(
    trailer: Trailer, at: int, new: bytes, why: str
) -> None:
    raw = seal_trailer(trailer, DEK, SALT)
    with pytest.raises(Tampered, match=why):
        opened(forge(raw, at, new), trailer)


def test_a_single_upload_is_bound_also_when_its_flags_agree() -> None:
    raw = seal_trailer(SINGLE, DEK, SALT)
    unbound = forge(forge(raw, 136, bytes(16)), 1, b"\x00")
    with pytest.raises(Tampered, match="part 1 alone, bound"):
        opened(unbound, SINGLE)


def test_a_sound_trailer_of_another_length_of_object_is_refused() -> None:
    longer = SINGLE._replace(plain_size=301, entries=(Entry(1, 301, ID),))
    raw = seal_trailer(longer, DEK, SALT)
    with pytest.raises(Tampered, match="stored length disagree"):
        opened(raw, SINGLE)


def test_the_length_in_the_footer_follows_from_the_parts() -> None:
    raw = seal_trailer(MULTI, DEK, SALT)
    # One byte more of padding, under a right tag and within the footer's bounds.
    size = len(raw) + 1
    key, nonce = AESGCM(DEK.trailer_key(SALT)), bytes(12)
    body = key.decrypt(nonce, raw[16:-16], b"HYOK1 trailer" + raw[-16:]) + b"\0"
    footer = raw[-16:-8] + size.to_bytes(4, "big") + raw[-4:]
    forged = SALT + key.encrypt(nonce, body, b"HYOK1 trailer" + footer) + footer
    with pytest.raises(Tampered, match="stored length disagree"):
        opened(forged, MULTI)


FOOTER = seal_trailer(MULTI, DEK, SALT)[-16:]
SEALED = LAYOUT.object_sealed_size(3_031)


@pytest.mark.parametrize(
    ("at", "new", "why"),
    [
        (0, b"HYKX", "does not end in a trailer"),
        (4, (0).to_bytes(4, "big"), "number of parts"),
        (4, (10_001).to_bytes(4, "big"), "number of parts"),
        (4, (0xFFFFFFFF).to_bytes(4, "big"), "number of parts"),
        (4, (10_000).to_bytes(4, "big"), "impossible length"),
        (8, (0).to_bytes(4, "big"), "impossible length"),
        (8, (168 + 3 * 32 - 1).to_bytes(4, "big"), "impossible length"),
        (8, (168 + 3 * 91 + 1).to_bytes(4, "big"), "impossible length"),
        (8, (0xFFFFFFFF).to_bytes(4, "big"), "impossible length"),
        (12, b"\x01", "does not end in a trailer"),
        (13, b"\x01", "does not end in a trailer"),
        (15, b"\x80", "does not end in a trailer"),
    ],
)
def test_a_footer_is_refused_before_its_trailer_is_read(at: int, new: bytes, why: str) -> None:
    with pytest.raises(Tampered, match=why):
        parse_footer(FOOTER[:at] + new + FOOTER[at + len(new) :], SEALED, HYOK1_TEST)


@pytest.mark.parametrize("raw", [b"", FOOTER[:-1], FOOTER + b"\0"])
def test_a_footer_is_sixteen_bytes(raw: bytes) -> None:
    with pytest.raises(Tampered, match="too early"):
        parse_footer(raw, SEALED, HYOK1_TEST)


def test_a_length_that_no_object_has_is_refused_at_the_footer() -> None:
    with pytest.raises(Tampered, match="cut or padded"):
        parse_footer(FOOTER, 255, HYOK1_TEST)


@pytest.mark.parametrize(
    ("changes", "reason", "why"),
    [
        ({"entries": ()}, "InvalidPart", "parts"),
        ({"entries": MULTI.entries[::-1]}, "InvalidPartOrder", "ascend"),
        ({"entries": (Entry(1, 1_024, ID), Entry(1, 3, ID))}, "InvalidPartOrder", "ascend"),
        ({"entries": (Entry(0, 3_031, ID),)}, "InvalidPartOrder", "ascend"),
        ({"entries": (Entry(10_001, 3_031, ID),)}, "InvalidPartOrder", "ascend"),
        ({"entries": (Entry(1, 1_023, ID), Entry(2, 2_008, ID))}, "EntityTooSmall", "small"),
        ({"plain_size": 3_030}, "", "add up"),
        ({"multipart": False}, "", "part 1 alone"),
        ({"checksum_algorithm": 7}, "", "kind"),
        ({"checksum_algorithm": -1}, "", "kind"),
        ({"checksum_type": 2}, "", "kind"),
        ({"checksum": b""}, "", "wrong length"),
        ({"object_id": b"short"}, "", "16 bytes"),
        ({"md5": bytes(17)}, "", "16 bytes"),
        ({"entries": (Entry(1, 3_031, b"short"),)}, "", "part_id is 16"),
    ],
)
def test_a_writer_makes_no_trailer_that_a_reader_refuses(
    changes: dict[str, Any], reason: str, why: str
) -> None:
    with pytest.raises(Malformed, match=why) as caught:
        seal_trailer(MULTI._replace(**changes), DEK, SALT)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("algorithm", "count"), [(0, 0), (1, 4), (2, 4), (3, 8), (4, 20), (5, 32), (6, 64)]
)
def test_every_checksum_of_the_format_is_kept(algorithm: int, count: int) -> None:
    trailer = SINGLE._replace(checksum_algorithm=algorithm, checksum=b"\xff" * count)
    assert opened(seal_trailer(trailer, DEK, SALT), trailer) == trailer


def test_ten_thousand_parts_are_sealed_and_opened() -> None:
    entries = tuple(Entry(n, 1_024, n.to_bytes(16, "big")) for n in range(1, 10_001))
    trailer = MULTI._replace(entries=entries, plain_size=10_240_000)
    assert opened(seal_trailer(trailer, DEK, SALT), trailer) == trailer


@EXAMPLES
@given(
    sizes=st.lists(st.integers(1_024, 9_000), max_size=8),
    last=st.integers(0, 5_000),
    data=st.data(),
)
def test_any_parts_come_back(sizes: list[int], last: int, data: st.DataObject) -> None:
    sizes = [*sizes, last]
    numbers = sorted(
        data.draw(
            st.sets(st.integers(1, 10_000), min_size=len(sizes), max_size=len(sizes)), "numbers"
        )
    )
    ids = data.draw(st.lists(st.binary(min_size=16, max_size=16), min_size=9, max_size=9))
    entries = tuple(Entry(*entry) for entry in zip(numbers, sizes, ids, strict=False))
    trailer = MULTI._replace(entries=entries, plain_size=sum(sizes))
    assert opened(seal_trailer(trailer, DEK, SALT), trailer) == trailer
