"""Versions of a bucket: whether it keeps them, and the listing of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.gateway.handlers.reading import document, number, wants_url_encoding
from hyok.objects.version_listing import Place
from hyok.s3 import documents
from hyok.s3.codes import CODES
from hyok.s3.versions import (
    VersionsPage,
    list_versions,
    parse_markers,
    parse_versioning,
    render_versioning,
)

if TYPE_CHECKING:
    from hyok.gateway.call import Call, Services

KEYS_MAX = 1000


async def get_versioning(services: Services, call: Call) -> None:
    """Tell whether the bucket keeps versions."""
    state = await services.states.versioning(call.ask(key=""))
    await call.answer_xml(200, render_versioning(state))


async def put_versioning(services: Services, call: Call) -> None:
    """Switch versions on, or suspend them."""
    body = document(call, documents.SMALL_BYTES_MAX)
    if body.size == 0:
        raise Malformed(CODES["MissingRequestBodyError"].message, reason="MissingRequestBodyError")
    state = parse_versioning(await body.whole())
    await services.states.set_versioning(call.ask(key=""), state)
    await call.answer(200)


async def list_all(services: Services, call: Call) -> None:
    """List versions and delete markers."""
    request, bucket, principal = call.request, call.bucket, call.principal
    assert bucket is not None
    assert principal is not None
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = Place(*parse_markers(query.get("key-marker"), query.get("version-id-marker")))
    limit = number(request, "max-keys", KEYS_MAX, KEYS_MAX)
    encode_url = wants_url_encoding(request)
    found = await services.versions.page(
        call.ask(key=prefix), prefix=prefix, delimiter=delimiter, after=after, limit=limit
    )
    going_on = found.after or Place()
    page = VersionsPage(
        bucket=bucket.bucket_id,
        owner=principal.tenant,
        prefix=prefix,
        delimiter=delimiter,
        key_marker=after.key,
        version_id_marker=after.version_id,
        max_keys=limit,
        entries=found.entries,
        prefixes=found.prefixes,
        truncated=found.after is not None,
        next_key_marker=going_on.key,
        next_version_id_marker=going_on.version_id,
        encode_url=encode_url,
    )
    await call.answer_xml(200, list_versions(page))
