"""DoorWraps: keys of other people's keys: they are wrapped and unwrapped, and nothing else.

The order is that of `DoorCustody`: decide, record, use, record.  Such a key has one version, since
what it wrapped does not say by which.

Source: docs/keyservices/ekm.md; docs/adr/0035; RFC 3394; RFC 5649; RFC 8017, section 7.1.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from hyok.custody.content_keys import ContentKeys
from hyok.custody.door_key import (
    PAIRS,
    WRAPPER,
    WRAPPERS,
    WRAPPING_PAIR,
    Usage,
)
from hyok.custody.doors import within
from hyok.custody.key_states import Use
from hyok.errors import HyokError, Malformed
from hyok.hsm.door_pool import bad_ciphertext
from hyok.hsm.public_key import public_numbers, seal_bytes_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from hyok.custody.door_key import DoorKey, DoorVersion
    from hyok.vocabulary import Ask

UNSUPPORTED = "Algorithm"
"""The reason of a refusal that blames the algorithm, and nothing else."""

VALUE_BYTES_MAX = 1024
_DIGEST_BYTES = {"RSA-OAEP-256": 32, "RSA-OAEP": 20}


class Algorithm(StrEnum):
    """How a key is wrapped; the names are those of JOSE and of Azure."""

    KW = "A256KW"
    KWP = "A256KWP"
    OAEP_SHA256 = "RSA-OAEP-256"
    OAEP_SHA1 = "RSA-OAEP"


_OF_SECRETS = frozenset({Algorithm.KW, Algorithm.KWP})


class DoorWraps(ContentKeys):
    """Made once in each process by wiring."""

    async def wrapping_key(self, ask: Ask, seconds: float) -> tuple[DoorKey, bytes, bytes]:
        """Return a key that wraps; of a pair also modulus and exponent, shown to be the HSM's.

        Raises:
            NotFound: no such key serves this app (code HY-2601).
            Refused: its state (HY-2602), policy, or its purpose (HY-2603) says no.
            Tampered: the HSM holds another key (code HY-2106).
            Unavailable: HSM or database do not answer.
        """
        ask, key = await self._find(ask, None)
        await self._judge(ask, key, key.newest, Use.UNWRAP, [Usage.WRAP], b"", b"")
        if key.sort is not WRAPPING_PAIR:
            return key, b"", b""
        spec = key.newest.spec
        try:
            async with within(seconds):
                der = await self._hsm.pair_public(spec, seconds)
        except HyokError as error:
            await self._records.failed(ask, key, key.newest, error)
            raise
        return key, *public_numbers(der)

    async def wrap_value(
        self, ask: Ask, algorithm: Algorithm, value: bytes, seconds: float
    ) -> bytes:
        """Return somebody's key, wrapped.

        Raises:
            NotFound: no such key serves this app (code HY-2601).
            Refused: its state (HY-2602), policy, or its purpose (HY-2603) says no.
            Malformed: not with this key (HY-2647), or not a value of this length (HY-2648).
            Unavailable: HSM, database or log do not answer.
        """
        ask, key = await self._find(ask, None)
        async with self._used(ask, key, Use.WRAP, algorithm, value) as version:
            _check_length(key, algorithm, value)
            async with within(seconds):
                return await self._wrap(version, algorithm, value, seconds)
        raise AssertionError("the block above returns or raises")

    async def _wrap(
        self, version: DoorVersion, algorithm: Algorithm, value: bytes, seconds: float
    ) -> bytes:
        if algorithm in _OF_SECRETS:
            padded = algorithm is Algorithm.KWP
            return await self._hsm.door_wrap(version.spec, value, seconds, padded=padded)
        der = await self._hsm.pair_public(version.spec, seconds)
        return seal_bytes_to(der, value, sha1=algorithm is Algorithm.OAEP_SHA1)

    async def unwrap_value(
        self, ask: Ask, algorithm: Algorithm, wrapped: bytes, seconds: float
    ) -> bytes:
        """Return what was wrapped.

        Raises:
            NotFound: no such key serves this app (code HY-2601).
            Refused: its state (HY-2602), policy, or its purpose (HY-2603) says no.
            Malformed: not with this key (HY-2647).
            Tampered: it does not unwrap, for whatever cause (reason ``BadCiphertext``).
            Unavailable: HSM, database or log do not answer.
        """
        ask, key = await self._find(ask, None)
        async with (
            self._used(ask, key, Use.UNWRAP, algorithm, wrapped) as version,
            within(seconds),
        ):
            return await self._unwrap(key, version, algorithm, wrapped, seconds)
        raise AssertionError("the block above returns or raises")

    async def _unwrap(
        self,
        key: DoorKey,
        version: DoorVersion,
        algorithm: Algorithm,
        wrapped: bytes,
        seconds: float,
    ) -> bytes:
        if algorithm in _OF_SECRETS:
            padded = algorithm is Algorithm.KWP
            return await self._hsm.door_unwrap(version.spec, wrapped, seconds, padded=padded)
        if len(wrapped) != PAIRS[key.kind] // 8:
            raise bad_ciphertext()
        open_ = self._hsm.pair_open
        if algorithm is Algorithm.OAEP_SHA1:
            open_ = self._hsm.pair_open_sha1
        return await open_(version.spec, wrapped, seconds)

    @asynccontextmanager
    async def _used(
        self, ask: Ask, key: DoorKey, use: Use, algorithm: Algorithm, bytes_: bytes
    ) -> AsyncIterator[DoorVersion]:
        version = key.newest
        decision = await self._judge(ask, key, version, use, [Usage.WRAP], bytes_, b"")
        async with self._records.of_use(ask, key, version, decision, len(bytes_)):
            _check_algorithm(key, algorithm)
            yield version

    async def probe_wraps(self, seconds: float) -> Mapping[str, str]:
        """Return what fails in each token that has to wrap and unwrap for the keys there are.

        Each in every token: a key of the moment wraps; where there is a pair, one opens.
        """
        keys = [key for key in await self.catalog.all() if key.sort in WRAPPERS and key.living]
        found: dict[str, str] = {}
        if not keys or any(key.sort is WRAPPER for key in keys):
            found = dict(await self._hsm.probe_wraps(seconds))
        if any(key.sort is WRAPPING_PAIR for key in keys):
            for token, said in (await self._hsm.probe_pairs(seconds)).items():
                found[token] = "; ".join(filter(None, (found.get(token, ""), said)))
        return found


def _check_algorithm(key: DoorKey, algorithm: Algorithm) -> None:
    if (key.sort is WRAPPER) != (algorithm in _OF_SECRETS):
        raise Malformed(
            f"The key does not wrap with {algorithm}.", reason=UNSUPPORTED, code="HY-2647"
        )


def _check_length(key: DoorKey, algorithm: Algorithm, value: bytes) -> None:
    most = VALUE_BYTES_MAX
    if algorithm not in _OF_SECRETS:
        most = PAIRS[key.kind] // 8 - 2 * _DIGEST_BYTES[algorithm] - 2
    least = 16 if algorithm is Algorithm.KW else 1
    whole = algorithm is not Algorithm.KW or len(value) % 8 == 0
    if not whole or not least <= len(value) <= most:
        raise Malformed(
            f"{algorithm} wraps {least} to {most} bytes here"
            f"{', a multiple of 8' if algorithm is Algorithm.KW else ''}.",
            code="HY-2648",
        )
