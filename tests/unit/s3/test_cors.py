"""Cross-origin rules: the document, and what a browser is told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.s3.wire import as_botocore_reads, as_botocore_writes

from hyok.errors import Malformed, Refused
from hyok.s3.cors import CorsRule, answer_actual, answer_preflight, parse_cors, render_cors

FULL: list[dict[str, Any]] = [
    {
        "ID": "one & only",
        "AllowedHeaders": ["x-amz-*", "Content-Type"],
        "AllowedMethods": ["GET", "PUT", "HEAD", "POST", "DELETE"],
        "AllowedOrigins": ["https://*.gemeente.example", "http://localhost:3000"],
        "ExposeHeaders": ["ETag", "x-amz-request-id"],
        "MaxAgeSeconds": 3000,
    },
    {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]},
]


def written(rules: list[dict[str, Any]]) -> bytes:
    return as_botocore_writes("PutBucketCors", Bucket="b", CORSConfiguration={"CORSRules": rules})


def test_rules_go_both_ways() -> None:
    rules = parse_cors(written(FULL))
    assert rules[0].max_age_s == 3000
    assert as_botocore_reads("GetBucketCors", render_cors(rules)) == {"CORSRules": FULL}


def test_a_hundred_rules_are_taken_and_no_more() -> None:
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}
    assert len(parse_cors(written([rule] * 100))) == 100
    with pytest.raises(Malformed) as refusal:
        parse_cors(written([rule] * 101))
    assert refusal.value.reason == "MalformedXML"


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (None, "MalformedXML"),
        ("", "MalformedXML"),
        ("<AllowedMethod>GET</AllowedMethod>", "MalformedXML"),
        ("<AllowedOrigin>*</AllowedOrigin>", "MalformedXML"),
        ("{o}<AllowedMethod>OPTIONS</AllowedMethod>", "InvalidRequest"),
        ("{o}<AllowedMethod>get</AllowedMethod>", "InvalidRequest"),
        ("{g}<AllowedOrigin>*.a.*</AllowedOrigin>", "InvalidRequest"),
        ("{g}{o}<AllowedHeader>x-*-*</AllowedHeader>", "InvalidRequest"),
        ("{g}{o}<ExposeHeader>x-*</ExposeHeader>", "InvalidRequest"),
        ("{g}{o}<ExposeHeader>a&#10;b: c</ExposeHeader>", "MalformedXML"),
        ("{g}<AllowedOrigin>a&#13;b</AllowedOrigin>", "MalformedXML"),
        ("{g}{o}<MaxAgeSeconds>soon</MaxAgeSeconds>", "MalformedXML"),
        ("{g}{o}<ID>" + "x" * 256 + "</ID>", "MalformedXML"),
    ],
)
def test_other_rules_are_refused(inner: str | None, reason: str) -> None:
    rule = "" if inner is None else f"<CORSRule>{inner}</CORSRule>"
    rule = rule.replace("{o}", "<AllowedOrigin>*</AllowedOrigin>")
    rule = rule.replace("{g}", "<AllowedMethod>GET</AllowedMethod>")
    with pytest.raises(Malformed) as refusal:
        parse_cors(f"<CORSConfiguration>{rule}</CORSConfiguration>".encode())
    assert refusal.value.reason == reason


RULES = (
    CorsRule(
        ("https://*.gemeente.example",),
        ("PUT", "DELETE"),
        ("X-Amz-*", "content-type"),
        ("etag",),
        60,
    ),
    CorsRule(("https://app.example",), ("GET",)),
    CorsRule(("*",), ("HEAD",), ("*",)),
)


def preflight(origin: str, method: str, headers: str | None = None) -> dict[str, str]:
    sent = {"origin": origin, "access-control-request-method": method}
    if headers is not None:
        sent["access-control-request-headers"] = headers
    return dict(answer_preflight(RULES, sent.get))


def test_a_preflight_is_answered_by_the_first_rule_that_fits() -> None:
    answer = preflight("https://zaken.gemeente.example", "PUT", "Content-Type, x-amz-date")
    assert answer == {
        "access-control-allow-origin": "https://zaken.gemeente.example",
        "access-control-allow-methods": "PUT, DELETE",
        "access-control-allow-headers": "content-type, x-amz-date",
        "access-control-expose-headers": "etag",
        "access-control-max-age": "60",
        "access-control-allow-credentials": "true",
        "vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
    }


def test_everybody_is_never_let_in_with_credentials() -> None:
    answer = preflight("https://evil.example", "HEAD", "authorization")
    assert answer["access-control-allow-origin"] == "*"
    assert answer["access-control-allow-headers"] == "authorization"
    assert "access-control-allow-credentials" not in answer


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://zaken.gemeente.example", "GET", None),
        ("https://zaken.gemeente.example", "PUT", "content-type,authorization"),
        ("https://gemeente.example", "PUT", None),
        ("http://zaken.gemeente.example", "PUT", None),
        ("https://zaken.gemeente.example.evil", "PUT", None),
        ("https://app.example", "GET", "x-amz-date"),
        ("https://app.example.evil", "GET", None),
        ("HTTPS://APP.EXAMPLE", "GET", None),
    ],
)
def test_a_preflight_that_no_rule_allows(origin: str, method: str, headers: str | None) -> None:
    with pytest.raises(Refused, match="not allowed") as refusal:
        preflight(origin, method, headers)
    assert refusal.value.reason == "AccessForbidden"


def test_what_is_no_preflight() -> None:
    for sent in ({}, {"origin": "https://a"}, {"origin": "https://a", "x": "y"}):
        with pytest.raises(Malformed) as refusal:
            answer_preflight(RULES, sent.get)
        assert refusal.value.reason == "BadRequest"
    with pytest.raises(Malformed):
        preflight("https://a", "PATCH")
    sent = {"origin": "https://a", "access-control-request-method": "GET"}
    with pytest.raises(Refused, match="not enabled"):
        answer_preflight((), sent.get)


def test_the_answer_of_a_request_tells_its_page_what_it_may_see() -> None:
    answer = dict(answer_actual(RULES, "PUT", "https://zaken.gemeente.example"))
    assert answer["access-control-allow-origin"] == "https://zaken.gemeente.example"
    assert answer["access-control-expose-headers"] == "etag"
    assert "access-control-allow-headers" not in answer
    assert dict(answer_actual(RULES, "HEAD", "null"))["access-control-allow-origin"] == "*"


def test_no_rule_no_header_but_vary() -> None:
    assert [name for name, _ in answer_actual(RULES, "GET", "https://evil.example")] == ["vary"]
    assert answer_actual(RULES, "GET", None) == []
    assert answer_actual((), "GET", "https://a") == []
    # Control characters would forge headers.
    assert [n for n, _ in answer_actual(RULES, "HEAD", "https://a\r\nset-cookie: x")] == ["vary"]


def test_what_stands_around_a_wildcard_never_overlaps() -> None:
    rules = (CorsRule(("https://x*x.example",), ("GET",)),)
    assert [n for n, _ in answer_actual(rules, "GET", "https://x.example")] == ["vary"]
    assert dict(answer_actual(rules, "GET", "https://xx.example"))["vary"]
    assert len(answer_actual(rules, "GET", "https://xyx.example")) > 1
