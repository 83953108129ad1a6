"""Lowering one object: opened, and sealed again in its place under a lower classification.

The bytes that were sealed under the higher class stay wherever a store, its versions or a backup
kept them: lowering says what the object is from now on, not what it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hyok.errors import Conflict
from hyok.objects.conditions import Condition
from hyok.objects.copying import copy_object
from hyok.objects.facts import PutFacts
from hyok.s3.names import etag_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.objects.facts import ObjectFacts
    from hyok.objects.vault import ObjectVault
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Ask, ClassificationName

LABEL_NAMES = ("classification", "vertrouwelijkheidaanduiding")
"""Tags and user metadata in which an app or ZGW names a class."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """What stands there now; ``version_id``: of a bucket that keeps versions."""

    etag: str
    version_id: str


async def lower_object(
    vault: ObjectVault,
    classifications: Classifications,
    ask: Ask,
    object_id: str,
    to: ClassificationName,
) -> Lowered:
    """Seal the object ``object_id`` at ``ask.ref`` again as ``to``; again changes nothing.

    Raises:
        Conflict: another object stands there by now (code HY-2505).
        NotFound, Refused, Tampered, Unavailable: as reading or writing says.
    """
    seen = await vault.head(ask, tags=True)
    if seen.object_id != object_id:
        if seen.classification == to:
            return Lowered(seen.etag, seen.version_id)  # done before, and not recorded
        raise _replaced()

    def unchanged(facts: ObjectFacts) -> None:
        if (facts.etag, facts.object_id) != (seen.etag, seen.object_id):
            raise _replaced()

    def labelled(facts: ObjectFacts) -> PutFacts:
        return PutFacts(
            headers=facts.headers,
            user_metadata=_relabelled(classifications, facts.user_metadata, to),
            tags=_relabelled(classifications, facts.tags, to),
        )

    told = labelled(seen)
    wanted = classifications.get(to).keys.scope_from
    values = [told.tags.get(word) or told.user_metadata.get(word) or "" for word in wanted]
    label = next((value for value in values if value), "")
    result, _ = await copy_object(
        vault,
        source=ask,
        target=replace(ask, classification=to, scope_label=label),
        size=seen.size,
        check=unchanged,
        facts=labelled,
        condition=Condition(if_match=etag_in(seen.etag) or ""),
    )
    return Lowered(result.etag, result.version_id)


def _relabelled(
    classifications: Classifications, labels: Mapping[str, str], to: ClassificationName
) -> dict[str, str]:
    """Return the labels with those that name a higher class naming this one."""
    kept = dict(labels)
    for name in LABEL_NAMES:
        named = classifications.by_label(kept.get(name, ""))
        if named is not None and classifications.level(named) > classifications.level(to):
            kept[name] = to
    return kept


def _replaced() -> Conflict:
    return Conflict(
        "Another object stands there by now.",
        code="HY-2505",
        effect="Nothing was changed.",
        next_step="look at it and propose it anew",
    )
