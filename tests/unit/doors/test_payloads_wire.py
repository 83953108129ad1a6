"""JSON kept as written, pointers, tokens: the pure parts of the payloads door."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from hyok.doors.payloads import fields, jwe, pointers, wire
from hyok.doors.payloads.jwe import Key, Kid
from hyok.doors.payloads.literal_json import DEPTH_MAX, Number, parse, render
from hyok.errors import Malformed

plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(value=plain_json)
def test_what_is_parsed_and_rendered_says_the_same(value: Any) -> None:
    raw = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    assert render(parse(raw)) == raw
    assert json.loads(render(parse(json.dumps(value).encode()))) == value


@pytest.mark.parametrize(
    "text",
    ["1.0", "1", "-0", "1E400", "1e-7", "0.10", "123456789012345678901234567890", "9" * 5000],
)
def test_a_number_stays_as_it_was_written(text: str) -> None:
    assert render(parse(text.encode())) == text.encode()
    assert parse(text.encode()) == Number(text)


def test_members_stay_in_their_order_and_escapes_say_the_same() -> None:
    raw = '{"z": 1, "a" : {"y":[ ] , "b":{}} , "é":"\\u00e9\\n\\/"}'.encode()
    assert render(parse(raw)) == '{"z":1,"a":{"y":[],"b":{}},"é":"é\\n/"}'.encode()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"a":1,"a":2}', "'a' is there twice"),
        (b'{"a":{"b":1,"\\u0062":2}}', "'b' is there twice"),
        (b"[NaN]", "not JSON"),
        (b"[Infinity]", "not JSON"),
        (b'"\\ud800"', "not JSON"),
        (b'{"\\udc00x":1}', "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"\xef\xbb\xbf1", "not JSON"),
        ("1".encode("utf-16"), "not JSON"),
        (b"", "not JSON"),
        (b"01", "not JSON"),
        (b"1 2", "not JSON"),
        (b"'a'", "not JSON"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "deeper"),
        (b"[" * 100_000, "not JSON"),
        (b"[" + b"0," * 500_001 + b"0]", "parts"),
    ],
)
def test_json_that_readers_could_take_differently_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(Malformed, match=said) as caught:
        parse(raw)
    assert caught.value.code == "HY-2704"


def test_the_deepest_json_that_is_served_is_served() -> None:
    assert parse(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)


DOCUMENT: Any = {
    "a": [{"x": "1", "y": "2"}, {"x": "3"}, "kaal"],
    "m": {"p": {"x": "4"}, "*": {"x": "5"}},
    "~/": "6",
    "*": "7",
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/a/*/x", [("/a/0/x", "/a/*/x", "1"), ("/a/1/x", "/a/*/x", "3")]),
        ("/a/1/x", [("/a/1/x", "/a/*/x", "3")]),
        ("/a/2", [("/a/2", "/a/*", "kaal")]),
        ("/m/*/x", [("/m/p/x", "/m/p/x", "4"), ("/m/~2/x", "/m/~2/x", "5")]),
        ("/m/~2/x", [("/m/~2/x", "/m/~2/x", "5")]),
        ("/~0~1", [("/~0~1", "/~0~1", "6")]),
        ("/~2", [("/~2", "/~2", "7")]),
        *((missing, []) for missing in ("/b", "/a/9/x", "/a/-", "/a/01", "/a/x", "/a/0/x/z", "/")),
    ],
)
def test_pointers_lead_to_places_and_a_missing_one_is_no_error(text: str, found: Any) -> None:
    places = pointers.find(DOCUMENT, pointers.parse(text))
    assert [(place.pointer, place.canonical, place.value) for place in places] == found


@pytest.mark.parametrize("text", ["", "a", "a/b", "/~", "/~3", "/a~", "/" + "x" * 1024, "/a" * 65])
def test_what_is_no_pointer_to_a_field_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        pointers.parse(text)
    assert caught.value.code == "HY-2705"


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("/a", "/a", True),
        ("/a", "/a/b", True),
        ("/a/*", "/a/b", True),
        ("/*/x", "/a/*", True),
        ("/a/b", "/a/c", False),
        ("/*/x", "/*/y", False),
        ("/a/~2", "/a/*", True),
        ("/a/~2", "/a/b", False),
    ],
)
def test_fields_that_can_meet_are_refused(one: str, other: str, meet: bool) -> None:
    both = [pointers.parse(one), pointers.parse(other)]
    if meet:
        with pytest.raises(Malformed, match="can meet"):
            pointers.check_apart(both)
    else:
        pointers.check_apart(both)


def test_a_member_called_star_is_told_from_an_array() -> None:
    in_array = pointers.find({"a": [{"x": 1}]}, pointers.parse("/a/*/x"))
    in_member = pointers.find({"a": {"*": {"x": 1}}}, pointers.parse("/a/*/x"))
    assert in_array[0].canonical != in_member[0].canonical


KEK, CONTENT = bytes(range(32)), bytes(range(32, 64))
KID = Kid("gemeente", "zaken", 3)


def made(context: dict[str, str], plain: bytes = b"geheim") -> str:
    iv = secrets.token_bytes(12)
    whole = AESGCM(KEK).encrypt(iv, CONTENT, b"")
    key = Key(whole[:-16], iv, whole[-16:])
    return jwe.write(KID, context, key, CONTENT, secrets.token_bytes(12), plain)


def head_of(token: str) -> dict[str, Any]:
    raw = jwe.decode(token.split(".", maxsplit=1)[0])
    return dict(json.loads(raw))


def with_head(token: str, head: Any) -> str:
    raw = head if isinstance(head, bytes) else json.dumps(head).encode()
    return ".".join((jwe.encode(raw), *token.split(".")[1:]))


def test_a_token_has_the_header_of_the_profile_and_reads_back() -> None:
    token = made({"app": "zaaksysteem", "id": "é"})
    head = head_of(token)
    assert {name: head[name] for name in ("alg", "enc", "typ", "kid", "ctx", "crit")} == {
        "alg": "A256GCMKW",
        "enc": "A256GCM",
        "typ": "hyok+jwe",
        "kid": "gemeente/zaken/3",
        "ctx": {"app": "zaaksysteem", "id": "é"},
        "crit": ["ctx"],
    }
    assert set(head) == {"alg", "enc", "typ", "kid", "ctx", "crit", "iv", "tag"}
    assert "ctx" not in head_of(made({}))
    assert "crit" not in head_of(made({}))
    read = jwe.read(token)
    assert (read.kid, read.context) == (KID, {"app": "zaaksysteem", "id": "é"})
    assert jwe.open_content(read, CONTENT) == b"geheim"
    assert jwe.open_content(read, KEK) is None


def without(name: str) -> Any:
    return lambda head: {key: value for key, value in head.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        *(lambda head, alg=alg: head | {"alg": alg} for alg in ("dir", "none", "RSA1_5", "", 1)),
        *(lambda head, alg=alg: head | {"alg": alg} for alg in ("A128GCMKW", "A256KW", "RSA-OAEP")),
        *(lambda head, enc=enc: head | {"enc": enc} for enc in ("A128GCM", "A256CBC-HS512", None)),
        lambda head: head | {"zip": "DEF"},
        lambda head: head | {"typ": "JWT"},
        lambda head: head | {"b64": False},
        lambda head: head | {"jku": "https://x"},
        *(
            lambda head, crit=crit: head | {"crit": crit}
            for crit in (["exp"], ["ctx", "exp"], ["ctx", "ctx"], [], "ctx", ["ctx", "b64"])
        ),
        *(lambda head, ctx=ctx: head | {"ctx": ctx} for ctx in ([], "x", {"a": 1}, {"": "x"})),
        lambda head: head | {"ctx": {f"m{n}": "x" for n in range(33)}},
        lambda head: head | {"ctx": {"a": "x" * 4097}},
        without("ctx"),
        *map(without, ("alg", "enc", "typ", "kid", "iv", "tag")),
        *(
            lambda head, kid=kid: head | {"kid": kid}
            for kid in ("zaken/3", "gemeente/zaken/0", "gemeente/zaken/03", "a/b/c/3", "/zaken/3")
        ),
        lambda head: head | {"iv": "AAAA"},
        lambda head: head | {"tag": "AAAA"},
        lambda _: b"[]",
        lambda _: b"x",
        lambda head: json.dumps(head).encode().replace(b'"alg"', b'"alg":"x","alg"'),
    ],
)
def test_a_header_that_is_not_the_profiles_is_refused(change: Any) -> None:
    token = made({"id": "1"})
    jwe.read(token)
    with pytest.raises(Malformed) as caught:
        jwe.read(with_head(token, change(head_of(token))))
    assert caught.value.code == "HY-2701"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.rpartition(".")[0],
        lambda text: text + ".x",
        lambda text: text + "=",
        lambda text: text + "\n",
        lambda text: text[:-1] + "é",
        lambda text: "." + text.partition(".")[2],
        lambda text: text.replace(".", "..", 1),
        lambda text: text.rpartition(".")[0] + ".",
    ],
)
def test_what_is_no_compact_form_is_refused(change: Any) -> None:
    with pytest.raises(Malformed):
        jwe.read(change(made({})))


def test_base64url_has_one_way_to_write_each_value() -> None:
    assert jwe.decode("AA") == b"\0"
    for other in ("AB", "AA==", "A", "A A", "+A", "/A"):
        with pytest.raises(Malformed):
            jwe.decode(other)


@given(raw=st.binary(max_size=100))
def test_base64url_is_what_others_take_it_for(raw: bytes) -> None:
    text = urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert jwe.encode(raw) == text
    assert jwe.decode(text) == raw


@given(text=st.text("ABQgwx-_", max_size=8))
def test_no_other_text_says_the_same_bytes(text: str) -> None:
    try:
        raw = jwe.decode(text)
    except Malformed:
        return
    assert jwe.encode(raw) == text


@given(
    text=st.text(max_size=60)
    | st.binary(max_size=60).map(lambda raw: urlsafe_b64encode(raw).decode() + "." * 4)
)
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    with pytest.raises(Malformed):
        jwe.read(text)


@given(raw=st.binary(max_size=80))
def test_no_bytes_at_all_break_the_reader_of_json(raw: bytes) -> None:
    try:
        found = parse(raw)
    except Malformed:
        return
    assert parse(render(found)) == found


def test_an_index_is_of_the_value_as_people_compare_it() -> None:
    def text(value: Any, over: Any = None, **context: str) -> bytes | None:
        return fields.index_text(value, context or {"app": "z", "id": "1"}, "/bsn", over)

    assert text(" Straße ") == text("STRASSE")
    assert text("e\u0301") == text("\u00e9")
    assert text("1") != text(Number("1"))
    assert text("x") != text("x", app="z", id="2")
    assert text("x", ("app",)) == text("x", ("app",), app="z", id="2")
    assert text("x") != fields.index_text("x", {"app": "z", "id": "1"}, "/ander", None)
    assert text(None) is None
    for wrong in (True, {}, []):
        with pytest.raises(Malformed):
            text(wrong)
    with pytest.raises(Malformed, match="has no 'b'"):
        text("x", ("b",))
    assert len(fields.index_of(bytes(32))) == 22


@pytest.mark.parametrize(
    "fields_",
    [
        [],
        "x",
        [1],
        ["/a", "/a"],
        [{"pointer": "/a", "maxLength": 0}],
        [{"pointer": "/a", "maxLength": 1.5}],
        [{"pointer": "/a", "maxLength": True}],
        [{"pointer": "/a", "maxlength": 5}],
        [{"maxLength": 5}],
        [{"pointer": "/a/*", "index": {"key": "k", "member": "b"}}],
        [{"pointer": "/a", "index": {"key": "k", "member": "a"}}],
        [{"pointer": "/a", "index": {"key": "k", "member": "b"}}, "/b"],
        [{"pointer": "/a", "index": {"key": "k", "member": "b", "context": "x"}}],
        [{"pointer": "/a", "index": {"key": "/", "member": "b"}}],
        ["/x"] * 257,
    ],
)
def test_fields_that_say_nothing_sound_are_refused(fields_: Any) -> None:
    body = {"key": "kms", "document": {}, "fields": fields_}
    with pytest.raises(Malformed):
        wire.parse_encrypt_json(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        ("application/json", True),
        ("Application/JSON; charset=UTF-8", True),
        ('application/json;charset="utf-8"', True),
        ("application/json; charset=latin1", False),
        ("application/x-www-form-urlencoded", False),
        ("text/plain", False),
        ("application/jsonx", False),
        ("", False),
    ],
)
def test_a_body_is_json_or_it_is_refused(kind: str, good: bool) -> None:
    headers = [(b"content-type", kind.encode())]
    if good:
        wire.check_type(headers)
        with pytest.raises(Malformed):
            wire.check_type([*headers, (b"content-encoding", b"gzip")])
    else:
        with pytest.raises(Malformed):
            wire.check_type(headers)
