"""The pure parts of the key service for Google: wrapped keys, tokens' claims, rules, requests."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.doors.kacls import wire
from hyok.doors.kacls.blob import (
    BLOB_BYTES_MAX,
    Blob,
    Content,
    encode_content,
    head_of,
    parse_blob,
    parse_content,
    resource_key_hash,
)
from hyok.doors.kacls.claims import (
    Application,
    Authentication,
    Authorization,
    authentication_of,
    authorization_of,
)
from hyok.doors.kacls.rules import (
    APPLICATIONS,
    PRIVILEGED,
    ROLES,
    Method,
    Own,
    Perimeter,
    check_administrator,
    check_call,
    check_perimeter,
    check_resource,
    check_same_perimeter,
    check_user,
)
from hyok.errors import Malformed, NotAuthenticated, Refused

URL = "https://kacls.gemeente.example/v1"
OWN = Own(URL, owner_domain="gemeente.example")
WHO = Authentication("Jan@gemeente.example")
MAY = Authorization("jan@Gemeente.example", "writer", "doc-42", URL)
CLAIMS = {"email": "jan@gemeente.example", "role": "writer", "resource_name": "doc-42"}
CLAIMS |= {"kacls_url": URL}


@pytest.mark.parametrize(
    ("key", "resource", "perimeter", "digest"),
    [
        ("8A0=", "my_resource", "my_perimeter", "EfRLb/AKdtsPSfX+vZ/Pi8h6bmKhBTu4egOABRnEdCg="),
        ("AAECAwQFBgcICQoLDA0ODw==", "doc-42", "", "HkMb/eJyUl8Q0jQZ7s01h0YUax17HnxmvFrxRQ0cWHU="),
    ],
)
def test_the_hash_of_a_resources_key_is_googles(
    key: str, resource: str, perimeter: str, digest: str
) -> None:
    assert resource_key_hash(Content(b64decode(key), resource, perimeter)) == digest


@given(st.binary(min_size=1, max_size=128), st.text(max_size=128), st.text(max_size=32))
def test_content_comes_back_as_it_was(key: bytes, resource: str, perimeter: str) -> None:
    content = Content(key, resource, perimeter)
    raw = encode_content(content)
    assert parse_content(raw) == content
    assert parse_content(raw + b"\0") is None
    assert parse_content(raw[:-1]) != content


@given(st.binary(max_size=60))
def test_bytes_that_are_no_content_are_none(raw: bytes) -> None:
    found = parse_content(raw)
    assert found is None or encode_content(found) == raw


def test_the_largest_wrapped_key_fits_what_google_keeps() -> None:
    content = encode_content(Content(bytes(128), "n" * 512, "p" * 128))
    whole = head_of("k" * 64, 999_999_999) + bytes(12) + content + bytes(16)
    assert len(whole) <= BLOB_BYTES_MAX
    assert parse_blob(whole) == Blob("k" * 64, 999_999_999, bytes(12), content, bytes(16))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x01",
        b"\x02" + head_of("k", 1)[1:] + bytes(40),  # another form
        b"\x01\x03k/0" + bytes(40),  # versions begin at 1
        b"\x01\x041/01" + bytes(40),  # one way to write a number
        b"\x01\x03k-1" + bytes(40),
        b"\x01\x03\xff/1" + bytes(40),
        b"\x01\x05a\nb/1" + bytes(40),
        b"\x01\x06a/b/1" + bytes(40),
        head_of("k", 1) + bytes(33),  # shorter than any content
        head_of("k", 1) + bytes(BLOB_BYTES_MAX),
    ],
)
def test_what_was_not_wrapped_here_is_none(raw: bytes) -> None:
    assert parse_blob(raw) is None


# -- claims ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [False, "false", None, 0, "True", []])
def test_an_email_that_its_provider_did_not_verify_is_nobodys(said: object) -> None:
    claims = {"email": "a@b.example", "email_verified": said}
    with pytest.raises(NotAuthenticated, match="email_verified"):
        authentication_of(claims)
    beside = claims | {"google_email": "c@d.example"}  # of which the claim says nothing
    assert authentication_of(beside).email == "c@d.example"
    for good in ({}, {"email_verified": True}, {"email_verified": "true"}):
        assert authentication_of({"email": "a@b.example", **good}).email == "a@b.example"


def test_google_email_stands_for_email() -> None:
    said = {"email": "a@b.example", "google_email": "c@d.example"}
    assert authentication_of(said) == Authentication("c@d.example")
    with pytest.raises(NotAuthenticated, match="google_email"):
        authentication_of({"email": "a@b.example", "google_email": 7})


@pytest.mark.parametrize(
    "change",
    [
        {"email": None},
        {"email": ""},
        {"email": ["jan@gemeente.example"]},
        {"role": None},
        {"kacls_url": None},
        {"resource_name": "n" * 129},
        {"perimeter_id": "p" * 129},
        {"resource_name": "a\nb"},
        {"resource_name": "\ud800"},
        {"email": "\udcff@gemeente.example"},
    ],
)
def test_a_claim_that_is_not_what_it_must_be_is_no_authorization(change: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated):
        authorization_of({**CLAIMS, **change}, Application.DRIVE)


def test_gmail_has_longer_names() -> None:
    name = "n" * 512
    assert (
        authorization_of({**CLAIMS, "resource_name": name}, Application.GMAIL).resource_name == name
    )


def test_a_delegation_names_its_resource() -> None:
    with pytest.raises(NotAuthenticated, match="without a resource"):
        authentication_of({"email": "a@b.example", "delegated_to": "c@d.example"})


# -- rules -----------------------------------------------------------------------------------------


def test_one_user_is_one_user_whatever_the_case() -> None:
    check_user(Method.WRAP, WHO, MAY)


DELEGATE = replace(WHO, delegated_to="x@y", resource_name="doc-42", own=True)


@pytest.mark.parametrize(
    ("method", "who", "may", "why"),
    [
        (Method.WRAP, replace(WHO, email="piet@gemeente.example"), MAY, "two users"),
        # Unicode folds these two into one; they are two people's addresses.
        (
            Method.WRAP,
            replace(WHO, email="straße@gemeente.example"),
            replace(MAY, email="strasse@gemeente.example"),
            "two users",
        ),
        (
            Method.WRAP,
            replace(WHO, email="\u212aarel@gemeente.example"),
            replace(MAY, email="karel@gemeente.example"),
            "two users",
        ),
        (Method.WRAP, WHO, replace(MAY, email_type="google-visitor"), "guests"),
        (Method.WRAP, WHO, replace(MAY, email_type="customer-idp"), "guests"),
        (Method.WRAP, replace(WHO, guest=True), replace(MAY, email_type="else"), "guests"),
        (Method.WRAP, replace(WHO, guest=True), MAY, "for guests alone"),
        (Method.WRAP, DELEGATE, MAY, "delegation"),
        (
            Method.WRAP,
            replace(DELEGATE, resource_name="doc-43"),
            replace(MAY, delegated_to="x@y"),
            "delegation",
        ),
        (Method.WRAP, replace(DELEGATE), replace(MAY, delegated_to="z@y"), "delegation"),
        (Method.WRAP, WHO, replace(MAY, delegated_to="x@y"), "delegate"),
        (Method.DELEGATE, WHO, MAY, "delegated"),
        (Method.DELEGATE, DELEGATE, replace(MAY, delegated_to="x@y"), "delegate"),
    ],
)
def test_another_user_is_refused(
    method: Method, who: Authentication, may: Authorization, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        check_user(method, who, may)


def test_a_guest_is_let_in_where_guests_are() -> None:
    check_user(Method.WRAP, replace(WHO, guest=True), replace(MAY, email_type="customer-idp"))


def test_a_delegate_is_let_in_for_the_resource_of_the_delegation() -> None:
    who = replace(DELEGATE, delegated_to="X@y")
    check_user(Method.WRAP, who, replace(MAY, delegated_to="x@Y"))
    check_user(Method.DELEGATE, WHO, replace(MAY, delegated_to="x@Y"))


def test_a_token_of_ours_says_for_whom_it_is() -> None:
    said = {"email": "a@b.example", "delegated_to": "c@d.example", "resource_name": "doc-42"}
    assert authentication_of(said, own=True).own
    for name in ("delegated_to", "resource_name"):
        with pytest.raises(NotAuthenticated):
            authentication_of({**said, name: None}, own=True)
    assert not authentication_of(said, own=True, guest=True).guest, "it says so itself"
    assert authentication_of({**said, "hyok_guest": True}, own=True).guest
    assert not authentication_of({**said, "hyok_guest": True}).guest, "a provider cannot"


@pytest.mark.parametrize(
    ("method", "role", "served"),
    [
        (Method.WRAP, "writer", True),
        (Method.WRAP, "upgrader", True),
        (Method.WRAP, "reader", False),
        (Method.UNWRAP, "reader", True),
        (Method.UNWRAP, "writer", True),
        (Method.UNWRAP, "upgrader", False),
        (Method.UNWRAP, "verifier", False),
        (Method.DIGEST, "verifier", True),
        (Method.DIGEST, "reader", False),
        (Method.UNWRAP, "Reader", False),
    ],
)
def test_roles(method: Method, role: str, served: bool) -> None:
    application = max(APPLICATIONS[method])
    may = replace(MAY, role=role, application=application)
    if served:
        check_call(method, may, OWN)
    else:
        with pytest.raises(Refused, match="role"):
            check_call(method, may, OWN)


def test_our_address_may_end_in_one_slash_and_is_else_exact() -> None:
    check_call(Method.WRAP, replace(MAY, kacls_url=URL + "/"), OWN)
    for other in (URL + "//", URL.replace("v1", "V1"), URL.replace("https", "http"), ""):
        with pytest.raises(Refused, match="another key service"):
            check_call(Method.WRAP, replace(MAY, kacls_url=other), OWN)


def test_each_method_takes_the_authorizations_that_are_for_it() -> None:
    for method, taken in APPLICATIONS.items():
        role = min(ROLES.get(method, {"reader"}))
        for application in Application:
            may = replace(MAY, role=role, application=application)
            if application in taken:
                check_call(method, may, OWN)
            else:
                with pytest.raises(Refused, match="does not"):
                    check_call(method, may, OWN)
    assert set(APPLICATIONS) | PRIVILEGED | {Method.STATUS, Method.CERTS} == set(Method)


def test_domain() -> None:
    check_call(Method.WRAP, replace(MAY, owner_domain="Gemeente.example"), OWN)
    with pytest.raises(Refused, match="domain"):
        check_call(Method.WRAP, replace(MAY, owner_domain="ander.example"), OWN)


WALLED = replace(
    OWN,
    perimeters={
        "binnen": Perimeter((ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))),
        "raad": Perimeter((), {"groups": frozenset({"raad", "griffie"})}),
        "": Perimeter(),
    },
)


@pytest.mark.parametrize(
    ("perimeter", "origin", "claims", "served"),
    [
        ("", "192.0.2.7", {}, True),
        ("buiten", "10.1.2.3", {}, False),
        ("binnen", "10.1.2.3", {}, True),
        ("binnen", "::ffff:10.1.2.3", {}, True),
        ("binnen", "2001:db8::7", {}, True),
        ("binnen", "192.0.2.7", {}, False),
        ("binnen", "", {}, False),
        ("raad", "192.0.2.7", {"groups": ["x", "griffie"]}, True),
        ("raad", "192.0.2.7", {"groups": "raad"}, True),
        ("raad", "192.0.2.7", {"groups": ["Raad"]}, False),
        ("raad", "192.0.2.7", {"groups": {"raad": 1}}, False),
        ("raad", "192.0.2.7", {}, False),
    ],
)
def test_perimeters(perimeter: str, origin: str, claims: dict[str, Any], served: bool) -> None:
    who = replace(WHO, claims=claims)
    if served:
        check_perimeter(perimeter, WALLED, who, origin)
    else:
        with pytest.raises(Refused, match="perimeter"):
            check_perimeter(perimeter, WALLED, who, origin)
    check_perimeter(perimeter, OWN, who, origin)  # where there are none, nobody is kept out


def test_nobody_personal_is_kept_to_perimeters_that_there_are() -> None:
    check_perimeter("binnen", WALLED, None, "192.0.2.7")
    with pytest.raises(Refused, match="none of ours"):
        check_perimeter("buiten", WALLED, None, "192.0.2.7")


def test_data_moves_between_perimeters_where_the_settings_say_so() -> None:
    check_same_perimeter("binnen", "binnen", OWN)
    check_same_perimeter("binnen", "raad", replace(OWN, moves=True))
    for held, asked in (("binnen", "raad"), ("binnen", ""), ("", "binnen")):
        with pytest.raises(Refused, match="another perimeter"):
            check_same_perimeter(held, asked, OWN)


def test_an_administrator_comes_by_name_and_in_person() -> None:
    own = replace(OWN, administrators=frozenset({"jan@gemeente.example"}))
    check_administrator(WHO, own)
    for who in (
        replace(WHO, email="piet@gemeente.example"),
        replace(WHO, guest=True),
        DELEGATE,
        replace(WHO, delegated_to="x@y"),
    ):
        with pytest.raises(Refused) as caught:
            check_administrator(who, own)
        assert caught.value.code == "HY-2685"
    with pytest.raises(Refused):
        check_administrator(WHO, OWN)


def test_a_wrapped_key_opens_its_own_resource_alone() -> None:
    check_resource("doc-42", "doc-42")
    with pytest.raises(Refused, match="another resource"):
        check_resource("doc-42", "DOC-42")


# -- requests and answers ----------------------------------------------------------------------

BODY: dict[str, Any] = {
    "authentication": "a.b.c",
    "authorization": "d.e.f",
    "key": b64encode(bytes(32)).decode(),
    "reason": "{client:'drive'}",
}


def parsed(method: Method, body: dict[str, Any]) -> wire.Asked:
    kept = {name: value for name, value in body.items() if value is not None}
    return wire.parse(method, json.dumps(kept).encode())


def test_a_wrap_is_read() -> None:
    asked = parsed(Method.WRAP, BODY)
    assert asked == wire.Asked(Method.WRAP, "a.b.c", "d.e.f", "{client:'drive'}", bytes(32))


@pytest.mark.parametrize(
    ("method", "change"),
    [
        (Method.WRAP, {"authentication": None}),
        (Method.WRAP, {"authorization": None}),
        (Method.WRAP, {"authorization": 1}),
        (Method.WRAP, {"key": None}),
        (Method.WRAP, {"key": ""}),
        (Method.WRAP, {"key": "AA"}),
        (Method.WRAP, {"key": "A_=="}),
        (Method.WRAP, {"key": b64encode(bytes(129)).decode()}),
        (Method.WRAP, {"reason": "r" * 1025}),
        (Method.WRAP, {"reason": 1}),
        (Method.UNWRAP, {}),
        (Method.UNWRAP, {"wrapped_key": b64encode(bytes(1025)).decode()}),
        (Method.PRIVILEGED_WRAP, {}),
        (Method.PRIVILEGED_WRAP, {"resource_name": ""}),
        (Method.PRIVILEGED_WRAP, {"resource_name": "n" * 513}),
        (Method.PRIVILEGED_WRAP, {"resource_name": "n", "perimeter_id": 1}),
        (Method.PRIVILEGED_WRAP, {"resource_name": "n", "perimeter_id": "p" * 129}),
        (Method.PRIVILEGED_WRAP, {"resource_name": "\ud800"}),
        (Method.REWRAP, {"wrapped_key": "AA=="}),
        (Method.REWRAP, {"wrapped_key": "AA==", "original_kacls_url": ""}),
        (Method.DELEGATE, {"authentication": ""}),
    ],
)
def test_a_member_that_is_not_what_it_must_be_is_malformed(
    method: Method, change: dict[str, Any]
) -> None:
    with pytest.raises(Malformed) as caught:
        parsed(method, {**BODY, **change})
    assert caught.value.code == "HY-2682"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"key":1,"key":2}', b'{"a":NaN}', b"\xff"])
def test_a_body_that_is_no_object_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        wire.parse(Method.WRAP, raw)


def test_a_reason_is_words_and_nothing_else() -> None:
    assert parsed(Method.WRAP, {**BODY, "reason": "a\n\x1b[2J"}).reason == "a\\n\\x1b[2J"


def test_privileged_calls_read_no_authorization() -> None:
    body = {**BODY, "resource_name": "doc-42", "perimeter_id": "p", "authorization": None}
    asked = parsed(Method.PRIVILEGED_WRAP, body)
    assert (asked.authorization, asked.resource_name, asked.perimeter_id) == ("", "doc-42", "p")


@pytest.mark.parametrize(
    ("target", "method"),
    [
        (b"/v1/wrap", Method.WRAP),
        (b"/v1/status", Method.STATUS),
        (b"/v1/wrap?x", None),
        (b"/v1/WRAP", None),
        (b"/v1//wrap", None),
        (b"/wrap", None),
        (b"/v1/", None),
        (b"/v1/\xff", None),
    ],
)
def test_paths(target: bytes, method: Method | None) -> None:
    assert wire.parse_target(target, "/v1") is method
    assert wire.parse_target(target, "/v1/") is method


def test_errors_have_googles_shape() -> None:
    assert json.loads(wire.render_error(403, "no", "why")) == {
        "code": 403,
        "message": "no",
        "details": "why",
    }
