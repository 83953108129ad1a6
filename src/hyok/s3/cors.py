"""Cross-origin rules of a bucket: the document, and what a browser may be told.

The gateway answers all of it itself; no rule ever reaches the store.

Source: Amazon S3 User Guide, "Using cross-origin resource sharing"; WHATWG Fetch, "HTTP
extensions" (the headers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.errors import Malformed, NotFound, Refused
from hyok.s3.documents import malformed, parse
from hyok.s3.elements import document, leaf, optional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.s3.documents import Element

RULES_MAX = 100
CONFIGURATION_BYTES_MAX = 64 << 10
ID_CHARS_MAX = 255
METHODS = frozenset({"GET", "PUT", "HEAD", "POST", "DELETE"})

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class CorsRule:
    """One rule; origins and headers may each hold one ``*``."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    max_age_s: int | None = None
    id: str = ""


# --- the document --------------------------------------------------------------------------------


def parse_cors(body: bytes | memoryview) -> tuple[CorsRule, ...]:
    """Return the rules of a CORSConfiguration.

    Raises:
        Malformed: bad XML, no rule or more than 100 (``MalformedXML``), or a rule that S3 does
            not allow (``InvalidRequest``).
    """
    rules = parse(body, "CORSConfiguration", CONFIGURATION_BYTES_MAX).all("CORSRule")
    if not 1 <= len(rules) <= RULES_MAX:
        raise malformed()
    return tuple(_rule(element) for element in rules)


def _rule(element: Element) -> CorsRule:
    def texts(name: str) -> tuple[str, ...]:
        found = tuple(child.text.strip() for child in element.all(name))
        for text in found:
            if not text or not text.isprintable():
                raise malformed()  # it would stand in a header of our answers
        return found

    rule = CorsRule(
        origins=texts("AllowedOrigin"),
        methods=texts("AllowedMethod"),
        headers=texts("AllowedHeader"),
        expose=texts("ExposeHeader"),
        max_age_s=_max_age(element.value("MaxAgeSeconds")),
        id=element.value("ID") or "",
    )
    if not rule.origins or not rule.methods or len(rule.id) > ID_CHARS_MAX:
        raise malformed()
    _check_rule(rule)
    return rule


def _check_rule(rule: CorsRule) -> None:
    for method in rule.methods:
        if method not in METHODS:
            raise _invalid(
                f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
            )
    for name, patterns in (("AllowedOrigin", rule.origins), ("AllowedHeader", rule.headers)):
        for pattern in patterns:
            if pattern.count("*") > 1:
                raise _invalid(f'{name} "{pattern}" can not have more than one wildcard.')
    for header in rule.expose:
        if "*" in header:
            raise _invalid(
                f'ExposeHeader "{header}" contains wildcard. We currently do not support wildcard '
                "for ExposeHeader."
            )


def _max_age(text: str | None) -> int | None:
    if text is None:
        return None
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise malformed()
    return int(text)


def _invalid(sentence: str) -> Malformed:
    return Malformed(sentence[:400], reason="InvalidRequest")


def render_cors(rules: Sequence[CorsRule]) -> bytes:
    """Return CORSConfiguration."""
    return document("CORSConfiguration", [_rendered(rule) for rule in rules])


def _rendered(rule: CorsRule) -> str:
    pieces = [optional("ID", rule.id)]
    for name, texts in (
        ("AllowedOrigin", rule.origins),
        ("AllowedMethod", rule.methods),
        ("AllowedHeader", rule.headers),
        ("ExposeHeader", rule.expose),
    ):
        pieces += [leaf(name, text) for text in texts]
    if rule.max_age_s is not None:
        pieces.append(leaf("MaxAgeSeconds", rule.max_age_s))
    return f"<CORSRule>{''.join(pieces)}</CORSRule>"


def no_cors() -> NotFound:
    """Return the error of a bucket without rules, for GetBucketCors."""
    return NotFound("The CORS configuration does not exist", reason="NoSuchCORSConfiguration")


# --- matching ------------------------------------------------------------------------------------


def answer_preflight(rules: Sequence[CorsRule], header: Callable[[str], str | None]) -> Headers:
    """Return the headers that answer an OPTIONS request.

    Raises:
        Malformed: not a preflight (``BadRequest``).
        Refused: no rule allows it (``AccessForbidden``).
    """
    origin = header("origin")
    if not origin:
        raise Malformed(
            "Insufficient information. Origin request header needed.", reason="BadRequest"
        )
    method = (header("access-control-request-method") or "").strip()
    if method not in METHODS:
        raise Malformed(
            f"Invalid Access-Control-Request-Method: {method[:64]}", reason="BadRequest"
        )
    if not rules:
        raise Refused(
            "CORSResponse: CORS is not enabled for this bucket.", reason="AccessForbidden"
        )
    asked = [name.strip().lower() for name in _asked_headers(header)]
    for rule in rules:
        pattern = _origin_pattern(rule, origin)
        if pattern is None or method not in rule.methods:
            continue
        if all(_allows_header(rule, name) for name in asked):
            return _headers(rule, origin, pattern, asked)
    raise Refused(
        "CORSResponse: This CORS request is not allowed. This is usually because the evalution of "
        "Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers "
        "are not whitelisted by the resource's CORS spec.",
        reason="AccessForbidden",
    )


def answer_actual(rules: Sequence[CorsRule], method: str, origin: str | None) -> Headers:
    """Return the headers to add to the answer of a request, errors included.

    None are added when no rule allows it: the browser then hides the answer from the page.
    """
    if not rules or not origin:
        return []
    for rule in rules:
        pattern = _origin_pattern(rule, origin)
        if pattern is not None and method in rule.methods:
            return _headers(rule, origin, pattern, [])
    # What another origin would get differs, so a cache must not mix the two.
    return [("vary", _VARY)]


_VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


def _headers(rule: CorsRule, origin: str, pattern: str, asked: Sequence[str]) -> Headers:
    everyone = pattern == "*"
    headers: Headers = [("access-control-allow-origin", "*" if everyone else origin)]
    headers.append(("access-control-allow-methods", ", ".join(rule.methods)))
    if asked:
        headers.append(("access-control-allow-headers", ", ".join(asked)))
    if rule.expose:
        headers.append(("access-control-expose-headers", ", ".join(rule.expose)))
    if rule.max_age_s is not None:
        headers.append(("access-control-max-age", str(rule.max_age_s)))
    if not everyone:
        headers.append(("access-control-allow-credentials", "true"))
    headers.append(("vary", _VARY))
    return headers


def _asked_headers(header: Callable[[str], str | None]) -> list[str]:
    text = header("access-control-request-headers") or ""
    return [name for name in text.split(",") if name.strip()]


def _origin_pattern(rule: CorsRule, origin: str) -> str | None:
    """Return which of the rule's origins this is; None when it is none of them."""
    if not origin.isprintable():
        return None
    return next((pattern for pattern in rule.origins if _fits(pattern, origin)), None)


def _allows_header(rule: CorsRule, name: str) -> bool:
    return any(_fits(pattern.lower(), name) for pattern in rule.headers)


def _fits(pattern: str, text: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return text == pattern
    return (
        len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)
    )
