"""Whole objects: every vector opens, in full and by range, and every damaged one is refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.envelope.vectors import SUITES, load, unhex
from tests.unit.envelope.whole import REFUSALS, Whole, open_head, read, seal_part

from hyok.envelope import block, metadata, records, trailer
from hyok.envelope.keys import object_context
from hyok.envelope.layout import HEADER_BYTES, HYOK1_TEST, Layout
from hyok.envelope.parts import part_id
from hyok.errors import Malformed, Tampered

OBJECTS = load("objects.json")
INVALID = load("objects_invalid.json")
REWRAPS = load("rewrap.json")
LAYOUT = Layout(HYOK1_TEST)


def stored(vector: dict[str, Any]) -> Whole:
    return Whole(block.decode_text(vector["envelope_base64url"]), unhex(vector["object"]))


def asked(vector: dict[str, Any]) -> dict[str, Any]:
    context = object_context(vector["tenant"], vector["bucket_id"], vector["object_key"])
    return {
        "secret": unhex(vector["secret"]),
        "context": context,
        "bucket_id": vector["bucket_id"],
    }


@pytest.fixture(params=OBJECTS, ids=lambda vector: vector["name"])
def vector(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


def test_every_vector_opens_in_full(vector: dict[str, Any]) -> None:
    assert read(stored(vector), **asked(vector)) == unhex(vector["plaintext"])


def test_every_vector_opens_by_range(vector: dict[str, Any]) -> None:
    for wanted in vector["ranges"]:
        got = read(stored(vector), wanted["first"], wanted["last"] + 1, **asked(vector))
        assert got == unhex(wanted["plaintext"])


def test_what_a_vector_says_about_itself_is_what_is_read(vector: dict[str, Any]) -> None:
    head = open_head(stored(vector), **asked(vector))
    assert head.data_key.reveal() == unhex(vector["dek"])
    assert asked(vector)["context"] == unhex(vector["object_context"])
    assert head.envelope.kek_id == vector["kek_id"]
    assert head.envelope.scope == vector["scope"]
    assert head.envelope.mode == vector["mode"]
    assert head.envelope.profile.name.lower().replace("_", "-") == vector["profile"]
    expected = vector["meta"] or {}
    assert head.metadata.protected == set(expected)
    assert {m: head.metadata.value(m) for m in expected} == expected
    assert [
        {"part_number": entry.part_number, "plaintext_length": entry.plain_size}
        for entry in head.trailer.entries
    ] == vector["parts"]


def test_every_vector_is_made_again_to_the_byte(vector: dict[str, Any]) -> None:
    whole, question = stored(vector), asked(vector)
    head = open_head(whole, **question)
    plain = unhex(vector["plaintext"])
    body = b""
    for entry in head.trailer.entries:
        header = whole.body[len(body) : len(body) + HEADER_BYTES]
        assert part_id(header) == entry.part_id or not entry.bound
        piece, plain = plain[: entry.plain_size], plain[entry.plain_size :]
        body += seal_part(head.data_key, HYOK1_TEST, entry.part_number, header, piece)
    salt = whole.body[len(body) : len(body) + 16]
    body += trailer.seal_trailer(head.trailer, head.data_key, salt)
    assert body == whole.body

    old = head.envelope
    meta = b""
    if old.metadata_block:
        salt = old.metadata_block[:16]
        raw = metadata.render(head.metadata)
        meta = metadata.seal_metadata(raw, head.data_key, salt, old.object_id)
    again = block.seal_envelope(
        data_key=head.data_key,
        secret=question["secret"],
        context=question["context"],
        suite=HYOK1_TEST,
        multipart=old.multipart,
        profile=old.profile,
        mode=old.mode,
        object_id=old.object_id,
        plain_size=old.plain_size,
        wrap_salt=old.wrap_salt,
        kek_id=old.kek_id,
        scope=old.scope,
        token=old.token,
        metadata_block=meta,
        part_header=old.part_header,
    )
    assert again == whole.envelope


def test_production_readers_refuse_the_test_suite(vector: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="suite 127"):
        block.parse(stored(vector).envelope)
    with pytest.raises(Tampered, match="does not end in a trailer"):
        trailer.parse_footer(stored(vector).body[-16:], len(stored(vector).body))


def test_the_keyring_vector_opens_through_its_record() -> None:
    (vector,) = [v for v in OBJECTS if v["mode"] == block.Mode.KEYRING]
    record = records.parse_record(unhex(vector["keyring_record"]))
    envelope = block.parse(stored(vector).envelope, suites=SUITES)
    assert (record.ik_id, record.scope) == (envelope.token, envelope.scope)
    assert unhex(vector["ik"]) == unhex(vector["secret"])


# What the vector says must be noticed, and the words in which we say it.
OUR_WORDS = {
    "segment authentication failed": "a sealed segment failed authentication",
    "object length (truncated or extended)": "the stored length is not the envelope's",
    "wrapped key (wrong KEK, or bound to another object)": "does not open for this object and key",
    "scope is not one for objects of this bucket": "scope is not one for objects of this bucket",
    "envelope length": "the envelope has bytes left over",
    "envelope MAC": "the envelope was changed after it was written",
    "part header": "the object's header is not the envelope's",
    "trailer authentication failed": "the trailer failed authentication",
    "part is not the one in the manifest": "another attempt of the part was put back",
    "manifest does not describe this object": "the trailer and the stored length disagree",
    "footer": "the object does not end in a trailer|the trailer claims an impossible length",
    "tail flags": "flags do not agree with its entries",
    "base64url": "not base64url|not the canonical one",
}


@pytest.mark.parametrize("damaged", INVALID, ids=lambda v: f"{v['name']}-{v['why']}")
def test_every_damaged_vector_is_refused_for_its_own_reason(damaged: dict[str, Any]) -> None:
    with pytest.raises(REFUSALS, match=OUR_WORDS[damaged["reference_error"]]):
        read(stored(damaged), **asked(damaged))


@pytest.mark.parametrize("vector", REWRAPS, ids=lambda v: v["to_profile"])
def test_a_rewrap_gives_the_envelope_of_the_vector_and_still_opens(
    vector: dict[str, Any],
) -> None:
    (source,) = [v for v in OBJECTS if v["name"] == "single"]
    old = block.parse(block.decode_text(vector["from_envelope"]), suites=SUITES)
    # The three vectors are a chain: each starts where the one before ended.
    names = {source["envelope_base64url"]: (source["bucket_id"], source["object_key"])}
    for step in REWRAPS:
        names[step["to_envelope"]] = (step["to_bucket_id"], step["to_object_key"])
    bucket_id, object_key = names[vector["from_envelope"]]
    context = object_context(source["tenant"], bucket_id, object_key)
    key = block.open_envelope(old, unhex(vector["from_secret"]), context)
    to = object_context(source["tenant"], vector["to_bucket_id"], vector["to_object_key"])
    raw = block.rewrap(
        old,
        key,
        secret=unhex(vector["to_secret"]),
        context=to,
        profile=block.Profile[vector["to_profile"].upper().replace("-", "_")],
        mode=old.mode,
        wrap_salt=unhex(vector["to_wrap_salt"]),
        kek_id=vector["to_kek_id"],
        scope=vector["to_scope"],
        token=unhex(vector["to_token"]),
    )
    assert block.encode_text(raw) == vector["to_envelope"]
    moved = Whole(raw, unhex(source["object"]))
    opened = read(
        moved, secret=unhex(vector["to_secret"]), context=to, bucket_id=vector["to_bucket_id"]
    )
    assert opened == unhex(source["plaintext"])
