"""The sealed file's first 4096 bytes: strict padding, and an envelope that ends where it says."""

from __future__ import annotations

import pytest
from tests.unit.envelope.vectors import SUITES, load, unhex
from tests.unit.envelope.whole import Whole, read, seal
from tests.vectors import make_sealed_file

from hyok.envelope import sealed_file
from hyok.envelope.block import ENVELOPE_BYTES_MAX, Envelope, Profile, parse, render
from hyok.envelope.layout import HYOK1
from hyok.envelope.sealed_file import FILE_BLOCK_BYTES, parse_block, render_block
from hyok.errors import Malformed

ENVELOPE = seal(b"plain", suite=HYOK1).envelope
BLOCK = render_block(ENVELOPE)


def test_an_envelope_comes_back_from_its_block() -> None:
    assert len(BLOCK) == FILE_BLOCK_BYTES == 4_096
    assert BLOCK[:4] == b"HYKC"
    assert parse_block(BLOCK) == ENVELOPE


@pytest.mark.parametrize("vector", load("sealed_file.json"), ids=lambda v: v["name"])
def test_the_files_of_the_vectors_open_and_are_made_again(vector: dict[str, str]) -> None:
    file = unhex(vector["file_head"]) + bytes(int(vector["zero_bytes"])) + unhex(vector["body"])
    envelope = parse_block(file[:FILE_BLOCK_BYTES], suites=SUITES)
    assert envelope == unhex(vector["envelope"])
    assert render_block(envelope) == file[:FILE_BLOCK_BYTES]
    opened = read(
        Whole(envelope, file[FILE_BLOCK_BYTES:]),
        secret=unhex(vector["secret"]),
        context=unhex(vector["object_context"]),
        bucket_id=vector["bucket_id"],
    )
    assert opened == unhex(vector["plaintext"])


def test_the_vectors_still_come_out_of_their_script() -> None:
    assert make_sealed_file.render() == make_sealed_file.TARGET.read_text(encoding="utf-8")


def test_every_byte_of_the_padding_is_zero() -> None:
    for at in (8 + len(ENVELOPE), 2_000, 4_095):
        with pytest.raises(Malformed, match="damaged"):
            parse_block(BLOCK[:at] + b"\x01" + BLOCK[at + 1 :])


@pytest.mark.parametrize("off", [-32, -1, 1, 32])
def test_the_envelope_ends_where_its_length_says(off: int) -> None:
    head = b"HYKC" + (len(ENVELOPE) + off).to_bytes(4, "big")
    with pytest.raises(Malformed):
        parse_block(head + BLOCK[8:])


@pytest.mark.parametrize("count", [0, 4_089, 0xFFFFFFFF])
def test_an_impossible_length_is_refused(count: int) -> None:
    with pytest.raises(Malformed):
        parse_block(b"HYKC" + count.to_bytes(4, "big") + BLOCK[8:])


def test_the_longest_envelope_fills_the_block() -> None:
    room = ENVELOPE_BYTES_MAX - len(ENVELOPE)
    token = bytes(32 + room)
    longest = block_of(parse(ENVELOPE)._replace(profile=Profile.RSA_OAEP_SHA256, token=token))
    assert len(longest) == FILE_BLOCK_BYTES
    assert longest[-1] != 0 or longest[-2] != 0  # the mac
    assert len(parse_block(longest)) == ENVELOPE_BYTES_MAX
    with pytest.raises(Malformed):
        block_of(parse(ENVELOPE)._replace(profile=Profile.RSA_OAEP_SHA256, token=token + b"\0"))


def block_of(envelope: Envelope) -> bytes:
    return render_block(render(envelope))


@pytest.mark.parametrize("block", [b"", BLOCK[:-1], BLOCK + b"\0", b"HYKD" + BLOCK[4:]])
def test_other_bytes_are_no_sealed_file(block: bytes) -> None:
    with pytest.raises(Malformed, match="no sealed file"):
        parse_block(block)


def test_the_test_suite_is_refused_by_production_readers() -> None:
    block = render_block(seal(b"plain").envelope)
    assert parse_block(block, suites=SUITES)
    with pytest.raises(Malformed, match="suite 127"):
        parse_block(block)


def test_an_envelope_too_long_for_the_block_is_refused() -> None:
    assert len(render_block(bytes(4_088))) == FILE_BLOCK_BYTES
    with pytest.raises(Malformed) as caught:
        render_block(bytes(4_089))
    assert caught.value.reason == "MetadataTooLarge"
    assert sealed_file.FILE_BLOCK_BYTES == 4_096
