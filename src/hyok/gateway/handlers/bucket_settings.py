"""Settings of a bucket: those the gateway answers itself, and those that have one value here.

Nothing of this reaches the store: its own CORS rules, ACLs or tags would act on sealed bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from hyok.errors import Malformed, NotFound, Refused
from hyok.gateway.handlers.reading import document, version_asked
from hyok.policy.classify import LABEL_NAMES
from hyok.s3 import cors as rules
from hyok.s3 import documents, ownership, tagging
from hyok.s3.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hyok.gateway.call import Call, Services
    from hyok.vocabulary import Bucket

CORS = "cors"
TAGGING = "tagging"
LOOK = "bucket:list"
"""Who may list a bucket may know its settings."""


def cors_rules(bucket: Bucket) -> tuple[rules.CorsRule, ...]:
    """Return the bucket's CORS rules; none where it has none."""
    text = bucket.documents.get(CORS, "")
    return _rules_of(text) if text else ()


@lru_cache(maxsize=256)
def _rules_of(text: str) -> tuple[rules.CorsRule, ...]:
    return rules.parse_cors(text.encode())


# --- cross-origin rules --------------------------------------------------------------------------


async def get_cors(services: Services, call: Call) -> None:
    """Tell the bucket's CORS rules."""
    bucket = await looked_at(services, call)
    found = cors_rules(bucket)
    if not found:
        raise rules.no_cors()
    await call.answer_xml(200, rules.render_cors(found))


async def put_cors(services: Services, call: Call) -> None:
    """Keep CORS rules."""
    body = await whole_body(call, rules.CONFIGURATION_BYTES_MAX)
    kept = rules.render_cors(rules.parse_cors(body)).decode()
    await services.keeper.set_document(call.ask(key=""), CORS, kept)
    await call.answer(200)


async def delete_cors(services: Services, call: Call) -> None:
    """Forget the CORS rules."""
    await services.keeper.set_document(call.ask(key=""), CORS, "")
    await call.answer(204)


async def preflight(services: Services, call: Call) -> None:
    """Answer a browser that asks before it sends; it has no credentials to ask with."""
    bucket = call.bucket
    assert bucket is not None
    await call.answer(200, rules.answer_preflight(cors_rules(bucket), call.request.header))


# --- tags ----------------------------------------------------------------------------------------


async def get_tagging(services: Services, call: Call) -> None:
    """Tell the bucket's tags."""
    bucket = await looked_at(services, call)
    text = bucket.documents.get(TAGGING, "")
    if not text:
        raise tagging.no_tag_set()
    await call.answer_xml(200, text.encode())


async def put_tagging(services: Services, call: Call) -> None:
    """Keep tags; one that names a class must name the one that the bucket has.

    Raises:
        Refused: it names another (code HY-3204): that is an officer's act.
    """
    bucket = call.bucket
    assert bucket is not None
    tags = tagging.parse_bucket_tagging(await whole_body(call, tagging.TAGGING_BYTES_MAX))
    for name in LABEL_NAMES:
        if name in tags and services.admission.known_label(tags[name]) != bucket.classification:
            raise Refused(
                f"The tag {name} names another classification than bucket {bucket.bucket_id} has "
                f"({bucket.classification}); a tag does not change it.",
                reason="AccessDenied",
                code="HY-3204",
            )
    text = tagging.render_tagging(tags).decode() if tags else ""
    await services.keeper.set_document(call.ask(key=""), TAGGING, text)
    await call.answer(204)


async def delete_tagging(services: Services, call: Call) -> None:
    """Forget the tags."""
    await services.keeper.set_document(call.ask(key=""), TAGGING, "")
    await call.answer(204)


# --- one value, whoever asks ---------------------------------------------------------------------


async def get_acl(services: Services, call: Call) -> None:
    """Tell that the owner has full control and nobody else anything."""
    bucket = await looked_at(services, call)
    await call.answer_xml(200, ownership.render_acl(bucket.tenant))


async def put_acl(services: Services, call: Call) -> None:
    """Accept the ACL that is so already."""
    bucket = call.bucket
    assert bucket is not None
    ownership.check_acl_headers(call.request.header)
    ownership.check_acl_document(await whole_body(call, required=False), bucket.tenant)
    await looked_at(services, call)
    await call.answer(200)


async def get_object_acl(services: Services, call: Call) -> None:
    """Tell the ACL of an object that is there."""
    bucket = call.bucket
    assert bucket is not None
    facts = await services.vault.head(call.ask(), version_id=version_asked(call.request))
    call.classification = facts.classification
    await call.answer_xml(200, ownership.render_acl(bucket.tenant))


async def put_object_acl(services: Services, call: Call) -> None:
    """Accept the ACL that an object has already."""
    bucket = call.bucket
    assert bucket is not None
    ownership.check_acl_headers(call.request.header)
    ownership.check_acl_document(await whole_body(call, required=False), bucket.tenant)
    facts = await services.vault.head(call.ask(), version_id=version_asked(call.request))
    call.classification = facts.classification
    await call.answer(200)


def telling(render: Callable[[Bucket], bytes]) -> Callable[[Services, Call], Awaitable[None]]:
    """Return a handler that tells a setting."""

    async def handler(services: Services, call: Call) -> None:
        await call.answer_xml(200, render(await looked_at(services, call)))

    return handler


def accepting(
    check: Callable[[memoryview], None],
) -> Callable[[Services, Call], Awaitable[None]]:
    """Return a handler that accepts a document which asks for what is so already."""

    async def handler(services: Services, call: Call) -> None:
        check(await whole_body(call))
        await services.vault.custodian.decide(call.ask(key=""))
        await services.vault.custodian.conclude(call.ask(key=""), "done")
        await call.answer(200)

    return handler


async def delete_nothing(services: Services, call: Call) -> None:
    """Accept: what would be taken away was never there, or is S3's default anyway."""
    ask = call.ask(key="")
    await services.vault.custodian.decide(ask)
    await services.vault.custodian.conclude(ask, "done")
    await call.answer(204)


def absent(code: str) -> Callable[[Services, Call], Awaitable[None]]:
    """Return a handler that tells that there is no such configuration."""

    async def handler(services: Services, call: Call) -> None:
        await looked_at(services, call)
        raise NotFound(CODES[code].message, reason=code)

    return handler


def encryption_of(bucket: Bucket) -> bytes:
    """Return what protects new objects of a bucket."""
    return ownership.render_encryption(f"{bucket.tenant}/{bucket.classification}")


def policy_status_of(bucket: Bucket) -> bytes:
    """Return whether anybody reads the bucket without credentials."""
    return ownership.render_policy_status(public=bucket.public)


def public_access_of(bucket: Bucket) -> bytes:
    """Return what keeps the bucket closed."""
    return ownership.render_public_access_block(public=bucket.public)


# --- shared --------------------------------------------------------------------------------------


async def looked_at(services: Services, call: Call) -> Bucket:
    """Return the bucket, once policy let the caller know of it."""
    assert call.bucket is not None
    ask = call.ask(key="", action=LOOK)
    await services.vault.custodian.decide(ask)
    await services.vault.custodian.conclude(ask, "done")
    return call.bucket


async def whole_body(
    call: Call, bytes_max: int = documents.SMALL_BYTES_MAX, *, required: bool = True
) -> memoryview:
    """Return the document of a request."""
    body = document(call, bytes_max)
    if required and body.size == 0:
        raise Malformed(CODES["MissingRequestBodyError"].message, reason="MissingRequestBodyError")
    return await body.whole()
