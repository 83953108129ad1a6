"""Object lock: of a bucket, and the retention and legal hold of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed, Refused
from hyok.gateway.handlers.reading import bypass_asked, document, version_asked
from hyok.objects.locking import no_object_lock
from hyok.s3 import documents, locks
from hyok.s3.codes import CODES
from hyok.s3.lock_rules import check_retention_change
from hyok.s3.locks import LockAsked

if TYPE_CHECKING:
    from hyok.gateway.call import Call, Services
    from hyok.objects.facts import ObjectFacts


async def get_configuration(services: Services, call: Call) -> None:
    """Tell what new versions of the bucket get."""
    found = await services.states.lock_configuration(call.ask(key=""))
    await call.answer_xml(200, locks.render_configuration(found))


async def put_configuration(services: Services, call: Call) -> None:
    """Switch object lock on, or change what new versions get."""
    wanted = locks.parse_configuration(await _body(call))
    await services.states.set_lock_configuration(call.ask(key=""), wanted)
    await call.answer(200)


async def get_retention(services: Services, call: Call) -> None:
    """Tell a version's retention."""
    facts = await _looked_at(services, call)
    if facts.lock.retention is None:
        raise locks.no_lock()
    await call.answer_xml(200, locks.render_retention(facts.lock.retention))


async def put_retention(services: Services, call: Call) -> None:
    """Give a version a retention, or change it as its mode allows."""
    wanted = locks.parse_retention(await _body(call), call.at_ms)
    bypass = await bypass_asked(services, call)
    facts = await _looked_at(services, call)
    check_retention_change(facts.lock.retention, wanted, now_ms=call.at_ms, bypass=bypass)
    if wanted is None:
        raise Refused(
            "To end a retention without giving another is not offered. Shorten it instead.",
            reason="NotImplemented",
        )
    await services.vault.set_lock(
        call.ask(), LockAsked(wanted), facts.version_id, bypass_governance=bypass
    )
    await call.answer(200)


async def get_legal_hold(services: Services, call: Call) -> None:
    """Tell whether a version is held."""
    facts = await _looked_at(services, call)
    if facts.lock.legal_hold is None:
        raise locks.no_lock()
    await call.answer_xml(200, locks.render_legal_hold(on=facts.lock.legal_hold))


async def put_legal_hold(services: Services, call: Call) -> None:
    """Hold a version, or let it go."""
    on = locks.parse_legal_hold(await _body(call))
    facts = await _looked_at(services, call)
    await services.vault.set_lock(call.ask(), LockAsked(legal_hold=on), facts.version_id)
    await call.answer(200)


async def _looked_at(services: Services, call: Call) -> ObjectFacts:
    """Return the facts of a version that is there, its envelope opened and policy asked."""
    bucket = call.bucket
    assert bucket is not None
    version_id = version_asked(call.request)
    if not await services.vault.has_object_lock(bucket):
        raise no_object_lock()
    facts = await services.vault.head(call.ask(), version_id=version_id)
    call.classification = facts.classification
    call.unsealed = not facts.sealed
    return facts


async def _body(call: Call) -> memoryview:
    body = document(call, documents.SMALL_BYTES_MAX)
    if body.size == 0:
        raise Malformed(CODES["MissingRequestBodyError"].message, reason="MissingRequestBodyError")
    return await body.whole()
