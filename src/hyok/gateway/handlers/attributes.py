"""GetObjectAttributes: sizes of the plaintext and of its parts, from what the trailer proves."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

from hyok.gateway.admission import check_headers
from hyok.gateway.handlers.reading import version_asked
from hyok.gateway.responses import known_checksums, unsealed_mark, version
from hyok.objects.examining import examine
from hyok.s3 import attributes
from hyok.s3.attributes import Attributes, PartAttributes

if TYPE_CHECKING:
    from hyok.gateway.call import Call, Services


async def get(services: Services, call: Call) -> None:
    """Tell what was asked for.  The checksums of single parts are not kept, so none are told."""
    request, bucket = call.request, call.bucket
    assert bucket is not None
    check_headers(request, bucket.tenant)
    asked = attributes.parse_asked(request.header)
    found = await examine(services.vault, call.ask(), version_asked(request))
    facts = found.facts
    call.classification = facts.classification
    call.unsealed = not facts.sealed
    held = Attributes(
        etag=facts.etag,
        size=facts.size,
        # Alone of all answers, this one has a composite value without the number of parts.
        checksums={
            algorithm: text.partition("-")[0]
            for algorithm, text in known_checksums(facts.checksums).items()
        },
        checksum_type=facts.checksum_type,
        parts=None
        if found.parts is None
        else [PartAttributes(number, size) for number, size in found.parts],
    )
    headers = [
        ("content-type", "application/xml"),
        ("last-modified", formatdate(facts.modified_ms // 1000, usegmt=True)),
        *version(facts.version_id),
        *unsealed_mark(facts),
    ]
    await call.answer(200, headers, attributes.render(held, asked))
