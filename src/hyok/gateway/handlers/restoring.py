"""RestoreObject: what Amazon S3 answers of an object that is in no archive, as none here is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Conflict
from hyok.gateway.handlers.bucket_settings import whole_body
from hyok.gateway.handlers.reading import version_asked
from hyok.s3.documents import parse

if TYPE_CHECKING:
    from hyok.gateway.call import Call, Services


async def restore(services: Services, call: Call) -> None:
    """Tell that the object need not be restored.

    Only STANDARD is served: a write that names another class is refused, and so is a rule that
    would move objects to one.

    Raises:
        Malformed: the body is no RestoreRequest (``MalformedXML``).
        NotFound: there is no such object.
        Conflict: there is one, and it is in no archive (``InvalidObjectState``).
    """
    body = await whole_body(call, required=False)
    if body:
        parse(body, "RestoreRequest")
    facts = await services.vault.head(call.ask(), version_id=version_asked(call.request))
    call.classification = facts.classification
    raise Conflict(
        "Restore is not allowed for the object's current storage class", reason="InvalidObjectState"
    )
