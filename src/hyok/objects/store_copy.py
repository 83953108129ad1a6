"""A copy that the store makes itself: the sealed bytes stay as they are, the envelope is new.

Only between objects that may share a data key (docs/adr/0015-copies-that-share-a-data-key.md), and
for objects of more than 1 MiB: a smaller one is read and sealed again in as many calls.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.backends.port import ALWAYS, Condition
from hyok.errors import Conflict, Tampered
from hyok.objects.facts import split
from hyok.objects.locking import check_lockable
from hyok.objects.name_warning import warn_of_name
from hyok.objects.vault import PutResult
from hyok.s3.names import etag_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.backends.port import Stored, StoredFacts
    from hyok.objects.facts import ObjectFacts, PutFacts
    from hyok.objects.places import Place
    from hyok.objects.reading import Examined
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask


async def copy_in_store(
    vault: ObjectVault,
    *,
    source: Ask,
    target: Ask,
    check: Callable[[ObjectFacts], None],
    facts: Callable[[ObjectFacts], PutFacts],
    condition: Condition,
    version_id: str = "",
) -> tuple[PutResult, ObjectFacts] | None:
    """Copy one object inside its store; None when it must be sealed anew.

    Parameters and errors are those of `copying.copy_object`.
    """
    assert source.bucket is not None
    assert target.bucket is not None
    if source.bucket.adoption or target.bucket.adoption:
        return None  # what stands in clear there is judged where whole objects are read and written
    if (source.bucket.tenant, source.bucket.store) != (target.bucket.tenant, target.bucket.store):
        return None
    place = await vault.places.of(source.bucket, source.key)
    if condition.rare or (condition != ALWAYS and not place.store.features.conditional_copy):
        return None
    stored = await place.store.head(place.bucket, place.name, version_id)
    if stored.size > place.store.features.single_put_bytes_max:
        return None
    if stored.facts is None or not await vault.custodian.may_share(target, stored.facts.envelope):
        return None
    vault.check_names(target)
    examined = await vault.reader.examine(source, place, stored)
    try:
        check(examined.facts)
        result = await _copy(
            vault, place, stored, examined, target, facts, condition, older=bool(version_id)
        )
    finally:
        examined.key.data_key.close()
    await vault.custodian.conclude(
        source,
        "done",
        object_id=examined.key.envelope.object_id,
        kek_id=examined.key.kek_id,
        size_bytes=0 if result is None else examined.facts.size,
    )
    return None if result is None else (result, examined.facts)


async def _copy(
    vault: ObjectVault,
    place: Place,
    stored: Stored,
    examined: Examined,
    target: Ask,
    facts: Callable[[ObjectFacts], PutFacts],
    condition: Condition,
    *,
    older: bool,
) -> PutResult | None:
    assert target.bucket is not None
    assert target.classification is not None
    to = await vault.places.of(target.bucket, target.key)
    protect = vault.classifications.get(target.classification).seal.protect
    wanted = facts(examined.facts)
    await check_lockable(to, wanted.lock)
    metadata, clear = split(wanted, protect, keeps_metadata=to.store.features.keeps_metadata)
    # The bytes are the same, so what was proven of them stays true.
    metadata = metadata._replace(ck=dict(examined.key.metadata.ck or {}))
    renewed = await vault.custodian.rewrap(target, examined.key, examined.trailer, metadata)
    if renewed is None:
        return None
    try:
        made = await _copied(
            place,
            stored,
            to,
            replace(clear, envelope=renewed.envelope),
            condition,
            older=older,
        )
    except BaseException as error:
        await vault.conclude_failure(target, renewed, error)
        raise
    await vault.custodian.conclude(
        target,
        "done",
        object_id=renewed.object_id,
        kek_id=renewed.kek_id,
        size_bytes=examined.facts.size,
    )
    warn_of_name(target, renewed.object_id)
    return PutResult(etag_out(made.etag), made.modified_ms, renewed.kek_id, made.version_id)


async def _copied(
    place: Place,
    stored: Stored,
    to: Place,
    facts: StoredFacts,
    condition: Condition,
    *,
    older: bool,
) -> Stored:
    """Have the store copy the version that was examined."""
    wanted = condition
    itself = (place.bucket, place.name) == (to.bucket, to.name)
    if itself and condition == ALWAYS and to.store.features.conditional_copy and not older:
        wanted = Condition(if_match=stored.etag)
    try:
        made = await place.store.copy(
            place.bucket,
            place.name,
            to.bucket,
            to.name,
            facts,
            stored.etag,
            wanted,
            stored.version_id,
        )
    except Conflict as error:
        if condition != ALWAYS:
            raise
        raise Conflict("The source was replaced.", reason="ConditionalRequestConflict") from error
    if made.size != stored.size:
        raise Tampered("the store made a copy of another length", code="HY-3504")
    return made
