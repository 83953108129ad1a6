"""Buckets and their listings; sizes, names and ETags as the client knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.gateway.admission import check_headers, is_visible
from hyok.gateway.handlers.reading import document, number, wants_url_encoding
from hyok.objects.registry import NewBucket
from hyok.policy.classify import LABEL_NAMES
from hyok.s3 import answers, documents
from hyok.s3.locks import asks_for_locks
from hyok.s3.names import check_bucket_name

if TYPE_CHECKING:
    from hyok.gateway.call import Call, Services
    from hyok.objects.listing import Page

KEYS_MAX = 1000


async def list_all(services: Services, call: Call) -> None:
    """List the buckets that the caller may at all be told of."""
    principal = call.principal
    assert principal is not None
    prefix = call.request.query.get("prefix", "")
    found = [
        (bucket.bucket_id, bucket.created_ms)
        for bucket in await services.buckets.of_tenant(principal.tenant)
        if is_visible(principal, bucket) and bucket.bucket_id.startswith(prefix)
    ]
    await call.answer_xml(200, answers.list_buckets(principal.tenant, found))


async def create(services: Services, call: Call) -> None:
    """Make a bucket; a tag may name its classification, else the setting does."""
    request, principal = call.request, call.principal
    assert principal is not None
    check_bucket_name(request.bucket)
    check_headers(request, principal.tenant)
    body = document(call, documents.SMALL_BYTES_MAX)
    asked = documents.parse_create_bucket(await body.whole())
    if asked.location not in ("", services.region):
        raise Malformed(
            "The specified location-constraint is not valid", reason="InvalidLocationConstraint"
        )
    label = next((asked.tags[name] for name in LABEL_NAMES if name in asked.tags), "")
    defaults = services.new_buckets
    classification = services.admission.known_label(label) if label else defaults.classification
    call.classification = classification
    await services.keeper.create(
        call.ask(key="", classification=classification),
        NewBucket(
            bucket_id=request.bucket,
            tenant=principal.tenant,
            store=defaults.store,
            classification=classification,
            object_lock=asks_for_locks(request.header),
        ),
    )
    await call.answer(200, [("location", f"/{request.bucket}")])


async def delete(services: Services, call: Call) -> None:
    """Remove an empty bucket."""
    await services.keeper.delete(call.ask(key=""))
    await call.answer(204)


async def head(services: Services, call: Call) -> None:
    """Say that the bucket is there and may be listed."""
    await _decide_to_list(services, call)
    await call.answer(200, [("x-amz-bucket-region", services.region), ("content-length", "0")])


async def location(services: Services, call: Call) -> None:
    """Say which region clients shall sign for."""
    await _decide_to_list(services, call)
    await call.answer_xml(200, answers.location(services.region))


async def _decide_to_list(services: Services, call: Call) -> None:
    ask = call.ask(key="")
    await services.vault.custodian.decide(ask)
    await services.vault.custodian.conclude(ask, "done")


async def list_objects(services: Services, call: Call) -> None:
    """List objects, first version of the operation."""
    query = call.request.query
    marker = query.get("marker", "")
    frame, found = await _page(services, call, after=marker, token="", owner=True)
    answer = answers.list_objects(frame, marker=marker, next_marker=found.next_key)
    await call.answer_xml(200, answer)


async def list_objects_v2(services: Services, call: Call) -> None:
    """List objects, second version of the operation."""
    query = call.request.query
    token, start_after = query.get("continuation-token"), query.get("start-after")
    if token == "":
        raise Malformed("The continuation token provided is incorrect", reason="InvalidArgument")
    frame, found = await _page(
        services,
        call,
        after=start_after or "",
        token=token or "",
        owner=query.get("fetch-owner") == "true",
    )
    answer = answers.list_objects_v2(
        frame, token=token, next_token=found.next_token, start_after=start_after
    )
    await call.answer_xml(200, answer)


async def _page(
    services: Services, call: Call, *, after: str, token: str, owner: bool
) -> tuple[answers.Page, Page]:
    request, bucket, principal = call.request, call.bucket, call.principal
    assert bucket is not None
    assert principal is not None
    prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
    if delimiter and request.query.get("allow-unordered") == "true":
        # Ceph's own parameter.  Every listing is in order; this pair is refused where it is known.
        raise Malformed(
            "allow-unordered cannot be combined with a delimiter.", reason="InvalidArgument"
        )
    limit = number(request, "max-keys", KEYS_MAX, KEYS_MAX)
    encode_url = wants_url_encoding(request)
    found = await services.listings.page(
        call.ask(key=prefix),
        prefix=prefix,
        delimiter=delimiter,
        after=after,
        token=token,
        limit=limit,
    )
    frame = answers.Page(
        bucket=bucket.bucket_id,
        prefix=prefix,
        delimiter=delimiter,
        max_keys=limit,
        entries=found.entries,
        prefixes=found.prefixes,
        truncated=bool(found.next_token),
        encode_url=encode_url,
        owner=principal.tenant if owner else "",
    )
    return frame, found
