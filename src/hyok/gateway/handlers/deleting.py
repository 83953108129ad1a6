"""DeleteObject and DeleteObjects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hyok.errors import Conflict, HyokError, Malformed
from hyok.gateway.admission import check_headers
from hyok.gateway.faults import fault_of
from hyok.gateway.handlers.reading import bypass_asked, document, version_asked, write_condition
from hyok.gateway.responses import version
from hyok.objects.conditions import ALWAYS, Condition
from hyok.s3 import answers, documents
from hyok.s3.names import check_key, etag_in, parse_version_id

if TYPE_CHECKING:
    from hyok.gateway.call import Call, Services

DELETES_AT_ONCE = 8


async def delete(services: Services, call: Call) -> None:
    """Remove one object, or one version of it for good."""
    bucket = call.bucket
    assert bucket is not None
    version_id = version_asked(call.request)
    check_headers(call.request, bucket.tenant)
    done = await services.vault.delete(
        call.ask(),
        write_condition(call.request),
        version_id=version_id,
        bypass_governance=await bypass_asked(services, call),
    )
    marker = [("x-amz-delete-marker", "true")] if done.marker else []
    await call.answer(204, [*marker, *version(done.version_id)])


async def delete_many(services: Services, call: Call) -> None:
    """Remove up to a thousand objects, each decided and recorded by itself."""
    body = document(call, documents.DELETE_BYTES_MAX)
    if body.declared.algorithm is None and body.declared.md5 is None:
        raise Malformed(
            "Missing required header for this request: Content-MD5", reason="InvalidRequest"
        )
    keys, quiet = documents.parse_delete(await body.whole())
    bypass = await bypass_asked(services, call)
    gate = asyncio.Semaphore(DELETES_AT_ONCE)

    async def one(wanted: documents.DeleteKey) -> answers.DeleteFailure | answers.Deleted:
        try:
            check_key(wanted.key)
            parse_version_id(wanted.version_id or None)
            condition = ALWAYS
            if wanted.etag:
                condition = Condition(if_match=_known_etag(wanted.etag))
            async with gate:
                done = await services.vault.delete(
                    call.ask(key=wanted.key),
                    condition,
                    version_id=wanted.version_id,
                    bypass_governance=bypass,
                )
        except HyokError as error:
            fault = fault_of(error)
            return answers.DeleteFailure(wanted.key, fault.code, fault.message, wanted.version_id)
        marker = done.version_id if done.marker else ""
        return answers.Deleted(wanted.key, wanted.version_id, marker)

    outcomes = await asyncio.gather(*map(one, keys))
    failed = [outcome for outcome in outcomes if isinstance(outcome, answers.DeleteFailure)]
    deleted = [outcome for outcome in outcomes if isinstance(outcome, answers.Deleted)]
    await call.answer_xml(200, answers.delete_result([] if quiet else deleted, failed))


def _known_etag(client_etag: str) -> str:
    store_etag = etag_in(client_etag)
    if store_etag is None:
        raise Conflict(
            "At least one of the pre-conditions you specified did not hold",
            reason="PreconditionFailed",
        )
    return store_etag
