"""Lifecycle rules of a bucket: the document that clients send and are told again.

The gateway keeps the rules and carries them out itself; none ever reaches the store, which could
not see sealed names, sizes and tags.  What a rule means for an object is in `expiry`.

Source: Amazon S3 API Reference, PutBucketLifecycleConfiguration, GetBucketLifecycleConfiguration;
Amazon S3 User Guide, "Lifecycle configuration elements".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from hyok.errors import Malformed, NotFound
from hyok.s3.documents import malformed, parse, tag_pair
from hyok.s3.elements import document, flag, leaf, timestamp
from hyok.s3.tags import check_tags
from hyok.s3.times import parse_date

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.s3.documents import Element

KIND = "lifecycle"
"""Under this name a bucket keeps the document."""

RULES_MAX = 1000
CONFIGURATION_BYTES_MAX = 1 << 20
ID_CHARS_MAX = 255
PREFIX_BYTES_MAX = 1024
NUMBER_MAX = 2**31 - 1
NEWER_NONCURRENT_MAX = 100
DAY_MS = 86_400_000

MINIMUM_HEADER = "x-amz-transition-default-minimum-object-size"
MINIMUMS = ("all_storage_classes_128K", "varies_by_storage_class")
"""What the header may say, the default first.  It is about transitions, which nothing here makes;
so it is kept and told again."""

_TRANSITIONS = ("Transition", "NoncurrentVersionTransition")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which objects a rule is about: those for which all of it holds."""

    prefix: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    larger_than: int | None = None  # plaintext bytes
    smaller_than: int | None = None
    both: Filter | None = None  # what stood in And

    def matches(self, key: str, size: int | None, tags: Mapping[str, str] | None) -> bool:
        """Does it hold?  What is None is not known yet, and holds."""
        return (
            key.startswith(self.prefix or "")
            and (size is None or self.larger_than is None or size > self.larger_than)
            and (size is None or self.smaller_than is None or size < self.smaller_than)
            and (tags is None or all(tags.get(name) == value for name, value in self.tags))
            and (self.both is None or self.both.matches(key, size, tags))
        )

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Every prefix that a key must have."""
        return (self.prefix or "", *(self.both.prefixes if self.both else ()))

    @property
    def by_tags(self) -> bool:
        """Does it depend on tags?"""
        return bool(self.tags) or (self.both is not None and self.both.by_tags)

    @property
    def by_size(self) -> bool:
        """Does it depend on the size?"""
        mine = self.larger_than is not None or self.smaller_than is not None
        return mine or (self.both is not None and self.both.by_size)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.  Days are numbers from 1; None: the rule does not say."""

    id: str
    enabled: bool
    filter: Filter
    old_form: bool = False  # a Prefix beside the actions, and no Filter
    days: int | None = None
    date_ms: int | None = None  # unix time, milliseconds; midnight UTC
    expired_marker: bool | None = None
    noncurrent_days: int | None = None
    newer_noncurrent: int | None = None
    abort_days: int | None = None

    @property
    def destroys(self) -> bool:
        """May it take an object away?  Markers with nothing below and uploads are no objects."""
        given = (self.days, self.date_ms, self.noncurrent_days)
        return any(value is not None for value in given)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A bucket's rules."""

    rules: tuple[Rule, ...]
    minimum: str = MINIMUMS[0]

    @property
    def destroys(self) -> bool:
        """May a rule take an object away, now or once it is enabled?"""
        return any(rule.destroys for rule in self.rules)


# --- reading -------------------------------------------------------------------------------------


def parse_lifecycle(
    body: bytes | memoryview, new_id: Callable[[], str], minimum: str | None = None
) -> Lifecycle:
    """Return the rules of a LifecycleConfiguration.

    ``new_id`` names a rule that came without an id; ``minimum`` is what `MINIMUM_HEADER` says.

    Raises:
        Malformed: as Amazon S3 says it: ``MalformedXML``, ``InvalidArgument``, ``InvalidRequest``;
            ``InvalidStorageClass`` where a rule moves objects to another storage class.
    """
    if minimum not in (None, "", *MINIMUMS):
        raise Malformed(f"The value of {MINIMUM_HEADER} is not valid.", reason="InvalidArgument")
    elements = parse(body, "LifecycleConfiguration", CONFIGURATION_BYTES_MAX).all("Rule")
    if not 1 <= len(elements) <= RULES_MAX:
        raise malformed()
    rules = tuple(_rule(element, new_id) for element in elements)
    if len({rule.old_form for rule in rules}) > 1:
        raise _request(
            "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the "
            "Filter."
        )
    if len({rule.id for rule in rules}) < len(rules):
        raise _argument("Rule ID must be unique. Found same ID for more than one rule")
    return Lifecycle(rules, minimum or MINIMUMS[0])


def _rule(element: Element, new_id: Callable[[], str]) -> Rule:
    for name in _TRANSITIONS:
        if element.all(name):
            raise Malformed(
                f"A {name} moves objects to another storage class, and STANDARD is the only one "
                "that is served here. Expire them instead, or leave them.",
                reason="InvalidStorageClass",
            )
    rule_id = (element.value("ID") or "").strip()
    if len(rule_id) > ID_CHARS_MAX:
        raise _argument(f"ID length should not exceed allowed limit of {ID_CHARS_MAX}")
    status = (element.value("Status") or "").strip()
    if status not in ("Enabled", "Disabled"):
        raise malformed()
    wanted, old_form = _filter_of(element)
    days, date_ms, marker = _expiration(_only(element, "Expiration"))
    noncurrent, newer = _noncurrent(_only(element, "NoncurrentVersionExpiration"))
    rule = Rule(
        id=rule_id or new_id(),
        enabled=status == "Enabled",
        filter=wanted,
        old_form=old_form,
        days=days,
        date_ms=date_ms,
        expired_marker=marker,
        noncurrent_days=noncurrent,
        newer_noncurrent=newer,
        abort_days=_abort(_only(element, "AbortIncompleteMultipartUpload")),
    )
    _check_actions(rule)
    return rule


def _check_actions(rule: Rule) -> None:
    given = (rule.expired_marker, rule.abort_days)
    if not rule.destroys and all(value is None for value in given):
        raise _request("At least one action needs to be specified in a rule")
    for name, value in (
        ("ExpiredObjectDeleteMarker", rule.expired_marker),
        ("AbortIncompleteMultipartUpload", rule.abort_days),
    ):
        if value is None:
            continue
        if rule.filter.by_tags:
            raise _request(f"{name} cannot be specified with Tags.")
        if rule.filter.by_size:
            raise malformed()


def _filter_of(element: Element) -> tuple[Filter, bool]:
    found, old = _only(element, "Filter"), element.value("Prefix")
    if found is not None and old is not None:
        raise _request(
            "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the "
            "Filter."
        )
    if found is not None:
        return _filter(found), False
    if old is None:
        raise malformed()
    return Filter(_prefix(old)), True


def _filter(element: Element, *, inside: bool = False) -> Filter:
    """Read a Filter, or an And ``inside`` of one.

    Amazon S3 takes one condition in a Filter, others take several and ask for all of them.  To do
    so too takes no more away than each of them alone would.
    """
    tags = [tag_pair(tag) for tag in element.all("Tag")]
    if len({name for name, _ in tags}) < len(tags):
        raise _request("Duplicate Tag Keys are not allowed.")
    prefix = element.value("Prefix")
    both = None if inside else _only(element, "And")
    made = Filter(
        prefix=None if prefix is None else _prefix(prefix),
        tags=tuple(check_tags(tags).items()),
        larger_than=_size(element, "ObjectSizeGreaterThan", 0),
        smaller_than=_size(element, "ObjectSizeLessThan", 1),
        both=None if both is None else _filter(both, inside=True),
    )
    above, below = made.larger_than, made.smaller_than
    if inside and len(tags) + sum(given is not None for given in (prefix, above, below)) < 2:
        raise malformed()  # And joins two conditions at least
    if above is not None and below is not None and below <= above:
        raise _request(
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'."
        )
    return made


def _expiration(element: Element | None) -> tuple[int | None, int | None, bool | None]:
    """Return days, date and whether expired markers go; one of them."""
    if element is None:
        return None, None, None
    days, date = element.value("Days"), element.value("Date")
    marker = element.value("ExpiredObjectDeleteMarker")
    if sum(value is not None for value in (days, date, marker)) != 1:
        raise malformed()
    if days is not None:
        return _positive(days, "Days", "Expiration"), None, None
    if date is not None:
        return None, _midnight(date), None
    assert marker is not None
    word = marker.strip().lower()
    if word not in ("true", "false"):
        raise malformed()
    return None, None, word == "true"


def _noncurrent(element: Element | None) -> tuple[int | None, int | None]:
    if element is None:
        return None, None
    days, newer = element.value("NoncurrentDays"), element.value("NewerNoncurrentVersions")
    if days is None:
        raise malformed()
    action = "NoncurrentVersionExpiration"
    kept = None if newer is None else _positive(newer, "NewerNoncurrentVersions", action)
    if kept is not None and kept > NEWER_NONCURRENT_MAX:
        raise _argument(
            f"'NewerNoncurrentVersions' for {action} action must be at most {NEWER_NONCURRENT_MAX}"
        )
    return _positive(days, "NoncurrentDays", action), kept


def _abort(element: Element | None) -> int | None:
    if element is None:
        return None
    days = element.value("DaysAfterInitiation")
    if days is None:
        raise malformed()
    return _positive(days, "DaysAfterInitiation", "AbortIncompleteMultipartUpload")


def _only(element: Element, name: str) -> Element | None:
    found = element.all(name)
    if len(found) > 1:
        raise malformed()
    return found[0] if found else None


def _prefix(text: str) -> str:
    if len(text.encode()) > PREFIX_BYTES_MAX:
        raise _request(f"The maximum size of a prefix is {PREFIX_BYTES_MAX}.")
    return text


def _number(text: str, most: int = NUMBER_MAX) -> int:
    text = text.strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,16}", text, re.ASCII) or int(text) > most:
        raise malformed()
    return int(text)


def _positive(text: str, name: str, action: str) -> int:
    value = _number(text)
    if value < 1:
        raise _argument(f"'{name}' for {action} action must be a positive integer")
    return value


def _size(element: Element, name: str, least: int) -> int | None:
    text = element.value(name)
    if text is None:
        return None
    value = _number(text, most=2**53)
    if value < least:
        raise _request(f"'{name}' must be at least {least}.")
    return value


def _midnight(text: str) -> int:
    text = text.strip()
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        text += "T00:00:00Z"
    moment = parse_date(text)
    if moment is None:
        raise malformed()
    if moment % DAY_MS:
        raise _argument("'Date' must be at midnight GMT")
    return moment


def _argument(sentence: str) -> Malformed:
    return Malformed(sentence, reason="InvalidArgument")


def _request(sentence: str) -> Malformed:
    return Malformed(sentence, reason="InvalidRequest")


# --- telling -------------------------------------------------------------------------------------


def render_lifecycle(rules: Sequence[Rule]) -> bytes:
    """Return LifecycleConfiguration, each rule in the form in which it came."""
    return document("LifecycleConfiguration", map(_rendered, rules))


def _rendered(rule: Rule) -> str:
    if rule.old_form:
        scope = leaf("Prefix", rule.filter.prefix or "")
    else:
        scope = f"<Filter>{_rendered_filter(rule.filter)}</Filter>"
    status = leaf("Status", "Enabled" if rule.enabled else "Disabled")
    actions = _group(
        "Expiration",
        _number_leaf("Days", rule.days),
        "" if rule.date_ms is None else leaf("Date", timestamp(rule.date_ms)),
        ""
        if rule.expired_marker is None
        else flag("ExpiredObjectDeleteMarker", on=rule.expired_marker),
    )
    actions += _group(
        "NoncurrentVersionExpiration",
        _number_leaf("NoncurrentDays", rule.noncurrent_days),
        _number_leaf("NewerNoncurrentVersions", rule.newer_noncurrent),
    )
    actions += _group(
        "AbortIncompleteMultipartUpload", _number_leaf("DaysAfterInitiation", rule.abort_days)
    )
    return f"<Rule>{leaf('ID', rule.id)}{scope}{status}{actions}</Rule>"


def _rendered_filter(wanted: Filter) -> str:
    pieces = [] if wanted.prefix is None else [leaf("Prefix", wanted.prefix)]
    pieces += [f"<Tag>{leaf('Key', k)}{leaf('Value', v)}</Tag>" for k, v in wanted.tags]
    pieces.append(_number_leaf("ObjectSizeGreaterThan", wanted.larger_than))
    pieces.append(_number_leaf("ObjectSizeLessThan", wanted.smaller_than))
    if wanted.both is not None:
        pieces.append(f"<And>{_rendered_filter(wanted.both)}</And>")
    return "".join(pieces)


def _number_leaf(name: str, value: int | None) -> str:
    return "" if value is None else leaf(name, value)


def _group(name: str, *pieces: str) -> str:
    inner = "".join(pieces)
    return f"<{name}>{inner}</{name}>" if inner else ""


def kept_text(lifecycle: Lifecycle) -> str:
    """Return what is kept of a bucket's rules; `from_kept` reads it."""
    return f"{lifecycle.minimum}\n{render_lifecycle(lifecycle.rules).decode()}"


@lru_cache(maxsize=256)
def from_kept(text: str) -> Lifecycle:
    """Return the rules that were kept; none of an empty text.

    Raises:
        Malformed: it was not written by `kept_text`.
    """
    if not text:
        return Lifecycle(())
    minimum, _, body = text.partition("\n")
    return parse_lifecycle(body.encode(), malformed_id, minimum)


def malformed_id() -> str:
    """Every rule that is kept has an id."""
    raise malformed()


def no_lifecycle() -> NotFound:
    """Return the error of a bucket that has no rules."""
    return NotFound(
        "The lifecycle configuration does not exist", reason="NoSuchLifecycleConfiguration"
    )
