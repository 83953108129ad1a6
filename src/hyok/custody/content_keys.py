"""ContentKeys: keys of single values, made here and wrapped in the HSM, many of them at once.

A document of ten thousand fields is one decision and one record for each key that it needs, and one
call to the HSM for each value: a content key is never used twice.  What the caller does with the
keys happens between the two records, so that what fails then is on the log as well.

Source: docs/keyservices/payloads.md; docs/adr/0036; RFC 7518, section 4.7.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from hyok.custody.door_key import PAIR, SECRETS, Usage
from hyok.custody.door_uses import MAC_BYTES_MAX, DoorUses
from hyok.custody.doors import IV_BYTES, TAG_BYTES, is_bad_ciphertext, within
from hyok.custody.key_states import Use
from hyok.errors import HyokError, Malformed, Tampered
from hyok.hsm.door_pool import bad_ciphertext
from hyok.hsm.port import BAD_CIPHERTEXT, MANY_MAX
from hyok.hsm.public_key import seal_bytes_to
from hyok.policy.decision import Decision

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from hyok.custody.decisions import Decisions
    from hyok.custody.door_catalog import DoorCatalog
    from hyok.custody.door_key import DoorKey, DoorVersion
    from hyok.hsm.port import WrapHsm
    from hyok.vocabulary import Ask, ObjectRef

S = TypeVar("S")
T = TypeVar("T")

KEY_BYTES = 32
LINES_AT_ONCE = 4
"""Questions of one document that are under way at once; other callers need lines too."""

AT = "at"
"""The fact of an error that says which of several values did not open, counted from nought."""


@dataclass(frozen=True, slots=True)
class ContentKey:
    """A fresh key, and how the HSM wrapped it."""

    key: bytes = field(repr=False)
    iv: bytes
    sealed: bytes
    tag: bytes


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A wrapped key that came from outside; without IV and tag it was sealed to a pair."""

    version: int
    sealed: bytes
    iv: bytes = b""
    tag: bytes = b""


class ContentKeys(DoorUses):
    """Made once in each process by wiring.

    ``entropy`` gives fresh random bytes.
    """

    def __init__(
        self,
        *,
        hsm: WrapHsm,
        catalog: DoorCatalog,
        decisions: Decisions,
        opaque_id: Callable[[ObjectRef], Awaitable[str]],
        entropy: Callable[[int], bytes],
    ) -> None:
        super().__init__(hsm=hsm, catalog=catalog, decisions=decisions, opaque_id=opaque_id)
        self._entropy = entropy

    async def wrap(
        self,
        ask: Ask,
        count: int,
        size: int,
        finish: Callable[[DoorVersion, Sequence[ContentKey]], Awaitable[T]],
        seconds: float,
    ) -> T:
        """Return what ``finish`` makes of so many fresh keys, wrapped under the newest version.

        ``size``: the bytes that they are for, as the log says it.

        Raises:
            NotFound: no such key serves this app (code HY-2601).
            Refused: its state (HY-2602), policy, or its purpose (HY-2603) says no; or it has
                encrypted as often as it may (HY-2604).
            Unavailable: HSM, database or log do not answer.
            HyokError: what ``finish`` raises.
        """
        ask, key = await self._find(ask)
        version = key.newest
        async with self._on_log(ask, key, version, Use.WRAP, Usage.ENCRYPT, count, size):
            async with within(seconds):
                for _ in range(count):
                    await self.catalog.count_use(key, version)
                plains = [self._entropy(KEY_BYTES) for _ in range(count)]
                made = await _in_turns(
                    plains, lambda some: self._hsm.door_seal_many(version.spec, some, seconds)
                )
            keys = [
                ContentKey(plain, iv, whole[:-TAG_BYTES], whole[-TAG_BYTES:])
                for plain, (iv, whole) in zip(plains, made, strict=True)
            ]
            return await finish(version, keys)

    async def unwrap(
        self,
        ask: Ask,
        wrapped: Sequence[Wrapped],
        finish: Callable[[Sequence[bytes]], Awaitable[T]],
        seconds: float,
        *,
        fits: Callable[[], None] = lambda: None,
        pairs: bool = False,
    ) -> T:
        """Return what ``finish`` makes of the keys, in their order.

        ``fits`` raises what speaks against it, before the HSM is asked; ``pairs``: they were sealed
        to the public half of a pair of this name.

        Raises:
            NotFound: no such key serves this app (code HY-2601).
            Refused: its state (HY-2602), policy, or its purpose (HY-2603) says no.
            Tampered: one does not open, for whatever cause (reason ``BadCiphertext``, `AT`).
            Unavailable: HSM, database or log do not answer.
            HyokError: what ``fits`` or ``finish`` raises.
        """
        ask, key = await self._find(ask, (PAIR,) if pairs else SECRETS)
        try:
            fits()
        except HyokError as error:
            await self._records.failed(ask, key, key.newest, error)
            raise
        places: dict[int, list[int]] = {}
        for place, one in enumerate(wrapped):
            places.setdefault(one.version, []).append(place)
        opened: dict[int, bytes] = {}
        # A record for each version; what fails in the end is on each of them.
        async with AsyncExitStack() as log:
            for number, mine in places.items():
                version, size = key.version(number), sum(len(wrapped[at].sealed) for at in mine)
                # One that never was is judged as the newest is, and opens nothing.
                judged, use = version or key.newest, (Use.UNWRAP, Usage.DECRYPT)
                await log.enter_async_context(self._on_log(ask, key, judged, *use, len(mine), size))
                if version is None:
                    raise not_opened(mine[0])
                async with within(seconds):
                    keys = await self._open(version, wrapped, mine, seconds)
                opened.update(zip(mine, keys, strict=True))
            return await finish([opened[place] for place in range(len(wrapped))])

    async def _open(
        self, version: DoorVersion, wrapped: Sequence[Wrapped], mine: Sequence[int], seconds: float
    ) -> Sequence[bytes]:
        if version.spec.public_key:
            return await _in_turns(
                mine,
                lambda some: self._one_by_one(
                    some,
                    lambda place: self._hsm.pair_open(version.spec, wrapped[place].sealed, seconds),
                ),
            )
        for place in mine:
            one = wrapped[place]
            if (len(one.iv), len(one.sealed), len(one.tag)) != (IV_BYTES, KEY_BYTES, TAG_BYTES):
                raise not_opened(place)

        async def together(some: Sequence[int]) -> Sequence[bytes]:
            each = [(wrapped[at].iv, wrapped[at].sealed + wrapped[at].tag) for at in some]
            try:
                return await self._hsm.door_open_many(version.spec, each, seconds)
            except Tampered as error:
                if not is_bad_ciphertext(error):
                    raise
            # Which one?  And was it the bytes, or the device?
            return await self._one_by_one(
                some,
                lambda place: self._hsm.door_open(
                    version.spec,
                    wrapped[place].iv,
                    wrapped[place].sealed + wrapped[place].tag,
                    b"",
                    seconds,
                ),
            )

        return await _in_turns(mine, together)

    @staticmethod
    async def _one_by_one(
        places: Sequence[int], work: Callable[[int], Awaitable[bytes]]
    ) -> Sequence[bytes]:
        keys = []
        for place in places:
            try:
                found = await work(place)
            except Tampered as error:
                if not is_bad_ciphertext(error):
                    raise
                raise not_opened(place) from error
            if len(found) != KEY_BYTES:
                raise not_opened(place)
            keys.append(found)
        return keys

    async def wrap_to_pair(
        self, ask: Ask, finish: Callable[[DoorVersion, bytes, bytes], Awaitable[T]], seconds: float
    ) -> T:
        """Return what ``finish`` makes of a fresh key and that key sealed to a pair's public half.

        Raises:
            HyokError: as `wrap` does.
        """
        ask, key = await self._find(ask, (PAIR,))
        version = key.newest
        async with self._on_log(ask, key, version, Use.WRAP, None, 1, KEY_BYTES):
            async with within(seconds):
                public = await self._hsm.pair_public(version.spec, seconds)
            plain = self._entropy(KEY_BYTES)
            return await finish(version, plain, seal_bytes_to(public, plain))

    async def note(self, ask: Ask, error: HyokError) -> None:
        """Record what was refused before any key was looked for."""
        await self._decisions.failed(ask, "", b"", error)

    async def macs(
        self, ask: Ask, texts: Sequence[bytes], seconds: float
    ) -> tuple[int, Sequence[bytes]]:
        """Return the HMAC-SHA256 of each under the newest version, and that version's number.

        Raises:
            NotFound: no such key serves this app (code HY-2601).
            Refused: its state (HY-2602), policy, or its purpose (HY-2603) says no.
            Malformed: one is more than a call takes (code HY-2671).
            Unavailable: HSM, database or log do not answer.
        """
        if any(len(text) > MAC_BYTES_MAX for text in texts):
            raise Malformed(
                f"At most {MAC_BYTES_MAX} bytes are authenticated in one call.", code="HY-2671"
            )
        ask, key = await self._find(ask)
        version, size = key.newest, sum(map(len, texts))
        wanted = (Use.WRAP, Usage.HMAC, len(texts), size)
        async with self._on_log(ask, key, version, *wanted), within(seconds):
            made = await _in_turns(
                texts,
                lambda some: self._hsm.door_mac_many(version.spec, some, seconds),
                _fitting(texts),
            )
        return version.number, made

    async def derive(
        self,
        ask: Ask,
        label: bytes,
        finish: Callable[[DoorVersion, bytes], Awaitable[T]],
        seconds: float,
        wanted: int = 0,
    ) -> T:
        """Return what ``finish`` makes of a key of 32 bytes, derived by an HMAC in the HSM.

        The HSM's key is for this alone (`Usage.BSN`): one for HMACs would give the derived key to
        whoever may have a text authenticated.  ``wanted``: the version; 0: the newest.

        Raises:
            Tampered: there is no such version (reason ``BadCiphertext``).
            HyokError: as `wrap` does.
        """
        ask, key = await self._find(ask)
        version = key.version(wanted) if wanted else key.newest
        judged, use = version or key.newest, Use.UNWRAP if wanted else Use.WRAP
        async with self._on_log(ask, key, judged, use, Usage.BSN, 1, 0):
            if version is None:
                raise not_opened(0)
            async with within(seconds):
                made = await self._hsm.door_mac(version.spec, label, seconds)
            return await finish(version, made)

    @asynccontextmanager
    async def _on_log(
        self,
        ask: Ask,
        key: DoorKey,
        version: DoorVersion,
        use: Use,
        usage: Usage | None,
        count: int,
        size: int,
    ) -> AsyncIterator[None]:
        """Decide, record how many values it is about, and record what came of it."""
        wanted = [usage] if usage is not None else []
        decision = await self._judge(ask, key, version, use, wanted, b"", b"")
        told = Decision(decision.allowed, (*decision.reasons, f"values:{count}"))
        async with self._records.of_use(ask, key, version, told, size):
            yield


def not_opened(place: int) -> Tampered:
    """Return the one error of a value that does not open, with its place among the others."""
    cause = bad_ciphertext()
    return Tampered(cause.cause, reason=BAD_CIPHERTEXT, code=cause.code, facts={AT: str(place)})


def _fitting(texts: Sequence[bytes]) -> int:
    """Return how many of these one question to an agent carries."""
    longest = max(map(len, texts), default=0)
    return max(1, min(MANY_MAX, MAC_BYTES_MAX // (longest + 2)))


async def _in_turns(
    values: Sequence[S],
    work: Callable[[Sequence[S]], Awaitable[Sequence[T]]],
    at_once: int = MANY_MAX,
) -> Sequence[T]:
    """Return what ``work`` makes of all values, some at a time; the first failure ends it all."""
    room = asyncio.Semaphore(LINES_AT_ONCE)

    async def turn(some: Sequence[S]) -> Sequence[T]:
        async with room:
            return await work(some)

    tasks = [
        asyncio.create_task(turn(values[at : at + at_once]))
        for at in range(0, len(values), at_once)
    ]
    try:
        return [one for part in await asyncio.gather(*tasks) for one in part]
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
