"""The effective classification of an object: the highest of all that speak."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hyok.errors import Refused
from hyok.vocabulary import ClassificationName, DataSubject, subject_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Bucket

UNKNOWN = "onbekend"
"""The class where nothing names one."""

LABEL_NAMES = ("classification", "vertrouwelijkheidaanduiding")
"""Tags and user metadata in which an app or ZGW names a class."""


class Judged(NamedTuple):
    """What an object will be, what its key is bound to, and whom it is about."""

    classification: ClassificationName
    scope_label: str
    subject: DataSubject | None = None


def effective(
    classifications: Classifications,
    *,
    bucket_default: str,
    prefix_rule: str | None,
    labels: Sequence[str],
) -> ClassificationName:
    """Return the highest of bucket default, prefix rule and labels.

    `onbekend` stands only where nothing else names a class.  A request can raise, never lower.

    Raises:
        Refused: a label that nobody knows (reason ``InvalidArgument``), with the known ones.
    """
    named = [bucket_default]
    if prefix_rule is not None:
        named.append(prefix_rule)
    for label in labels:
        found = classifications.by_label(label)
        if found is None:
            raise Refused(
                f"The label {label[:64]!r} is not known here. Known labels: "
                + ", ".join(classifications.labels()),
                reason="InvalidArgument",
                code="HY-3203",
            )
        named.append(found)
    known = [name for name in named if name != UNKNOWN]
    if not known:
        return ClassificationName(UNKNOWN)
    return ClassificationName(max(known, key=classifications.level))


def judge(
    classifications: Classifications,
    bucket: Bucket,
    key: str,
    tags: Mapping[str, str],
    user_metadata: Mapping[str, str],
    *,
    at_least: str = "",
) -> Judged:
    """Return the classification and scope label of an object about to be written.

    ``at_least``: a classification it must not fall below (the source of a copy).

    Raises:
        Refused: an unknown label, or one that this bucket's rules do not allow.
    """
    if not (tags or user_metadata or bucket.prefix_rules or at_least):
        # Nothing but the bucket speaks: what a plain client writes.
        return Judged(bucket.classification, "")
    found = [tags[name] for name in LABEL_NAMES if name in tags]
    found += [user_metadata[name] for name in LABEL_NAMES if name in user_metadata]
    level = classifications.level
    fitting = [name for prefix, name in bucket.prefix_rules.items() if key.startswith(prefix)]
    name = effective(
        classifications,
        bucket_default=bucket.classification,
        prefix_rule=max(fitting, key=level, default=None),
        labels=found,
    )
    if at_least not in ("", UNKNOWN) and level(at_least) > level(name):
        name = ClassificationName(at_least)
    wanted = classifications.get(name).keys.scope_from
    values = [tags.get(word) or user_metadata.get(word) or "" for word in wanted]
    scope_label = next((value for value in values if value), "")
    return Judged(name, scope_label, subject_of(tags, user_metadata))
