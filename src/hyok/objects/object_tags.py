"""The tags of a stored object: sealed with it, changed since, or in clear beside it.

Which of the three its own envelope says.  A later change of sealed tags is an overlay in the
store's tags of that version (docs/adr/0016-tags-that-change-later.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends.port import Span
from hyok.envelope.sealed_tags import open_tags, seal_tags
from hyok.errors import Conflict, NotFound, Refused, Tampered, Unavailable
from hyok.objects.facts import joined_map
from hyok.objects.plaintext_errors import stands_in_clear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.backends.port import Stored
    from hyok.custody.port import RecoveredKey
    from hyok.objects.facts import ObjectFacts
    from hyok.objects.places import Place, ReadPlace
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask


async def tags_of(
    place: ReadPlace, stored: Stored, key: RecoveredKey, *, wanted: bool
) -> tuple[Mapping[str, str], int]:
    """Return the tags of a version and how many there are.

    Tags in clear are fetched only when ``wanted``; sealed ones that changed always, since the store
    counts its pieces and not the tags.

    Raises:
        Tampered: what lies over the envelope's tags is not what was sealed.
        Unavailable: the object was replaced meanwhile.
    """
    assert stored.facts is not None
    sealed = "tg" in key.metadata.protected
    in_clear = stored.facts.tags
    if not in_clear and stored.tag_count and (sealed or wanted):
        in_clear = await _fetched(place, stored)
    if not sealed:
        return in_clear, len(in_clear) or stored.tag_count
    try:
        changed = open_tags(in_clear, key.data_key, key.envelope.object_id)
    except Tampered:
        await _check_unchanged(place, stored)
        raise
    tags = joined_map(key.metadata, "tg", {}) if changed is None else changed
    return tags, len(tags)


async def _fetched(place: ReadPlace, stored: Stored) -> Mapping[str, str]:
    try:
        return await place.store.tags(place.bucket, place.name, stored.version_id)
    except NotFound as error:
        raise _replaced() from error


async def _check_unchanged(place: ReadPlace, stored: Stored) -> None:
    """Return quietly if this version still stands there: its tags cannot be another's.

    Raises:
        Unavailable: it does not.
    """
    try:
        now, _ = await place.store.read_whole(
            place.bucket, place.name, Span(0, 1), stored.etag, stored.version_id
        )
    except (Conflict, NotFound) as error:
        raise _replaced() from error
    if not _same(stored, now):
        raise _replaced()


def _same(one: Stored, other: Stored) -> bool:
    return (
        one.etag == other.etag
        and one.facts is not None
        and other.facts is not None
        and one.facts.envelope == other.facts.envelope
    )


def _replaced() -> Unavailable:
    return Unavailable(
        "The object was replaced while it was being read.", reason="ServiceUnavailable"
    )


async def change_tags(
    vault: ObjectVault,
    ask: Ask,
    tags: Mapping[str, str],
    version_id: str,
    check: Callable[[ObjectFacts], None],
) -> ObjectFacts:
    """Give a version other tags; return its facts as they were.

    Makes no version and leaves ETag and time alone.  ``check`` sees the facts before anything
    changes, and may raise.

    Raises:
        Refused: the object stands in clear, where its tags would too (code HY-3515); the store
            cannot change tags alone (reason ``NotImplemented``); or policy says no.
        Malformed: they do not fit once sealed (reason ``MetadataTooLarge``).
        Conflict: the object was replaced meanwhile (reason ``OperationAborted``).
    """
    if await vault.adoptions.head(ask, check, version_id) is not None:
        raise stands_in_clear("Its tags were not changed.")
    place, stored = await vault.look(ask, version_id)
    key, facts = await vault.reader.known(ask, place, stored, tags=True)
    try:
        check(facts)
        if not await place.store.changes_tags(place.bucket):
            raise Refused(
                "The store behind this bucket cannot change tags without making the object anew. "
                "Write the object again with its tags.",
                reason="NotImplemented",
            )
        await _write(vault, place, stored, key, tags)
    finally:
        key.data_key.close()
    await vault.custodian.conclude(
        ask, "done", object_id=key.envelope.object_id, kek_id=key.kek_id, size_bytes=0
    )
    return facts


async def _write(
    vault: ObjectVault, place: Place, stored: Stored, key: RecoveredKey, tags: Mapping[str, str]
) -> None:
    kept: Mapping[str, str] = tags
    if "tg" in key.metadata.protected:
        first = joined_map(key.metadata, "tg", {})
        # Those that were written with the object need nothing over them.
        kept = {}
        if dict(first) != dict(tags):
            kept = seal_tags(tags, key.data_key, vault.entropy(16), key.envelope.object_id)
    await place.store.set_tags(place.bucket, place.name, kept, stored.version_id)
    if stored.version_id not in {"", "null"}:
        return  # nothing else can stand under that id
    try:
        now = await place.store.head(place.bucket, place.name, stored.version_id)
    except NotFound:
        now = None
    if now is not None and not _same(stored, now):
        # They may lie over an object written meanwhile, which they do not belong to.
        await place.store.set_tags(place.bucket, place.name, {}, stored.version_id)
    if now is None or not _same(stored, now):
        raise Conflict("The object was replaced meanwhile.", reason="OperationAborted")
