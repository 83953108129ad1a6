"""What officers decide about, read-only: buckets, apps, keys, classifications; the audit log."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Response

from hyok.audit.record import AuditRecord
from hyok.errors import NotFound
from hyok.officer.api.models import (
    AppOut,
    BucketOut,
    ClassificationOut,
    KeyOut,
    Page,
    RecordsOut,
)
from hyok.officer.api.paging import PageNumber, PageSize, page_of
from hyok.officer.api.paths import BucketId
from hyok.officer.api.who import Auditor, Caller, Desk
from hyok.vocabulary import Bucket

router = APIRouter(prefix="/v1", tags=["inventory"])


@router.get("/buckets")
async def list_buckets(
    desk: Desk, caller: Caller, response: Response, page: PageNumber = 1, page_size: PageSize = 50
) -> Page[BucketOut]:
    """List buckets."""
    del caller
    found = [bucket_out(bucket) for bucket in await desk.registry.fresh()]
    return page_of(sorted(found, key=lambda one: one.bucket), page, page_size, response)


@router.get("/buckets/{bucket}")
async def show_bucket(bucket: BucketId, desk: Desk, caller: Caller) -> BucketOut:
    """Show one bucket."""
    del caller
    return bucket_out(await desk.registry.get(bucket))


@router.get("/apps")
async def list_apps(
    desk: Desk, caller: Caller, response: Response, page: PageNumber = 1, page_size: PageSize = 50
) -> Page[AppOut]:
    """List applications, revoked ones too."""
    del caller
    found = [
        AppOut(
            app=app.app_id,
            tenant=app.tenant,
            clearance=app.clearance,
            grants=tuple(sorted(app.grants)),
            purpose=app.purpose,
            buckets=None if app.buckets is None else tuple(sorted(app.buckets)),
            state=app.state,
        )
        for app in await desk.access_keys.list_apps()
    ]
    return page_of(found, page, page_size, response)


@router.get("/keys")
async def list_keys(
    desk: Desk, caller: Caller, response: Response, page: PageNumber = 1, page_size: PageSize = 50
) -> Page[KeyOut]:
    """List the versions of keys in the HSM."""
    del caller
    found = [
        KeyOut(
            kek=kek.kek_id,
            tenant=kek.tenant,
            classification=kek.classification,
            version=kek.version,
            state=str(kek.state),
            created_ms=kek.created_ms,
        )
        for kek in await desk.keks.all()
    ]
    return page_of(found, page, page_size, response)


@router.get("/classifications")
async def list_classifications(
    desk: Desk, caller: Caller, response: Response, page: PageNumber = 1, page_size: PageSize = 50
) -> Page[ClassificationOut]:
    """List what each classification demands of officers, the least sensitive first."""
    del caller
    rules = [desk.classifications.get(name) for name in desk.classifications.names()]
    found = [
        ClassificationOut(
            classification=rule.classification,
            level=rule.level,
            labels=rule.labels,
            denied=rule.denied,
            lower=rule.approvals.lower,
            export=rule.approvals.export,
            destroy_key=rule.approvals.destroy_key,
            break_glass=rule.break_glass is not None,
        )
        for rule in rules
    ]
    return page_of(found, page, page_size, response)


@router.get("/audit-records")
async def find_records(
    desk: Desk,
    caller: Auditor,
    request_id: Annotated[
        str,
        Query(
            alias="requestId",
            pattern=r"^[0-9A-F]{16}$",
            description="From an answer's x-amz-request-id header, or a proposal's id.",
        ),
    ],
) -> RecordsOut:
    """Return the audit log's records of one request; for auditors and who reviews.

    Who looked is on the log itself.
    """
    await desk.journal.record(
        AuditRecord(
            at_ms=desk.clock_ms(),
            phase="conclude",
            action="audit:search",
            outcome="done",
            actor=f"officer:{caller.person}",
            tenant="system",
            origin=caller.origin,
            request_id=desk.entropy(8).hex().upper(),
            reasons=(f"request:{request_id}",),
        ),
        durable=True,
    )
    try:
        found = await asyncio.to_thread(desk.records, request_id)
    except NotFound:
        found = []
    return RecordsOut(
        items=tuple(
            {name: value for name, value in record.items() if isinstance(value, str | int | list)}
            for record in found
        )
    )


def bucket_out(bucket: Bucket) -> BucketOut:
    """Return a bucket as it goes over the wire."""
    return BucketOut(
        bucket=bucket.bucket_id,
        tenant=bucket.tenant,
        store=bucket.store,
        classification=bucket.classification,
        names=bucket.names,
        public=bucket.public,
    )
