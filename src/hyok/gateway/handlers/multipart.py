"""The multipart family: create, upload part, complete, abort, list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.gateway.admission import check_headers, check_key_choice
from hyok.gateway.bodies import plaintext
from hyok.gateway.call import Outcome
from hyok.gateway.handlers.lifecycle import expiration_of_parts
from hyok.gateway.handlers.reading import (
    document,
    lock_asked,
    number,
    wants_url_encoding,
    write_condition,
    write_facts,
)
from hyok.gateway.responses import proven_checksum, quoted, sealed_with, written
from hyok.s3 import answers, checksums, documents
from hyok.s3.checksums import Algorithm
from hyok.s3.names import check_upload_id, parse_part_number, part_etag_out
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from hyok.gateway.call import Call, Services
    from hyok.objects.upload_answers import Completed
    from hyok.objects.uploads import Upload, UploadPart
    from hyok.s3.request import S3Request
    from hyok.vocabulary import Bucket

PAGE_MAX = 1000


async def create(services: Services, call: Call) -> None:
    """Begin an upload: its key is made now."""
    request, bucket = call.request, call.bucket
    assert bucket is not None
    check_headers(request, bucket.tenant)
    facts = write_facts(request, lock=await lock_asked(services, call))
    algorithm, kind = _asked_checksum(request)
    judged = services.admission.judge(bucket, request.key, facts.tags, facts.user_metadata)
    call.classification = judged.classification
    check_key_choice(request, bucket.tenant, judged.classification)
    begun = await services.multipart.create(
        call.ask_to_write(judged),
        facts,
        checksum_algorithm=int(algorithm) if algorithm is not None else 0,
        checksum_type=kind,
    )
    headers = [("content-type", "application/xml"), *sealed_with(begun.kek_id)]
    if algorithm is not None:
        headers += [
            ("x-amz-checksum-algorithm", algorithm.name),
            ("x-amz-checksum-type", kind),
        ]
    answer = answers.initiated(bucket.bucket_id, request.key, begun.upload_id)
    await call.answer(200, headers, answer)


async def upload_part(services: Services, call: Call) -> None:
    """Seal one part."""
    request, bucket = call.request, call.bucket
    assert bucket is not None
    assert call.verified is not None
    check_headers(request, bucket.tenant)
    part_number = parse_part_number(request.query["partNumber"])
    upload_id = upload_id_of(request)
    upload = await services.multipart.find(bucket, request.key, upload_id)
    call.classification = upload.classification
    expected = Algorithm(upload.checksum_algorithm) if upload.checksum_algorithm else None
    body = plaintext(call.exchange, request, call.verified, default=part_checksum(upload))
    _check_same_algorithm(expected, body.declared.algorithm)
    call.bytes_in = body.size
    etag, kek_id = await services.multipart.upload_part(
        call.ask(classification=ClassificationName(upload.classification)),
        upload_id,
        part_number,
        body,
    )
    # A part has no type of checksum, only the object has.
    proven = [header for header in proven_checksum(body.verified) if header[0][-5:] != "-type"]
    await call.answer(200, [("etag", quoted(etag)), *sealed_with(kek_id), *proven])


async def complete(services: Services, call: Call) -> None:
    """Join the parts into the object."""
    request, bucket = call.request, call.bucket
    assert bucket is not None
    check_headers(request, bucket.tenant)
    upload_id = upload_id_of(request)
    upload = await services.multipart.find(bucket, request.key, upload_id)
    call.classification = upload.classification
    given = _object_checksum(request)
    body = document(call, documents.COMPLETE_BYTES_MAX, checksums_of_body=False)
    wanted = documents.parse_complete(await body.whole())
    work = services.multipart.complete(
        call.ask(classification=ClassificationName(upload.classification)),
        upload_id,
        [(part.number, part.etag) for part in wanted],
        write_condition(request),
        checksum=given,
        checksum_type=(request.header("x-amz-checksum-type") or "").upper(),
        object_size=_object_size(request),
        part_checksums={part.number: part.checksums for part in wanted},
    )
    done = _completed(services, call, bucket, work, upload.classification)
    await call.answer_when_done(done, services.patience_seconds)


async def _completed(
    services: Services,
    call: Call,
    bucket: Bucket,
    work: Awaitable[Completed],
    classification: str,
) -> Outcome:
    """Return what the client is told of a completion."""
    completed = await work
    result = completed.result
    values: dict[Algorithm, str] = {}
    if completed.checksum_algorithm and completed.checksum:
        values[Algorithm(completed.checksum_algorithm)] = completed.checksum
    answer = answers.completed(
        bucket.bucket_id,
        call.request.key,
        result.etag,
        f"/{bucket.bucket_id}/{call.request.key}",
        values,
        completed.checksum_type if values else "",
    )
    key = call.request.key
    expires = expiration_of_parts(services, bucket, key, result.modified_ms, classification)
    headers = [*written(result.version_id), *sealed_with(result.kek_id), *expires]
    return Outcome(answer, headers)


async def abort(services: Services, call: Call) -> None:
    """Give an upload up."""
    await services.multipart.abort(call.ask(), upload_id_of(call.request))
    await call.answer(204)


async def list_parts(services: Services, call: Call) -> None:
    """List an upload's parts, with the ETags that UploadPart gave."""
    request, bucket, principal = call.request, call.bucket, call.principal
    assert bucket is not None
    assert principal is not None
    after = number(request, "part-number-marker", 0, 2**31 - 1)
    limit = number(request, "max-parts", PAGE_MAX, PAGE_MAX)
    upload_id = upload_id_of(request)
    listed = await services.multipart.list_parts(call.ask(), upload_id, after, limit)
    algorithm = listed.upload.checksum_algorithm
    page = answers.PartsPage(
        bucket=bucket.bucket_id,
        key=request.key,
        upload_id=upload_id,
        owner=principal.tenant,
        after=after,
        max_parts=limit,
        parts=[_part_entry(part, listed.upload) for part in listed.parts],
        truncated=listed.truncated,
        checksum_algorithm=Algorithm(algorithm).name if algorithm else "",
        checksum_type=listed.upload.checksum_type,
    )
    await call.answer_xml(200, answers.list_parts(page))


async def list_uploads(services: Services, call: Call) -> None:
    """List a bucket's open uploads."""
    request, bucket, principal = call.request, call.bucket, call.principal
    assert bucket is not None
    assert principal is not None
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    key_marker, id_marker = query.get("key-marker", ""), query.get("upload-id-marker", "")
    limit = number(request, "max-uploads", PAGE_MAX, PAGE_MAX)
    encode_url = wants_url_encoding(request)
    found = await services.multipart.list_uploads(call.ask(key=""), prefix)
    rows: list[Upload] = []
    rolled: list[str] = []
    for upload in sorted(found, key=lambda u: (u.key.encode(), u.upload_id)):
        if not _comes_after(upload, key_marker, id_marker):
            continue
        cut = upload.key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            rows.append(upload)
        elif upload.key[: cut + len(delimiter)] not in rolled:
            rolled.append(upload.key[: cut + len(delimiter)])
    page = answers.Page(
        bucket=bucket.bucket_id,
        prefix=prefix,
        delimiter=delimiter,
        max_keys=limit,
        prefixes=rolled,
        truncated=len(rows) > limit,
        encode_url=encode_url,
        owner=principal.tenant,
    )
    shown = [answers.UploadEntry(u.key, u.upload_id, u.begun_ms) for u in rows[:limit]]
    await call.answer_xml(
        200,
        answers.list_uploads(page, shown, key_marker=key_marker, upload_id_marker=id_marker),
    )


def upload_id_of(request: S3Request) -> str:
    """Return the upload that a request is about.

    Raises:
        NotFound: we never issued such an id (reason ``NoSuchUpload``).
    """
    upload_id = request.query["uploadId"]
    check_upload_id(upload_id)
    return upload_id


def part_checksum(upload: Upload) -> Algorithm:
    """Return the algorithm that the parts of an upload get where the client names none."""
    return Algorithm(upload.checksum_algorithm or Algorithm.CRC64NVME)


def _object_checksum(request: S3Request) -> str:
    """Return the checksum that the whole object shall have; empty when not given."""
    given = request.headers_under(checksums.PREFIX)
    values = [text for name, text in given.items() if name.upper() in checksums.KNOWN]
    if len(values) > 1:
        raise Malformed(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            reason="InvalidRequest",
        )
    return values[0] if values else ""


def _object_size(request: S3Request) -> int | None:
    text = request.header("x-amz-mp-object-size")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 16:
        raise Malformed("x-amz-mp-object-size is not a length.", reason="InvalidRequest")
    return int(text)


def _asked_checksum(request: S3Request) -> tuple[Algorithm | None, str]:
    name = request.header("x-amz-checksum-algorithm")
    kind = request.header("x-amz-checksum-type")
    if name is None:
        if kind is not None:
            raise Malformed(
                "The x-amz-checksum-type header can only be used with the "
                "x-amz-checksum-algorithm header.",
                reason="InvalidRequest",
            )
        return None, ""
    algorithm = checksums.parse_algorithm(name, kept=False)
    return algorithm, checksums.check_multipart_type(algorithm, kind)


def _check_same_algorithm(expected: Algorithm | None, given: Algorithm | None) -> None:
    if expected is not None and given is not None and expected is not given:
        raise Malformed(
            f"Checksum Type mismatch occurred, expected checksum Type: {expected.name.lower()}, "
            f"actual checksum Type: {given.name.lower()}",
            reason="InvalidRequest",
        )


def _part_entry(part: UploadPart, upload: Upload) -> answers.PartEntry:
    values: dict[Algorithm, str] = {}
    if part.checksum_algorithm and part.checksum_algorithm == upload.checksum_algorithm:
        values[Algorithm(part.checksum_algorithm)] = checksums.encode(part.checksum)
    return answers.PartEntry(
        part.number,
        part_etag_out(part.store_etag, part.part_id),
        part.plain_size,
        part.at_ms,
        values,
    )


def _comes_after(upload: Upload, key_marker: str, id_marker: str) -> bool:
    if not key_marker:
        return True
    if upload.key == key_marker:
        return bool(id_marker) and upload.upload_id > id_marker
    return upload.key.encode() > key_marker.encode()
