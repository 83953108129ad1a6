"""DoorUses: what doors do with keys beside encrypting: HMACs, data keys, random bytes.

The order is that of `DoorCustody`: decide, record, use, record.

Source: docs/keyservices/transit.md; docs/adr/0033.
"""

from __future__ import annotations

import hmac
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hyok.custody.door_key import (
    KEY_UNKNOWN,
    PAIR,
    PAIRS,
    RSA_SIGNER,
    WRAPPING_PAIR,
    Usage,
    check_usage,
)
from hyok.custody.doors import DoorCustody, Sealing, within
from hyok.custody.key_states import Use
from hyok.errors import Conflict, HyokError, Malformed, NotFound
from hyok.hsm.door_pool import bad_ciphertext
from hyok.hsm.ecdsa import is_signature

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from hyok.custody.door_key import DoorKey, DoorVersion
    from hyok.custody.doors import Sealed
    from hyok.vocabulary import Ask, DecryptHow, SignHow

MAC_BYTES_MAX = 8192
"""What one question to an agent carries."""

RANDOM_BYTES_MAX = 4096


class DoorUses(DoorCustody):
    """Made once in each process by wiring."""

    async def names(self, ask: Ask) -> Sequence[str]:
        """Return the names of the keys that serve this app.

        Raises:
            Refused: policy says no.
        """
        await self._decisions.permit(ask, "", b"", "")
        mine = [
            key
            for key in await self.catalog.all()
            if key.tenant == ask.principal.tenant and ask.principal.id in key.apps and key.versions
        ]
        return [key.name for key in mine]

    async def random(self, ask: Ask, size: int, seconds: float) -> bytes:
        """Return bytes of the HSM's own generator.

        Raises:
            Malformed: none, or more than one call gives (code HY-2670).
            Refused: policy says no.
            Unavailable: HSM or log do not answer.
        """
        if not 1 <= size <= RANDOM_BYTES_MAX:
            raise Malformed(f"One call gives 1 to {RANDOM_BYTES_MAX} random bytes.", code="HY-2670")
        decision = await self._decisions.permit(ask, "", b"", "")
        await self._decisions.record(
            ask,
            *("intend", "pending", ""),
            reasons=decision.reasons,
            decided="permit",
            size_bytes=size,
            durable=True,
        )
        try:
            async with within(seconds):
                made = await self._hsm.door_random(size, seconds)
        except HyokError as error:
            await self._decisions.failed(ask, "", b"", error)
            raise
        await self._decisions.record(ask, "conclude", "done", "", size_bytes=size, durable=False)
        return made

    async def data_key(
        self, ask: Ask, size: int, data: Callable[[int], bytes], seconds: float
    ) -> tuple[bytes, Sealed]:
        """Return new bytes of the HSM's generator, plain and encrypted under the newest version.

        Raises:
            HyokError: as `encrypt` does.
        """
        ask, key = await self._find(ask)
        version = key.newest
        beside = data(version.number)
        decision = await self._judge(
            ask, key, version, Use.WRAP, [Usage.ENCRYPT], bytes(size), beside
        )
        async with self._records.of_use(ask, key, version, decision, size), within(seconds):
            plain = await self._hsm.door_random(size, seconds)
            sealing = Sealing(plain, data)
            return plain, await self._seal(key, version, sealing, beside, seconds)

    async def mac(
        self, ask: Ask, data: bytes, seconds: float, wanted: int = 0
    ) -> tuple[int, bytes]:
        """Return the HMAC-SHA256 of ``data`` under the newest version, and that version's number.

        ``wanted``: the version that the caller asks for; 0: the newest.

        Raises:
            NotFound: no such key serves this app (code HY-2601).
            Refused: its state (HY-2602), policy, or its purpose (HY-2603) says no.
            Malformed: more than one call takes (code HY-2671), or another version than the newest.
            Unavailable: HSM, database or log do not answer.
        """
        ask, key = await self._find(ask)
        version = _newest(key, wanted)
        return version.number, await self._compute(ask, key, version, Use.WRAP, data, seconds)

    async def is_mac(
        self, ask: Ask, data: bytes, version: int, claimed: bytes, seconds: float
    ) -> bool:
        """Say whether ``claimed`` is the HMAC of ``data`` under a version; no version, no match.

        Raises:
            HyokError: as `mac` does.
        """
        ask, key = await self._find(ask)
        found = key.version(version)
        # One that never was is judged and computed as the newest is, and never matches.
        computed = await self._compute(ask, key, found or key.newest, Use.UNWRAP, data, seconds)
        return hmac.compare_digest(computed, claimed) and found is not None

    async def sign(
        self, ask: Ask, digest: bytes, seconds: float, wanted: int = 0
    ) -> tuple[int, bytes]:
        """Return ``r ‖ s`` over a SHA-256 digest by the newest version, and its number.

        Raises:
            HyokError: as `mac` does.
        """
        ask, key = await self._find(ask)
        version = _newest(key, wanted)
        async with self._recorded(ask, key, version, Use.WRAP, len(digest)), within(seconds):
            made = await self._hsm.door_sign(version.spec, digest, seconds)
        return version.number, made

    async def sign_rsa(self, ask: Ask, digest: bytes, seconds: float, version: int = 0) -> bytes:
        """Return the PKCS #1 v1.5 signature of a SHA-256 digest by the newest version of a pair.

        ``version``: the one that the caller took it for; 0: whichever it is.

        Raises:
            NotFound: no such pair serves this app (code HY-2601).
            HyokError: as `sign` does; `Conflict` where another version is the newest by now.
        """
        ask, key = await self._find(ask, (PAIR, WRAPPING_PAIR, RSA_SIGNER))
        newest = key.newest
        if version not in {0, newest.number}:
            raise Conflict("The key has a newer version by now.", code="HY-2505")
        async with self._recorded(ask, key, newest, Use.WRAP, len(digest)), within(seconds):
            return await self._hsm.rsa_sign(newest.spec, digest, seconds)

    async def private_wrap(self, ask: Ask, private_der: bytes, seconds: float) -> tuple[int, bytes]:
        """Return the newest version's number, and a private key of others wrapped under it.

        Raises:
            NotFound: no such key serves this app (code HY-2601).
            HyokError: as `sign` does; `Malformed` where it is no private key that is taken.
        """
        ask, key = await self._find(ask)
        version = key.newest
        async with self._wrapping(ask, key, version, Use.WRAP, len(private_der)), within(seconds):
            made = await self._hsm.private_wrap(version.spec, private_der, seconds)
        return version.number, made

    async def private_sign(
        self, ask: Ask, version: int, wrapped: bytes, spki: bytes, how: SignHow, seconds: float
    ) -> bytes:
        """Return a signature by a private key that a version wrapped.

        Raises:
            HyokError: as `private_wrap` does; `Tampered` (reason ``BadCiphertext``) where it does
                not open; `Refused` where its public half is another than ``spki`` (HY-2690).
        """
        ask, key = await self._find(ask)
        found = key.version(version)
        async with self._wrapping(ask, key, found or key.newest, Use.UNWRAP, len(wrapped)):
            if found is None:
                raise bad_ciphertext()
            async with within(seconds):
                return await self._hsm.private_sign(found.spec, wrapped, spki, how, seconds)

    async def private_decrypt(
        self, ask: Ask, version: int, wrapped: bytes, spki: bytes, how: DecryptHow, seconds: float
    ) -> bytes:
        """Return a plaintext, as `private_sign` does a signature.

        Raises:
            HyokError: as `private_sign` does; `Tampered` also where the ciphertext does not open.
        """
        ask, key = await self._find(ask)
        found = key.version(version)
        async with self._wrapping(ask, key, found or key.newest, Use.UNWRAP, len(wrapped)):
            if found is None:
                raise bad_ciphertext()
            async with within(seconds):
                return await self._hsm.private_decrypt(found.spec, wrapped, spki, how, seconds)

    def _wrapping(
        self, ask: Ask, key: DoorKey, version: DoorVersion, use: Use, size: int
    ) -> AbstractAsyncContextManager[None]:
        return self._recorded(ask, key, version, use, size, Usage.PRIVATE)

    async def signing_pair(self, tenant: str, name: str, app: str) -> DoorKey:
        """Return the pair with which a door signs its own tokens; its public half is no secret.

        Raises:
            NotFound: no such pair serves this app (code HY-2601).
            Refused: it was not made to sign (code HY-2603).
            Unavailable: the database has been away for too long.
        """
        found = await self.catalog.find(tenant, name)
        if found is None or app not in found.apps or not found.versions or found.kind not in PAIRS:
            raise NotFound(f"There is no pair {name} here.", reason=KEY_UNKNOWN, code="HY-2601")
        check_usage(found, Usage.SIGN)
        return found

    async def is_signature(self, ask: Ask, digest: bytes, version: int, claimed: bytes) -> bool:
        """Say whether ``claimed`` is a signature of ``digest`` by a version; no HSM call.

        Raises:
            NotFound: no such key serves this app (code HY-2601).
            Refused: its state (HY-2602), policy, or its purpose (HY-2603) says no.
        """
        ask, key = await self._find(ask)
        found = key.version(version)
        async with self._recorded(ask, key, found or key.newest, Use.UNWRAP, len(digest)):
            return found is not None and is_signature(found.spec.public_key, digest, claimed)

    @asynccontextmanager
    async def _recorded(
        self,
        ask: Ask,
        key: DoorKey,
        version: DoorVersion,
        use: Use,
        size: int,
        usage: Usage = Usage.SIGN,
    ) -> AsyncIterator[None]:
        decision = await self._judge(ask, key, version, use, [usage], b"", b"")
        async with self._records.of_use(ask, key, version, decision, size):
            yield

    async def _compute(
        self, ask: Ask, key: DoorKey, version: DoorVersion, use: Use, data: bytes, seconds: float
    ) -> bytes:
        if len(data) > MAC_BYTES_MAX:
            raise Malformed(
                f"At most {MAC_BYTES_MAX} bytes are authenticated in one call.", code="HY-2671"
            )
        decision = await self._judge(ask, key, version, use, [Usage.HMAC], b"", b"")
        async with self._records.of_use(ask, key, version, decision, len(data)), within(seconds):
            return await self._hsm.door_mac(version.spec, data, seconds)


def _newest(key: DoorKey, wanted: int) -> DoorVersion:
    """Return the version that makes something new, if that is what is wanted.

    Raises:
        Malformed: another one is wanted (code HY-2677).
    """
    if wanted not in {0, key.newest.number}:
        raise Malformed(
            f"HMACs and signatures are made with the newest version, {key.newest.number}",
            code="HY-2677",
        )
    return key.newest
