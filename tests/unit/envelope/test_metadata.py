"""Metadata: what is present is protected, null and empty included."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.unit.envelope.whole import EXAMPLES

from hyok.envelope import metadata
from hyok.envelope.keys import DataKey
from hyok.envelope.metadata import (
    JSON_BYTES_MAX,
    MAP_MEMBERS,
    MEMBERS,
    TEXT_MEMBERS,
    Metadata,
    open_metadata,
    seal_metadata,
)
from hyok.errors import Malformed, Tampered

DEK = DataKey(bytes(range(32)))
SALT = bytes(16)
OBJECT_ID = b"object-id-16-byt"


def test_what_is_protected_is_written_also_where_the_client_sent_nothing() -> None:
    facts = Metadata(ct="text/csv", um={}, protected=frozenset({"ct", "ce", "um", "tg"}))
    raw = metadata.render(facts)
    assert raw == b'{"ce":null,"ct":"text/csv","tg":null,"um":{}}'
    assert metadata.parse(raw) == facts


def test_what_is_absent_is_left_to_the_store() -> None:
    facts = metadata.parse(b"{}")
    assert facts.protected == frozenset()
    assert metadata.render(facts) == b"{}"
    assert open_metadata(b"", DEK, OBJECT_ID) == facts


def test_members_of_later_versions_are_ignored() -> None:
    facts = metadata.parse(b'{"ct":"a/b","zz":[1,{"y":2}]}')
    assert facts == Metadata(ct="a/b", protected=frozenset({"ct"}))


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
maps = st.dictionaries(texts, texts, max_size=4)


@st.composite
def facts(draw: st.DrawFn) -> Metadata:
    protected = draw(st.sets(st.sampled_from(MEMBERS)))
    values = {m: draw(st.none() | texts) for m in TEXT_MEMBERS if m in protected}
    tables = {m: draw(st.none() | maps) for m in MAP_MEMBERS if m in protected}
    return Metadata(**values, **tables, protected=frozenset(protected))


@EXAMPLES
@given(given_facts=facts())
def test_what_was_sealed_is_what_is_opened(given_facts: Metadata) -> None:
    raw = metadata.render(given_facts)
    assume(len(raw) <= JSON_BYTES_MAX)
    block = seal_metadata(raw, DEK, SALT, OBJECT_ID)
    assert open_metadata(block, DEK, OBJECT_ID) == given_facts


@pytest.mark.parametrize(
    "wrong",
    [
        Metadata(ct="text/csv"),
        Metadata(um={}),
        Metadata(protected=frozenset({"xx"})),
    ],
)
def test_a_value_that_would_be_lost_is_refused(wrong: Metadata) -> None:
    with pytest.raises(Malformed, match="not protected"):
        metadata.render(wrong)


def test_text_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(Malformed, match="UTF-8"):
        metadata.render(Metadata(ct="\ud800", protected=frozenset({"ct"})))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b'{"ct":1}',
        b'{"ct":{}}',
        b'{"um":"x"}',
        b'{"um":[]}',
        b'{"um":{"a":1}}',
        b'{"um":{"a":null}}',
        b'{"tg":{"a":{"b":"c"}}}',
        b'{"ct":"a","ct":"b"}',
        b'{"um":{"a":"b","a":"c"}}',
        b'{"ct":"a"',
        b'{"ct":"\xff"}',
        b"[" * 100_000,
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_anything_but_the_object_of_the_format_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed, match="sealed metadata"):
        metadata.parse(raw)
    forged = SALT + AESGCM(DEK.meta_key(SALT)).encrypt(bytes(12), raw, b"HYOK1 meta" + OBJECT_ID)
    with pytest.raises(Tampered, match="breaks a rule"):
        open_metadata(forged, DEK, OBJECT_ID)


def test_every_flipped_byte_and_every_cut_is_refused() -> None:
    block = seal_metadata(b'{"ct":"a/b"}', DEK, SALT, OBJECT_ID)
    for at in range(len(block)):
        with pytest.raises(Tampered):
            open_metadata(block[:at] + bytes([block[at] ^ 1]) + block[at + 1 :], DEK, OBJECT_ID)
        if at:
            with pytest.raises(Tampered):
                open_metadata(block[:at], DEK, OBJECT_ID)


def test_a_block_belongs_to_one_object_and_one_key() -> None:
    block = seal_metadata(b"{}", DEK, SALT, OBJECT_ID)
    with pytest.raises(Tampered):
        open_metadata(block, DEK, OBJECT_ID[::-1])
    with pytest.raises(Tampered):
        open_metadata(block, DataKey(bytes(32)), OBJECT_ID)


def test_too_much_metadata_is_refused_by_its_name() -> None:
    assert len(seal_metadata(bytes(JSON_BYTES_MAX), DEK, SALT, OBJECT_ID)) == JSON_BYTES_MAX + 32
    with pytest.raises(Malformed) as caught:
        seal_metadata(bytes(JSON_BYTES_MAX + 1), DEK, SALT, OBJECT_ID)
    assert caught.value.reason == "MetadataTooLarge"
