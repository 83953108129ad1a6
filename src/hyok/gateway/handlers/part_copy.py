"""UploadPartCopy: a part of an upload that comes from another object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Conflict
from hyok.gateway.admission import check_headers
from hyok.gateway.call import Outcome
from hyok.gateway.handlers.multipart import part_checksum, upload_id_of
from hyok.gateway.responses import sealed_with
from hyok.objects.part_copy import copy_part
from hyok.s3 import answers, preconditions
from hyok.s3.codes import CODES
from hyok.s3.names import check_key, parse_copy_source, parse_part_number
from hyok.s3.preconditions import Verdict
from hyok.s3.ranges import Asked, parse_copy_range
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.gateway.call import Call, Services
    from hyok.objects.facts import ObjectFacts
    from hyok.s3.request import S3Request

RANGE = "x-amz-copy-source-range"


async def upload_part_copy(services: Services, call: Call) -> None:
    """Open a range of the source and seal it as a part.

    The source is looked at first: its length bounds the range, and its classification must not be
    above that of the upload, which was settled when that began.
    """
    request, bucket, principal = call.request, call.bucket, call.principal
    assert bucket is not None
    assert principal is not None
    check_headers(request, bucket.tenant)
    number = parse_part_number(request.query["partNumber"])
    upload_id = upload_id_of(request)
    source_bucket, source_key, version_id = parse_copy_source(
        request.header("x-amz-copy-source") or ""
    )
    check_key(source_key)
    source = call.ask(
        action="object:get",
        bucket=await services.admission.bucket(principal, source_bucket),
        key=source_key,
    )
    upload = await services.multipart.find(bucket, request.key, upload_id)
    call.classification = upload.classification
    seen = await services.vault.head(source, source_check(request), version_id=version_id)
    services.admission.check_not_lower(seen.classification, upload.classification)
    start, stop = parse_copy_range(request.header(RANGE), seen.size)
    call.bytes_in = stop - start

    def unchanged(facts: ObjectFacts) -> None:
        if (facts.etag, facts.object_id) != (seen.etag, seen.object_id):
            raise Conflict("The source was replaced.", reason="ConditionalRequestConflict")

    work = copy_part(
        services.vault,
        services.multipart,
        source=source,
        asked=None if (start, stop) == (0, seen.size) else Asked(start, stop - 1),
        check=unchanged,
        version_id=seen.version_id or version_id,
        target=call.ask(classification=ClassificationName(upload.classification)),
        upload_id=upload_id,
        number=number,
        algorithm=part_checksum(upload),
    )

    async def copied() -> Outcome:
        etag, kek_id, part = await work
        algorithm, text = part.verified
        copied_version = [("x-amz-copy-source-version-id", seen.version_id)]
        return Outcome(
            answers.copy_result(etag, call.at_ms, {algorithm: text}, root="CopyPartResult"),
            [*sealed_with(kek_id), *(copied_version if seen.version_id else [])],
        )

    await call.answer_when_done(copied(), services.patience_seconds)


def source_check(request: S3Request) -> Callable[[ObjectFacts], None]:
    """Return what judges the source of a copy by the conditions of its request.

    The check raises Conflict (reason ``PreconditionFailed``) where one does not hold.
    """
    conditions = preconditions.parse(request.header, "x-amz-copy-source-")

    def check(facts: ObjectFacts) -> None:
        verdict = preconditions.check(conditions, facts.etag, facts.modified_ms)
        if verdict is Verdict.NOT_MODIFIED:
            raise Conflict(CODES["PreconditionFailed"].message, reason="PreconditionFailed")

    return check
