"""PutObject, GetObject, HeadObject and CopyObject."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.errors import Conflict, HyokError, Malformed
from hyok.gateway.admission import check_headers, check_key_choice, check_read_headers
from hyok.gateway.bodies import plaintext
from hyok.gateway.call import Outcome
from hyok.gateway.handlers.lifecycle import asks_tags, expiration, expiration_of
from hyok.gateway.handlers.reading import (
    known_checksum,
    lock_asked,
    version_asked,
    write_condition,
    write_facts,
)
from hyok.gateway.responses import (
    known_checksums,
    object_headers,
    proven_checksum,
    quoted,
    sealed_with,
    validators,
    written,
)
from hyok.objects.copying import copy_object
from hyok.objects.facts import about
from hyok.s3 import answers, preconditions
from hyok.s3.names import (
    check_key,
    parse_copy_source,
    parse_part_number,
)
from hyok.s3.preconditions import Preconditions, Verdict
from hyok.s3.ranges import content_range
from hyok.s3.ranges import parse as parse_range
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.gateway.call import Call, Services
    from hyok.gateway.port import Wire
    from hyok.gateway.responses import Headers
    from hyok.objects.facts import ObjectFacts, PutFacts
    from hyok.objects.opened import Opened
    from hyok.objects.vault import PutResult
    from hyok.s3.request import S3Request
    from hyok.vocabulary import Ask


class _NotModified(Exception):
    """The client's copy is still right; carries what to say about the object."""

    def __init__(self, facts: ObjectFacts) -> None:
        super().__init__()
        self.facts = facts


async def put(services: Services, call: Call) -> None:
    """Seal one object."""
    request, bucket = call.request, call.bucket
    assert bucket is not None
    assert call.verified is not None
    check_headers(request, bucket.tenant)
    body = plaintext(call.exchange, request, call.verified)
    lock = await lock_asked(services, call)
    facts = write_facts(request, known_checksum(body.declared), lock=lock)
    judged = services.admission.judge(bucket, request.key, facts.tags, facts.user_metadata)
    call.classification = judged.classification
    check_key_choice(request, bucket.tenant, judged.classification)
    call.bytes_in = body.size
    ask = call.ask_to_write(judged)
    result = await services.vault.put(ask, body, facts, write_condition(request))
    await call.answer(
        200,
        [
            ("etag", quoted(result.etag)),
            *written(result.version_id),
            *sealed_with(result.kek_id),
            *proven_checksum(body.verified),
            *expiration(
                services,
                bucket,
                request.key,
                body.size,
                result.modified_ms,
                facts.tags,
                judged.classification,
            ),
        ],
    )


async def get(services: Services, call: Call) -> None:
    """Hand out one object, or a range of it."""
    request, bucket = call.request, call.bucket
    assert bucket is not None
    check_read_headers(request)
    version_id = version_asked(request)
    part_number = _part_number(request)
    # RFC 9110 lets a server ignore Range; with If-Range that is always right.
    wanted = None if request.header("if-range") else request.header("range")
    asked = None if part_number is not None else parse_range(wanted)
    partial = asked is not None or part_number is not None
    want_checksums = _wants_checksums(request) and not partial
    ask = call.ask()
    try:
        opened = await services.vault.open(
            ask,
            asked,
            _check(preconditions.parse(request.header)),
            checksums=want_checksums,
            part_number=part_number,
            version_id=version_id,
            tags=asks_tags(bucket, request.key),
        )
    except _NotModified as unchanged:
        await _not_modified(services, call, ask, unchanged.facts)
        return
    try:
        call.classification = opened.facts.classification
        call.unsealed = not opened.facts.sealed
        headers = object_headers(
            opened.facts, request, checksums=want_checksums, parts=part_number is not None
        )
        headers += expiration_of(services, call, opened.facts, version_id)
        if partial and opened.size:
            span = content_range(opened.start, opened.stop, opened.facts.size)
            headers.append(("content-range", span))
        status = 206 if partial else 200
        if opened.size <= WHOLE_BODY_BYTES_MAX:
            await _answer_whole(services, call, ask, opened, status, headers)
        else:
            await _answer_streamed(services, call, ask, opened, status, headers)
    finally:
        await opened.close()


async def _answer_whole(
    services: Services, call: Call, ask: Ask, opened: Opened, status: int, headers: Headers
) -> None:
    body = opened.whole() if opened.at_hand else await services.vault.pump.run(opened.whole)
    await _conclude(services, ask, opened.facts, len(body))
    await call.answer(status, headers, memoryview(body))


async def _answer_streamed(
    services: Services, call: Call, ask: Ask, opened: Opened, status: int, headers: Headers
) -> None:
    def work(wire: Wire) -> None:
        opened.pour(lambda: call.begin(wire, status, headers, opened.size))
        wire.finish()

    try:
        await call.exchange.pump(work)
    except BaseException as error:
        await _conclude_failure(services, ask, opened.facts, error)
        raise
    await _conclude(services, ask, opened.facts, opened.size)


async def head(services: Services, call: Call) -> None:
    """Tell about one object."""
    request, bucket = call.request, call.bucket
    assert bucket is not None
    check_read_headers(request)
    version_id = version_asked(request)
    part_number = _part_number(request)
    asked = None if part_number is not None else parse_range(request.header("range"))
    partial = asked is not None or part_number is not None
    want_checksums = _wants_checksums(request) and not partial
    ask = call.ask()
    check = _check(preconditions.parse(request.header))
    start = 0
    try:
        if part_number is None:
            facts = await services.vault.head(
                ask,
                check,
                checksums=want_checksums,
                tags=asks_tags(bucket, request.key),
                version_id=version_id,
            )
            stop = facts.size
            if asked is not None:
                start, stop = asked.resolve(facts.size)
        else:
            opened = await services.vault.open(
                ask,
                None,
                check,
                part_number=part_number,
                version_id=version_id,
                tags=asks_tags(bucket, request.key),
            )
            facts, start, stop = opened.facts, opened.start, opened.stop
            await opened.close()
            await _conclude(services, ask, facts, 0)
    except _NotModified as unchanged:
        await _not_modified(services, call, ask, unchanged.facts)
        return
    call.classification = facts.classification
    call.unsealed = not facts.sealed
    headers = object_headers(
        facts, request, checksums=want_checksums, parts=part_number is not None
    )
    headers += expiration_of(services, call, facts, version_id)
    headers.append(("content-length", str(stop - start)))
    if partial and stop > start:
        headers.append(("content-range", content_range(start, stop, facts.size)))
    await call.answer(206 if partial else 200, headers)


async def copy(services: Services, call: Call) -> None:
    """Copy one object.

    The source is looked at first: its classification is the least that the copy gets.
    """
    request, bucket, principal = call.request, call.bucket, call.principal
    assert bucket is not None
    assert principal is not None
    check_headers(request, bucket.tenant)
    source_bucket, source_key, version_id = parse_copy_source(
        request.header("x-amz-copy-source") or ""
    )
    check_key(source_key)
    replaces = _directive(request, "x-amz-metadata-directive")
    replaces_tags = _directive(request, "x-amz-tagging-directive")
    itself = (source_bucket, source_key) == (bucket.bucket_id, request.key)
    if itself and not replaces and not version_id:
        raise Malformed(
            "This copy request is illegal because it is trying to copy an object to itself "
            "without changing the object's metadata, storage class, website redirect location "
            "or encryption attributes.",
            reason="InvalidRequest",
        )
    given = write_facts(request, lock=await lock_asked(services, call))
    source = call.ask(
        action="object:get",
        bucket=await services.admission.bucket(principal, source_bucket),
        key=source_key,
    )
    conditions = preconditions.parse(request.header, "x-amz-copy-source-")
    seen = await services.vault.head(
        source, _check(conditions, copying=True), tags=True, version_id=version_id
    )

    def chosen(facts: ObjectFacts) -> PutFacts:
        kept = replace(given, headers=facts.headers, user_metadata=facts.user_metadata)
        chosen = given if replaces else kept
        return chosen if replaces_tags else replace(chosen, tags=facts.tags)

    def unchanged(facts: ObjectFacts) -> None:
        if (facts.etag, facts.object_id) != (seen.etag, seen.object_id):
            raise Conflict("The source was replaced.", reason="ConditionalRequestConflict")

    facts = chosen(seen)
    judged = services.admission.judge(
        bucket, request.key, facts.tags, facts.user_metadata, at_least=seen.classification
    )
    call.classification = judged.classification
    check_key_choice(request, bucket.tenant, judged.classification)
    target = call.ask_to_write(judged)
    work = copy_object(
        services.vault,
        source=source,
        target=target,
        size=seen.size,
        check=unchanged,
        facts=chosen,
        condition=write_condition(request),
        # Of an object that is replaced meanwhile the version that was looked at is copied, where
        # the bucket keeps it; but copying the newest onto itself must not undo a write.
        version_id=version_id if itself else seen.version_id or version_id,
    )
    classification = judged.classification

    async def copied() -> Outcome:
        result, _ = await work
        expires = expiration(
            services,
            bucket,
            request.key,
            seen.size,
            result.modified_ms,
            facts.tags,
            classification,
        )
        return _copied(seen, result, expires)

    await call.answer_when_done(copied(), services.patience_seconds)


def _copied(seen: ObjectFacts, result: PutResult, expires: Headers) -> Outcome:
    """Return what the client is told of a copy of what was ``seen``."""
    whole = known_checksums(seen.checksums) if seen.checksum_type == "FULL_OBJECT" else {}
    headers = [
        *written(result.version_id),
        *([("x-amz-copy-source-version-id", seen.version_id)] if seen.version_id else []),
        *sealed_with(result.kek_id),
        *expires,
    ]
    return Outcome(answers.copy_result(result.etag, result.modified_ms, whole), headers)


def _check(conditions: Preconditions, *, copying: bool = False) -> Callable[[ObjectFacts], None]:
    def check(facts: ObjectFacts) -> None:
        if not conditions.asked:
            return
        verdict = preconditions.check(conditions, facts.etag, facts.modified_ms)
        if verdict is Verdict.NOT_MODIFIED:
            if copying:
                raise Conflict(
                    "At least one of the pre-conditions you specified did not hold",
                    reason="PreconditionFailed",
                )
            raise _NotModified(facts)

    return check


async def _not_modified(services: Services, call: Call, ask: Ask, facts: ObjectFacts) -> None:
    await _conclude(services, ask, facts, 0)
    await call.answer(304, validators(facts))


async def _conclude(services: Services, ask: Ask, facts: ObjectFacts, size: int) -> None:
    await services.vault.custodian.conclude(
        about(ask, facts),
        facts.outcome,
        object_id=bytes.fromhex(facts.object_id),
        kek_id=facts.kek_id,
        size_bytes=size,
    )


async def _conclude_failure(
    services: Services, ask: Ask, facts: ObjectFacts, error: BaseException
) -> None:
    """Record a reading that broke off.  The failure itself is what the caller must see."""
    try:
        await services.vault.custodian.conclude(
            about(ask, facts),
            "failed",
            object_id=bytes.fromhex(facts.object_id),
            kek_id=facts.kek_id,
            error=type(error).__name__,
        )
    except HyokError:
        return


def _part_number(request: S3Request) -> int | None:
    text = request.query.get("partNumber")
    if text is None:
        return None
    if request.header("range"):
        raise Malformed(
            "Cannot specify both Range header and partNumber query parameter",
            reason="InvalidRequest",
        )
    return parse_part_number(text)


def _wants_checksums(request: S3Request) -> bool:
    return (request.header("x-amz-checksum-mode") or "").upper() == "ENABLED"


def _directive(request: S3Request, name: str) -> bool:
    """Say whether a copy replaces what the directive is about."""
    value = (request.header(name) or "COPY").upper()
    if value not in ("COPY", "REPLACE"):
        raise Malformed(f"Unknown value of {name}.", reason="InvalidArgument")
    return value == "REPLACE"
