"""Tags of objects, of the newest version or another.

A label among them says how sensitive an object is and which shred scope it belongs to.  One that
raises it has the object sealed anew in place; one that lowers it is an officer's act.  An object
that stands in clear since before its bucket was adopted is sealed by any change of its tags: the
store never gets new ones in clear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import HyokError, Malformed, Refused
from hyok.gateway.handlers.reading import document, version_asked
from hyok.gateway.responses import unsealed_mark, version
from hyok.objects.conditions import Condition
from hyok.objects.copying import copy_object
from hyok.objects.facts import PutFacts
from hyok.objects.locking import still_holding
from hyok.objects.object_tags import change_tags
from hyok.s3 import tagging
from hyok.s3.codes import CODES
from hyok.s3.names import etag_in
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.gateway.call import Call, Services
    from hyok.objects.facts import ObjectFacts
    from hyok.policy.classify import Judged


class _SealedAnew(Exception):
    """The object belongs under other keys with its new tags; carries it as it is."""

    def __init__(self, facts: ObjectFacts, judged: Judged) -> None:
        super().__init__()
        self.facts = facts
        self.judged = judged


async def get(services: Services, call: Call) -> None:
    """Tell the tags of a version."""
    facts = await services.vault.head(call.ask(), tags=True, version_id=version_asked(call.request))
    call.classification = facts.classification
    call.unsealed = not facts.sealed
    await call.answer(
        200,
        [("content-type", "application/xml"), *version(facts.version_id), *unsealed_mark(facts)],
        tagging.render_tagging(facts.tags),
    )


async def put(services: Services, call: Call) -> None:
    """Replace the tags of a version."""
    body = document(call, tagging.TAGGING_BYTES_MAX)
    if body.size == 0:
        raise Malformed(CODES["MissingRequestBodyError"].message, reason="MissingRequestBodyError")
    tags = tagging.parse_tagging(await body.whole())
    await call.answer(200, version(await _changed(services, call, tags)))


async def delete(services: Services, call: Call) -> None:
    """Take all tags off a version."""
    await call.answer(204, version(await _changed(services, call, {})))


async def _changed(services: Services, call: Call, tags: Mapping[str, str]) -> str:
    """Give a version these tags; return its id, or that of the version made in its place."""
    version_id = version_asked(call.request)

    def check(facts: ObjectFacts) -> None:
        call.classification = facts.classification
        _judge(services, call, facts, tags)

    try:
        facts = await change_tags(services.vault, call.ask(), tags, version_id, check)
    except _SealedAnew as wanted:
        return await _seal_anew(services, call, wanted.facts, tags, wanted.judged)
    return facts.version_id


def _judge(services: Services, call: Call, facts: ObjectFacts, tags: Mapping[str, str]) -> None:
    """Return quietly if the tags say nothing new of class and scope.

    Raises:
        Refused: they would lower the class (code HY-3207), or name one that nobody knows.
        _SealedAnew: they raise it, or name another scope, or the object stands in clear.
    """
    bucket, request = call.bucket, call.request
    assert bucket is not None
    admission, user_metadata = services.admission, facts.user_metadata
    after = admission.judge(bucket, request.key, tags, user_metadata)
    try:
        before = admission.judge(bucket, request.key, facts.tags, user_metadata)
    except HyokError:  # a label of then that nobody knows any more
        before = after._replace(classification=ClassificationName(facts.classification))
    if admission.is_lower(after.classification, before.classification):
        raise Refused(
            f"These tags would lower the classification of the object from "
            f"{before.classification} to {after.classification}; an officer does that.",
            reason="AccessDenied",
            code="HY-3207",
            effect="Nothing was changed.",
            next_step="ask officers for it: hyok objects lower",
        )
    # A copy may stand above what its tags say, as its source did; there it stays.
    least = facts.classification
    wanted = admission.judge(bucket, request.key, tags, user_metadata, at_least=least)
    other = after.classification != before.classification and wanted.classification != least
    if other or after.scope_label != before.scope_label or not facts.sealed:
        raise _SealedAnew(facts, wanted)


async def _seal_anew(
    services: Services, call: Call, facts: ObjectFacts, tags: Mapping[str, str], judged: Judged
) -> str:
    """Seal the newest version again in its place, under what its new tags say.

    Raises:
        Refused: it is not the newest version (code HY-3208).
        Conflict: the object was replaced meanwhile (reason ``PreconditionFailed``).
    """
    if call.request.query.get("versionId"):
        newest = await services.vault.head(call.ask(action="object:head"))
        if newest.version_id != facts.version_id:
            raise Refused(
                "These tags change under which key the object belongs, and an older version stays "
                "as it was sealed.",
                reason="AccessDenied",
                code="HY-3208",
                effect="Nothing was changed.",
                next_step="copy the version to the front with these tags, then delete it",
            )
    carried = PutFacts(
        facts.headers, facts.user_metadata, tags, lock=still_holding(facts.lock, call.at_ms)
    )
    source = call.ask(action="object:get")
    target = call.ask_to_write(judged)
    call.classification = judged.classification

    def unchanged(now: ObjectFacts) -> None:
        assert (now.etag, now.object_id) == (facts.etag, facts.object_id)

    result, _ = await copy_object(
        services.vault,
        source=source,
        target=target,
        size=facts.size,
        check=unchanged,
        facts=lambda _seen: carried,
        condition=Condition(if_match=etag_in(facts.etag) or ""),
        version_id=facts.version_id,
    )
    return result.version_id
