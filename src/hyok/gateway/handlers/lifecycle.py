"""Lifecycle rules of a bucket, and what answers tell of the day on which an object expires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.gateway.handlers.bucket_settings import looked_at, whole_body
from hyok.s3 import lifecycle as rules
from hyok.s3.expiry import expiration_headers, expiry_of, wants_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.gateway.call import Call, Services
    from hyok.gateway.responses import Headers
    from hyok.objects.facts import ObjectFacts
    from hyok.vocabulary import Bucket

EXPIRE = "bucket:expire"
"""What policy is asked where a rule may take objects away."""


async def get(services: Services, call: Call) -> None:
    """Tell the bucket's rules."""
    found = _kept(await looked_at(services, call))
    if not found.rules:
        raise rules.no_lifecycle()
    await call.answer(
        200,
        [("content-type", "application/xml"), (rules.MINIMUM_HEADER, found.minimum)],
        rules.render_lifecycle(found.rules),
    )


async def put(services: Services, call: Call) -> None:
    """Keep rules, in the place of those that were there."""
    body = await whole_body(call, rules.CONFIGURATION_BYTES_MAX)
    given = rules.parse_lifecycle(
        body,
        lambda: services.vault.entropy(24).hex(),
        call.request.header(rules.MINIMUM_HEADER),
    )
    ask = call.ask(key="", action=EXPIRE if given.destroys else call.action)
    await services.keeper.set_document(ask, rules.KIND, rules.kept_text(given))
    await call.answer(200, [(rules.MINIMUM_HEADER, given.minimum)])


async def delete(services: Services, call: Call) -> None:
    """Forget the rules."""
    await services.keeper.set_document(call.ask(key=""), rules.KIND, "")
    await call.answer(204)


def asks_tags(bucket: Bucket, key: str) -> bool:
    """Does it take an object's tags to tell when it expires?"""
    return rules.KIND in bucket.documents and wants_tags(_kept(bucket).rules, key)


def expiration(
    services: Services,
    bucket: Bucket,
    key: str,
    size: int,
    modified_ms: int,
    tags: Mapping[str, str],
    classification: str,
) -> Headers:
    """Return what tells when the newest version of an object expires; nothing when it never does.

    ``size`` in plaintext bytes.
    """
    if rules.KIND not in bucket.documents:
        return []
    found = _kept(bucket).rules
    if not found or not services.admission.expires_by_rules(classification):
        return []
    return expiration_headers(expiry_of(found, key, size, modified_ms, tags))


def expiration_of(services: Services, call: Call, facts: ObjectFacts, version_id: str) -> Headers:
    """Return what tells when an object that was looked at expires.

    Of a version that was asked for by its id nobody knows here whether it is the newest, and what
    stands in clear goes by no rule.
    """
    assert call.bucket is not None
    if version_id or not facts.sealed:
        return []
    return expiration(
        services,
        call.bucket,
        call.request.key,
        facts.size,
        facts.modified_ms,
        facts.tags,
        facts.classification,
    )


def expiration_of_parts(
    services: Services, bucket: Bucket, key: str, modified_ms: int, classification: str
) -> Headers:
    """Return what tells when an object just joined from parts expires.

    Its tags are sealed and its size is not at hand, so where a rule is about them nothing is told.
    """
    asking = [rule.filter for rule in _kept(bucket).rules if rule.enabled]
    if any((f.by_tags or f.by_size) and f.matches(key, None, None) for f in asking):
        return []
    return expiration(services, bucket, key, 0, modified_ms, {}, classification)


def _kept(bucket: Bucket) -> rules.Lifecycle:
    return rules.from_kept(bucket.documents.get(rules.KIND, ""))
