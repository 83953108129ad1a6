"""The effective classification of an object: the highest of all that speak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Refused
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.policy.classifications import Classifications

UNKNOWN = "onbekend"


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
